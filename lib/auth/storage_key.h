/*
 * Shared Key authorization of the Blob service: the text to sign, and the
 * header made of it.
 *
 * Pure. Threads: any.
 */
#ifndef TMK_AUTH_STORAGE_KEY_H
#define TMK_AUTH_STORAGE_KEY_H

#include "base/secret.h"
#include "base/str.h"

typedef struct tmk_storage_header {
    const char *name; /* any case */
    const char *value;
} tmk_storage_header;

/* A request as it will be sent. */
typedef struct tmk_storage_request {
    const char *method;
    tmk_slice path;                    /* with the leading "/", percent-encoded as sent */
    tmk_slice query;                   /* without "?", percent-encoded as sent; may be empty */
    const tmk_storage_header *headers; /* x-ms-date among them; Content-Length may be left out */
    size_t header_count;
    uint64_t content_length;
} tmk_storage_request;

/* ELIMIT: more than 32 headers or parameters. EINVAL: a bad escape in the query. */
tmk_status tmk_storage_text_to_sign(const tmk_storage_request *r, const char *account, tmk_str *out,
                                    tmk_error *err);

/* Appends "SharedKey <account>:<signature>" to *out: the value of Authorization. */
tmk_status tmk_storage_sign(const tmk_storage_request *r, const char *account,
                            const tmk_secret *key, tmk_str *out, tmk_error *err);

#endif
