/*
 * How one link is kept alive: when to attach, what to do about each way of
 * failing, how to notice that it has fallen silent.
 *
 * Pure: no I/O, no clock, no thread, no allocation.
 *
 *           connection stands      attached
 *     DOWN -----------> ATTACHING ---------> UP
 *      ^   (FACTS, TOKEN   |                  |
 *      |    on the way)    v refused, silent  v detached, stalled
 *      +--- line down --- PAUSED <------------+
 *
 * The ladder: a link that fails is attached again, under a new name and in a
 * session of its own; when that fails for the third time in a row, or when the
 * service does not answer at all twice, the connection is made anew; every step
 * is told to the owner. Refusals that only somebody else can mend end a link
 * that has never stood, and make one that has stood try rarely (10 s to 5 min).
 *
 * A hungry link on which nothing comes asks the management whether something
 * should. When that is silent too, the second time, the connection is the
 * suspect (bytes may be lost one way only); when dropping it does not help, this
 * is done ever more rarely.
 *
 * Promises: nothing is waited for without end; a link that the owner wants is
 * tried again until it is ENDED; it is ENDED at once when the service says that
 * somebody else owns the partition or that the position does not exist.
 */
#ifndef TMK_AMQP_MEND_H
#define TMK_AMQP_MEND_H

#include "amqp/condition.h"
#include "base/backoff.h"

typedef enum tmk_mend_state {
    TMK_MEND_DOWN = 0, /* the connection does not stand, or nobody wants the link */
    TMK_MEND_PAUSED,
    TMK_MEND_TOKEN, /* a fresh token is being put */
    TMK_MEND_FACTS, /* the end of the partition is being asked for */
    TMK_MEND_ATTACHING,
    TMK_MEND_UP,
    TMK_MEND_ENDED
} tmk_mend_state;

typedef enum tmk_mend_act {
    TMK_MEND_WAIT = 0,
    TMK_MEND_ASK_FACTS, /* answer: on_facts */
    TMK_MEND_ATTACH,    /* answer: on_attached or on_failed */
    TMK_MEND_LET_GO,    /* close the present link in the background; `why` */
    TMK_MEND_ASK_TOKEN, /* answer: on_token */
    TMK_MEND_PROBE,     /* ask whether events wait for this link; answer: on_probe */
    TMK_MEND_DROP_LINE, /* the connection is suspect: end it; `why` */
    TMK_MEND_END        /* it is over; `why` */
} tmk_mend_act;

typedef enum tmk_probe {
    TMK_PROBE_FAILED = 0, /* an answer that says nothing */
    TMK_PROBE_SILENT,     /* no answer at all */
    TMK_PROBE_QUIET,      /* there is nothing to deliver */
    TMK_PROBE_BEHIND      /* the service has events that did not come */
} tmk_probe;

typedef struct tmk_mend {
    tmk_mend_state state;
    bool line_up, wanted;
    bool needs_facts; /* set by the owner: ask before the first attach */
    bool hungry;      /* set by the owner: it has given credit, so silence means something */
    bool ever_up, token_tried, asked;
    bool let_go, drop_line, probing, doubt;
    bool token_first; /* before the next attach: the last one was refused for want of it */
    unsigned failures, silences, facts_failed;
    unsigned probes_silent, probes_in_vain; /* in a row; connections dropped for that in a row */
    tmk_time due, deadline, attach_at, up_since, heard_at, probe_at;
    const char *reaction; /* what follows the last failure, for people: "new link" ... */
    tmk_time delay;       /* until then */
    tmk_error why;
    tmk_rng rng;
} tmk_mend;

void tmk_mend_init(tmk_mend *m, uint64_t seed);
void tmk_mend_want(tmk_mend *m, bool wanted); /* a sender without work lets a lost link lie */

tmk_mend_act tmk_mend_step(tmk_mend *m, tmk_time now);
tmk_time tmk_mend_deadline(const tmk_mend *m);

void tmk_mend_on_line(tmk_mend *m, tmk_time now, bool up);
/* The connection cannot be had, for now; true when that ends this link: step() says END next. */
bool tmk_mend_on_line_failed(tmk_mend *m, const tmk_error *why);
void tmk_mend_on_facts(tmk_mend *m, tmk_time now, const tmk_error *why); /* NULL: they are known */
void tmk_mend_on_token(tmk_mend *m, tmk_time now, const tmk_error *why); /* NULL: it has been put */
void tmk_mend_on_attached(tmk_mend *m, tmk_time now);
/* Refused or detached: the link is gone; not to be tried before `wait` has passed. `reaction` and
 * `delay` say what follows. */
void tmk_mend_on_failed(tmk_mend *m, tmk_time now, const tmk_error *why, tmk_reaction reaction,
                        tmk_time wait);
/* Something is left unanswered on a link that stands. */
void tmk_mend_on_silent(tmk_mend *m, tmk_time now, const char *what);
void tmk_mend_on_heard(tmk_mend *m, tmk_time now); /* something arrived on the link */
void tmk_mend_on_probe(tmk_mend *m, tmk_time now, tmk_probe found);

#endif
