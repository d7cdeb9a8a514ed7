/*
 * The connection and the token of a core: see core.h.
 *
 * line.h decides; this file carries out. run_line() may be entered again from
 * what it calls (a link that fails while links are being told that the
 * connection stands): then the outer one goes round once more.
 */
#include "eventhubs/core_parts.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/status.h"
#include "eventhubs/names.h"

enum { PUT_MS = 30000, CLOSE_MS = 1000 };

static void run_line(tmk_core *c);

/* ---- reports and numbers ---- */

void tmk_core_count(uint64_t *counter, uint64_t by) {
    /* One writer, the loop's thread; readers on any. */
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + by, __ATOMIC_RELAXED);
}

void tmk_core_stats_read(const tmk_core *c, tmk_client_stats *out) {
    const size_t head = offsetof(tmk_client_stats, connections_opened); /* all counters after it */
    const uint64_t *from = (const uint64_t *)((const char *)&c->stats + head);
    uint64_t *to = (uint64_t *)((char *)out + head);
    size_t count = (sizeof *out - head) / sizeof *to;

    for (size_t i = 0; i < count; i++) {
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
    }
}

void tmk_core_report(tmk_core *c, const tmk_trouble *t) {
    tmk_warn(&c->options.log, "client.trouble",
             "operation='%s' partition='%s' origin='%s' reaction='%s' delay_ms=%" PRId64
             " attempt=%u text='%s'",
             t->operation, t->partition == NULL ? "" : t->partition, t->error->origin, t->reaction,
             t->delay_ms, t->attempt, t->error->text);
    if (t->error->status == TMK_EBUSY) {
        tmk_core_count(&c->stats.busy, 1);
    }
    if (c->options.on_error != NULL) {
        c->options.on_error(c->options.user, t);
    }
}

static void report_line(tmk_core *c, const char *operation, const char *reaction, tmk_time due,
                        unsigned attempt) {
    tmk_error why = c->line.why;
    tmk_time now = tmk_loop_now(c->loop);
    tmk_trouble t = {
        .error = &why, .operation = operation, .reaction = reaction, .attempt = attempt};

    t.delay_ms = due > now && due != TMK_NEVER ? (due - now) / TMK_MS : 0;
    tmk_core_report(c, &t);
}

tmk_loop *tmk_core_loop(const tmk_core *c) {
    return c->loop;
}

const char *tmk_core_host(const tmk_core *c) {
    return c->options.stream.host;
}

const char *tmk_core_hub(const tmk_core *c) {
    return c->options.hub;
}

const tmk_log *tmk_core_log(const tmk_core *c) {
    return &c->options.log;
}

uint64_t tmk_core_seed(tmk_core *c) {
    return tmk_rng_next(&c->rng);
}

tmk_client_stats *tmk_core_stats(tmk_core *c) {
    return &c->stats;
}

bool tmk_core_stands(const tmk_core *c) {
    return c->line.state == TMK_LINE_UP && c->trunk != NULL;
}

/* ---- the connection ---- */

static tmk_trunk *trunk_free(tmk_trunk *t) {
    if (t != NULL) {
        t->cbs = tmk_rpc_free(t->cbs, false);
        t->management = tmk_rpc_free(t->management, false);
        t->amqp = tmk_amqp_free(t->amqp);
        tmk_free(t);
    }
    return NULL;
}

/* ended() of the connection has come: its links exist no more. */
static tmk_trunk *trunk_bury(tmk_trunk *t) {
    t->cbs = tmk_rpc_free(t->cbs, true);
    t->management = tmk_rpc_free(t->management, true);
    return trunk_free(t);
}

static void finish_closing(tmk_core *c) {
    if (c->closing && c->leaving == NULL && c->closed != NULL) {
        void (*closed)(void *user) = c->closed;

        c->closed = NULL;
        closed(c->closed_user);
    }
}

static void on_opened(void *user) {
    tmk_trunk *t = user;
    tmk_core *c = t->core;

    if (t == c->trunk) {
        tmk_core_count(&c->stats.connections_opened, 1);
        tmk_line_on_opened(&c->line, tmk_loop_now(c->loop));
        run_line(c);
    }
}

