/*
 * The life of a client's connection, and of the token on it: when to connect,
 * when to put a token, when to try again, when to let go.
 *
 * Pure: no I/O, no clock, no thread, no allocation. The caller says what time
 * it is and what became of what it was told to do.
 *
 *            wanted            got          opened           put
 *     OFF ----------> FETCHING ---> OPENING -------> PUTTING -----> UP
 *      ^                 |             |                |           | lost
 *      |                 +-------------+----------------+-----------+
 *      | not wanted                                     v
 *      +--------------------------------------------- PAUSED --- due ---> FETCHING
 *
 * The token comes before the connection, since the service drops connections
 * that have shown none within about 20 s. While it is UP the token is renewed
 * in time; a renewal that fails is tried again until the old token has ended.
 *
 * Promises: every state but OFF and UP ends by a deadline; the pause grows from
 * 0.1 s to 30 s (10 s to 5 min when we are not let in) and starts anew only
 * after the connection stood for 5 s, so a hostile server costs no more than
 * one attempt each 30 s; it never gives up while it is wanted.
 */
#ifndef TMK_AMQP_LINE_H
#define TMK_AMQP_LINE_H

#include "base/backoff.h"
#include "base/time.h"

typedef enum tmk_line_state {
    TMK_LINE_OFF = 0,
    TMK_LINE_FETCHING,
    TMK_LINE_OPENING,
    TMK_LINE_PUTTING,
    TMK_LINE_UP,
    TMK_LINE_PAUSED
} tmk_line_state;

typedef enum tmk_line_act {
    TMK_LINE_WAIT = 0,
    TMK_LINE_FETCH,  /* get a token (`fresh`: a newer one; `refused`: the last was refused) */
    TMK_LINE_OPEN,   /* connect */
    TMK_LINE_PUT,    /* put the token that was fetched */
    TMK_LINE_STANDS, /* tell who waits: links may attach */
    TMK_LINE_DROP,   /* end the connection at once, and tell who uses it; `why` */
    TMK_LINE_CLOSE   /* nobody needs it any more: end it in good order */
} tmk_line_act;

/* Where the token on the connection stands while it is UP. */
typedef enum tmk_line_renewal {
    TMK_RENEWAL_NONE = 0,
    TMK_RENEWAL_FETCHING,
    TMK_RENEWAL_PUTTING
} tmk_line_renewal;

typedef struct tmk_line {
    tmk_line_state state;
    tmk_line_renewal renewal;
    bool wanted;
    bool connected;           /* a connection exists, in whatever state */
    bool drop, close, stands; /* to be told by the next steps */
    bool asked;               /* FETCH, OPEN or PUT has been told for this state */
    bool fresh, refused;
    bool second;       /* a fresh token has been tried after a refusal */
    unsigned failures; /* in a row */
    unsigned renewals_failed;
    tmk_time due;      /* PAUSED: end of the pause */
    tmk_time deadline; /* FETCHING, OPENING, PUTTING and renewals */
    tmk_time up_since, put_at, renew_at, idle_since;
    tmk_error why; /* of the last failure */
    tmk_rng rng;
} tmk_line;

void tmk_line_init(tmk_line *l, uint64_t seed);

tmk_line_act tmk_line_step(tmk_line *l, tmk_time now);
tmk_time tmk_line_deadline(const tmk_line *l);

/* Whether anybody needs the connection; five minutes after the last did it is closed. */
void tmk_line_want(tmk_line *l, tmk_time now, bool wanted);

void tmk_line_on_token(tmk_line *l, tmk_time now);
void tmk_line_on_token_failed(tmk_line *l, tmk_time now, const tmk_error *why, tmk_time retry_at);
void tmk_line_on_opened(tmk_line *l, tmk_time now);
void tmk_line_on_put(tmk_line *l, tmk_time now, tmk_time renew_at);
void tmk_line_on_put_failed(tmk_line *l, tmk_time now, const tmk_error *why);
/* Nothing is tried before `wait` has passed. */
void tmk_line_on_lost(tmk_line *l, tmk_time now, const tmk_error *why, tmk_time wait);

/*
 * A link that attached at `since` was refused for want of a token: get and put
 * a fresh one. false: that has been done since then; attach again.
 */
bool tmk_line_need_token(tmk_line *l, tmk_time now, tmk_time since);

/* Whether `why` can only be mended by somebody else: then attempts are rare, and who has never been
 * served is told at once. */
bool tmk_line_is_barred(const tmk_error *why);

#endif
