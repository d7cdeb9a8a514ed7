/* See mend.h. */
#include "amqp/mend.h"

#include "amqp/line.h"
#include "base/status.h"

#include <string.h>

enum {
    ATTACH_MS = 30000,
    FACTS_MS = 40000,  /* the request has its own, shorter limits */
    TOKEN_MS = 100000, /* the same */
    STABLE_MS = 5000,
    SPREAD_MS = 1000, /* a service that sends all links away gets them back over a second */
    QUIET_MS = 20000, /* silence of a hungry link that makes us look */
    DOUBT_MS = 5000,  /* what was under way has this long to arrive */
    PROBE_MS = 40000,
    FACTS_TRIES = 2,
    LINK_TRIES = 3,
    SILENT_TRIES = 2
};

static const tmk_backoff pause_normal = {100 * TMK_MS, 30 * TMK_SEC, 2.0, 0.2};
static const tmk_backoff pause_barred = {10 * TMK_SEC, 300 * TMK_SEC, 2.0, 0.2};

void tmk_mend_init(tmk_mend *m, uint64_t seed) {
    memset(m, 0, sizeof *m);
    m->wanted = true;
    m->due = m->deadline = m->probe_at = TMK_NEVER;
    tmk_rng_seed(&m->rng, seed);
}

void tmk_mend_want(tmk_mend *m, bool wanted) {
    m->wanted = wanted;
}

static void enter(tmk_mend *m, tmk_mend_state state, tmk_time deadline) {
    m->state = state;
    m->asked = false;
    m->deadline = deadline;
    m->due = m->probe_at = TMK_NEVER;
    m->probing = m->doubt = false;
}

static void end(tmk_mend *m, const tmk_error *why) {
    enter(m, TMK_MEND_ENDED, TMK_NEVER);
    m->why = *why;
    m->reaction = "gave up";
    m->delay = 0;
}

static void pause_for(tmk_mend *m, tmk_time now, tmk_time delay, const char *reaction) {
    enter(m, TMK_MEND_PAUSED, TMK_NEVER);
    m->delay = delay;
    m->due = tmk_time_after(now, delay);
    m->reaction = reaction;
}

/* The next thing to do on a connection that stands. */
static void advance(tmk_mend *m, tmk_time now) {
    if (m->token_first) {
        m->token_first = false;
        enter(m, TMK_MEND_TOKEN, now + TOKEN_MS * TMK_MS);
    } else if (m->needs_facts && m->facts_failed < FACTS_TRIES) {
        enter(m, TMK_MEND_FACTS, now + FACTS_MS * TMK_MS);
    } else {
        m->attach_at = now;
        enter(m, TMK_MEND_ATTACHING, now + ATTACH_MS * TMK_MS);
    }
}

static void begin_failure(tmk_mend *m, tmk_time now, const tmk_error *why) {
    if (m->state == TMK_MEND_UP && now - m->up_since >= STABLE_MS * TMK_MS) {
        m->failures = 0;
        m->token_tried = false;
    }
    m->failures++;
    m->why = *why;
}

/* What only somebody else can mend. */
static void bar(tmk_mend *m, tmk_time now, tmk_time wait) {
    tmk_time delay;

    if (!m->ever_up) {
        tmk_error why = m->why;

        end(m, &why);
        return;
    }
    m->token_first = m->why.status == TMK_EAUTH;
    delay = tmk_backoff_delay(&pause_barred, m->failures, &m->rng);
    pause_for(m, now, delay > wait ? delay : wait, "slow retry");
}

/* The connection goes; how soon there is another is its own affair, but not within `wait`. */
static void go_down(tmk_mend *m, tmk_time wait) {
    m->drop_line = true;
    m->reaction = "new connection";
    m->delay = wait;
    enter(m, TMK_MEND_DOWN, TMK_NEVER);
}

static void again(tmk_mend *m, tmk_time now, tmk_time wait) {
    bool sent_away = strcmp(m->why.origin, "amqp:link:detach-forced") == 0;
    tmk_time delay;

    if (m->failures % LINK_TRIES == 0) {
        go_down(m, wait);
        return;
    }
    if (sent_away && m->failures == 1) {
        delay = tmk_rng_between(&m->rng, 0, SPREAD_MS * TMK_MS);
    } else {
        delay = tmk_backoff_delay(&pause_normal, m->failures, &m->rng);
    }
    pause_for(m, now, delay > wait ? delay : wait, "new link");
}

static void ask_token(tmk_mend *m, tmk_time now) {
    if (m->token_tried) {
        bar(m, now, 0);
        return;
    }
    m->token_tried = true;
    enter(m, TMK_MEND_TOKEN, now + TOKEN_MS * TMK_MS);
    m->reaction = "new token";
    m->delay = 0;
}

