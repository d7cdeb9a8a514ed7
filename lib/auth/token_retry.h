/*
 * Trying again inside one question for a token: after which answers, after
 * which wait, and when to give up. What comes after giving up is refresh.h's.
 *
 * Pure: no I/O, no clock, no thread, no allocation.
 */
#ifndef TMK_AUTH_TOKEN_RETRY_H
#define TMK_AUTH_TOKEN_RETRY_H

#include "base/rng.h"
#include "base/time.h"

typedef enum tmk_token_endpoint {
    TMK_ENDPOINT_AUTHORITY,
    TMK_ENDPOINT_IMDS /* an identity endpoint: its own table of waits, and it may not exist */
} tmk_token_endpoint;

typedef struct tmk_token_retry {
    tmk_token_endpoint endpoint;
    bool known; /* it has answered before, so silence is a trouble that passes */
    tmk_time started_at;
    tmk_time deadline; /* of the question */
    unsigned tries;    /* so far */
} tmk_token_retry;

typedef struct tmk_token_trial {
    int code;             /* of HTTP; 0: no answer came */
    bool temporary;       /* the answer says so itself */
    tmk_time retry_after; /* what it asks for; 0: nothing */
} tmk_token_trial;

/* How long to wait for the next try after this one; TMK_NEVER: give up. */
tmk_time tmk_token_retry_on_trial(tmk_token_retry *r, tmk_time now, const tmk_token_trial *trial,
                                  tmk_rng *rng);

/* Whether the answer is one that may be better next time. */
bool tmk_token_trial_is_transient(const tmk_token_retry *r, const tmk_token_trial *trial);

/* The value of Retry-After: seconds, or a date by which `now` is compared. 0: none, or nonsense. */
tmk_time tmk_retry_after_parse(const char *value, tmk_wall now);

#endif
