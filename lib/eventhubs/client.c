/*
 * The public client: settings, thread, life. See tidemark/client.h; what it
 * does on the wire is core.h.
 *
 * Life: the user's handle and each consumer and producer hold a reference. The
 * last one that goes ends the thread; when that happens on the thread itself, a
 * helper thread does it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/connection_string.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/log_limit.h"
#include "base/status.h"
#include "base/str.h"
#include "base/uri.h"
#include "eventhubs/client_parts.h"
#include "eventhubs/resend.h"
#include "eventhubs/source_amqp.h"

#include <tidemark/version.h>

enum {
    PORT_TLS = 5671,
    PORT_PLAIN = 5672,
    PORT_WEBSOCKET = 443,
    CLOSE_MS = 1000,
    AGENT_MAX = 512,
    HUB_NAME_MAX = 256
};

struct tmk_client {
    tmk_loop *loop;
    tmk_core *core;
    char *host, *hub, *address;
    tmk_retry_options retry;
    bool driven;    /* by the caller */
    int references; /* atomic */
    bool polling;   /* caller-driven: inside a turn */
    bool dying;     /* caller-driven: the last reference went inside a turn */
    void (*on_error)(void *user, const tmk_trouble *trouble);
    void *user;
    bool silent; /* atomic: the user's handle is gone, and so its callbacks */
    tmk_log log; /* the user's, in bounds */
    tmk_log_limiter log_limiter;
    tmk_list questions;
    const tmk_client_world *world; /* NULL: the real one */
    void *world_self;
};

/* ---- options ---- */

void tmk_options_merge(void *defaults, size_t defaults_size, const void *given, size_t given_size) {
    memcpy(defaults, given, given_size < defaults_size ? given_size : defaults_size);
}

void tmk_client_options_fill(tmk_client_options *opts, size_t size) {
    const tmk_client_options defaults = {
        .size = size,
        .retry = {.attempts = 5,
                  .delay_ms = 400,
                  .delay_max_ms = 30000,
                  .try_timeout_ms = 30000,
                  .jitter = 0.2},
        .connect_timeout_ms = 10000,
        .idle_timeout_ms = 60000,
    };

    tmk_options_merge(opts, size, &defaults, sizeof defaults);
}

/* Everything that tmk_client_new() works out of the options. */
typedef struct settings {
    tmk_client_options opts;
    tmk_hub_string string;
    tmk_core_options core;
    tmk_credential *credential;
    char *host, *dial_host, *agent, *container;
    const char *hub;
    bool plain;
} settings;

static void settings_clear(settings *s) {
    tmk_hub_string_clear(&s->string);
    (void)tmk_credential_free(s->credential);
    tmk_free(s->host);
    tmk_free(s->dial_host);
    tmk_free(s->agent);
    tmk_free(s->container);
}

static tmk_status invalid(tmk_error *err, const char *text) {
    return tmk_fail(err, TMK_EINVAL, "client", "%s", text);
}

static tmk_status no_memory(tmk_error *err) {
    return tmk_fail(err, TMK_ENOMEM, "client", "no memory for a client");
}

static tmk_status from_string(settings *s, tmk_error *err) {
    tmk_slice text = tmk_slice_str(s->opts.connection_string);
    tmk_status st;

    if (s->opts.host != NULL || s->opts.credential != NULL) {
        return invalid(err, "give a connection string, or a host with a credential, not both");
    }
    st = tmk_hub_string_parse(text, &s->string, err);
    if (st == TMK_OK) {
        st = tmk_hub_string_choose(&s->string, s->opts.hub, &s->hub, err);
    }
    if (st == TMK_OK) {
        st = tmk_credential_connection_string(s->opts.connection_string, &s->credential, err);
    }
    if (st == TMK_OK) {
        s->host = tmk_copy_str(s->string.host);
        s->plain = s->string.emulator;
        s->core.stream.port = s->string.port;
        st = s->host == NULL ? no_memory(err) : TMK_OK;
    }
    return st;
}

