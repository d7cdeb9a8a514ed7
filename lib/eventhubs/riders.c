/* Riders: the core's side of each link. See core.h; mend.h decides. */
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/status.h"
#include "eventhubs/core_parts.h"

/* ---- walking: a rider may go, and others come, while one is being told ---- */

static tmk_rider *walk_next(tmk_core *c) {
    tmk_list *at = c->cursor;

    if (at == NULL) {
        return NULL;
    }
    c->cursor = tmk_list_next(&c->riders, at);
    return tmk_container_of(at, tmk_rider, node);
}

static void walk_begin(tmk_core *c) {
    c->cursor = tmk_list_first(&c->riders);
}

bool tmk_riders_want(const tmk_core *c) {
    for (tmk_list *n = tmk_list_first(&c->riders); n != NULL; n = tmk_list_next(&c->riders, n)) {
        const tmk_mend *m = &tmk_container_of(n, tmk_rider, node)->mend;

        if (m->state != TMK_MEND_ENDED && m->wanted) {
            return true;
        }
    }
    return false;
}

/* ---- reports ---- */

static void report(tmk_rider *r) {
    tmk_error why = r->mend.why;
    tmk_trouble t = {.error = &why,
                     .operation = r->operation,
                     .partition = r->partition,
                     .reaction = r->mend.reaction == NULL ? "retry" : r->mend.reaction,
                     .delay_ms = r->mend.delay / TMK_MS,
                     .attempt = r->mend.failures};

    if (r->ops->trouble != NULL) {
        r->ops->trouble(r, &t);
    }
    tmk_core_report(r->core, &t);
}

/* ---- what a link asks for ---- */

static void ask_facts(tmk_rider *r, bool probing) {
    r->probing = probing;
    tmk_core_ask(r->core, &r->call, r->partition, 1);
}

static tmk_probe probed(tmk_rider *r, const tmk_error *why) {
    if (why != NULL) {
        return why->status == TMK_ETIMEOUT ? TMK_PROBE_SILENT : TMK_PROBE_FAILED;
    }
    return r->ops->behind(r, &r->call.facts) ? TMK_PROBE_BEHIND : TMK_PROBE_QUIET;
}

static void on_facts(tmk_core_call *call, const tmk_error *why) {
    tmk_rider *r = tmk_container_of(call, tmk_rider, call);
    tmk_time now = tmk_loop_now(r->core->loop);

    if (r->probing) {
        tmk_mend_on_probe(&r->mend, now, probed(r, why));
    } else {
        if (why == NULL) {
            r->ops->facts(r, &call->facts);
        }
        tmk_mend_on_facts(&r->mend, now, why);
        if (why != NULL) {
            report(r);
        }
    }
    tmk_rider_run(r);
}

static void attach(tmk_rider *r) {
    tmk_fault fault = {.reaction = TMK_REACTION_LINK};

    tmk_assert(r->core->trunk != NULL);
    if (r->ops->attach(r, r->core->trunk->amqp, &fault.error) < 0) {
        if (fault.error.status == TMK_ELIMIT && !fault.error.retryable) {
            fault.reaction = TMK_REACTION_FATAL; /* another connection allows no more */
        }
        tmk_rider_failed(r, &fault);
    }
}

static void ask_token(tmk_rider *r) {
    tmk_core *c = r->core;

    if (tmk_line_need_token(&c->line, tmk_loop_now(c->loop), r->mend.attach_at)) {
        r->waits_for_token = true;
        tmk_core_review(c);
    } else {
        tmk_mend_on_token(&r->mend, tmk_loop_now(c->loop), NULL);
    }
}

static void end(tmk_rider *r) {
    tmk_error why = r->mend.why;

    report(r);
    tmk_core_cancel(&r->call);
    r->ops->ended(r, &why);
}

static void do_act(tmk_rider *r, tmk_mend_act act) {
    tmk_core *c = r->core;

    switch (act) {
    case TMK_MEND_ASK_FACTS:
        ask_facts(r, false);
        break;
    case TMK_MEND_ATTACH:
        attach(r);
        break;
    case TMK_MEND_LET_GO:
        tmk_core_count(&c->stats.stalls_healed, r->mend.ever_up);
        r->ops->let_go(r, false);
        report(r);
        break;
    case TMK_MEND_ASK_TOKEN:
        ask_token(r);
        break;
    case TMK_MEND_PROBE:
        ask_facts(r, true);
        break;
    case TMK_MEND_DROP_LINE:
        tmk_line_on_lost(&c->line, tmk_loop_now(c->loop), &r->mend.why, r->mend.delay);
        tmk_core_review(c);
        break;
    case TMK_MEND_END:
        end(r);
        break;
    case TMK_MEND_WAIT:
        break;
    }
}

