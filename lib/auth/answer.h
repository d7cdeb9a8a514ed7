/*
 * What authorities and identity endpoints answer: a token with its times, or
 * an error in one of several shapes. Everything has a limit, and nothing that
 * is refused is repeated: a body may hold a token in the wrong place.
 *
 * Pure. Threads: any.
 */
#ifndef TMK_AUTH_ANSWER_H
#define TMK_AUTH_ANSWER_H

#include "base/secret.h"
#include "base/time.h"

enum { tmk_answer_max = 256 * 1024 };

typedef struct tmk_token_answer {
    tmk_secret *token;
    tmk_time life;       /* from now; between 0 and 30 days */
    tmk_time refresh_in; /* from now; 0: not said */
} tmk_token_answer;

/*
 * An access token with expires_in or expires_on, each a number or text, expires_on also as ISO
 * 8601. now: the server's wall clock where it is known, else ours; it is used with expires_on
 * alone. EPROTO: no JSON, or no token in it. ENOMEM.
 */
tmk_status tmk_token_answer_parse(tmk_slice body, tmk_wall now, tmk_token_answer *out,
                                  tmk_error *err);

/* What `az account get-access-token` prints. */
tmk_status tmk_cli_answer_parse(tmk_slice body, tmk_wall now, tmk_token_answer *out,
                                tmk_error *err);

/* An error answer, as far as it could be understood. */
typedef struct tmk_error_answer {
    char error[48];  /* "invalid_client"; "" where it is missing */
    int64_t code;    /* 7000215 of AADSTS7000215; 0: none */
    char text[1024]; /* one line for people; "" where it is missing */
} tmk_error_answer;

/* {"error": "...", "error_description": "..."}, {"error": {"code", "message"}},
 * {"statusCode", "message"}, or anything else, which leaves *out empty. */
void tmk_error_answer_parse(tmk_slice body, tmk_error_answer *out);

#endif