static tmk_status from_host(settings *s, tmk_error *err) {
    tmk_slice host;
    uint16_t port = 0;
    tmk_status st;

    if (s->opts.host == NULL || s->opts.credential == NULL) {
        return invalid(err, "give a connection string, or a host and a credential");
    }
    if (s->opts.hub == NULL || s->opts.hub[0] == '\0') {
        return invalid(err, "the name of the event hub is missing");
    }
    st = tmk_host_port_parse(tmk_slice_str(s->opts.host), &host, &port, err);
    if (st < 0) {
        return st;
    }
    s->hub = s->opts.hub;
    s->host = tmk_slice_dup(host);
    s->credential = tmk_credential_ref(s->opts.credential);
    s->core.stream.port = port;
    return s->host == NULL ? no_memory(err) : TMK_OK;
}

static tmk_status take_endpoint(settings *s, tmk_error *err) {
    tmk_slice host;
    uint16_t port = 0;
    tmk_status st;

    if (s->opts.endpoint == NULL || s->opts.endpoint[0] == '\0') {
        return TMK_OK;
    }
    st = tmk_host_port_parse(tmk_slice_str(s->opts.endpoint), &host, &port, err);
    if (st < 0) {
        return st;
    }
    s->dial_host = tmk_slice_dup(host);
    s->core.stream.dial_host = s->dial_host;
    s->core.stream.dial_port = port;
    return s->dial_host == NULL ? no_memory(err) : TMK_OK;
}

static tmk_status check_rest(const settings *s, tmk_error *err) {
    const tmk_client_options *o = &s->opts;

    if (o->transport != TMK_TRANSPORT_AMQP && o->transport != TMK_TRANSPORT_WEBSOCKET) {
        return tmk_fail(err, TMK_EINVAL, "client", "transport %d is none", (int)o->transport);
    }
    if (strlen(s->hub) > HUB_NAME_MAX || strpbrk(s->hub, "/?#\\ ") != NULL) {
        return invalid(err, "that is no name of an event hub");
    }
    if (o->connect_timeout_ms < 1 || o->idle_timeout_ms < 2000 || o->connect_timeout_ms > 3600000 ||
        o->idle_timeout_ms > 3600000) {
        return invalid(err, "connect_timeout_ms is at least 1, idle_timeout_ms at least 2000, and "
                            "both are an hour at most");
    }
    return tmk_retry_options_check(&o->retry, err);
}

/* "application tidemark/1.2.3", and a container name that people find again in the service's logs.
 */
static tmk_status name_ourselves(settings *s, tmk_rng *rng, tmk_error *err) {
    const char *app = s->opts.application == NULL ? "" : s->opts.application;
    char uuid[37];

    tmk_rng_uuid(rng, uuid);
    s->agent = tmk_str_format("%.*s%stidemark/%s", AGENT_MAX - 32, app, app[0] == '\0' ? "" : " ",
                              TMK_VERSION_STRING);
    s->container = tmk_str_format("tidemark-%s", uuid);
    return s->agent == NULL || s->container == NULL ? no_memory(err) : TMK_OK;
}

/* A way out, should a service not bear with how we receive; the tests run both ways. */
static bool wants_lanes(void) {
    const char *said = getenv("TIDEMARK_DATA_LANE");

    return said == NULL || strcmp(said, "off") != 0;
}

static void fill_core(settings *s, tmk_rng *rng) {
    tmk_core_options *c = &s->core;
    const tmk_client_options *o = &s->opts;
    bool websocket = o->transport == TMK_TRANSPORT_WEBSOCKET;

    c->stream.host = s->host;
    c->stream.tls = !s->plain;
    c->stream.websocket = websocket;
    if (c->stream.port == 0) {
        c->stream.port = websocket ? PORT_WEBSOCKET : s->plain ? PORT_PLAIN : PORT_TLS;
    }
    c->stream.tls_ca_file = o->tls_ca_file;
    c->stream.proxy = o->proxy;
    c->stream.connect_timeout_ms = o->connect_timeout_ms;
    c->hub = s->hub;
    c->container = s->container;
    c->user_agent = s->agent;
    c->credential = s->credential;
    c->retry = o->retry;
    c->idle_ms = o->idle_timeout_ms;
    c->lanes = wants_lanes();
    c->seed = tmk_rng_next(rng);
}

