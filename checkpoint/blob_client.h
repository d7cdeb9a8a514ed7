/*
 * Requests to one container of the Blob service: addressed, signed, sent,
 * tried again while there is time.
 *
 * What is tried again: connections that break, 408, 429 and 5xx, with growing
 * pauses that are never shorter than the service asks for. So any answer may be
 * that of a second try, and a refusal (409, 412) may be caused by the first,
 * which was carried out although its answer was lost: whoever is refused must
 * look before concluding.
 *
 * Threads: the loop's.
 */
#ifndef TMK_CHECKPOINT_BLOB_CLIENT_H
#define TMK_CHECKPOINT_BLOB_CLIENT_H

#include <tidemark/credential.h>
#include <tidemark/log.h>

#include "auth/token.h"
#include "checkpoint/blob_meta.h"
#include "checkpoint/blob_xml.h"
#include "net/http.h"

typedef struct tmk_blob_client tmk_blob_client;

typedef struct tmk_blob_client_options {
    const char *connection_string; /* or */
    const char *account_url;       /* "https://account.blob.core.windows.net", with */
    tmk_credential *credential;
    const char *container;
    const char *tls_ca_file, *proxy; /* as in tmk_http_options */
    const char *api_version;         /* NULL: "2021-12-02" */
    tmk_log log;
} tmk_blob_client_options;

/* EINVAL says which setting is wrong. The loop is borrowed; options are copied. */
tmk_status tmk_blob_client_new(tmk_loop *loop, const tmk_blob_client_options *options,
                               tmk_blob_client **out, tmk_error *err);
/* All exchanges must have ended. NULL is fine; returns NULL. */
tmk_blob_client *tmk_blob_client_free(tmk_blob_client *c);

const char *tmk_blob_client_origin(const tmk_blob_client *c); /* "https://account.blob..." */

/* One request. Everything it points to must live until its answer. Texts may be NULL. */
typedef struct tmk_blob_ask {
    const char *method;
    const char *name;  /* of the blob, not encoded; NULL: the container itself */
    bool account;      /* not the container, but the account's blob service */
    const char *query; /* without "?", encoded: "comp=metadata" */
    const char *lease_action, *lease_id, *proposed_id, *lease_duration, *break_period;
    const char *if_match, *if_none_match; /* ETags without quotes, or "*" */
    const tmk_blob_meta *meta;            /* to be written */
    tmk_slice body;
    bool put;    /* makes or replaces a blob */
    bool urgent; /* a heartbeat: on connections of its own */
} tmk_blob_ask;

/* OK: 2xx, 304, 404 (no such blob), 409 or 412 came. All of it ends with the call. */
typedef struct tmk_blob_answer {
    tmk_status status;
    tmk_error error;
    int64_t retry_after_ms; /* of EBUSY, where it was said */
    int code;
    char error_code[64];          /* "LeaseIdMissing"; "" where none was given */
    const char *etag;             /* without quotes; "" where none was given */
    tmk_wall date, last_modified; /* 0: not said; a refusal may have a date too */
    tmk_blob_lease lease;
    const tmk_blob_meta *meta;
    tmk_slice body;
    const tmk_http_response *response; /* NULL for a failure without one */
} tmk_blob_answer;

/* A request under way; the asker's memory until the answer. Its members are the client's. */
typedef struct tmk_blob_exchange {
    void (*answered)(struct tmk_blob_exchange *x, const tmk_blob_answer *answer);
    tmk_blob_client *client;
    tmk_blob_ask ask;
    tmk_time deadline;
    unsigned attempt;
    bool token_refused; /* once is forgiven */
    tmk_timer timer;    /* of the next try, or of a failure to be told */
    tmk_error failure;  /* why the last try failed; status OK: none has */
    int64_t retry_after_ms;
    tmk_wall date; /* of the last answer, also of one that refuses */
    tmk_http_call *http;
    tmk_token_call token_call;
    tmk_token token;
    tmk_str etag;
    tmk_blob_meta meta;
} tmk_blob_exchange;

/* x is zeroed memory. ENOMEM. */
tmk_status tmk_blob_exchange_init(tmk_blob_exchange *x, tmk_blob_client *client);
void tmk_blob_exchange_clear(tmk_blob_exchange *x); /* gives up what is under way */

/* answered comes exactly once, later, never from inside, by the deadline or a little after. */
void tmk_blob_send(tmk_blob_exchange *x, const tmk_blob_ask *ask, tmk_time deadline);

#endif
