/*
 * Events and time of a connection: see connection.h. Bytes are in pipe.c, links
 * in link.c.
 *
 * Everything happens in pump(): read what there is, hand the engine's events
 * out, tell receivers that a read is over, tick, write. A call from outside
 * only changes the engine's state and rings the bell, so that one write takes
 * what several calls have brought about.
 */
#include "amqp/engine.h"

#include <proton/logger.h>
#include <proton/sasl.h>
#include <proton/version.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include <tidemark/version.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/status.h"

static void on_bell(tmk_bell *bell);
static void on_timer(tmk_timer *timer);
static void on_stream_opened(tmk_stream *s, tmk_status status, const tmk_error *err);
static void on_stream_ready(tmk_stream *s);

/* ---- making ---- */

static tmk_stream *drop_stream(tmk_stream *s) {
    if (s != NULL) {
        s->ops->free(s);
    }
    return NULL;
}

static void put_property(pn_data_t *map, const char *key, const char *value) {
    pn_data_put_symbol(map, pn_bytes(strlen(key), key));
    pn_data_put_string(map, pn_bytes(strlen(value), value));
}

static void put_properties(pn_connection_t *c, const char *user_agent) {
    pn_data_t *map = pn_connection_properties(c);
    struct utsname os;
    char platform[160] = "unknown";

    if (uname(&os) == 0) {
        (void)snprintf(platform, sizeof platform, "%.60s %.60s (%.30s)", os.sysname, os.release,
                       os.machine);
    }
    pn_data_put_map(map);
    pn_data_enter(map);
    put_property(map, "product", "tidemark");
    put_property(map, "version", TMK_VERSION_STRING);
    put_property(map, "platform", platform);
    put_property(map, "user-agent", user_agent);
    pn_data_exit(map);
}

/* The engine's own messages; it would print them. */
static void take_over_log(intptr_t self, pn_log_subsystem_t subsystem, pn_log_level_t level,
                          const char *message) {
    const tmk_amqp *a = (const tmk_amqp *)self;

    tmk_debug(a->log, "amqp.engine", "part='%s' level='%s' text='%s'",
              pn_logger_subsystem_name(subsystem), pn_logger_level_name(level), message);
}

static void set_up_engine(tmk_amqp *a, const tmk_amqp_options *o) {
    pn_connection_t *c = a->driver.connection;
    pn_transport_t *t = a->driver.transport;
    pn_logger_t *logger = pn_transport_logger(t);

    pn_logger_reset_mask(logger, PN_SUBSYSTEM_ALL,
                         PN_LEVEL_ALL); /* whatever the environment says */
    pn_logger_set_mask(logger, PN_SUBSYSTEM_ALL, PN_LEVEL_ERROR | PN_LEVEL_CRITICAL);
    pn_logger_set_log_sink(logger, take_over_log, (intptr_t)a);
    pn_connection_set_container(c, o->container);
    pn_connection_set_hostname(c, o->host);
    put_properties(c, o->user_agent);
    pn_transport_set_max_frame(t, TMK_AMQP_FRAME_MAX);
    pn_transport_set_idle_timeout(t, (pn_millis_t)o->idle_ms);
    /* The service offers EXTERNAL too, which the engine would take. */
    pn_sasl_allowed_mechs(pn_sasl(t), "ANONYMOUS");
    pn_connection_open(c);
}