static void on_ended(void *user, const tmk_fault *fault) {
    tmk_trunk *t = user;
    tmk_core *c = t->core;
    tmk_fault copy = *fault;

    if (t == c->leaving) {
        c->leaving = trunk_bury(t);
        finish_closing(c);
    } else {
        t->gone = true;
        tmk_core_count(c->line.state == TMK_LINE_OPENING ? &c->stats.connects_failed
                                                         : &c->stats.connections_lost,
                       1);
        tmk_line_on_lost(&c->line, tmk_loop_now(c->loop), &copy.error, copy.wait);
        run_line(c);
    }
}

static const tmk_amqp_ops amqp_ops = {on_opened, on_ended};

static tmk_status open_trunk(tmk_core *c, tmk_error *err) {
    const tmk_core_options *o = &c->options;
    tmk_amqp_options amqp = {.host = o->stream.host,
                             .container = o->container,
                             .user_agent = o->user_agent,
                             .idle_ms = o->idle_ms,
                             .seed = tmk_core_seed(c),
                             .lanes = o->lanes,
                             .log = &o->log};
    tmk_trunk *t = tmk_new(tmk_trunk);
    tmk_stream *stream = NULL;
    tmk_status st;

    if (t == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "client", "no memory for a connection");
    }
    st = o->open_stream != NULL ? o->open_stream(o->self, c->loop, &o->stream, &stream, err)
                                : tmk_stream_open(c->loop, &o->stream, &stream, err);
    if (st == TMK_OK) {
        st = tmk_amqp_new(c->loop, stream, &amqp, &amqp_ops, t, &t->amqp, err);
    }
    if (st < 0) {
        tmk_free(t);
        return st;
    }
    t->core = c;
    c->trunk = t;
    return TMK_OK;
}

/* The connection ends now; whoever uses it is told. */
static void drop_trunk(tmk_core *c) {
    tmk_trunk *t = c->trunk;
    const tmk_error why = c->line.why;
    const tmk_error *barred = tmk_line_is_barred(&why) ? &why : NULL;

    c->trunk = NULL;
    tmk_rpc_cancel(&c->put_call);
    tmk_riders_on_line(c, false, barred);
    tmk_calls_on_line(c, false, barred);
    if (t != NULL) {
        (void)(t->gone ? trunk_bury(t) : trunk_free(t));
    }
}

static void close_trunk(tmk_core *c, tmk_time deadline) {
    tmk_trunk *t = c->trunk;

    c->trunk = NULL;
    tmk_rpc_cancel(&c->put_call);
    tmk_riders_on_line(c, false, NULL);
    tmk_calls_on_line(c, false, NULL);
    if (t == NULL || t->gone) {
        if (t != NULL) {
            (void)trunk_bury(t);
        }
        return;
    }
    t->cbs = tmk_rpc_free(t->cbs, false);
    t->management = tmk_rpc_free(t->management, false);
    c->leaving = trunk_free(c->leaving);
    c->leaving = t;
    tmk_amqp_close(t->amqp, deadline);
}

/* ---- the token ---- */

static tmk_token_target target_of(const tmk_core *c, bool fresh) {
    tmk_token_target t = {.audience = c->audience, .fresh = fresh};

    return t;
}

static void on_token(tmk_token_call *call, const tmk_token *token, const tmk_error *why,
                     tmk_time retry_at) {
    tmk_core *c = call->user;
    tmk_time now = tmk_loop_now(c->loop);
    bool renewal = c->line.state == TMK_LINE_UP;

    if (token != NULL) {
        tmk_token_set(&c->token_next, token);
        tmk_line_on_token(&c->line, now);
        run_line(c);
        return;
    }
    tmk_core_count(&c->stats.tokens_failed, 1);
    tmk_line_on_token_failed(&c->line, now, why, retry_at);
    if (renewal) {
        report_line(c, "token", "the old token serves on; retry", c->line.renew_at,
                    c->line.renewals_failed);
        tmk_riders_on_token(c, why);
    } else {
        tmk_error copy = *why;
        const tmk_error *barred = tmk_line_is_barred(why) ? &copy : NULL;

        report_line(c, "token", "retry", c->line.due, c->line.failures);
        tmk_riders_on_line(c, false, barred);
        tmk_calls_on_line(c, false, barred);
    }
    run_line(c);
}

static void fetch_token(tmk_core *c) {
    tmk_token_target target = target_of(c, c->line.fresh);

    if (c->line.refused && c->token_next.secret != NULL) {
        tmk_tokens_refused(c->tokens, &target, &c->token_next);
    }
    tmk_tokens_cancel(c->tokens, &c->token_call);
    tmk_tokens_get(c->tokens, &target, &c->token_call);
}

