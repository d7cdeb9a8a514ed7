/*
 * tidemark-hub as a library: an Event Hubs compatible AMQP 1.0 server inside
 * a test program. Microsoft's SDKs and Tidemark take it for the service. It
 * listens on ports of its own choosing, keeps events in memory (or in a
 * folder), and has faults at the push of a button.
 *
 *     tmk_hub_options o;
 *     tmk_hub *hub;
 *
 *     tmk_hub_options_init(&o);
 *     tmk_hub_start(&o, &hub, &err);
 *     ... connect to tmk_hub_connection_string(hub), hub name "hub" ...
 *     tmk_hub_fault(hub, "{\"fault\":\"drop_connections\"}", NULL, &err);
 *     hub = tmk_hub_stop(hub);
 *
 * Library of its own: pkg-config tidemark-hub. Several hubs may live in one
 * process.
 *
 * Threads: a hub serves on one thread of its own. All functions here may be
 *          called from any thread but that one; those that change or read
 *          something wait until it is done.
 */
#ifndef TIDEMARK_HUB_H
#define TIDEMARK_HUB_H

#include <tidemark/log.h>
#include <tidemark/status.h>

TMK_BEGIN_C

typedef struct tmk_hub tmk_hub;

/** One event hub. */
typedef struct tmk_hub_spec {
    const char *name;    /* 1 to 256 of letters, digits, '-', '_', '.' */
    uint32_t partitions; /* 1 to 1024; 0: 4 */
} tmk_hub_spec;

/** What a key may do. */
enum { TMK_HUB_LISTEN = 1, TMK_HUB_SEND = 2, TMK_HUB_MANAGE = 4, TMK_HUB_ALL = 7 };

/** One more shared access key, beside the main one. */
typedef struct tmk_hub_key {
    const char *name;
    const char *key;
    unsigned rights; /* TMK_HUB_LISTEN | ... */
} tmk_hub_key;

typedef enum tmk_hub_jwt {
    TMK_HUB_JWT_REFUSE = 0, /* a token of type "jwt" is refused */
    TMK_HUB_JWT_ANY = 1,    /* any text of three parts whose exp, where given, lies ahead */
    TMK_HUB_JWT_HS256 = 2   /* and signed with jwt_key (HMAC-SHA256) */
} tmk_hub_jwt;

typedef struct tmk_hub_options {
    size_t size;           /* set by _init, leave alone */
    const char *listen;    /* AMQP, "ADDR:PORT", port 0 picks one; default "127.0.0.1:0" */
    const char *websocket; /* AMQP over WebSocket, default NULL: none */
    const char *control;   /* HTTP: state, metrics, faults; default NULL: none */
    /* PEM files. With them both AMQP listeners take TLS and plain connections on the same port. */
    const char *tls_cert, *tls_key;
    const tmk_hub_spec *hubs; /* default: one, "hub", with 4 partitions */
    size_t hub_count;
    const char *const *groups; /* consumer groups of every hub, beside $Default */
    size_t group_count;
    const char *key_name; /* default "RootManageSharedAccessKey" */
    const char *key;      /* default: made at random; see tmk_hub_connection_string() */
    const tmk_hub_key *keys;
    size_t key_count;
    tmk_hub_jwt jwt;
    const char *jwt_key;
    const char *data_dir;      /* events are kept here; default NULL: in memory */
    int64_t retention_ms;      /* older events go; default one day */
    uint64_t retention_bytes;  /* of one partition; beyond it the oldest go; default 256 MiB */
    uint32_t throughput_units; /* throttle as the service does; default 0: not at all */
    uint32_t max_message_size; /* of an event or a batch; default 1 MiB */
    bool unsettled;            /* deliver unsettled; default pre-settled, as the service does */
    bool geo;                  /* opaque offsets, as on a geo-replicated namespace */
    uint64_t seed;             /* of ids and chances; default 0: from the system */
    tmk_log log;               /* default silent */
} tmk_hub_options;

/** Fills *options with the defaults of this version of the library. */
#define tmk_hub_options_init(options) tmk_hub_options_fill((options), sizeof *(options))
TMK_API void tmk_hub_options_fill(tmk_hub_options *options, size_t size);