tmk_status tmk_amqp_new(tmk_loop *loop, tmk_stream *stream, const tmk_amqp_options *options,
                        const tmk_amqp_ops *ops, void *user, tmk_amqp **out, tmk_error *err) {
    tmk_amqp *a = tmk_new(tmk_amqp);
    tmk_status st;

    if (a == NULL || tmk_timer_init(loop, &a->timer, on_timer) < 0) {
        (void)drop_stream(stream);
        tmk_free(a);
        return tmk_fail(err, TMK_ENOMEM, "amqp", "no memory for a connection");
    }
    a->loop = loop;
    a->ops = ops;
    a->user = user;
    a->log = options->log;
    a->lanes = options->lanes;
    a->stream = stream;
    a->close_at = TMK_NEVER;
    tmk_list_init(&a->links);
    tmk_list_init(&a->sessions);
    tmk_list_init(&a->turned);
    tmk_rng_seed(&a->rng, options->seed);
    tmk_bell_init(&a->bell, loop, on_bell);
    st = tmk_amqp_pipe_init(a, err);
    if (st == TMK_OK && pn_connection_driver_init(&a->driver, NULL, NULL) != 0) {
        st = tmk_fail(err, TMK_ENOMEM, "amqp", "no memory for a connection");
    }
    if (st < 0) {
        (void)tmk_amqp_free(a);
        return st;
    }
    a->driver_made = true;
    set_up_engine(a, options);
    stream->user = a;
    stream->opened = on_stream_opened;
    stream->ready = on_stream_ready;
    *out = a;
    return TMK_OK;
}

static void destroy(tmk_amqp *a) {
    tmk_amqp_links_clear(a);
    a->stream = drop_stream(a->stream);
    if (a->driver_made) {
        pn_connection_driver_destroy(&a->driver);
    }
    tmk_amqp_pipe_clear(a);
    tmk_bell_clear(&a->bell);
    tmk_timer_clear(a->loop, &a->timer);
    tmk_free(a);
}

tmk_amqp *tmk_amqp_free(tmk_amqp *a) {
    if (a == NULL) {
        return NULL;
    }
    tmk_assert(!a->freed && tmk_loop_is_mine(a->loop));
    a->freed = true;
    if (!a->busy) {
        destroy(a);
    }
    return NULL;
}

/* ---- errors ---- */

void tmk_amqp_judge(tmk_condition_at at, pn_condition_t *said, const char *silent, tmk_fault *out) {
    const char *name = said == NULL ? NULL : pn_condition_get_name(said);
    const char *words = said == NULL ? NULL : pn_condition_get_description(said);
    tmk_judgement j = tmk_condition_judge(
        at, name, words == NULL || *words == '\0' ? silent : words, &out->error);

    out->reaction = j.reaction;
    out->wait = j.wait;
}

void tmk_amqp_over_fault(tmk_amqp *a, const tmk_fault *why) {
    if (!a->over) {
        a->over = true;
        a->why = *why;
    }
}

void tmk_amqp_over(tmk_amqp *a, const tmk_error *why) {
    const tmk_fault fault = {.error = *why, .reaction = TMK_REACTION_CONNECTION};

    tmk_amqp_over_fault(a, &fault);
}

static void over_with(tmk_amqp *a, tmk_status status, const char *origin, const char *text) {
    tmk_error err;

    (void)tmk_fail_retry(&err, status, origin, "%s", text);
    tmk_amqp_over(a, &err);
}

/* ---- events ---- */

static void on_remote_close(tmk_amqp *a) {
    tmk_fault fault = {.reaction = TMK_REACTION_CONNECTION};

    if (a->closing) {
        tmk_error_clear(&fault.error);
    } else {
        tmk_amqp_judge(TMK_AT_CONNECTION, pn_connection_remote_condition(a->driver.connection),
                       "the service closed the connection without a reason", &fault);
    }
    pn_connection_close(a->driver.connection);
    tmk_amqp_over_fault(a, &fault);
}

/* The engine's own verdict: a broken stream, a silent peer, SASL. */
static void on_transport_error(tmk_amqp *a) {
    tmk_fault fault;

    tmk_amqp_judge(TMK_AT_LOCAL, pn_transport_condition(a->driver.transport),
                   "the connection broke", &fault);
    tmk_amqp_over_fault(a, &fault);
}