static tmk_status settings_read(settings *s, const tmk_client_options *given, tmk_error *err) {
    tmk_rng rng;
    tmk_status st;

    memset(s, 0, sizeof *s);
    if (given == NULL) {
        return invalid(err, "there are no options; a connection string is the least");
    }
    tmk_client_options_init(&s->opts);
    tmk_options_merge(&s->opts, sizeof s->opts, given, given->size);
    tmk_rng_seed_system(&rng);
    st = s->opts.connection_string != NULL ? from_string(s, err) : from_host(s, err);
    if (st == TMK_OK) {
        st = take_endpoint(s, err);
    }
    if (st == TMK_OK) {
        st = check_rest(s, err);
    }
    if (st == TMK_OK) {
        st = name_ourselves(s, &rng, err);
    }
    if (st == TMK_OK) {
        fill_core(s, &rng);
    }
    return st;
}

/* ---- what the user is told ---- */

bool tmk_client_is_silent(const tmk_client *c) {
    return __atomic_load_n(&c->silent, __ATOMIC_ACQUIRE);
}

static void on_trouble(void *user, const tmk_trouble *trouble) {
    tmk_client *c = user;

    if (c->on_error != NULL && !tmk_client_is_silent(c)) {
        c->on_error(c->user, trouble);
    }
}

static void write_log(void *self, tmk_log_level level, const char *event, const char *fields) {
    tmk_client *c = self;

    if (!tmk_client_is_silent(c)) {
        c->log.write(c->log.self, level, event, fields);
    }
}

/* ---- life ---- */

static void destroy(tmk_client *c) {
    c->core = tmk_core_free(c->core);
    c->loop = tmk_loop_free(c->loop);
    tmk_free(c->host);
    tmk_free(c->hub);
    tmk_log_unlimit(&c->log_limiter);
    tmk_free(c->address);
    tmk_free(c);
}

static char *address_of(const tmk_stream_options *o) {
    const char *host = o->dial_host != NULL ? o->dial_host : o->host;
    uint16_t port = o->dial_host != NULL && o->dial_port != 0 ? o->dial_port : o->port;

    tmk_assert(host != NULL);
    return tmk_str_format(strchr(host, ':') != NULL ? "%s%s://[%s]:%u" : "%s%s://%s:%u",
                          o->websocket ? "ws" : "amqp", o->tls ? "s" : "", host, (unsigned)port);
}

static tmk_status make_core(tmk_client *c, settings *s, tmk_error *err) {
    c->host = tmk_copy_str(s->host);
    c->hub = tmk_copy_str(s->hub);
    c->address = address_of(&s->core.stream);
    if (c->host == NULL || c->hub == NULL || c->address == NULL) {
        return no_memory(err);
    }
    c->retry = s->opts.retry;
    c->on_error = s->opts.on_error;
    c->user = s->opts.user;
    c->log = s->opts.log;
    if (tmk_log_limit(&c->log_limiter, tmk_loop_clock(c->loop), &c->log, err) < 0) {
        return TMK_EIO;
    }
    c->driven = s->opts.caller_driven;
    s->core.on_error = on_trouble;
    s->core.user = c;
    if (c->log.write != NULL) {
        s->core.log = (tmk_log){.write = write_log, .self = c, .level = c->log.level};
    }
    return tmk_core_new(c->loop, &s->core, &c->core, err);
}

