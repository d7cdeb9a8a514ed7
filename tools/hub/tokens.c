/* See tokens.h. */
#include "hub/tokens.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/alloc.h"

#include "hub/names.h"

void tmk_hub_keyring_clear(tmk_hub_keyring *k) {
    for (size_t i = 0; i < k->count; i++) {
        tmk_free(k->keys[i].name);
        tmk_secret_free(k->keys[i].key);
    }
    tmk_free(k->keys);
    tmk_secret_free(k->jwt_key);
    memset(k, 0, sizeof *k);
}

tmk_status tmk_hub_keyring_add(tmk_hub_keyring *k, const char *name, tmk_slice key,
                               unsigned rights) {
    struct tmk_hub_ring_key *keys = tmk_resize(k->keys, k->count + 1, sizeof *keys);
    struct tmk_hub_ring_key *next = NULL;

    if (keys == NULL) {
        return TMK_ENOMEM;
    }
    k->keys = keys;
    next = &keys[k->count];
    next->name = tmk_copy_str(name);
    next->key = tmk_secret_new(key);
    next->rights = rights;
    if (next->name == NULL || next->key == NULL) {
        tmk_free(next->name);
        tmk_secret_free(next->key);
        return TMK_ENOMEM;
    }
    k->count++;
    return TMK_OK;
}

static const struct tmk_hub_ring_key *find_key(const tmk_hub_keyring *k, tmk_slice name) {
    for (size_t i = 0; i < k->count; i++) {
        if (tmk_slice_eq(tmk_slice_str(k->keys[i].name), name)) {
            return &k->keys[i];
        }
    }
    return NULL;
}

static bool same_secret(tmk_slice a, tmk_slice b) {
    return a.size == b.size && (a.size == 0 || CRYPTO_memcmp(a.bytes, b.bytes, a.size) == 0);
}

unsigned tmk_hub_keyring_plain(const tmk_hub_keyring *k, tmk_slice name, tmk_slice key) {
    const struct tmk_hub_ring_key *found = find_key(k, name);

    return found != NULL && same_secret(tmk_secret_bytes(found->key), key) ? found->rights : 0;
}

static bool refuse(tmk_hub_fail *fail, const char *why) {
    tmk_hub_fail_set(fail, TMK_HUB_UNAUTHORIZED, "%s", why);
    return false;
}

