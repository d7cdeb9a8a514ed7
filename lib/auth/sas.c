/* Shared access signatures: see the header. */
#include "auth/sas.h"

#include <limits.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/alloc.h"
#include "base/status.h"
#include "base/str.h"

enum { mac_size = 32, signature_max = 256 };

static bool mac_sha256(tmk_slice key, tmk_slice text, uint8_t out[mac_size]) {
    unsigned size = mac_size;

    return key.size <= INT_MAX &&
           HMAC(EVP_sha256(), key.size > 0 ? (const void *)key.bytes : "", (int)key.size,
                text.bytes, text.size, out, &size) != NULL &&
           size == mac_size;
}

bool tmk_mac_base64(tmk_slice key, tmk_slice text, char out[tmk_mac_base64_room]) {
    uint8_t mac[mac_size];

    if (!mac_sha256(key, text, mac)) {
        return false;
    }
    (void)EVP_EncodeBlock((unsigned char *)out, mac, mac_size);
    tmk_wipe(mac, sizeof mac);
    return true;
}

/* sr "\n" se */
static void add_signed_text(tmk_str *s, tmk_slice resource, tmk_slice expires) {
    tmk_str_add_slice(s, resource);
    tmk_str_add_char(s, '\n');
    tmk_str_add_slice(s, expires);
}

static bool sign(tmk_slice resource, tmk_slice expires, const tmk_secret *key,
                 char out[tmk_mac_base64_room]) {
    tmk_str text = TMK_STR_INIT;
    bool good;

    add_signed_text(&text, resource, expires);
    good = tmk_str_ok(&text) && tmk_mac_base64(tmk_secret_bytes(key), tmk_str_slice(&text), out);
    tmk_str_clear(&text);
    return good;
}

tmk_status tmk_sas_make(const char *key_name, const tmk_secret *key, tmk_slice audience,
                        int64_t expires, tmk_secret **out, tmk_error *err) {
    tmk_str resource = TMK_STR_INIT;
    tmk_str token = TMK_STR_INIT;
    char end[24];
    char mac[tmk_mac_base64_room] = "";
    tmk_secret *made = NULL;

    (void)snprintf(end, sizeof end, "%lld", (long long)expires);
    tmk_str_add_percent(&resource, audience);
    if (tmk_str_ok(&resource) && sign(tmk_str_slice(&resource), tmk_slice_str(end), key, mac) &&
        tmk_str_reserve(&token, resource.size + 3 * (strlen(mac) + strlen(key_name)) + 96)) {
        tmk_str_add(&token, "SharedAccessSignature sr=");
        tmk_str_add_slice(&token, tmk_str_slice(&resource));
        tmk_str_add(&token, "&sig=");
        tmk_str_add_percent(&token, tmk_slice_str(mac));
        tmk_str_addf(&token, "&se=%s&skn=", end);
        tmk_str_add_percent(&token, tmk_slice_str(key_name));
        made = tmk_str_ok(&token) ? tmk_secret_new(tmk_str_slice(&token)) : NULL;
    }
    tmk_str_wipe(&token);
    tmk_str_clear(&resource);
    tmk_wipe(mac, sizeof mac);
    if (made == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "sas", "no memory for a signature");
    }
    *out = made;
    return TMK_OK;
}

/* ---- reading ---- */

static void take_field(tmk_sas *s, tmk_slice name, tmk_slice value) {
    if (tmk_slice_eq(name, TMK_LIT("sr"))) {
        s->resource = value;
    } else if (tmk_slice_eq(name, TMK_LIT("sig"))) {
        s->signature = value;
    } else if (tmk_slice_eq(name, TMK_LIT("se"))) {
        s->expires_text = value;
    } else if (tmk_slice_eq(name, TMK_LIT("skn"))) {
        s->key_name = value;
    }
}

tmk_status tmk_sas_parse(tmk_slice token, tmk_sas *out, tmk_error *err) {
    static const char prefix[] = "SharedAccessSignature ";
    tmk_sas made = {0};
    bool more = true;

    if (token.size < sizeof prefix - 1 ||
        !tmk_slice_eq_nocase(tmk_slice_of(token.bytes, sizeof prefix - 1),
                             TMK_LIT("SharedAccessSignature "))) {
        return tmk_fail(err, TMK_EINVAL, "sas",
                        "a signature begins with 'SharedAccessSignature sr='");
    }
    token = tmk_slice_from(token, sizeof prefix - 1);
    while (more) {
        tmk_slice value = tmk_slice_cut(&token, '&', &more);
        bool found = false;
        tmk_slice name = tmk_slice_trim(tmk_slice_cut(&value, '=', &found));

        take_field(&made, name, value);
    }
    if (made.resource.size == 0 || made.signature.size == 0 || made.expires_text.size == 0) {
        return tmk_fail(err, TMK_EINVAL, "sas", "a signature needs sr=, sig= and se=");
    }
    if (!tmk_slice_int64(made.expires_text, &made.expires) || made.expires < 0) {
        return tmk_fail(err, TMK_EINVAL, "sas", "se= of a signature is not a number of seconds");
    }
    *out = made;
    return TMK_OK;
}

/* ---- verifying ---- */

static bool decode_signature(tmk_slice encoded, uint8_t out[mac_size]) {
    tmk_str text = TMK_STR_INIT;
    tmk_str bytes = TMK_STR_INIT;
    bool good = encoded.size <= signature_max && tmk_str_add_unpercent(&text, encoded) &&
                tmk_str_add_unbase64(&bytes, tmk_str_slice(&text)) && tmk_str_ok(&bytes) &&
                bytes.size == mac_size;

    if (good) {
        memcpy(out, bytes.text, mac_size);
    }
    tmk_str_wipe(&text);
    tmk_str_wipe(&bytes);
    return good;
}

bool tmk_sas_verify(const tmk_sas *sas, tmk_slice key) {
    tmk_str text = TMK_STR_INIT;
    uint8_t told[mac_size];
    uint8_t right[mac_size];
    bool good = false;

    add_signed_text(&text, sas->resource, sas->expires_text);
    if (tmk_str_ok(&text) && decode_signature(sas->signature, told) &&
        mac_sha256(key, tmk_str_slice(&text), right)) {
        good = CRYPTO_memcmp(told, right, mac_size) == 0;
    }
    tmk_wipe(right, sizeof right);
    tmk_str_clear(&text);
    return good;
}