void tmk_mend_on_failed(tmk_mend *m, tmk_time now, const tmk_error *why, tmk_reaction reaction,
                        tmk_time wait) {
    if (m->state != TMK_MEND_ATTACHING && m->state != TMK_MEND_UP) {
        return;
    }
    begin_failure(m, now, why);
    switch (reaction) {
    case TMK_REACTION_RETRY:
    case TMK_REACTION_LINK:
        again(m, now, wait);
        break;
    case TMK_REACTION_CONNECTION:
        go_down(m, wait);
        break;
    case TMK_REACTION_TOKEN:
        ask_token(m, now);
        break;
    case TMK_REACTION_POSITION:
    case TMK_REACTION_GIVE_UP:
        end(m, why);
        break;
    case TMK_REACTION_FATAL:
        if (why->status == TMK_ENOTFOUND && m->failures == 1) {
            pause_for(m, now, TMK_SEC, "new link"); /* a hub just made may not be found at once */
        } else {
            bar(m, now, wait);
        }
        break;
    }
}

/* The service does not answer: the link is left behind; the second time the connection too. */
static void silent(tmk_mend *m, tmk_time now, const char *what) {
    tmk_error err;

    (void)tmk_fail_retry(&err, TMK_ETIMEOUT, "amqp:link", "%s", what);
    begin_failure(m, now, &err);
    m->silences++;
    m->let_go = true;
    if (m->silences >= SILENT_TRIES) {
        m->silences = 0;
        go_down(m, 0);
    } else {
        pause_for(m, now, tmk_backoff_delay(&pause_normal, m->failures, &m->rng), "new link");
    }
}

static void on_deadline(tmk_mend *m, tmk_time now) {
    tmk_error err;

    switch (m->state) {
    case TMK_MEND_ATTACHING:
        silent(m, now, "the service does not answer the opening of the link");
        break;
    case TMK_MEND_FACTS:
        (void)tmk_fail_retry(&err, TMK_ETIMEOUT, "amqp:link", "no facts in time");
        tmk_mend_on_facts(m, now, &err);
        break;
    case TMK_MEND_TOKEN:
        (void)tmk_fail_retry(&err, TMK_ETIMEOUT, "amqp:link", "no token in time");
        tmk_mend_on_token(m, now, &err);
        break;
    case TMK_MEND_UP: /* the answer to the probe is overdue */
        tmk_mend_on_probe(m, now, TMK_PROBE_SILENT);
        break;
    case TMK_MEND_DOWN:
    case TMK_MEND_PAUSED:
    case TMK_MEND_ENDED:
        break;
    }
}

static tmk_time quiet(tmk_mend *m) {
    return tmk_rng_between(&m->rng, QUIET_MS * TMK_MS * 9 / 10, QUIET_MS * TMK_MS);
}

/* While it stands: is the silence a real one? */
static tmk_mend_act watch(tmk_mend *m, tmk_time now) {
    if (!m->hungry) {
        m->probe_at = TMK_NEVER;
        m->doubt = false;
        return TMK_MEND_WAIT;
    }
    if (m->probing) {
        return TMK_MEND_WAIT;
    }
    if (m->probe_at == TMK_NEVER) {
        m->probe_at = now + quiet(m);
    }
    if (now < m->probe_at) {
        return TMK_MEND_WAIT;
    }
    if (now - m->heard_at < (m->doubt ? DOUBT_MS : QUIET_MS / 2) * TMK_MS) {
        m->doubt = false;
        m->probe_at = m->heard_at + quiet(m);
        return TMK_MEND_WAIT;
    }
    m->probing = true;
    m->deadline = now + PROBE_MS * TMK_MS;
    return TMK_MEND_PROBE;
}

static tmk_mend_act ask(tmk_mend *m, tmk_mend_act act) {
    if (m->asked) {
        return TMK_MEND_WAIT;
    }
    m->asked = true;
    return act;
}

static tmk_mend_act act_of_state(tmk_mend *m, tmk_time now) {
    switch (m->state) {
    case TMK_MEND_TOKEN:
        return ask(m, TMK_MEND_ASK_TOKEN);
    case TMK_MEND_FACTS:
        return ask(m, TMK_MEND_ASK_FACTS);
    case TMK_MEND_ATTACHING:
        return ask(m, TMK_MEND_ATTACH);
    case TMK_MEND_UP:
        return watch(m, now);
    case TMK_MEND_ENDED:
        return ask(m, TMK_MEND_END);
    case TMK_MEND_DOWN:
    case TMK_MEND_PAUSED:
        break;
    }
    return TMK_MEND_WAIT;
}

static bool may_begin(const tmk_mend *m, tmk_time now) {
    return m->line_up && m->wanted && !m->let_go && !m->drop_line &&
           (m->state == TMK_MEND_DOWN || (m->state == TMK_MEND_PAUSED && now >= m->due));
}

tmk_mend_act tmk_mend_step(tmk_mend *m, tmk_time now) {
    if (now >= m->deadline) {
        on_deadline(m, now);
    }
    if (m->let_go) {
        m->let_go = false;
        return TMK_MEND_LET_GO;
    }
    if (m->drop_line) {
        m->drop_line = false;
        return TMK_MEND_DROP_LINE;
    }
    if (may_begin(m, now)) {
        advance(m, now);
    }
    return act_of_state(m, now);
}

static bool has_to_ask(const tmk_mend *m) {
    return !m->asked && (m->state == TMK_MEND_TOKEN || m->state == TMK_MEND_FACTS ||
                         m->state == TMK_MEND_ATTACHING || m->state == TMK_MEND_ENDED);
}

