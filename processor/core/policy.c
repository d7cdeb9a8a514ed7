/* When to write a checkpoint; see policy.h. */
#include "core/policy.h"

#include "base/assert.h"
#include "core/mutants.h"

/* ---- the budget ---- */

void tmk_budget_init(tmk_budget *b, double rate, double burst, tmk_time now) {
    *b = (tmk_budget){.rate = rate, .burst = burst < 1 ? 1 : burst, .at = now};
    b->tokens = b->burst;
}

static void refill(tmk_budget *b, tmk_time now) {
    if (now > b->at) {
        b->tokens += b->rate * (double)(now - b->at) / (double)TMK_SEC;
        b->tokens = b->tokens > b->burst ? b->burst : b->tokens;
        b->at = now;
    }
}

tmk_time tmk_budget_reserve(tmk_budget *b, tmk_time now) {
    tmk_time at = now;

    if (b->rate <= 0 || TMK_MUTANT(BUDGET_OF_WRITES)) {
        return now;
    }
    refill(b, now);
    if (b->tokens < 1) {
        /* One nanosecond more: rounding must not name a moment that is still too early. */
        at = tmk_time_after(now, (tmk_time)((1 - b->tokens) / b->rate * (double)TMK_SEC) + 1);
    }
    b->tokens -= 1;
    return at;
}

void tmk_budget_charge(tmk_budget *b, tmk_time now) {
    if (b->rate > 0) {
        refill(b, now);
        /* Debt is bounded: a drain of all partitions must not silence the policy for minutes. */
        b->tokens -= b->tokens - 1 < -b->burst ? 0 : 1;
    }
}

/* ---- the policy ---- */

void tmk_policy_init(tmk_policy *p, const tmk_policy_options *options, tmk_budget *budget) {
    *p = (tmk_policy){
        .options = options, .budget = budget, .since = TMK_NEVER, .turn_at = TMK_NEVER};
}

void tmk_policy_on_progress(tmk_policy *p, tmk_time now, uint64_t events, uint64_t bytes) {
    p->events += events;
    p->bytes += bytes;
    if (p->since == TMK_NEVER) {
        p->since = now;
    }
}

void tmk_policy_ask(tmk_policy *p) {
    p->asked = true;
}

/* What is new since the write in flight, or since the last one. */
static uint64_t new_events(const tmk_policy *p) {
    return p->events - p->flying_events;
}

static bool full(const tmk_policy *p) {
    const tmk_policy_options *o = p->options;

    return (o->events > 0 && new_events(p) >= o->events && !TMK_MUTANT(POLICY_BY_TIME_ALONE)) ||
           (o->bytes > 0 && p->bytes - p->flying_bytes >= o->bytes);
}

static tmk_time due_by_time(const tmk_policy *p) {
    if (p->options->interval == 0 || p->since == TMK_NEVER || TMK_MUTANT(POLICY_BY_COUNT_ALONE)) {
        return TMK_NEVER;
    }
    return tmk_time_after(p->since, p->options->interval);
}

/* Each has its turn: those that count events in quick succession do not keep others waiting. */
static bool has_turn(tmk_policy *p, tmk_time now) {
    if (p->budget == NULL) {
        return true;
    }
    if (p->turn_at != TMK_NEVER) {
        return p->asked || now >= p->turn_at;
    }
    if (p->asked) {
        tmk_budget_charge(p->budget, now);
        return true;
    }
    p->turn_at = tmk_budget_reserve(p->budget, now);
    if (TMK_MUTANT(BUDGET_UNFAIR) && now < p->turn_at) {
        p->budget->tokens += 1;
        p->not_before = p->turn_at;
        p->turn_at = TMK_NEVER;
        return false;
    }
    return now >= p->turn_at;
}

bool tmk_policy_step(tmk_policy *p, tmk_time now) {
    bool wanted = p->asked || p->failures > 0 || full(p) || now >= due_by_time(p);

    if (p->writing || now < p->not_before || !wanted || !has_turn(p, now)) {
        return false;
    }
    p->turn_at = TMK_NEVER;
    p->writing = true;
    p->asked = false;
    p->flying_events = p->events;
    p->flying_bytes = p->bytes;
    p->since = TMK_NEVER;
    return true;
}

void tmk_policy_on_written(tmk_policy *p, tmk_time now, tmk_status status, tmk_time retry_after,
                           tmk_rng *rng) {
    tmk_time pause = 0;

    tmk_assert(p->writing);
    p->writing = false;
    if (status == TMK_OK) {
        p->events -= p->flying_events;
        p->bytes -= p->flying_bytes;
        p->failures = 0;
    } else {
        p->failures += p->failures < UINT8_MAX ? 1 : 0;
        pause = tmk_backoff_delay(&p->options->retry, p->failures, rng);
        p->not_before = tmk_time_after(now, pause > retry_after ? pause : retry_after);
    }
    p->flying_events = 0;
    p->flying_bytes = 0;
}

tmk_time tmk_policy_deadline(const tmk_policy *p, tmk_time now) {
    tmk_time at = p->asked || p->failures > 0 || full(p) ? now : due_by_time(p);

    if (p->writing || at == TMK_NEVER) {
        return TMK_NEVER;
    }
    at = at > p->not_before ? at : p->not_before;
    return p->turn_at != TMK_NEVER && !p->asked && p->turn_at > at ? p->turn_at : at;
}

bool tmk_policy_settled(const tmk_policy *p) {
    return !p->writing && !p->asked && p->events == 0;
}