void tmk_rider_run(tmk_rider *r) {
    tmk_mend_act act;
    bool alive = true;

    if (r->alive != NULL) {
        r->again = true;
        return;
    }
    /* cppcheck-suppress autoVariables ; taken back below */
    r->alive = &alive;
    do {
        r->again = false;
        while (alive &&
               (act = tmk_mend_step(&r->mend, tmk_loop_now(r->core->loop))) != TMK_MEND_WAIT) {
            do_act(r, act);
        }
    } while (alive && r->again);
    if (alive) {
        r->alive = NULL;
        tmk_timer_set(r->core->loop, &r->timer, tmk_mend_deadline(&r->mend));
    }
}

static void on_timer(tmk_timer *timer) {
    tmk_rider_run(tmk_container_of(timer, tmk_rider, timer));
}

/* ---- what the link tells ---- */

void tmk_rider_attached(tmk_rider *r) {
    tmk_core_count(&r->core->stats.links_opened, 1);
    tmk_mend_on_attached(&r->mend, tmk_loop_now(r->core->loop));
    tmk_rider_run(r);
}

void tmk_rider_failed(tmk_rider *r, const tmk_fault *fault) {
    tmk_client_stats *stats = &r->core->stats;
    bool alive = true, *outer = r->alive;

    tmk_core_count(r->mend.state == TMK_MEND_UP ? &stats->links_lost : &stats->links_refused, 1);
    tmk_mend_on_failed(&r->mend, tmk_loop_now(r->core->loop), &fault->error, fault->reaction,
                       fault->wait);
    if (r->mend.state == TMK_MEND_ENDED) { /* reported when it ends */
        tmk_rider_run(r);
        return;
    }
    /* cppcheck-suppress autoVariables ; taken back below */
    r->alive = &alive;
    report(r);
    if (!alive) {
        if (outer != NULL) {
            *outer = false;
        }
        return;
    }
    r->alive = outer;
    tmk_rider_run(r);
}

void tmk_rider_heard(tmk_rider *r) {
    tmk_mend_on_heard(&r->mend, tmk_loop_now(r->core->loop));
}

void tmk_rider_silent(tmk_rider *r, const char *what) {
    tmk_mend_on_silent(&r->mend, tmk_loop_now(r->core->loop), what);
    tmk_rider_run(r);
}

void tmk_rider_want(tmk_rider *r, bool wanted) {
    if (r->mend.wanted != wanted) {
        tmk_mend_want(&r->mend, wanted);
        tmk_core_review(r->core);
        tmk_rider_run(r);
    }
}

/* ---- what the core tells ---- */

void tmk_riders_on_line(tmk_core *c, bool up, const tmk_error *barred) {
    tmk_time now = tmk_loop_now(c->loop);
    tmk_rider *r;

    walk_begin(c);
    while ((r = walk_next(c)) != NULL) {
        if (!up && r->mend.line_up) {
            tmk_core_cancel(&r->call);
            r->waits_for_token = false;
            r->ops->let_go(r, true);
        }
        if (up != r->mend.line_up) {
            tmk_mend_on_line(&r->mend, now, up);
        }
        if (barred != NULL) {
            (void)tmk_mend_on_line_failed(&r->mend, barred);
        }
        tmk_rider_run(r);
    }
}

void tmk_riders_on_token(tmk_core *c, const tmk_error *why) {
    tmk_rider *r;

    walk_begin(c);
    while ((r = walk_next(c)) != NULL) {
        if (r->waits_for_token) {
            r->waits_for_token = false;
            tmk_mend_on_token(&r->mend, tmk_loop_now(c->loop), why);
            tmk_rider_run(r);
        }
    }
}

/* ---- coming and going ---- */

tmk_status tmk_rider_add(tmk_core *c, tmk_rider *r, const tmk_rider_ops *ops, const char *operation,
                         const char *partition, tmk_error *err) {
    memset(r, 0, sizeof *r);
    if (tmk_timer_init(c->loop, &r->timer, on_timer) < 0) {
        return tmk_fail(err, TMK_ENOMEM, "client", "no memory for a link");
    }
    r->core = c;
    r->ops = ops;
    r->operation = operation;
    r->partition = partition;
    r->call.answered = on_facts;
    tmk_mend_init(&r->mend, tmk_core_seed(c));
    r->mend.line_up = tmk_core_stands(c);
    tmk_list_push_back(&c->riders, &r->node);
    return TMK_OK;
}

void tmk_rider_remove(tmk_rider *r) {
    tmk_core *c = r->core;

    if (c == NULL) {
        return;
    }
    if (c->cursor == &r->node) {
        c->cursor = tmk_list_next(&c->riders, &r->node);
    }
    tmk_core_cancel(&r->call);
    tmk_list_remove(&r->node);
    tmk_timer_clear(c->loop, &r->timer);
    r->core = NULL;
    if (r->alive != NULL) {
        *r->alive = false;
        r->alive = NULL;
    }
    tmk_core_review(c);
}