tmk_status tmk_client_make(const tmk_client_options *opts, const tmk_client_seams *seams,
                           tmk_client **out, tmk_error *err) {
    tmk_client *c = NULL;
    settings s;
    tmk_status st = settings_read(&s, opts, err);

    if (st == TMK_OK && (c = tmk_new(tmk_client)) == NULL) {
        st = no_memory(err);
    }
    if (st == TMK_OK) {
        c->references = 1;
        tmk_list_init(&c->questions);
        st = tmk_loop_new(seams == NULL ? tmk_clock_system() : seams->clock, &c->loop, err);
    }
    if (st == TMK_OK && seams != NULL) {
        c->world = seams->world;
        c->world_self = seams->self;
        s.core.seed = seams->seed;
        s.core.open_stream = seams->open_stream;
        s.core.self = seams->self;
    }
    if (st == TMK_OK) {
        st = make_core(c, &s, err);
    }
    if (st == TMK_OK && !c->driven) {
        st = tmk_loop_start(c->loop, "tidemark", err);
    }
    settings_clear(&s);
    if (st < 0) {
        if (c != NULL) {
            destroy(c);
        }
        return st;
    }
    *out = c;
    return TMK_OK;
}

tmk_status tmk_client_new(const tmk_client_options *opts, tmk_client **out, tmk_error *err) {
    return tmk_client_make(opts, NULL, out, err);
}

/* ---- work on the loop ---- */

bool tmk_client_is_driven(const tmk_client *c) {
    return c->driven;
}

bool tmk_client_is_inside(const tmk_client *c) {
    return c->driven ? c->polling : tmk_loop_is_mine(c->loop);
}

/* By which waiting calls are timed. */
static tmk_time waits_now(const tmk_client *c) {
    tmk_clock clock = c->world == NULL ? tmk_clock_system() : *tmk_loop_clock(c->loop);

    return tmk_now(&clock);
}

const tmk_client_world *tmk_client_world_of(const tmk_client *c, void **self) {
    *self = c->world_self;
    return c->world;
}

tmk_status tmk_client_source(tmk_client *c, const char *group, const char *name, tmk_source *out,
                             tmk_error *err) {
    return c->world != NULL ? c->world->source(c->world_self, group, out, err)
                            : tmk_source_amqp_new(c, group, name, out, err);
}

void tmk_client_source_free(tmk_client *c, tmk_source source) {
    if (c->world == NULL) {
        tmk_source_amqp_free(source);
    } else if (source.ops != NULL) {
        c->world->source_free(c->world_self, source);
    }
}

tmk_status tmk_client_turn(tmk_client *c, tmk_error *err) {
    tmk_status st;

    c->polling = true;
    st = tmk_loop_turn(c->loop, 0, err);
    c->polling = false;
    return st;
}

tmk_status tmk_client_turn_until(tmk_client *c, tmk_time deadline, tmk_error *err) {
    tmk_time now = waits_now(c);
    tmk_status st;

    if (c->world != NULL) {
        return c->world->turn(c->world_self, deadline, err);
    }
    c->polling = true;
    st = tmk_loop_turn(c->loop, deadline > now ? deadline - now : 0, err);
    c->polling = false;
    return st;
}

typedef struct job {
    tmk_task task;
    void (*work)(void *arg);
    void *arg;
    tmk_mutex lock;
    tmk_cond changed;
    bool done;
} job;

static void run_job(tmk_task *task) {
    job *j = tmk_container_of(task, job, task);

    j->work(j->arg);
    tmk_mutex_lock(&j->lock);
    j->done = true;
    tmk_cond_signal(&j->changed);
    tmk_mutex_unlock(&j->lock);
}

