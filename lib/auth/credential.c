/* Making, counting and freeing credentials: see tidemark/credential.h. */
#include "auth/credential.h"

#include "auth/connection_string.h"
#include "auth/credential_parts.h"
#include "auth/sas.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "base/str.h"

enum { sas_max = 8192, secret_max = 4096, key_max = 512 };

/* ---- life ---- */

tmk_credential *tmk_credential_make(tmk_credential_kind kind) {
    tmk_credential *c = tmk_new(tmk_credential);

    if (c != NULL) {
        atomic_init(&c->references, 1);
        c->kind = kind;
    }
    return c;
}

tmk_credential *tmk_credential_ref(tmk_credential *c) {
    if (c != NULL) {
        tmk_assert(atomic_fetch_add(&c->references, 1) > 0);
    }
    return c;
}

static void destroy(tmk_credential *c) {
    tmk_free(c->name);
    tmk_free(c->tenant);
    tmk_free(c->client_id);
    tmk_free(c->file);
    tmk_free(c->token_url);
    tmk_secret_free(c->secret);
    tmk_free(c->tls_ca_file);
    tmk_free(c->proxy);
    tmk_free(c->hub_scope);
    tmk_free(c->storage_scope);
    tmk_free(c->skipped);
    for (size_t i = 0; i < c->link_count; i++) {
        tmk_credential_free(c->links[i]);
    }
    if (c->free_self != NULL) {
        c->free_self(c->self);
    }
    tmk_free(c);
}

tmk_credential *tmk_credential_free(tmk_credential *c) {
    if (c != NULL && atomic_fetch_sub(&c->references, 1) == 1) {
        destroy(c);
    }
    return NULL;
}

const char *tmk_credential_title(const tmk_credential *c) {
    static const char *const titles[] = {
        "shared key",         "shared access signature", "client secret",
        "client certificate", "workload identity",       "managed identity",
        "Azure CLI",          "default credential",      "program"};

    return titles[c->kind];
}

bool tmk_credential_uses_http(const tmk_credential *c) {
    switch (c->kind) {
    case TMK_CREDENTIAL_SECRET:
    case TMK_CREDENTIAL_CERTIFICATE:
    case TMK_CREDENTIAL_WORKLOAD:
    case TMK_CREDENTIAL_MANAGED:
    case TMK_CREDENTIAL_CHAIN:
        return true;
    case TMK_CREDENTIAL_KEY:
    case TMK_CREDENTIAL_SAS:
    case TMK_CREDENTIAL_CLI:
    case TMK_CREDENTIAL_CALLBACK:
        break;
    }
    return false;
}

/* ---- parts ---- */

tmk_status tmk_credential_done(tmk_credential *c, tmk_status st, tmk_credential **out,
                               tmk_error *err) {
    if (c == NULL || st == TMK_ENOMEM) {
        st = tmk_fail(err, TMK_ENOMEM, "credential", "no memory for a credential");
    }
    if (st != TMK_OK) {
        tmk_credential_free(c);
        return st;
    }
    *out = c;
    return TMK_OK;
}

tmk_status tmk_credential_bad(tmk_error *err, const char *sentence) {
    return tmk_fail(err, TMK_EINVAL, "credential", "%s", sentence);
}

