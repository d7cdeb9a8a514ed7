/*
 * Connection strings: see the header. A text is cut into parts against a table
 * of known keys first; what the parts mean together is checked afterwards. No
 * value ever reaches an error text.
 */
#include "auth/connection_string.h"

#include "auth/local.h"
#include "base/alloc.h"
#include "base/status.h"
#include "base/str.h"
#include "base/uri.h"

enum { text_max = 16384, keys_max = 12 };

/* The account that every installation of Azurite knows; no secret. */
static const char development_account[] = "devstoreaccount1";
static const char development_key[] =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

static tmk_status refuse(tmk_error *err, const char *sentence) {
    return tmk_fail(err, TMK_EINVAL, "connection-string", "%s", sentence);
}

static tmk_status no_memory(tmk_error *err) {
    return tmk_fail(err, TMK_ENOMEM, "connection-string", "no memory for a connection string");
}

/* ---- parts ---- */

static bool has_control(tmk_slice text) {
    for (size_t i = 0; i < text.size; i++) {
        if (text.bytes[i] < 0x20 || text.bytes[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

static int key_find(const char *const *keys, tmk_slice name) {
    for (int i = 0; keys[i] != NULL; i++) {
        if (tmk_slice_eq_nocase(name, tmk_slice_str(keys[i]))) {
            return i;
        }
    }
    return -1;
}

static tmk_status take_part(tmk_slice part, int number, const char *const *keys, tmk_slice *values,
                            tmk_error *err) {
    bool found = false;
    tmk_slice value = part;
    tmk_slice name = tmk_slice_trim(tmk_slice_cut(&value, '=', &found));
    int at;

    if (!found) {
        return tmk_fail(err, TMK_EINVAL, "connection-string",
                        "part %d has no '=': parts are Key=Value between semicolons", number);
    }
    if (name.size == 0) {
        return tmk_fail(err, TMK_EINVAL, "connection-string", "part %d has no name before '='",
                        number);
    }
    at = key_find(keys, name);
    if (at < 0) {
        return TMK_OK;
    }
    if (values[at].size > 0) {
        return tmk_fail(err, TMK_EINVAL, "connection-string", "%s is given twice", keys[at]);
    }
    values[at] = tmk_slice_trim(value);
    if (values[at].size == 0) {
        return tmk_fail(err, TMK_EINVAL, "connection-string",
                        "%s is empty: give it a value or leave it out", keys[at]);
    }
    return TMK_OK;
}

/* values[i] becomes what the text gives for keys[i], empty where it gives nothing. */
static tmk_status cut(tmk_slice text, const char *const *keys, tmk_slice *values, tmk_error *err) {
    tmk_status st = TMK_OK;
    bool more = true;
    int number = 0;

    text = tmk_slice_trim(text);
    if (text.size == 0) {
        return refuse(err, "the connection string is empty");
    }
    if (text.size > text_max) {
        return refuse(err, "the connection string is longer than 16384 bytes");
    }
    if (has_control(text)) {
        return refuse(err, "the connection string holds a line break or another control character");
    }
    while (more && st == TMK_OK) {
        tmk_slice part = tmk_slice_trim(tmk_slice_cut(&text, ';', &more));

        number++;
        if (part.size > 0) {
            st = take_part(part, number, keys, values, err);
        }
    }
    return st;
}

static tmk_status is_true(tmk_slice value, const char *key, bool *out, tmk_error *err) {
    if (tmk_slice_eq_nocase(value, TMK_LIT("true"))) {
        *out = true;
    } else if (value.size > 0 && !tmk_slice_eq_nocase(value, TMK_LIT("false"))) {
        return tmk_fail(err, TMK_EINVAL, "connection-string", "%s must be true or false", key);
    }
    return TMK_OK;
}

/* Copies; an empty value stays NULL. */
static bool keep_text(char **to, tmk_slice value) {
    return value.size == 0 || (*to = tmk_slice_dup(value)) != NULL;
}

static bool keep_secret(tmk_secret **to, tmk_slice value) {
    return value.size == 0 || (*to = tmk_secret_new(value)) != NULL;
}

/* ---- Event Hubs ---- */

enum { hub_endpoint, hub_key_name, hub_key, hub_signature, hub_path, hub_emulator };
static const char *const hub_keys[] = {"Endpoint",
                                       "SharedAccessKeyName",
                                       "SharedAccessKey",
                                       "SharedAccessSignature",
                                       "EntityPath",
                                       "UseDevelopmentEmulator",
                                       NULL};

static bool scheme_is_known(tmk_slice scheme) {
    return tmk_slice_eq_nocase(scheme, TMK_LIT("sb")) ||
           tmk_slice_eq_nocase(scheme, TMK_LIT("amqps")) ||
           tmk_slice_eq_nocase(scheme, TMK_LIT("amqp")) ||
           tmk_slice_eq_nocase(scheme, TMK_LIT("https"));
}

static tmk_status hub_check_endpoint(tmk_slice endpoint, tmk_uri *uri, tmk_error *err) {
    if (endpoint.size == 0) {
        return refuse(err,
                      "Endpoint is missing: add Endpoint=sb://NAMESPACE.servicebus.windows.net/");
    }
    if (tmk_uri_parse(endpoint, uri, NULL) != TMK_OK || !scheme_is_known(uri->scheme) ||
        uri->user.size > 0 || uri->password.size > 0 || !tmk_host_is_valid(uri->host)) {
        return refuse(err, "Endpoint is not a URL like sb://NAMESPACE.servicebus.windows.net/");
    }
    return TMK_OK;
}

static tmk_status hub_check_key(const tmk_slice *v, tmk_error *err) {
    if (v[hub_signature].size > 0) {
        if (v[hub_key].size > 0 || v[hub_key_name].size > 0) {
            return refuse(err, "SharedAccessSignature and SharedAccessKey or SharedAccessKeyName "
                               "exclude each other: keep one way");
        }
        return TMK_OK;
    }
    if (v[hub_key].size == 0 && v[hub_key_name].size == 0) {
        return refuse(err, "SharedAccessKeyName and SharedAccessKey are missing: copy the whole "
                           "connection string of a shared access policy");
    }
    if (v[hub_key].size == 0) {
        return refuse(err, "SharedAccessKey is missing beside SharedAccessKeyName");
    }
    if (v[hub_key_name].size == 0) {
        return refuse(err, "SharedAccessKeyName is missing beside SharedAccessKey");
    }
    return TMK_OK;
}

static tmk_status hub_check(const tmk_slice *v, tmk_uri *uri, bool *emulator, tmk_error *err) {
    tmk_status st = hub_check_endpoint(v[hub_endpoint], uri, err);

    if (st == TMK_OK) {
        st = hub_check_key(v, err);
    }
    if (st == TMK_OK) {
        st = is_true(v[hub_emulator], hub_keys[hub_emulator], emulator, err);
    }
    if (st == TMK_OK && *emulator && !tmk_host_is_local(uri->host)) {
        st = refuse(err, "UseDevelopmentEmulator is for a local Endpoint such as sb://localhost: "
                         "it would send tokens in the clear; remove it");
    }
    return st;
}

tmk_status tmk_hub_string_parse(tmk_slice text, tmk_hub_string *out, tmk_error *err) {
    tmk_slice v[keys_max] = {{NULL, 0}};
    tmk_hub_string made = {NULL};
    tmk_uri uri = {0};
    tmk_status st = cut(text, hub_keys, v, err);

    if (st == TMK_OK) {
        st = hub_check(v, &uri, &made.emulator, err);
    }
    if (st != TMK_OK) {
        return st;
    }
    made.port = uri.port;
    if (!keep_text(&made.host, uri.host) || !keep_text(&made.hub, v[hub_path]) ||
        !keep_text(&made.key_name, v[hub_key_name]) || !keep_secret(&made.key, v[hub_key]) ||
        !keep_secret(&made.signature, v[hub_signature])) {
        tmk_hub_string_clear(&made);
        return no_memory(err);
    }
    *out = made;
    return TMK_OK;
}

void tmk_hub_string_clear(tmk_hub_string *s) {
    tmk_free(s->host);
    tmk_free(s->hub);
    tmk_free(s->key_name);
    tmk_secret_free(s->key);
    tmk_secret_free(s->signature);
    memset(s, 0, sizeof *s);
}

tmk_status tmk_hub_string_choose(const tmk_hub_string *s, const char *asked, const char **out,
                                 tmk_error *err) {
    bool given = asked != NULL && asked[0] != '\0';

    if (!given && s->hub == NULL) {
        return refuse(err, "no hub is named: give its name, or add EntityPath=HUB to the "
                           "connection string");
    }
    if (given && s->hub != NULL &&
        !tmk_slice_eq_nocase(tmk_slice_str(asked), tmk_slice_str(s->hub))) {
        return refuse(err, "EntityPath names another hub than the one asked for: change one of "
                           "them, or use the namespace's connection string");
    }
    *out = s->hub != NULL ? s->hub : asked;
    return TMK_OK;
}

/* ---- Storage ---- */

enum {
    sto_protocol,
    sto_account,
    sto_key,
    sto_suffix,
    sto_blob,
    sto_sas,
    sto_development,
    sto_proxy
};
static const char *const storage_keys[] = {"DefaultEndpointsProtocol",
                                           "AccountName",
                                           "AccountKey",
                                           "EndpointSuffix",
                                           "BlobEndpoint",
                                           "SharedAccessSignature",
                                           "UseDevelopmentStorage",
                                           "DevelopmentStorageProxyUri",
                                           NULL};

bool tmk_storage_string_is(tmk_slice text) {
    static const char *const telling[] = {"AccountName", "BlobEndpoint", "DefaultEndpointsProtocol",
                                          "UseDevelopmentStorage", NULL};
    bool more = true;

    while (more) {
        tmk_slice part = tmk_slice_cut(&text, ';', &more);
        bool found = false;
        tmk_slice name = tmk_slice_trim(tmk_slice_cut(&part, '=', &found));

        if (found && key_find(telling, name) >= 0) {
            return true;
        }
    }
    return false;
}

/* A base that requests append "/container/blob" to. */
static tmk_status check_base(tmk_slice url, const char *key, tmk_slice *out, tmk_error *err) {
    tmk_uri uri = {0};
    bool https;

    while (url.size > 0 && url.bytes[url.size - 1] == '/') {
        url.size--;
    }
    if (tmk_uri_parse(url, &uri, NULL) != TMK_OK || !tmk_host_is_valid(uri.host) ||
        uri.user.size > 0 || uri.password.size > 0 || uri.query.size > 0) {
        return tmk_fail(err, TMK_EINVAL, "connection-string",
                        "%s is not a URL like https://ACCOUNT.blob.core.windows.net", key);
    }
    https = tmk_slice_eq_nocase(uri.scheme, TMK_LIT("https"));
    if (!https && !tmk_slice_eq_nocase(uri.scheme, TMK_LIT("http"))) {
        return tmk_fail(err, TMK_EINVAL, "connection-string", "%s must begin with https://", key);
    }
    if (!https && !tmk_host_is_local(uri.host)) {
        return tmk_fail(err, TMK_EINVAL, "connection-string",
                        "%s would send data in the clear: http:// is for a local host only", key);
    }
    *out = url;
    return TMK_OK;
}

static tmk_status development_base(const tmk_slice *v, tmk_str *url, tmk_error *err) {
    tmk_slice proxy = TMK_LIT("http://127.0.0.1");
    tmk_status st = TMK_OK;

    if (v[sto_proxy].size > 0) {
        st = check_base(v[sto_proxy], storage_keys[sto_proxy], &proxy, err);
    }
    if (st == TMK_OK) {
        tmk_str_add_slice(url, proxy);
        tmk_str_addf(url, ":10000/%s", development_account);
    }
    return st;
}

static tmk_status named_base(const tmk_slice *v, tmk_str *url, tmk_error *err) {
    tmk_slice suffix = v[sto_suffix].size > 0 ? v[sto_suffix] : TMK_LIT("core.windows.net");
    tmk_slice ignored;

    if (v[sto_account].size == 0) {
        return refuse(err, "AccountName is missing: copy the whole connection string of the "
                           "storage account");
    }
    if (v[sto_protocol].size > 0 && !tmk_slice_eq_nocase(v[sto_protocol], TMK_LIT("https"))) {
        return refuse(err, "DefaultEndpointsProtocol must be https; for a local service over http "
                           "give BlobEndpoint");
    }
    if (!tmk_host_is_valid(suffix)) {
        return refuse(err, "EndpointSuffix is not a host name such as core.windows.net");
    }
    tmk_str_add(url, "https://");
    tmk_str_add_slice(url, v[sto_account]);
    tmk_str_add(url, ".blob.");
    tmk_str_add_slice(url, suffix);
    return check_base(tmk_str_slice(url), "AccountName", &ignored, err);
}

static tmk_status storage_base(const tmk_slice *v, bool development, char **out, tmk_error *err) {
    tmk_str url = TMK_STR_INIT;
    tmk_slice base = {NULL, 0};
    tmk_status st;

    if (v[sto_blob].size > 0) {
        st = check_base(v[sto_blob], storage_keys[sto_blob], &base, err);
        tmk_str_add_slice(&url, base);
    } else if (development) {
        st = development_base(v, &url, err);
    } else {
        st = named_base(v, &url, err);
    }
    if (!tmk_str_ok(&url)) {
        st = no_memory(err);
    }
    if (st == TMK_OK) {
        *out = tmk_str_take(&url);
    }
    tmk_str_clear(&url);
    return st;
}

/* It becomes a part of a host, a path or a header. */
static bool is_account(tmk_slice name) {
    return tmk_host_is_valid(name) && memchr(name.bytes, '.', name.size) == NULL &&
           memchr(name.bytes, ':', name.size) == NULL;
}

static tmk_status storage_check(const tmk_slice *v, bool development, tmk_error *err) {
    if (development) {
        return TMK_OK;
    }
    if (v[sto_account].size > 0 && !is_account(v[sto_account])) {
        return refuse(err, "AccountName is not the name of a storage account: letters and digits");
    }
    if (v[sto_key].size > 0 && v[sto_sas].size > 0) {
        return refuse(err, "AccountKey and SharedAccessSignature exclude each other: keep one");
    }
    if (v[sto_key].size == 0 && v[sto_sas].size == 0) {
        return refuse(err, "AccountKey or SharedAccessSignature is missing: without them use the "
                           "account's URL and an Entra credential");
    }
    if (v[sto_key].size > 0 && v[sto_account].size == 0) {
        return refuse(err, "AccountName is missing beside AccountKey");
    }
    return TMK_OK;
}

tmk_status tmk_storage_key_decode(tmk_slice base64, tmk_secret **out, tmk_error *err) {
    tmk_str bytes = TMK_STR_INIT;
    tmk_secret *made = NULL;
    bool good;

    if (!tmk_str_reserve(&bytes, base64.size)) {
        return no_memory(err);
    }
    good = tmk_str_add_unbase64(&bytes, base64) && bytes.size > 0;
    if (good) {
        made = tmk_secret_new(tmk_str_slice(&bytes));
    }
    tmk_str_wipe(&bytes);
    if (!good) {
        return refuse(err, "the account's key is not base64 text: copy it again");
    }
    if (made == NULL) {
        return no_memory(err);
    }
    *out = made;
    return TMK_OK;
}

static tmk_slice without_mark(tmk_slice sas) {
    return tmk_slice_starts(sas, TMK_LIT("?")) ? tmk_slice_from(sas, 1) : sas;
}

tmk_status tmk_storage_string_parse(tmk_slice text, tmk_storage_string *out, tmk_error *err) {
    tmk_slice v[keys_max] = {{NULL, 0}};
    tmk_storage_string made = {NULL};
    bool development = false;
    tmk_status st = cut(text, storage_keys, v, err);

    if (st == TMK_OK) {
        st = is_true(v[sto_development], storage_keys[sto_development], &development, err);
    }
    if (st == TMK_OK && tmk_slice_eq(v[sto_sas], TMK_LIT("?"))) {
        st = refuse(err, "SharedAccessSignature is empty: give it a value or leave it out");
    }
    if (st == TMK_OK) {
        st = storage_check(v, development, err);
    }
    if (st == TMK_OK) {
        st = storage_base(v, development, &made.blob_endpoint, err);
    }
    if (development) {
        v[sto_account] = tmk_slice_str(development_account);
        v[sto_key] = tmk_slice_str(development_key);
        v[sto_sas] = tmk_slice_of(NULL, 0);
    }
    if (st == TMK_OK && v[sto_key].size > 0) {
        st = tmk_storage_key_decode(v[sto_key], &made.key, err);
    }
    if (st == TMK_OK && (!keep_text(&made.account, v[sto_account]) ||
                         !keep_secret(&made.sas, without_mark(v[sto_sas])))) {
        st = no_memory(err);
    }
    if (st != TMK_OK) {
        tmk_storage_string_clear(&made);
        return st;
    }
    *out = made;
    return TMK_OK;
}

void tmk_storage_string_clear(tmk_storage_string *s) {
    tmk_free(s->account);
    tmk_secret_free(s->key);
    tmk_secret_free(s->sas);
    tmk_free(s->blob_endpoint);
    memset(s, 0, sizeof *s);
}