void tmk_client_do(tmk_client *c, void (*work)(void *arg), void *arg) {
    job j = {.task.run = run_job, .work = work, .arg = arg};

    if (c->driven || tmk_loop_is_mine(c->loop)) {
        work(arg);
        return;
    }
    /* These two cannot fail on Linux: no memory is asked for. */
    tmk_assert(tmk_mutex_init(&j.lock, TMK_RANK_WAIT, NULL) == TMK_OK);
    tmk_assert(tmk_cond_init(&j.changed, NULL) == TMK_OK);
    tmk_loop_post(c->loop, &j.task);
    tmk_mutex_lock(&j.lock);
    while (!j.done) {
        tmk_cond_wait(&j.changed, &j.lock);
    }
    tmk_mutex_unlock(&j.lock);
    tmk_cond_clear(&j.changed);
    tmk_mutex_clear(&j.lock);
}

/* ---- waiting ---- */

tmk_status tmk_wait_new(tmk_client *c, size_t size, tmk_wait **out, tmk_error *err) {
    tmk_wait *w = NULL;
    tmk_status st;

    if (tmk_client_is_inside(c)) {
        return tmk_fail(err, TMK_ESTATE, "client",
                        "a callback must not wait: use the form of the call that answers later");
    }
    w = tmk_alloc_zero(1, size);
    if (w == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "client", "no memory to wait");
    }
    st = tmk_mutex_init(&w->lock, TMK_RANK_WAIT, err);
    if (st == TMK_OK) {
        st = tmk_cond_init(&w->changed, err);
        if (st < 0) {
            tmk_mutex_clear(&w->lock);
        }
    }
    if (st < 0) {
        tmk_free(w);
        return st;
    }
    w->references = 2;
    *out = w;
    return TMK_OK;
}

tmk_wait *tmk_wait_drop(tmk_wait *w) {
    bool last;

    tmk_mutex_lock(&w->lock);
    last = --w->references == 0;
    tmk_mutex_unlock(&w->lock);
    if (last) {
        if (w->clear != NULL) {
            w->clear(w);
        }
        tmk_cond_clear(&w->changed);
        tmk_mutex_clear(&w->lock);
        tmk_free(w);
    }
    return NULL;
}

void tmk_wait_done(tmk_wait *w, const tmk_error *why) {
    tmk_mutex_lock(&w->lock);
    w->done = true;
    if (why != NULL) {
        w->status = why->status;
        w->error = *why;
    }
    tmk_cond_signal(&w->changed);
    tmk_mutex_unlock(&w->lock);
    (void)tmk_wait_drop(w);
}

static bool is_done(tmk_wait *w) {
    bool done;

    tmk_mutex_lock(&w->lock);
    done = w->done;
    tmk_mutex_unlock(&w->lock);
    return done;
}

tmk_status tmk_wait_for(tmk_client *c, tmk_wait *w, int64_t timeout_ms, tmk_error *err) {
    tmk_time deadline = tmk_time_after(waits_now(c), timeout_ms * TMK_MS);
    tmk_status st = TMK_OK;

    if (c->driven) {
        while (st == TMK_OK && !is_done(w) && waits_now(c) < deadline) {
            st = tmk_client_turn_until(c, deadline, err);
        }
        if (st < 0) {
            return st;
        }
    }
    tmk_mutex_lock(&w->lock);
    while (!w->done && tmk_cond_wait_until(&w->changed, &w->lock, deadline)) {
    }
    if (!w->done) {
        st = tmk_fail_retry(err, TMK_ETIMEOUT, "client", "no answer within %" PRId64 " ms",
                            timeout_ms);
    } else if (w->status < 0) {
        st = w->status;
        if (err != NULL) {
            *err = w->error;
        }
    }
    tmk_mutex_unlock(&w->lock);
    return st;
}

/* ---- the end ---- */

typedef struct farewell {
    tmk_client *client;
    tmk_wait *wait;
} farewell;

static void on_core_closed(void *user) {
    tmk_wait_done(user, NULL);
}

static void begin_farewell(void *arg) {
    farewell *f = arg;
    tmk_loop *loop = f->client->loop;

    tmk_core_close(f->client->core, tmk_loop_now(loop) + CLOSE_MS * TMK_MS, on_core_closed,
                   f->wait);
}

