/*
 * A client: what consumers, producers and management calls of one event hub
 * share: the settings, the connection, the tokens and the thread.
 *
 *   tmk_client_options o;
 *   tmk_client_options_init(&o);
 *   o.connection_string = getenv("EVENTHUB_CONNECTION_STRING");
 *   o.hub = "telemetry";
 *   if (tmk_client_new(&o, &client, &err) != TMK_OK) { ... err.text ... }
 *   ...
 *   client = tmk_client_free(client);
 *
 * Nothing is connected before something needs it. A connection that is lost is
 * made anew for as long as somebody needs it, after 0.1 s and then with growing
 * pauses up to 30 s; each loss and each step of healing is reported through
 * on_error and the log, and counted. Tokens are renewed before they end.
 *
 * Threads: every function of client.h, consumer.h, producer.h and management.h
 *          may be called from any thread unless it says otherwise. Callbacks
 *          come on the client's own thread, one at a time, never from inside a
 *          call of yours; or, with caller_driven, on the thread that is inside
 *          tmk_client_poll() or a waiting call. A callback must not block: it
 *          holds up every link of the client. The functions that wait
 *          (..._wait, tmk_consumer_receive, ..._close) return ESTATE when
 *          called from a callback; everything else is allowed there.
 */
#ifndef TIDEMARK_CLIENT_H
#define TIDEMARK_CLIENT_H

#include <tidemark/credential.h>
#include <tidemark/log.h>
#include <tidemark/status.h>

TMK_BEGIN_C

typedef struct tmk_client tmk_client;

typedef enum tmk_transport {
    TMK_TRANSPORT_AMQP = 0,      /* AMQP in TLS, port 5671 (plain 5672 to a development emulator) */
    TMK_TRANSPORT_WEBSOCKET = 1, /* AMQP in a TLS WebSocket, port 443: passes most firewalls */
} tmk_transport;

typedef enum tmk_retry_mode {
    TMK_RETRY_EXPONENTIAL = 0, /* delay, 2 delay, 4 delay ... up to delay_max */
    TMK_RETRY_FIXED = 1        /* delay, delay, delay ... */
} tmk_retry_mode;

/**
 * How sends and management calls are tried again. Failures that no second try
 * can mend are never retried; a busy service is given 4 s or more each time.
 * This struct is part of others and never grows.
 */
typedef struct tmk_retry_options {
    uint32_t attempts;      /* tries in all, 1 .. 100; default 5 */
    tmk_retry_mode mode;    /* default exponential */
    int64_t delay_ms;       /* before the second try; default 400 */
    int64_t delay_max_ms;   /* no pause is longer; default 30000 */
    int64_t try_timeout_ms; /* how long one try may take; default 30000 */
    double jitter;          /* 0 .. 1: a pause varies by up to this share either way; default 0.2 */
} tmk_retry_options;

/** Something failed, and this is what happens next. */
typedef struct tmk_trouble {
    const tmk_error *error;
    const char *operation; /* "connect", "token", "receive", "send", "read" */
    const char *partition; /* NULL: it concerns all of them, or none */
    const char *reaction;  /* "retry", "new link", "new connection", "new token", "gave up" ... */
    int64_t delay_ms;      /* until that is done; 0: at once */
    uint32_t attempt;      /* how many times in a row it has failed now */
} tmk_trouble;

typedef struct tmk_client_options {
    size_t size; /* set by _init, leave alone */

    /*
     * Where to and as whom: either a connection string, as the portal shows it,
     * or a host ("myns.servicebus.windows.net") with a credential. All text is
     * copied; the credential is used until the client is freed.
     */
    const char *connection_string;
    const char *host;
    tmk_credential *credential;
    const char *hub; /* may be left out when the connection string names it (EntityPath) */

    tmk_transport transport;
    const char *endpoint; /* "HOST" or "HOST:PORT" to dial instead: private endpoint, gateway. Its
                             certificate must be for this name */
    const char *proxy;    /* "http://user:password@host:port"; "env": as the environment says;
                             NULL: none, whatever the environment says */
    const char *tls_ca_file; /* PEM file of trusted authorities; NULL: the system's */

    tmk_retry_options retry;
    int64_t connect_timeout_ms; /* name, TCP, proxy, TLS and WebSocket together; default 10000 */
    int64_t idle_timeout_ms; /* a connection silent for this long is dead; default 60000; at least
                                2000 */

    const char *application; /* put in front of the user agent, so that the service's logs tell
                                programs apart */

    tmk_log log; /* copied; silent by default */
    /**
     * Every trouble, also that which the library heals by itself.
     * Threads:  see above. The struct and what it points to end with the call.
     */
    void (*on_error)(void *user, const tmk_trouble *trouble);
    void *user;

    /*
     * true: the library starts no thread; the program calls tmk_client_poll()
     * whenever tmk_client_fd() is readable. Then all calls come from that one
     * thread.
     */
    bool caller_driven;
} tmk_client_options;

/** Fills *opts with the defaults of this version of the library. */
#define tmk_client_options_init(opts) tmk_client_options_fill((opts), sizeof *(opts))
TMK_API void tmk_client_options_fill(tmk_client_options *opts, size_t size);

/**
 * Makes a client and starts its thread; connects to nothing yet.
 *
 * Owns:    options are copied; the credential gains a reference.
 * Returns: 0 with *out set. EINVAL: a setting is wrong or missing, and the text says which.
 */
TMK_API TMK_CHECKED tmk_status tmk_client_new(const tmk_client_options *opts, tmk_client **out,
                                              tmk_error *err);

/**
 * Frees a client. NULL is fine. Returns NULL. Its consumers and producers keep
 * what they need of it until they are freed themselves; on_error and the log
 * are not called any more when this returns, and management calls have been
 * answered ECANCELED. The connection is closed in good order if the service
 * answers within a second.
 * Threads: also from a callback; then the thread ends soon after.
 */
TMK_API tmk_client *tmk_client_free(tmk_client *client);

/** What it talks to; the text lives as long as the client. */
TMK_API const char *tmk_client_host(const tmk_client *client);
TMK_API const char *tmk_client_hub(const tmk_client *client);
/** What is dialled for it: "amqps://HOST:PORT", "wss://..."; plain: "amqp://...", "ws://...". */
TMK_API const char *tmk_client_address(const tmk_client *client);

/** caller_driven only: a descriptor that is readable when tmk_client_poll() has something to do. */
TMK_API int tmk_client_fd(tmk_client *client);

/** caller_driven only: waits up to wait_ms (0: not at all), then does what is due. */
TMK_API TMK_CHECKED tmk_status tmk_client_poll(tmk_client *client, int64_t wait_ms, tmk_error *err);

/** Counters since the client was made; they never go back. */
typedef struct tmk_client_stats {
    size_t size; /* set by tmk_client_stats_get's caller: sizeof */
    uint64_t connections_opened, connections_lost, connects_failed;
    uint64_t links_opened, links_lost, links_refused;
    uint64_t tokens_put, tokens_failed;
    uint64_t events_received, bytes_received;
    uint64_t events_repeated; /* dropped: the service sent again what had been delivered */
    uint64_t events_missing;  /* sequence numbers that were skipped (retention, compaction, loss) */
    uint64_t events_sent, events_failed, sends_retried, sends_unknown;
    uint64_t busy;          /* answers "busy" of the service */
    uint64_t stalls_healed; /* links that had gone silent while events were waiting */
} tmk_client_stats;
/** Fills *out up to out->size, which the caller has set to sizeof *out. */
TMK_API void tmk_client_stats_get(const tmk_client *client, tmk_client_stats *out);

TMK_END_C

#endif
