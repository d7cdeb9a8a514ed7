/*
 * Shared access signatures of Event Hubs: making them, reading them, and, for
 * the local hub, verifying them.
 *
 *   SharedAccessSignature sr=<audience>&sig=<signature>&se=<unix seconds>&skn=<key name>
 *
 * The signature covers the text of sr exactly as it is sent, so a verifier
 * never encodes anything again.
 *
 * Pure. Threads: any.
 */
#ifndef TMK_AUTH_SAS_H
#define TMK_AUTH_SAS_H

#include "base/secret.h"
#include "base/slice.h"

/* Audience: "sb://ns.servicebus.windows.net/hub", not encoded. expires: Unix seconds. */
tmk_status tmk_sas_make(const char *key_name, const tmk_secret *key, tmk_slice audience,
                        int64_t expires, tmk_secret **out, tmk_error *err);

/* The parts of a token: views, still percent-encoded. */
typedef struct tmk_sas {
    tmk_slice resource, signature, key_name, expires_text;
    int64_t expires; /* Unix seconds */
} tmk_sas;

/* Parts in any order; key_name may be missing. EINVAL with words that hold nothing of the token. */
tmk_status tmk_sas_parse(tmk_slice token, tmk_sas *out, tmk_error *err);

/* Whether this key made the signature; takes the same time wherever a wrong one differs. */
bool tmk_sas_verify(const tmk_sas *sas, tmk_slice key);

/* base64(HMAC-SHA256(key, text)) into out; false only when OpenSSL fails. */
enum { tmk_mac_base64_room = 45 };
bool tmk_mac_base64(tmk_slice key, tmk_slice text, char out[tmk_mac_base64_room]);

#endif