/* Says good-bye to the service, ends the thread, frees. Not on the loop's own thread. */
static void bury(tmk_client *c) {
    farewell f = {.client = c};

    (void)tmk_wait_new(c, sizeof *f.wait, &f.wait, NULL);
    if (f.wait != NULL) {
        tmk_client_do(c, begin_farewell, &f);
        (void)tmk_wait_for(c, f.wait, CLOSE_MS + CLOSE_MS / 2, NULL);
        tmk_loop_stop(c->loop);
        c->core = tmk_core_free(c->core);
        if (!is_done(f.wait)) {
            (void)tmk_wait_drop(f.wait); /* the loop's, which is no more */
        }
        (void)tmk_wait_drop(f.wait);
    } else {
        tmk_loop_stop(c->loop);
    }
    destroy(c);
}

static void *bury_on_thread(void *arg) {
    bury(arg);
    return NULL;
}

/* The last reference went on the loop's own thread, which cannot wait for itself. */
static void bury_elsewhere(tmk_client *c) {
    tmk_thread undertaker;

    if (tmk_thread_start(&undertaker, "tidemark-end", bury_on_thread, c, NULL) == TMK_OK) {
        (void)pthread_detach(undertaker.os);
    }
}

void tmk_client_ref(tmk_client *c) {
    tmk_assert(__atomic_fetch_add(&c->references, 1, __ATOMIC_RELAXED) > 0);
}

void tmk_client_unref(tmk_client *c) {
    if (__atomic_fetch_sub(&c->references, 1, __ATOMIC_ACQ_REL) > 1) {
        return;
    }
    if (c->driven && c->polling) {
        c->dying = true;
    } else if (!c->driven && tmk_loop_is_mine(c->loop)) {
        bury_elsewhere(c);
    } else {
        bury(c);
    }
}

static void silence(void *arg) {
    tmk_client *c = arg;

    __atomic_store_n(&c->silent, true, __ATOMIC_RELEASE);
    tmk_client_cancel_questions(c);
}

tmk_client *tmk_client_free(tmk_client *c) {
    if (c != NULL) {
        tmk_client_do(c, silence, c); /* on the loop: no callback is under way afterwards */
        tmk_client_unref(c);
    }
    return NULL;
}

/* ---- the caller's own loop ---- */

int tmk_client_fd(tmk_client *c) {
    return tmk_loop_fd(c->loop);
}

tmk_status tmk_client_poll(tmk_client *c, int64_t wait_ms, tmk_error *err) {
    tmk_status st;

    if (!c->driven) {
        return tmk_fail(err, TMK_ESTATE, "client",
                        "the client has its own thread; set caller_driven to poll it");
    }
    if (c->polling) {
        return tmk_fail(err, TMK_ESTATE, "client", "a callback must not poll");
    }
    st = tmk_client_turn_until(c, tmk_time_after(waits_now(c), wait_ms * TMK_MS), err);
    if (c->dying) {
        bury(c);
    }
    return st;
}

/* ---- the rest ---- */

const char *tmk_client_address(const tmk_client *c) {
    return c->address;
}

const char *tmk_client_host(const tmk_client *c) {
    return c->host;
}

const char *tmk_client_hub(const tmk_client *c) {
    return c->hub;
}

tmk_loop *tmk_client_loop(tmk_client *c) {
    return c->loop;
}

tmk_core *tmk_client_core(tmk_client *c) {
    return c->core;
}

tmk_list *tmk_client_questions(tmk_client *c) {
    return &c->questions;
}

const tmk_retry_options *tmk_client_retry(const tmk_client *c) {
    return &c->retry;
}

void tmk_client_stats_get(const tmk_client *c, tmk_client_stats *out) {
    tmk_client_stats all = {.size = out->size};

    tmk_core_stats_read(c->core, &all);
    tmk_options_merge(out, out->size, &all, sizeof all);
}