static void on_put_failed(tmk_core *c, const tmk_error *why) {
    bool renewal = c->line.state == TMK_LINE_UP;
    tmk_error copy = *why;

    tmk_core_count(&c->stats.tokens_failed, 1);
    tmk_line_on_put_failed(&c->line, tmk_loop_now(c->loop), &copy);
    if (renewal && c->line.renewal == TMK_RENEWAL_NONE) {
        report_line(c, "token", "the old token serves on; retry", c->line.renew_at,
                    c->line.renewals_failed);
        tmk_riders_on_token(c, &copy);
    }
    run_line(c);
}

static void on_put(tmk_rpc_call *call, const tmk_rpc_reply *reply, const tmk_error *why) {
    tmk_core *c = tmk_container_of(call, tmk_core, put_call);
    tmk_error err;

    if (reply == NULL) {
        on_put_failed(c, why);
    } else if (tmk_rpc_judge(reply, &err) < 0) {
        on_put_failed(c, &err);
    } else {
        tmk_core_count(&c->stats.tokens_put, 1);
        tmk_token_set(&c->token, &c->token_next);
        tmk_line_on_put(&c->line, tmk_loop_now(c->loop), c->token.refresh_at);
        tmk_riders_on_token(c, NULL);
        run_line(c);
    }
}

/* Without its request pair a connection is good for nothing. */
static void on_cbs_broken(void *user, const tmk_error *why) {
    tmk_trunk *t = user;
    tmk_core *c = t->core;
    tmk_error copy = *why;

    t->cbs = tmk_rpc_free(t->cbs, false);
    if (t == c->trunk) {
        copy.retryable = true;
        tmk_line_on_lost(&c->line, tmk_loop_now(c->loop), &copy, 0);
        run_line(c);
    }
}

static tmk_status put_token(tmk_core *c, tmk_error *err) {
    tmk_trunk *t = c->trunk;
    const tmk_rpc_property properties[] = {
        {"operation", TMK_LIT("put-token")},
        {"type", tmk_slice_str(tmk_token_type(&c->token_next))},
        {"name", tmk_slice_str(c->audience)},
    };
    tmk_status st = TMK_OK;

    tmk_rpc_cancel(&c->put_call);
    if (t->cbs == NULL) {
        st = tmk_rpc_new(c->loop, t->amqp, "$cbs", on_cbs_broken, t, &t->cbs, err);
    }
    if (st == TMK_OK) {
        st =
            tmk_rpc_ask(t->cbs, &c->put_call, properties, 3, tmk_secret_bytes(c->token_next.secret),
                        tmk_loop_now(c->loop) + PUT_MS * TMK_MS, err);
    }
    return st;
}

/* ---- carrying out ---- */

static void do_act(tmk_core *c, tmk_line_act act, tmk_time now) {
    tmk_error err;

    switch (act) {
    case TMK_LINE_FETCH:
        fetch_token(c);
        break;
    case TMK_LINE_OPEN:
        if (open_trunk(c, &err) < 0) {
            tmk_core_count(&c->stats.connects_failed, 1);
            tmk_line_on_lost(&c->line, now, &err, 0);
        }
        break;
    case TMK_LINE_PUT:
        if (put_token(c, &err) < 0) {
            tmk_line_on_lost(&c->line, now, &err, 0);
        }
        break;
    case TMK_LINE_STANDS:
        tmk_info(&c->options.log, "client.connected", "host='%s'", c->options.stream.host);
        tmk_riders_on_line(c, true, NULL);
        tmk_calls_on_line(c, true, NULL);
        break;
    case TMK_LINE_DROP:
        report_line(c, "connect", "new connection", c->line.due, c->line.failures);
        drop_trunk(c);
        break;
    case TMK_LINE_CLOSE:
        close_trunk(c, now + CLOSE_MS * TMK_MS);
        break;
    case TMK_LINE_WAIT:
        break;
    }
}

static void run_line(tmk_core *c) {
    tmk_line_act act;
    tmk_time now;

    if (c->line_busy || c->closing) {
        c->line_again = true;
        return;
    }
    c->line_busy = true;
    do {
        c->line_again = false;
        now = tmk_loop_now(c->loop);
        tmk_line_want(&c->line, now, tmk_riders_want(c) || !tmk_list_empty(&c->calls));
        while ((act = tmk_line_step(&c->line, now)) != TMK_LINE_WAIT) {
            do_act(c, act, now);
        }
    } while (c->line_again && !c->closing);
    c->line_busy = false;
    if (!c->closing) {
        tmk_timer_set(c->loop, &c->line_timer, tmk_line_deadline(&c->line));
    }
}