bool tmk_is_printable(const char *text, size_t max) {
    size_t size = text == NULL ? 0 : strlen(text);

    for (size_t i = 0; i < size && i <= max; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    return size > 0 && size <= max;
}

/* UTF-8 without control characters, as keys and secrets are. */
static bool is_line(const char *text, size_t max) {
    size_t size = text == NULL ? 0 : strlen(text);

    for (size_t i = 0; i < size && i <= max; i++) {
        if ((uint8_t)text[i] < ' ' || text[i] == 0x7f) {
            return false;
        }
    }
    return size > 0 && size <= max;
}

tmk_status tmk_credential_keep(char **to, const char *text) {
    if (text == NULL) {
        return TMK_OK;
    }
    *to = tmk_copy_str(text);
    return *to == NULL ? TMK_ENOMEM : TMK_OK;
}

static tmk_status keep_secret(tmk_credential *c, tmk_slice bytes) {
    c->secret = tmk_secret_new(bytes);
    return c->secret == NULL ? TMK_ENOMEM : TMK_OK;
}

/* ---- keys and signatures ---- */

tmk_status tmk_credential_shared_key(const char *name, const char *key, tmk_credential **out,
                                     tmk_error *err) {
    tmk_credential *c;
    tmk_status st;

    if (!is_line(name, key_max)) {
        return tmk_credential_bad(err, "the name of a shared access key is missing or not a name");
    }
    if (!is_line(key, key_max)) {
        return tmk_credential_bad(err, "the shared access key is missing or not a key");
    }
    c = tmk_credential_make(TMK_CREDENTIAL_KEY);
    st = c == NULL ? TMK_ENOMEM : tmk_credential_keep(&c->name, name);
    if (st == TMK_OK) {
        st = keep_secret(c, tmk_slice_str(key));
    }
    return tmk_credential_done(c, st, out, err);
}

static tmk_status check_signature(const char *signature, tmk_error *err) {
    tmk_sas parts;

    if (!is_line(signature, sas_max)) {
        return tmk_credential_bad(err, "the shared access signature is missing, longer than 8192 "
                                       "bytes, or holds a line break");
    }
    if (tmk_slice_starts(tmk_slice_str(signature), TMK_LIT("SharedAccessSignature"))) {
        return tmk_sas_parse(tmk_slice_str(signature), &parts, err);
    }
    if (strchr(signature, ' ') != NULL || strstr(signature, "sig=") == NULL) {
        return tmk_credential_bad(err, "the shared access signature begins neither with "
                                       "'SharedAccessSignature sr=' nor is it a query with 'sig='");
    }
    return TMK_OK;
}

tmk_status tmk_credential_sas(const char *signature, tmk_credential **out, tmk_error *err) {
    tmk_credential *c;
    tmk_status st = check_signature(signature, err);

    if (st != TMK_OK) {
        return st;
    }
    c = tmk_credential_make(TMK_CREDENTIAL_SAS);
    st = c == NULL ? TMK_ENOMEM : keep_secret(c, tmk_slice_str(signature + (*signature == '?')));
    return tmk_credential_done(c, st, out, err);
}

static tmk_status from_hub_string(const char *text, tmk_credential **out, tmk_error *err) {
    tmk_hub_string s = {NULL};
    tmk_status st = tmk_hub_string_parse(tmk_slice_str(text), &s, err);

    if (st == TMK_OK && s.signature != NULL) {
        st = tmk_credential_sas((const char *)tmk_secret_bytes(s.signature).bytes, out, err);
    } else if (st == TMK_OK) {
        st = tmk_credential_shared_key(s.key_name, (const char *)tmk_secret_bytes(s.key).bytes, out,
                                       err);
    }
    tmk_hub_string_clear(&s);
    return st;
}

static tmk_status from_storage_string(const char *text, tmk_credential **out, tmk_error *err) {
    tmk_storage_string s = {NULL};
    tmk_status st = tmk_storage_string_parse(tmk_slice_str(text), &s, err);
    tmk_str key = TMK_STR_INIT;

    if (st == TMK_OK && s.sas != NULL) {
        st = tmk_credential_sas((const char *)tmk_secret_bytes(s.sas).bytes, out, err);
    } else if (st == TMK_OK) {
        tmk_slice bytes = tmk_secret_bytes(s.key);

        if (tmk_str_reserve(&key, bytes.size * 2 + 4)) {
            tmk_str_add_base64(&key, bytes);
            st = tmk_credential_shared_key(s.account, tmk_str_text(&key), out, err);
        } else {
            st = tmk_fail(err, TMK_ENOMEM, "credential", "no memory for a credential");
        }
    }
    tmk_str_wipe(&key);
    tmk_storage_string_clear(&s);
    return st;
}

tmk_status tmk_credential_connection_string(const char *text, tmk_credential **out,
                                            tmk_error *err) {
    return tmk_storage_string_is(tmk_slice_str(text)) ? from_storage_string(text, out, err)
                                                      : from_hub_string(text, out, err);
}

/* ---- service principals ---- */

tmk_status tmk_credential_client_secret(const char *tenant, const char *client_id,
                                        const char *client_secret, const tmk_entra_options *options,
                                        tmk_credential **out, tmk_error *err) {
    tmk_credential *c;
    tmk_status st;

    if (!is_line(client_secret, secret_max)) {
        return tmk_credential_bad(err, "the client secret is missing or holds a line break");
    }
    c = tmk_credential_make(TMK_CREDENTIAL_SECRET);
    st = c == NULL ? TMK_ENOMEM : tmk_credential_principal(c, tenant, client_id, options, err);
    if (st == TMK_OK) {
        st = keep_secret(c, tmk_slice_str(client_secret));
    }
    return tmk_credential_done(c, st, out, err);
}

tmk_status tmk_credential_client_certificate(const char *tenant, const char *client_id,
                                             const char *pem_file, const tmk_entra_options *options,
                                             tmk_credential **out, tmk_error *err) {
    tmk_credential *c;
    tmk_status st;

    if (!is_line(pem_file, secret_max)) {
        return tmk_credential_bad(err, "the name of the certificate file is missing");
    }
    c = tmk_credential_make(TMK_CREDENTIAL_CERTIFICATE);
    st = c == NULL ? TMK_ENOMEM : tmk_credential_principal(c, tenant, client_id, options, err);
    if (st == TMK_OK) {
        st = tmk_credential_keep(&c->file, pem_file);
    }
    return tmk_credential_done(c, st, out, err);
}

/* ---- the program's own ---- */

tmk_status tmk_credential_callback(tmk_token_kind kind, tmk_token_fn ask, void *self,
                                   void (*free_self)(void *self), tmk_credential **out,
                                   tmk_error *err) {
    tmk_credential *c;

    if (ask == NULL) {
        return tmk_credential_bad(err, "the function that is to give tokens is missing");
    }
    if (kind != TMK_TOKEN_JWT && kind != TMK_TOKEN_SAS) {
        return tmk_credential_bad(err, "no such kind of token");
    }
    c = tmk_credential_make(TMK_CREDENTIAL_CALLBACK);
    if (c != NULL) {
        c->gives = kind;
        c->ask = ask;
        c->self = self;
        c->free_self = free_self;
        c->timeout = 60 * TMK_SEC;
    }
    return tmk_credential_done(c, TMK_OK, out, err);
}
