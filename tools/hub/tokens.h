/*
 * Tokens: are they good, for what, until when?
 *
 * Pure but for OpenSSL's HMAC. Keys are tmk_secret; nothing of a key or a token
 * gets into a refusal's words.
 */
#ifndef TMK_HUB_TOKENS_H
#define TMK_HUB_TOKENS_H

#include <tidemark/hub.h>

#include "base/secret.h"
#include "base/str.h"

#include "hub/fail.h"

typedef struct tmk_hub_keyring {
    struct tmk_hub_ring_key {
        char *name;
        tmk_secret *key;
        unsigned rights; /* TMK_HUB_LISTEN ... */
    } * keys;
    size_t count;
    tmk_hub_jwt jwt;
    tmk_secret *jwt_key;
} tmk_hub_keyring;

void tmk_hub_keyring_clear(tmk_hub_keyring *k);
tmk_status tmk_hub_keyring_add(tmk_hub_keyring *k, const char *name, tmk_slice key,
                               unsigned rights);

/* What a token grants. */
typedef struct tmk_hub_grant {
    tmk_str path;      /* see tmk_hub_audience_add(); "" is everything */
    int64_t expires_s; /* Unix seconds; INT64_MAX: never */
    unsigned rights;
} tmk_hub_grant;

/*
 * Checks a token of put-token `type`, put for `audience`. A SAS is verified over
 * its sr text as received. false: *fail says why, *out is empty.
 */
bool tmk_hub_token_check(const tmk_hub_keyring *k, tmk_slice type, tmk_slice token,
                         tmk_slice audience, int64_t now_s, tmk_hub_grant *out, tmk_hub_fail *fail);

/* Checks a name and key given in the open (SASL PLAIN); the rights, 0 when wrong. */
unsigned tmk_hub_keyring_plain(const tmk_hub_keyring *k, tmk_slice name, tmk_slice key);

#endif