void tmk_core_review(tmk_core *c) {
    run_line(c);
}

static void on_line_timer(tmk_timer *timer) {
    run_line(tmk_container_of(timer, tmk_core, line_timer));
}

/* ---- life ---- */

static bool copy_text(const char **text) {
    if (*text != NULL) {
        *text = tmk_copy_str(*text);
        return *text != NULL;
    }
    return true;
}

static bool copy_options(tmk_core *c, const tmk_core_options *o) {
    tmk_core_options *to = &c->options;
    const char **texts[] = {&to->stream.host,
                            &to->stream.dial_host,
                            &to->stream.tls_ca_file,
                            &to->stream.proxy,
                            &to->stream.websocket_path,
                            &to->hub,
                            &to->container,
                            &to->user_agent};
    tmk_str audience = TMK_STR_INIT;
    bool ok = true;

    *to = *o;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ok = copy_text(texts[i]) && ok;
    }
    tmk_names_audience(o->stream.host, 0, o->hub, &audience);
    c->audience = tmk_str_take(&audience);
    return ok && c->audience != NULL;
}

static void free_text(const char *text) {
    tmk_free((void *)(uintptr_t)text);
}

static void free_options(tmk_core *c) {
    tmk_core_options *o = &c->options;

    free_text(o->stream.host);
    free_text(o->stream.dial_host);
    free_text(o->stream.tls_ca_file);
    free_text(o->stream.proxy);
    free_text(o->stream.websocket_path);
    free_text(o->hub);
    free_text(o->container);
    free_text(o->user_agent);
    tmk_free(c->audience);
}

tmk_status tmk_core_new(tmk_loop *loop, const tmk_core_options *options, tmk_core **out,
                        tmk_error *err) {
    tmk_tokens_options tokens = {.log = options->log};
    tmk_core *c = tmk_new(tmk_core);
    tmk_status st;

    if (c == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "client", "no memory for a client");
    }
    c->loop = loop;
    tmk_rng_seed(&c->rng, options->seed);
    tmk_line_init(&c->line, tmk_core_seed(c));
    tmk_list_init(&c->riders);
    c->token_call.got = on_token;
    c->token_call.user = c;
    c->put_call.answered = on_put;
    tmk_list_init(&c->calls);
    tokens.seed = tmk_core_seed(c);
    if (!copy_options(c, options) || tmk_timer_init(loop, &c->line_timer, on_line_timer) < 0 ||
        tmk_timer_init(loop, &c->calls_timer, tmk_calls_on_timer) < 0) {
        st = tmk_fail(err, TMK_ENOMEM, "client", "no memory for a client");
    } else {
        st = tmk_tokens_new(loop, options->credential, &tokens, &c->tokens, err);
    }
    if (st < 0) {
        (void)tmk_core_free(c);
        return st;
    }
    *out = c;
    return TMK_OK;
}

tmk_core *tmk_core_free(tmk_core *c) {
    tmk_list *node;

    if (c == NULL) {
        return NULL;
    }
    tmk_assert(!c->line_busy);
    while ((node = tmk_list_first(&c->calls)) != NULL) {
        tmk_core_cancel(tmk_container_of(node, tmk_core_call, node));
    }
    tmk_rpc_cancel(&c->put_call);
    c->trunk = c->trunk != NULL && c->trunk->gone ? trunk_bury(c->trunk) : trunk_free(c->trunk);
    c->leaving = trunk_free(c->leaving);
    if (c->tokens != NULL) {
        tmk_tokens_cancel(c->tokens, &c->token_call);
        c->tokens = tmk_tokens_free(c->tokens);
    }
    tmk_token_clear(&c->token);
    tmk_token_clear(&c->token_next);
    tmk_timer_clear(c->loop, &c->line_timer);
    tmk_timer_clear(c->loop, &c->calls_timer);
    free_options(c);
    tmk_free(c);
    return NULL;
}

void tmk_core_close(tmk_core *c, tmk_time deadline, void (*closed)(void *user), void *user) {
    tmk_assert(!c->closing && !c->line_busy);
    c->closing = true;
    c->closed = closed;
    c->closed_user = user;
    tmk_timer_stop(c->loop, &c->line_timer);
    tmk_tokens_cancel(c->tokens, &c->token_call);
    close_trunk(c, deadline);
    finish_closing(c);
}
