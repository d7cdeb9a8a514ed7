/* Credit from what is in hand; see flow.h. */
#include "core/flow.h"

#include "base/assert.h"
#include "core/mutants.h"

/* After so many events their sizes alone count, not what could have been. */
enum { SEEN_MAX = 256 };

void tmk_flow_init(tmk_flow *f, uint64_t bytes_max, uint64_t events_max, uint32_t prefetch_max,
                   uint64_t event_bytes_max) {
    *f = (tmk_flow){.bytes_max = bytes_max,
                    .events_max = events_max == 0 ? 1 : events_max,
                    .prefetch_max = prefetch_max == 0 ? 1 : prefetch_max,
                    .event_bytes_max = event_bytes_max == 0 ? 1 : event_bytes_max};
}

void tmk_flow_join(tmk_flow *f, tmk_flow_share *s) {
    *s = (tmk_flow_share){.flow = f};
    f->shares++;
}

void tmk_flow_leave(tmk_flow_share *s) {
    if (s->flow == NULL) {
        return;
    }
    tmk_flow_on_link_closed(s);
    tmk_flow_on_gone(s, s->held_events, s->held_bytes);
    s->flow->shares--;
    s->flow = NULL;
}

uint64_t tmk_flow_expected(const tmk_flow_share *s) {
    double largest = (double)s->flow->event_bytes_max;
    double usual = s->mean + 4 * s->deviation;
    double doubt = s->seen >= SEEN_MAX ? 0 : 1.0 / (1 + (double)s->seen);
    double expected = usual + (largest - usual) * doubt;

    if (s->seen == 0 || expected > largest) {
        return s->flow->event_bytes_max;
    }
    return expected < 1 ? 1 : (uint64_t)expected;
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t minus(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

/* How many events fit in `bytes` and `events`. */
static uint64_t fits(uint64_t bytes, uint64_t events, uint64_t expected) {
    return least(events, bytes / expected);
}

/* Room that is left in this share's own part of the budget, and in the whole. */
static uint64_t room(tmk_flow_share *s, uint64_t expected) {
    tmk_flow *f = s->flow;
    uint64_t own = fits(minus(f->bytes_max / f->shares, s->held_bytes + s->out_bytes),
                        minus(f->events_max / f->shares, s->held_events + s->out), expected);
    uint64_t all = fits(minus(f->bytes_max, f->held_bytes + f->out_bytes),
                        minus(f->events_max, f->held_events + f->out_events), expected);

    if (all < own) {
        f->refused = true;
        return all;
    }
    return own;
}

static void count_granted(tmk_flow_share *s, uint64_t count, uint64_t expected) {
    s->out += count;
    s->out_bytes += count * expected;
    s->flow->out_events += count;
    s->flow->out_bytes += count * expected;
}

uint32_t tmk_flow_grant(tmk_flow_share *s) {
    const tmk_flow *f = s->flow;
    uint64_t expected = tmk_flow_expected(s);
    uint64_t whole =
        least(f->prefetch_max, fits(f->bytes_max / f->shares, f->events_max / f->shares, expected));
    uint64_t count = least(room(s, expected), minus(f->prefetch_max, s->out));

    count = TMK_MUTANT(BUDGET_IGNORED) ? minus(f->prefetch_max, s->out) : count;

    if (s->out == 0 && s->held_events == 0) {
        count = count == 0 ? 1 : count;
    } else if (count * 4 < whole) {
        count = 0; /* small change: not worth a frame */
    }
    count_granted(s, count, expected);
    return (uint32_t)count;
}

/* Whoever was refused is asked again only when something has changed: asked without that it would
 * be refused again, and ask again, without end. */
static void given_back(tmk_flow *f, bool any) {
    f->back = f->back || (f->refused && any);
}

static void learn(tmk_flow_share *s, uint32_t count, double size) {
    double weight =
        (double)count / (double)(s->seen + count < SEEN_MAX ? s->seen + count : SEEN_MAX);
    double off = size > s->mean ? size - s->mean : s->mean - size;

    weight = weight > 1 ? 1 : weight;
    s->deviation = s->seen == 0 ? 0 : s->deviation + weight * (off - s->deviation);
    s->mean = s->seen == 0 ? size : s->mean + weight * (size - s->mean);
    s->seen = s->seen + count < SEEN_MAX ? s->seen + count : SEEN_MAX;
}

void tmk_flow_on_come(tmk_flow_share *s, uint32_t count, uint64_t bytes) {
    uint64_t of_out = least(count, s->out);
    uint64_t counted = of_out == s->out ? s->out_bytes : s->out_bytes / s->out * of_out;

    tmk_assert(count > 0);
    s->out -= of_out;
    s->out_bytes -= counted;
    s->flow->out_events -= of_out;
    s->flow->out_bytes -= counted;
    s->held_events += count;
    s->held_bytes += bytes;
    s->flow->held_events += count;
    s->flow->held_bytes += bytes;
    given_back(s->flow, bytes < counted);
    learn(s, count, (double)bytes / count);
}

void tmk_flow_on_gone(tmk_flow_share *s, uint64_t count, uint64_t bytes) {
    tmk_assert(s->held_events >= count && s->held_bytes >= bytes);
    s->held_events -= count;
    s->held_bytes -= bytes;
    s->flow->held_events -= count;
    s->flow->held_bytes -= bytes;
    given_back(s->flow, count > 0 || bytes > 0);
}

void tmk_flow_on_link_closed(tmk_flow_share *s) {
    if (TMK_MUTANT(CREDIT_LOST_WITH_LINK)) {
        return;
    }
    s->flow->out_events -= s->out;
    s->flow->out_bytes -= s->out_bytes;
    given_back(s->flow, s->out > 0);
    s->out = 0;
    s->out_bytes = 0;
}

bool tmk_flow_relieved(tmk_flow *f) {
    /* A quarter of the budget free again, so that they do not ask for each single event. */
    bool free = f->held_bytes + f->out_bytes <= f->bytes_max / 4 * 3 &&
                f->held_events + f->out_events <= f->events_max / 4 * 3;

    if (!f->back || !free || TMK_MUTANT(RELIEF_UNNOTICED)) {
        return false;
    }
    f->refused = f->back = false;
    return true;
}