/* Is `mac` the HMAC-SHA256 of the two texts with a line feed between? */
static bool hmac_is(const tmk_secret *key, tmk_slice a, const char *between, tmk_slice b,
                    tmk_slice mac) {
    tmk_slice k = tmk_secret_bytes(key);
    tmk_str text = TMK_STR_INIT;
    uint8_t made[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    bool ok;

    tmk_str_add_slice(&text, a);
    tmk_str_add(&text, between);
    tmk_str_add_slice(&text, b);
    ok = tmk_str_ok(&text) && k.size <= INT32_MAX &&
         HMAC(EVP_sha256(), k.bytes, (int)k.size, (const uint8_t *)tmk_str_text(&text), text.size,
              made, &size) != NULL &&
         same_secret(tmk_slice_of(made, size), mac);
    tmk_str_clear(&text);
    return ok;
}

/* ---- shared access signatures ---- */

typedef struct sas {
    tmk_slice resource, signature, expiry, key_name; /* as received */
} sas;

static bool sas_cut(tmk_slice token, sas *out) {
    tmk_slice rest = token;
    sas s = {{0}, {0}, {0}, {0}};
    bool more = true, blank = false;

    if (!tmk_slice_eq_nocase(tmk_slice_cut(&rest, ' ', &blank), TMK_LIT("SharedAccessSignature")) ||
        !blank) {
        return false;
    }
    while (more) {
        tmk_slice value = tmk_slice_cut(&rest, '&', &more);
        tmk_slice name = tmk_slice_cut(&value, '=', NULL);
        if (tmk_slice_eq(name, TMK_LIT("sr"))) {
            s.resource = value;
        } else if (tmk_slice_eq(name, TMK_LIT("sig"))) {
            s.signature = value;
        } else if (tmk_slice_eq(name, TMK_LIT("se"))) {
            s.expiry = value;
        } else if (tmk_slice_eq(name, TMK_LIT("skn"))) {
            s.key_name = value;
        }
    }
    *out = s;
    return s.resource.size > 0 && s.signature.size > 0 && s.expiry.size > 0 && s.key_name.size > 0;
}

static bool sas_signed(const struct tmk_hub_ring_key *key, const sas *s) {
    tmk_str text = TMK_STR_INIT, mac = TMK_STR_INIT;
    bool ok = tmk_str_add_unpercent(&text, s->signature) &&
              tmk_str_add_unbase64(&mac, tmk_str_slice(&text)) && tmk_str_ok(&mac) &&
              hmac_is(key->key, s->resource, "\n", s->expiry, tmk_str_slice(&mac));

    tmk_str_clear(&text);
    tmk_str_clear(&mac);
    return ok;
}

static const struct tmk_hub_ring_key *sas_key(const tmk_hub_keyring *k, const sas *s) {
    tmk_str name = TMK_STR_INIT;
    const struct tmk_hub_ring_key *key = NULL;

    if (tmk_str_add_unpercent(&name, s->key_name) && tmk_str_ok(&name)) {
        key = find_key(k, tmk_str_slice(&name));
    }
    tmk_str_clear(&name);
    return key;
}

/* The path the token is signed for, as audiences are compared. */
static bool sas_path(const sas *s, tmk_str *out) {
    tmk_str resource = TMK_STR_INIT;
    bool ok = tmk_str_add_unpercent(&resource, s->resource);

    tmk_hub_audience_add(out, tmk_str_slice(&resource));
    tmk_str_clear(&resource);
    return ok && tmk_str_ok(out);
}

static bool sas_check(const tmk_hub_keyring *k, tmk_slice token, tmk_slice audience, int64_t now_s,
                      tmk_hub_grant *out, tmk_hub_fail *fail) {
    const struct tmk_hub_ring_key *key = NULL;
    tmk_str holder = TMK_STR_INIT;
    int64_t expiry = 0;
    bool ok = false;
    sas s;

    if (!sas_cut(token, &s) || !tmk_slice_int64(s.expiry, &expiry)) {
        return refuse(fail, "InvalidSignature: The token is malformed.");
    }
    key = sas_key(k, &s);
    if (key == NULL || !sas_signed(key, &s)) {
        return refuse(fail, "InvalidSignature: The token has an invalid signature.");
    }
    if (expiry <= now_s) {
        return refuse(fail, "ExpiredToken: The token is expired.");
    }
    tmk_hub_audience_add(&out->path, audience);
    if (!sas_path(&s, &holder) || !tmk_str_ok(&out->path)) {
        ok = refuse(fail, "InvalidSignature: The token's resource cannot be read.");
    } else if (!tmk_hub_audience_covers(tmk_str_slice(&holder), tmk_str_slice(&out->path))) {
        ok = refuse(fail, "InvalidAudience: The token's resource does not cover the audience.");
    } else {
        out->expires_s = expiry;
        out->rights = key->rights;
        ok = true;
    }
    tmk_str_clear(&holder);
    return ok;
}

/* ---- JSON web tokens: what a test needs of them ---- */

/* The number after "exp": in the payload; 0 when there is none. */
static int64_t jwt_expiry(tmk_slice payload) {
    static const char name[] = "\"exp\"";
    const uint8_t *at = memmem(payload.bytes, payload.size, name, sizeof name - 1);
    tmk_slice rest;
    size_t digits = 0;
    int64_t value = 0;

    if (at == NULL) {
        return 0;
    }
    rest = tmk_slice_from(payload, (size_t)(at - payload.bytes) + sizeof name - 1);
    rest = tmk_slice_trim(rest);
    if (rest.size == 0 || rest.bytes[0] != ':') {
        return 0;
    }
    rest = tmk_slice_trim(tmk_slice_from(rest, 1));
    while (digits < rest.size && rest.bytes[digits] >= '0' && rest.bytes[digits] <= '9') {
        digits++;
    }
    return tmk_slice_int64(tmk_slice_of(rest.bytes, digits), &value) ? value : 0;
}

static bool jwt_signed(const tmk_hub_keyring *k, tmk_slice header, tmk_slice payload,
                       tmk_slice signature) {
    tmk_str mac = TMK_STR_INIT;
    bool ok = k->jwt_key != NULL && tmk_str_add_unbase64(&mac, signature) && tmk_str_ok(&mac) &&
              hmac_is(k->jwt_key, header, ".", payload, tmk_str_slice(&mac));

    tmk_str_clear(&mac);
    return ok;
}

static bool jwt_check(const tmk_hub_keyring *k, tmk_slice token, tmk_slice audience, int64_t now_s,
                      tmk_hub_grant *out, tmk_hub_fail *fail) {
    tmk_slice rest = token;
    bool first = false, second = false, third = false;
    tmk_slice header = tmk_slice_cut(&rest, '.', &first);
    tmk_slice payload = tmk_slice_cut(&rest, '.', &second);
    tmk_slice signature = tmk_slice_cut(&rest, '.', &third);
    tmk_str claims = TMK_STR_INIT;
    int64_t expiry;

    if (k->jwt == TMK_HUB_JWT_REFUSE) {
        return refuse(fail, "InvalidIssuer: This hub takes no tokens of type jwt; see --jwt.");
    }
    if (!first || !second || third || !tmk_str_add_unbase64(&claims, payload) ||
        !tmk_str_ok(&claims)) {
        tmk_str_clear(&claims);
        return refuse(fail, "InvalidSignature: The token is malformed.");
    }
    expiry = jwt_expiry(tmk_str_slice(&claims));
    tmk_str_clear(&claims);
    if (k->jwt == TMK_HUB_JWT_HS256 && !jwt_signed(k, header, payload, signature)) {
        return refuse(fail, "InvalidSignature: The token has an invalid signature.");
    }
    if (expiry != 0 && expiry <= now_s) {
        return refuse(fail, "ExpiredToken: The token is expired.");
    }
    tmk_hub_audience_add(&out->path, audience);
    if (!tmk_str_ok(&out->path)) {
        return refuse(fail, "The hub is out of memory.");
    }
    out->expires_s = expiry == 0 ? INT64_MAX : expiry;
    out->rights = TMK_HUB_ALL;
    return true;
}

bool tmk_hub_token_check(const tmk_hub_keyring *k, tmk_slice type, tmk_slice token,
                         tmk_slice audience, int64_t now_s, tmk_hub_grant *out,
                         tmk_hub_fail *fail) {
    tmk_hub_grant grant = {TMK_STR_INIT, 0, 0};
    bool ok;

    if (tmk_slice_eq(type, TMK_LIT("servicebus.windows.net:sastoken"))) {
        ok = sas_check(k, token, audience, now_s, &grant, fail);
    } else if (tmk_slice_eq(type, TMK_LIT("jwt"))) {
        ok = jwt_check(k, token, audience, now_s, &grant, fail);
    } else {
        ok = refuse(fail, "The token's type is not known.");
    }
    if (ok) {
        *out = grant;
    } else {
        tmk_str_clear(&grant.path);
    }
    return ok;
}
