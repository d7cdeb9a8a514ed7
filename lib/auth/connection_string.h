/*
 * Connection strings of Event Hubs and of Storage accounts.
 *
 * "Key=value" parts between semicolons, each cut at its first "="; keys in any
 * case, blanks around keys and values ignored, unknown keys and empty parts
 * skipped. Every refusal names the key that is wrong and what to do, and never
 * a value, since any of them may be a secret put in the wrong place.
 *
 * Pure. Threads: any.
 */
#ifndef TMK_AUTH_CONNECTION_STRING_H
#define TMK_AUTH_CONNECTION_STRING_H

#include "base/secret.h"
#include "base/slice.h"

/* Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=..;SharedAccessKey=..;EntityPath=hub
 */
typedef struct tmk_hub_string {
    char *host;            /* without port; IPv6 without brackets */
    uint16_t port;         /* 0: none given */
    char *hub;             /* EntityPath, or NULL */
    char *key_name;        /* with key, */
    tmk_secret *key;       /* the text of the key as it stands, */
    tmk_secret *signature; /* or a whole signature instead of both */
    bool emulator;         /* UseDevelopmentEmulator: plain TCP to a host that must be local */
} tmk_hub_string;

/* Also EINVAL on: no or bad Endpoint, neither or both of key and signature, half of the pair. */
tmk_status tmk_hub_string_parse(tmk_slice text, tmk_hub_string *out, tmk_error *err);
void tmk_hub_string_clear(tmk_hub_string *s);

/*
 * The hub to use: what the program asks for (NULL or "": nothing) or EntityPath. EINVAL when
 * there is neither, or when they differ (case apart). *out points into s or to `asked`.
 */
tmk_status tmk_hub_string_choose(const tmk_hub_string *s, const char *asked, const char **out,
                                 tmk_error *err);

/* DefaultEndpointsProtocol=https;AccountName=..;AccountKey=..;EndpointSuffix=core.windows.net */
typedef struct tmk_storage_string {
    char *account;       /* or NULL, with a signature and a BlobEndpoint */
    tmk_secret *key;     /* decoded; or NULL */
    tmk_secret *sas;     /* query text without "?"; or NULL */
    char *blob_endpoint; /* "https://account.blob.core.windows.net", may have a path, no "/" at the
                            end */
} tmk_storage_string;

tmk_status tmk_storage_string_parse(tmk_slice text, tmk_storage_string *out, tmk_error *err);
void tmk_storage_string_clear(tmk_storage_string *s);

/* An account's key as it is shown, in base64. EINVAL: it is not. */
tmk_status tmk_storage_key_decode(tmk_slice base64, tmk_secret **out, tmk_error *err);

/* Whether a text looks like the one of Storage rather than that of Event Hubs. */
bool tmk_storage_string_is(tmk_slice text);

#endif
