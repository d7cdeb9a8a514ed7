/*
 * A request to the Blob service as text: address, headers, signature. Pure.
 */
#ifndef TMK_CHECKPOINT_BLOB_REQUEST_H
#define TMK_CHECKPOINT_BLOB_REQUEST_H

#include "checkpoint/blob_client.h"

/* Where requests go and as whom; what a client is made of. */
typedef struct tmk_blob_place {
    char *origin;    /* "https://account.blob.core.windows.net", no path */
    char *base_path; /* "" or "/devstoreaccount1" */
    char *container;
    char *account; /* with key */
    char *api_version;
    tmk_secret *key; /* decoded; or */
    tmk_secret *sas; /* query text; or neither: tokens */
} tmk_blob_place;

void tmk_blob_place_clear(tmk_blob_place *p);
/* From the options; *tokens tells that requests need a token of options->credential. */
tmk_status tmk_blob_place_init(tmk_blob_place *p, const tmk_blob_client_options *options,
                               bool *tokens, tmk_error *err);

enum { TMK_BLOB_HEADERS_MAX = 32 };

/* Text of one try. Holds secrets: wiped when cleared. */
typedef struct tmk_blob_text {
    tmk_str url;
    tmk_str lines; /* names and values of the headers, one behind the other */
    struct {
        size_t name, value;
    } places[TMK_BLOB_HEADERS_MAX]; /* in lines, which moves while it grows */
    tmk_http_header headers[TMK_BLOB_HEADERS_MAX];
    size_t header_count;
} tmk_blob_text;

/* when: the date to sign; id: a UUID, for whoever compares logs; token: NULL, or a bearer's. */
tmk_status tmk_blob_text_make(tmk_blob_text *t, const tmk_blob_place *place,
                              const tmk_blob_ask *ask, tmk_wall when, const char *id,
                              const tmk_secret *token, tmk_error *err);
void tmk_blob_text_clear(tmk_blob_text *t);

#endif