tmk_time tmk_mend_deadline(const tmk_mend *m) {
    bool ready = m->line_up && m->wanted;

    if (m->let_go || m->drop_line || has_to_ask(m) || (ready && m->state == TMK_MEND_DOWN)) {
        return 0;
    }
    if (m->state == TMK_MEND_PAUSED) {
        return ready ? m->due : TMK_NEVER;
    }
    if (m->state == TMK_MEND_UP && m->hungry && !m->probing) {
        return m->probe_at == TMK_NEVER ? 0 : m->probe_at;
    }
    return m->deadline;
}

void tmk_mend_on_line(tmk_mend *m, tmk_time now, bool up) {
    m->line_up = up;
    if (up || m->state == TMK_MEND_ENDED) {
        return;
    }
    if (m->state == TMK_MEND_UP && now - m->up_since >= STABLE_MS * TMK_MS) {
        m->failures = 0;
        m->token_tried = false;
    }
    m->let_go = m->drop_line = false; /* there is nothing left to let go of */
    if (m->state != TMK_MEND_PAUSED) {
        enter(m, TMK_MEND_DOWN, TMK_NEVER);
    }
}

bool tmk_mend_on_line_failed(tmk_mend *m, const tmk_error *why) {
    if (m->state == TMK_MEND_ENDED || m->ever_up || !tmk_line_is_barred(why)) {
        return false;
    }
    end(m, why);
    return true;
}

void tmk_mend_on_facts(tmk_mend *m, tmk_time now, const tmk_error *why) {
    if (m->state != TMK_MEND_FACTS) {
        return;
    }
    if (why == NULL) {
        m->needs_facts = false;
        m->facts_failed = 0;
        advance(m, now);
        return;
    }
    m->facts_failed++;
    m->why = *why;
    if (why->status == TMK_ENOTFOUND || why->status == TMK_EINVAL) {
        m->attach_at = now;
        enter(m, TMK_MEND_ATTACHING,
              now + ATTACH_MS * TMK_MS); /* the attach says it with authority */
        m->reaction = "new link";
        m->delay = 0;
        return;
    }
    pause_for(m, now, tmk_backoff_delay(&pause_normal, m->facts_failed, &m->rng),
              m->facts_failed < FACTS_TRIES ? "retry" : "goes on without the position");
}

void tmk_mend_on_token(tmk_mend *m, tmk_time now, const tmk_error *why) {
    if (m->state != TMK_MEND_TOKEN) {
        return;
    }
    if (why == NULL) {
        advance(m, now);
        return;
    }
    m->why = *why;
    if (tmk_line_is_barred(why)) {
        bar(m, now, 0);
    } else {
        m->token_tried = false;
        pause_for(m, now, tmk_backoff_delay(&pause_normal, m->failures, &m->rng), "retry");
    }
}

void tmk_mend_on_attached(tmk_mend *m, tmk_time now) {
    if (m->state != TMK_MEND_ATTACHING) {
        return;
    }
    enter(m, TMK_MEND_UP, TMK_NEVER);
    m->ever_up = true;
    m->up_since = m->heard_at = now;
}

void tmk_mend_on_silent(tmk_mend *m, tmk_time now, const char *what) {
    if (m->state == TMK_MEND_UP) {
        silent(m, now, what);
    }
}

void tmk_mend_on_heard(tmk_mend *m, tmk_time now) {
    m->heard_at = now;
    m->silences = 0;
}

/* The first time it may be the management alone; when a new connection did not help, it is. */
static void on_silent_probe(tmk_mend *m, tmk_time now) {
    unsigned patience = SILENT_TRIES << (m->probes_in_vain < 6 ? m->probes_in_vain : 6);
    tmk_error err;

    m->doubt = false;
    m->probe_at = now + quiet(m);
    if (++m->probes_silent < patience) {
        return;
    }
    m->probes_silent = 0;
    m->probes_in_vain++;
    (void)tmk_fail_retry(&err, TMK_ETIMEOUT, "amqp:silent",
                         "neither the link nor the management has said anything for long");
    begin_failure(m, now, &err);
    go_down(m, 0);
}

void tmk_mend_on_probe(tmk_mend *m, tmk_time now, tmk_probe found) {
    if (m->state != TMK_MEND_UP || !m->probing) {
        return;
    }
    m->probing = false;
    m->deadline = TMK_NEVER;
    if (found == TMK_PROBE_SILENT && now - m->heard_at >= DOUBT_MS * TMK_MS) {
        on_silent_probe(m, now);
        return;
    }
    m->probes_silent = 0;
    m->probes_in_vain = found == TMK_PROBE_SILENT ? m->probes_in_vain : 0;
    if (found != TMK_PROBE_BEHIND || now - m->heard_at < DOUBT_MS * TMK_MS) {
        m->doubt = false;
        m->probe_at = now + quiet(m);
    } else if (!m->doubt) {
        m->doubt = true;
        m->probe_at = now + DOUBT_MS * TMK_MS;
    } else {
        silent(m, now, "the service has events for the link but does not deliver them");
    }
}
