/* Token requests: see the header. */
#include "auth/token_request.h"

#include "base/status.h"

#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

tmk_slice tmk_scope_resource(const char *scope) {
    static const char suffix[] = "/.default";
    tmk_slice text = tmk_slice_str(scope);

    if (tmk_slice_ends(text, TMK_LIT("/.default"))) {
        text.size -= sizeof suffix - 1;
    }
    return text;
}

static void add_field(tmk_str *s, const char *name, tmk_slice value) {
    if (s->size > 0) {
        tmk_str_add_char(s, '&');
    }
    tmk_str_add(s, name);
    tmk_str_add_char(s, '=');
    tmk_str_add_percent(s, value);
}

tmk_status tmk_token_form(const tmk_credential *c, const char *scope, const tmk_secret *proof,
                          tmk_str *out, tmk_error *err) {
    tmk_slice secret = tmk_secret_bytes(proof);

    if (tmk_str_reserve(out, 3 * (secret.size + strlen(c->client_id) + strlen(scope)) + 320)) {
        add_field(out, "grant_type", TMK_LIT("client_credentials"));
        add_field(out, "client_id", tmk_slice_str(c->client_id));
        add_field(out, "scope", tmk_slice_str(scope));
        if (c->kind == TMK_CREDENTIAL_SECRET) {
            add_field(out, "client_secret", secret);
        } else {
            add_field(out, "client_assertion_type", TMK_LIT(ASSERTION_TYPE));
            add_field(out, "client_assertion", secret);
        }
    }
    if (!tmk_str_ok(out)) {
        return tmk_fail(err, TMK_ENOMEM, "token", "no memory for a token request");
    }
    return TMK_OK;
}

/* How the endpoint wants the id of an identity named. */
static const char *identity_field(const tmk_credential *c) {
    bool app_service = c->source == TMK_SOURCE_APP_SERVICE;

    switch (c->identity) {
    case TMK_IDENTITY_CLIENT_ID:
        return "client_id";
    case TMK_IDENTITY_OBJECT_ID:
        return app_service ? "principal_id" : "object_id";
    case TMK_IDENTITY_RESOURCE_ID:
        return app_service ? "mi_res_id" : "msi_res_id";
    case TMK_IDENTITY_SYSTEM:
        break;
    }
    return NULL;
}

char *tmk_identity_url(const tmk_credential *c, const char *scope) {
    static const char *const versions[] = {"2018-02-01", "2019-08-01", "2020-06-01"};
    const char *field = identity_field(c);
    tmk_str query = TMK_STR_INIT;
    char *url = NULL;

    add_field(&query, "api-version", tmk_slice_str(versions[c->source]));
    add_field(&query, "resource", tmk_scope_resource(scope));
    if (field != NULL) {
        add_field(&query, field, tmk_slice_str(c->client_id));
    }
    if (tmk_str_ok(&query)) {
        url = tmk_str_format("%s?%s", c->token_url, tmk_str_text(&query));
    }
    tmk_str_clear(&query);
    return url;
}

/* ---- Azure Arc ---- */

/* What follows "Basic realm=", without quotes; empty where there is none. */
static tmk_slice realm_of(const char *challenge) {
    static const char prefix[] = "Basic realm=";
    tmk_slice text = tmk_slice_trim(tmk_slice_str(challenge));

    if (text.size < sizeof prefix - 1 ||
        !tmk_slice_eq_nocase(tmk_slice_of(text.bytes, sizeof prefix - 1),
                             TMK_LIT("Basic realm="))) {
        return tmk_slice_of(NULL, 0);
    }
    text = tmk_slice_from(text, sizeof prefix - 1);
    if (text.size >= 2 && text.bytes[0] == '"' && text.bytes[text.size - 1] == '"') {
        text = tmk_slice_of(text.bytes + 1, text.size - 2);
    }
    return text;
}

static bool is_key_name(tmk_slice name) {
    for (size_t i = 0; i < name.size; i++) {
        if (name.bytes[i] <= ' ' || name.bytes[i] > '~' || name.bytes[i] == '/') {
            return false;
        }
    }
    return name.size > 4 && name.size < 128 && name.bytes[0] != '.' &&
           tmk_slice_ends(name, TMK_LIT(".key"));
}

tmk_status tmk_arc_key_path(const char *challenge, const char *folder, tmk_str *out,
                            tmk_error *err) {
    tmk_slice path = realm_of(challenge);
    tmk_slice name = tmk_slice_from(path, strlen(folder) + 1);

    if (!tmk_slice_starts(path, tmk_slice_str(folder)) || path.size <= strlen(folder) ||
        path.bytes[strlen(folder)] != '/' || !is_key_name(name)) {
        return tmk_fail(err, TMK_EPROTO, "identity",
                        "the Azure Arc agent points to a key file that is not in %s", folder);
    }
    tmk_str_add_slice(out, path);
    if (!tmk_str_ok(out)) {
        return tmk_fail(err, TMK_ENOMEM, "identity", "no memory for the name of a key file");
    }
    return TMK_OK;
}