static void on_event(tmk_amqp *a, pn_event_t *event) {
    pn_event_type_t type = pn_event_type(event);

    switch (type) {
    case PN_CONNECTION_REMOTE_OPEN:
        if (!a->closing && !a->freed) {
            a->ops->opened(a->user);
        }
        break;
    case PN_CONNECTION_REMOTE_CLOSE:
        on_remote_close(a);
        break;
    case PN_TRANSPORT_ERROR:
        on_transport_error(a);
        break;
    case PN_TRANSPORT_CLOSED:
        over_with(a, TMK_EIO, "amqp", "the connection ended without a word");
        break;
    default:
        tmk_amqp_link_on_event(a, event, type);
        break;
    }
}

void tmk_amqp_handle_events(tmk_amqp *a) {
    pn_event_t *event;

    while (!a->freed && (event = pn_connection_driver_next_event(&a->driver)) != NULL) {
        on_event(a, event);
    }
    if (!a->freed) {
        tmk_amqp_links_turn(a);
    }
}

/* ---- the turn ---- */

static void tick(tmk_amqp *a) {
    tmk_time now = tmk_loop_now(a->loop);

    tmk_amqp_pipe_sign(a, now);
    a->tick_ms = pn_transport_tick(a->driver.transport, now / TMK_MS);
    tmk_amqp_links_expire(a, now);
    if (now >= a->close_at) {
        over_with(a, TMK_ETIMEOUT, "amqp", "the service does not answer the end of the connection");
    }
}

static void set_timer(tmk_amqp *a) {
    tmk_time at = tmk_time_min(tmk_amqp_links_deadline(a), a->close_at);

    if (a->tick_ms > 0) {
        at = tmk_time_min(at, a->tick_ms * TMK_MS);
    }
    if (a->unheard) {
        at = tmk_time_min(at, a->sign_at);
    }
    tmk_timer_set(a->loop, &a->timer, at);
}

static void work(tmk_amqp *a) {
    if (a->stream_open && a->readable) {
        tmk_amqp_pipe_read(a);
    }
    tmk_amqp_handle_events(a);
    if (a->freed || !a->stream_open) {
        return;
    }
    tick(a);
    tmk_amqp_handle_events(a);
    while (!a->freed) {
        tmk_amqp_pipe_write(a);
        if (!pn_connection_driver_has_event(&a->driver)) {
            break;
        }
        tmk_amqp_handle_events(a);
    }
}

static void pump(tmk_amqp *a) {
    if (a->busy || a->told) {
        return;
    }
    a->busy = true;
    work(a);
    a->busy = false;
    if (a->freed) {
        destroy(a);
    } else if (a->over) {
        a->told = true;
        tmk_timer_stop(a->loop, &a->timer);
        a->ops->ended(a->user, &a->why);
    } else {
        set_timer(a);
    }
}

void tmk_amqp_stir(tmk_amqp *a) {
    if (!a->busy && !a->told) {
        tmk_bell_ring(&a->bell);
    }
}

static void on_bell(tmk_bell *bell) {
    pump(tmk_container_of(bell, tmk_amqp, bell));
}

static void on_timer(tmk_timer *timer) {
    pump(tmk_container_of(timer, tmk_amqp, timer));
}

static void on_stream_opened(tmk_stream *s, tmk_status status, const tmk_error *err) {
    tmk_amqp *a = s->user;

    if (status != TMK_OK) {
        tmk_amqp_over(a, err);
    } else {
        a->stream_open = a->readable = true;
    }
    pump(a);
}

static void on_stream_ready(tmk_stream *s) {
    tmk_amqp *a = s->user;

    a->readable = true;
    pump(a);
}

void tmk_amqp_close(tmk_amqp *a, tmk_time deadline) {
    tmk_assert(!a->freed);
    a->closing = true;
    a->close_at = deadline;
    pn_connection_close(a->driver.connection);
    if (!a->stream_open) {
        over_with(a, TMK_ECANCELED, "amqp", "closed before it was open");
    }
    if (!a->over) {
        tmk_timer_set(a->loop, &a->timer, deadline);
    }
    tmk_amqp_stir(a);
}
