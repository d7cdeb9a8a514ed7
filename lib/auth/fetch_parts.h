/* What the kinds of questions share. Not for others. Threads: the loop's. */
#ifndef TMK_AUTH_FETCH_PARTS_H
#define TMK_AUTH_FETCH_PARTS_H

#include "auth/fetch.h"

typedef struct tmk_fetch_ops {
    size_t size; /* of the struct that begins with tmk_fetch */
    /* The timer has fired: at once the first time, later where it was set. */
    void (*fire)(tmk_fetch *f);
    /* Releases what is held, whatever the state; nothing comes afterwards. */
    void (*stop)(tmk_fetch *f);
} tmk_fetch_ops;

struct tmk_fetch {
    const tmk_fetch_ops *ops;
    tmk_fetch_host *host;
    tmk_credential *credential;
    char *scope, *audience;
    bool chained, known;
    tmk_time deadline;
    tmk_timer timer;
    tmk_fetch_done done;
    void *user;
};

extern const tmk_fetch_ops tmk_fetch_over_http;
extern const tmk_fetch_ops tmk_fetch_by_cli;
extern const tmk_fetch_ops tmk_fetch_by_program;

void tmk_fetch_wait(tmk_fetch *f, tmk_time delay); /* fire() after it */

/* The end: stops, frees, tells. The reference of a token in the answer is used up. */
void tmk_fetch_got(tmk_fetch *f, const tmk_token_answer *answer);
void tmk_fetch_failed(tmk_fetch *f, tmk_fetch_outcome outcome, const tmk_error *why,
                      tmk_time retry_after);

#endif