/**
 * Starts a hub; it accepts connections when this returns.
 *
 * Owns:    options are copied; NULL means all defaults.
 * Returns: 0 with *out set, or a failure with *out untouched: EINVAL for a wrong option, EIO
 *          when an address cannot be listened on or the data folder is unusable.
 */
TMK_API TMK_CHECKED tmk_status tmk_hub_start(const tmk_hub_options *options, tmk_hub **out,
                                             tmk_error *err);

/** Ends all connections, stops and frees. NULL is fine. Returns NULL: hub = tmk_hub_stop(hub); */
TMK_API tmk_hub *tmk_hub_stop(tmk_hub *hub);

typedef enum tmk_hub_door {
    TMK_HUB_DOOR_AMQP = 0,
    TMK_HUB_DOOR_WEBSOCKET = 1,
    TMK_HUB_DOOR_CONTROL = 2
} tmk_hub_door;

/** "127.0.0.1:41873", or NULL when it was not asked for. Lives as long as the hub. */
TMK_API const char *tmk_hub_address(const tmk_hub *hub, tmk_hub_door door);
/** The port alone; 0 when it was not asked for. */
TMK_API uint16_t tmk_hub_port(const tmk_hub *hub, tmk_hub_door door);
/** For the plain AMQP port, without EntityPath. Holds the key. Lives as long as the hub. */
TMK_API const char *tmk_hub_connection_string(const tmk_hub *hub);

/**
 * Sets a fault, or does one at once: the JSON objects of docs/HUB.md, as POST /faults takes them.
 *
 *     {"fault":"detach","condition":"amqp:link:detach-forced","partition":"0"}
 *     {"fault":"reject_sends","condition":"com.microsoft:server-busy","count":3}
 *
 * Returns: 0; EINVAL with words about what is wrong in the JSON. *id (NULL is fine) is the number
 *          of a standing rule, for tmk_hub_fault_clear(); 0 for what was done at once.
 */
TMK_API TMK_CHECKED tmk_status tmk_hub_fault(tmk_hub *hub, const char *json, uint64_t *id,
                                             tmk_error *err);
/** Removes a standing rule; 0 removes all. Removing none is fine. */
TMK_API void tmk_hub_fault_clear(tmk_hub *hub, uint64_t id);

/** What a test may want to put into a partition without a client. */
typedef struct tmk_hub_event {
    const void *body;
    size_t body_size;
    const char *partition; /* id; NULL: by key, else in turn */
    const char *key;       /* NULL: none */
} tmk_hub_event;

/** Appends one event. *sequence (NULL is fine) is the number it got. ENOTFOUND: no such place. */
TMK_API TMK_CHECKED tmk_status tmk_hub_put(tmk_hub *hub, const char *name,
                                           const tmk_hub_event *event, int64_t *sequence,
                                           tmk_error *err);

/**
 * Appends `count` events of `size` body bytes in turn over all partitions, fast, for benchmarks.
 * With keys > 0 they carry the keys "key-0" ... and go where the key says.
 */
TMK_API TMK_CHECKED tmk_status tmk_hub_preload(tmk_hub *hub, const char *name, uint64_t count,
                                               uint32_t size, uint32_t keys, tmk_error *err);

typedef struct tmk_hub_partition {
    int64_t begin_sequence; /* of the oldest event kept; last + 1 when there is none */
    int64_t last_sequence;  /* -1: nothing was ever enqueued */
    char last_offset[64];
    uint32_t readers;   /* links attached now, of all groups */
    uint64_t delivered; /* events put on the wire, of all links */
} tmk_hub_partition;
TMK_API TMK_CHECKED tmk_status tmk_hub_partition_read(tmk_hub *hub, const char *name,
                                                      const char *partition, tmk_hub_partition *out,
                                                      tmk_error *err);

/** Everything as JSON, as GET /state tells it; NULL when out of memory. Free: tmk_hub_text_free().
 */
TMK_API char *tmk_hub_state(tmk_hub *hub);
TMK_API void tmk_hub_text_free(char *text); /* NULL is fine */

TMK_END_C

#endif
