/*
 * Credentials of Entra ID that the environment takes part in: settings, the
 * authority, workload identity, managed identity, the Azure CLI, the chain.
 * The environment is read when a credential is made, never later.
 */
#include "auth/credential.h"

#include <stdlib.h>
#include <unistd.h>

#include "auth/credential_parts.h"
#include "auth/local.h"
#include "base/alloc.h"
#include "base/status.h"
#include "base/str.h"
#include "base/uri.h"

#define PUBLIC_AUTHORITY "https://login.microsoftonline.com"
#define IMDS_HOST "http://169.254.169.254"
#define IMDS_PATH "/metadata/identity/oauth2/token"
#define ARC_ENDPOINT "http://127.0.0.1:40342" IMDS_PATH
#define ARC_AGENT "/opt/azcmagent/bin/himds"
#define ARC_KEYS "/var/opt/azcmagent/tokens"

enum { name_max = 128, id_max = 512, url_max = 1024, path_max = 4096, timeout_max_ms = 3600000 };

/* An identity service that is being updated is away for up to 70 seconds. */
enum { timeout_default_ms = 60000, timeout_managed_ms = 90000 };

/* NULL where it is not set or empty. */
static const char *environment(const char *name) {
    const char *value = getenv(name);

    return value == NULL || value[0] == '\0' ? NULL : value;
}

/* ---- settings ---- */

void tmk_entra_options_fill(tmk_entra_options *options, size_t size) {
    tmk_entra_options all = {.size = size};

    memset(options, 0, size);
    memcpy(options, &all, size < sizeof all ? size : sizeof all);
}

/* The defaults of now, overlaid with as much as the program knows of. */
static tmk_status read_options(const tmk_entra_options *options, tmk_entra_options *all,
                               tmk_error *err) {
    tmk_entra_options_init(all);
    if (options == NULL) {
        return TMK_OK;
    }
    if (options->size < sizeof options->size) {
        return tmk_credential_bad(err, "the options were not filled by tmk_entra_options_init()");
    }
    memcpy(all, options, options->size < sizeof *all ? options->size : sizeof *all);
    if (all->timeout_ms < 0 || all->timeout_ms > timeout_max_ms) {
        return tmk_credential_bad(err, "timeout_ms of the options is not between 0 and 3600000");
    }
    return TMK_OK;
}

static tmk_status keep_scope(char **to, const char *given, const char *variable, tmk_error *err) {
    const char *scope = given != NULL ? given : environment(variable);

    if (scope != NULL &&
        (!tmk_is_printable(scope, url_max) || scope[0] == '-' || strchr(scope, '/') == NULL)) {
        return tmk_fail(err, TMK_EINVAL, "credential",
                        "the scope is none like https://storage.azure.com/.default (%s)", variable);
    }
    return tmk_credential_keep(to, scope);
}

static tmk_status keep_options(tmk_credential *c, const tmk_entra_options *all, tmk_error *err) {
    int64_t standard_ms =
        c->kind == TMK_CREDENTIAL_MANAGED ? timeout_managed_ms : timeout_default_ms;
    tmk_status st;

    c->timeout = (all->timeout_ms > 0 ? all->timeout_ms : standard_ms) * TMK_MS;
    c->rs256 = all->certificate_rs256;
    c->send_chain = all->certificate_chain;
    if (tmk_credential_keep(&c->tls_ca_file, all->tls_ca_file) != TMK_OK ||
        tmk_credential_keep(&c->proxy, all->proxy) != TMK_OK) {
        return TMK_ENOMEM;
    }
    st = keep_scope(&c->hub_scope, all->hub_scope, "TIDEMARK_HUB_SCOPE", err);
    return st == TMK_OK
               ? keep_scope(&c->storage_scope, all->storage_scope, "TIDEMARK_STORAGE_SCOPE", err)
               : st;
}

tmk_status tmk_credential_settings(tmk_credential *c, const tmk_entra_options *options,
                                   tmk_error *err) {
    tmk_entra_options all;
    tmk_status st = read_options(options, &all, err);

    return st == TMK_OK ? keep_options(c, &all, err) : st;
}

/* ---- the authority ---- */

/* It goes into a path. */
static bool is_tenant(const char *tenant) {
    size_t size = tenant == NULL ? 0 : strlen(tenant);

    for (size_t i = 0; i < size; i++) {
        char c = tenant[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || (c == '.' && i > 0 && tenant[i - 1] != '.'))) {
            return false;
        }
    }
    return size > 0 && size <= name_max;
}

/* Nothing but scheme, host and port. */
static bool is_bare(const tmk_uri *uri) {
    return tmk_host_is_valid(uri->host) && uri->user.size == 0 && uri->password.size == 0 &&
           uri->query.size == 0 && (uri->path.size == 0 || tmk_slice_eq(uri->path, TMK_LIT("/")));
}

static tmk_status check_authority(tmk_slice authority, bool plain_loopback, tmk_error *err) {
    tmk_uri uri;

    if (authority.size > url_max || tmk_uri_parse(authority, &uri, NULL) != TMK_OK ||
        !is_bare(&uri)) {
        return tmk_credential_bad(err, "the authority is not a URL like " PUBLIC_AUTHORITY
                                       " (option authority, or AZURE_AUTHORITY_HOST)");
    }
    if (tmk_slice_eq_nocase(uri.scheme, TMK_LIT("https")) ||
        (plain_loopback && tmk_slice_eq_nocase(uri.scheme, TMK_LIT("http")) &&
         tmk_host_is_loopback(uri.host))) {
        return TMK_OK;
    }
    return tmk_credential_bad(err, "the authority must begin with https://: it is sent secrets");
}

static tmk_status make_token_url(tmk_credential *c, const tmk_entra_options *all, tmk_error *err) {
    const char *given =
        all->authority != NULL ? all->authority : environment("AZURE_AUTHORITY_HOST");
    tmk_slice authority = tmk_slice_trim(tmk_slice_str(given != NULL ? given : PUBLIC_AUTHORITY));
    tmk_status st = check_authority(authority, all->danger_plain_loopback, err);

    if (st != TMK_OK) {
        return st;
    }
    if (authority.bytes[authority.size - 1] == '/') {
        authority.size--;
    }
    c->token_url = tmk_str_format("%.*s/%s/oauth2/v2.0/token", (int)authority.size,
                                  (const char *)authority.bytes, c->tenant);
    return c->token_url == NULL ? TMK_ENOMEM : TMK_OK;
}

tmk_status tmk_credential_principal(tmk_credential *c, const char *tenant, const char *client_id,
                                    const tmk_entra_options *options, tmk_error *err) {
    tmk_entra_options all;
    tmk_status st = read_options(options, &all, err);

    if (st == TMK_OK && !is_tenant(tenant)) {
        st = tmk_credential_bad(err, "the tenant is missing or no tenant: letters, digits, '.' and "
                                     "'-' (AZURE_TENANT_ID)");
    }
    if (st == TMK_OK && !tmk_is_printable(client_id, id_max)) {
        st = tmk_credential_bad(err, "the client id is missing or no id (AZURE_CLIENT_ID)");
    }
    if (st == TMK_OK) {
        st = keep_options(c, &all, err);
    }
    if (st == TMK_OK) {
        st = tmk_credential_keep(&c->tenant, tenant);
    }
    if (st == TMK_OK) {
        st = tmk_credential_keep(&c->client_id, client_id);
    }
    return st == TMK_OK ? make_token_url(c, &all, err) : st;
}

/* ---- workload identity ---- */

tmk_status tmk_credential_workload_identity(const char *tenant, const char *client_id,
                                            const char *token_file,
                                            const tmk_entra_options *options, tmk_credential **out,
                                            tmk_error *err) {
    tmk_credential *c;
    tmk_status st;

    tenant = tenant != NULL ? tenant : environment("AZURE_TENANT_ID");
    client_id = client_id != NULL ? client_id : environment("AZURE_CLIENT_ID");
    token_file = token_file != NULL ? token_file : environment("AZURE_FEDERATED_TOKEN_FILE");
    if (token_file == NULL || strlen(token_file) > path_max) {
        return tmk_credential_bad(err, "the federated token file is missing: is the pod labelled "
                                       "azure.workload.identity/use? (AZURE_FEDERATED_TOKEN_FILE)");
    }
    c = tmk_credential_make(TMK_CREDENTIAL_WORKLOAD);
    st = c == NULL ? TMK_ENOMEM : tmk_credential_principal(c, tenant, client_id, options, err);
    if (st == TMK_OK) {
        st = tmk_credential_keep(&c->file, token_file);
    }
    return tmk_credential_done(c, st, out, err);
}

/* ---- managed identity ---- */

static bool is_link_local(tmk_slice host) {
    return tmk_slice_starts(host, TMK_LIT("169.254."));
}

/* The request carries a secret or brings a token: in the clear only inside the machine. */
static bool is_near(const char *url) {
    tmk_uri uri;

    if (strlen(url) > url_max || tmk_uri_parse(tmk_slice_str(url), &uri, NULL) != TMK_OK ||
        !tmk_host_is_valid(uri.host) || uri.user.size > 0 || uri.query.size > 0) {
        return false;
    }
    return tmk_slice_eq_nocase(uri.scheme, TMK_LIT("https")) ||
           (tmk_slice_eq_nocase(uri.scheme, TMK_LIT("http")) &&
            (tmk_host_is_loopback(uri.host) || is_link_local(uri.host)));
}

static tmk_status keep_endpoint(tmk_credential *c, const char *url, const char *path,
                                const char *variable, tmk_error *err) {
    size_t size = strlen(url);

    if (!is_near(url)) {
        return tmk_fail(err, TMK_EINVAL, "credential",
                        "%s is not a URL of this machine or of https", variable);
    }
    while (size > 0 && path[0] != '\0' && url[size - 1] == '/') {
        size--;
    }
    c->token_url = tmk_str_format("%.*s%s", (int)size, url, path);
    return c->token_url == NULL ? TMK_ENOMEM : TMK_OK;
}

static tmk_status keep_app_service(tmk_credential *c, const char *endpoint, const char *header,
                                   tmk_error *err) {
    c->source = TMK_SOURCE_APP_SERVICE;
    if (!tmk_is_printable(header, path_max)) {
        return tmk_credential_bad(err, "IDENTITY_HEADER is no header value");
    }
    c->secret = tmk_secret_new(tmk_slice_str(header));
    return c->secret == NULL ? TMK_ENOMEM
                             : keep_endpoint(c, endpoint, "", "IDENTITY_ENDPOINT", err);
}

static tmk_status keep_arc(tmk_credential *c, const char *endpoint, tmk_error *err) {
    c->source = TMK_SOURCE_ARC;
    if (tmk_credential_keep(&c->file, ARC_KEYS) != TMK_OK) {
        return TMK_ENOMEM;
    }
    return keep_endpoint(c, endpoint, "", "IDENTITY_ENDPOINT", err);
}

static tmk_status find_source(tmk_credential *c, tmk_error *err) {
    const char *endpoint = environment("IDENTITY_ENDPOINT");
    const char *header = environment("IDENTITY_HEADER");
    const char *pod = environment("AZURE_POD_IDENTITY_AUTHORITY_HOST");

    if (endpoint != NULL && header != NULL) {
        return environment("IDENTITY_SERVER_THUMBPRINT") != NULL
                   ? tmk_fail(err, TMK_EUNSUPPORTED, "credential",
                              "managed identity of Service Fabric is not supported")
                   : keep_app_service(c, endpoint, header, err);
    }
    if (endpoint != NULL && environment("IMDS_ENDPOINT") != NULL) {
        return keep_arc(c, endpoint, err);
    }
    if (pod == NULL && access(ARC_AGENT, F_OK) == 0) {
        return keep_arc(c, ARC_ENDPOINT, err);
    }
    c->source = TMK_SOURCE_IMDS;
    return keep_endpoint(c, pod != NULL ? pod : IMDS_HOST, IMDS_PATH,
                         "AZURE_POD_IDENTITY_AUTHORITY_HOST", err);
}

static tmk_status check_identity(tmk_identity_kind kind, const char *id, tmk_error *err) {
    if (kind == TMK_IDENTITY_SYSTEM) {
        return id == NULL
                   ? TMK_OK
                   : tmk_credential_bad(err, "say of which kind the managed identity's id is");
    }
    if (kind < TMK_IDENTITY_SYSTEM || kind > TMK_IDENTITY_RESOURCE_ID) {
        return tmk_credential_bad(err, "no such kind of managed identity's id");
    }
    return tmk_is_printable(id, id_max)
               ? TMK_OK
               : tmk_credential_bad(err, "the managed identity's id is missing or no id");
}

tmk_status tmk_credential_managed_identity(tmk_identity_kind kind, const char *id,
                                           const tmk_entra_options *options, tmk_credential **out,
                                           tmk_error *err) {
    tmk_credential *c;
    tmk_status st = check_identity(kind, id, err);

    if (st != TMK_OK) {
        return st;
    }
    c = tmk_credential_make(TMK_CREDENTIAL_MANAGED);
    st = c == NULL ? TMK_ENOMEM : tmk_credential_settings(c, options, err);
    if (st == TMK_OK) {
        c->identity = kind;
        st = tmk_credential_keep(&c->client_id, id);
    }
    if (st == TMK_OK) {
        st = find_source(c, err);
    }
    return tmk_credential_done(c, st, out, err);
}

/* ---- Azure CLI ---- */

tmk_status tmk_credential_azure_cli(const char *tenant, const tmk_entra_options *options,
                                    tmk_credential **out, tmk_error *err) {
    tmk_credential *c;
    tmk_status st;

    if (tenant != NULL && (!is_tenant(tenant) || tenant[0] == '-')) {
        return tmk_credential_bad(err, "no tenant: letters, digits, '.' and '-'");
    }
    c = tmk_credential_make(TMK_CREDENTIAL_CLI);
    st = c == NULL ? TMK_ENOMEM : tmk_credential_settings(c, options, err);
    if (st == TMK_OK) {
        st = tmk_credential_keep(&c->tenant, tenant);
    }
    return tmk_credential_done(c, st, out, err);
}

/* ---- the chain ---- */

typedef enum chain_part {
    part_environment,
    part_workload,
    part_managed,
    part_cli,
    part_count
} chain_part;

static const char *const part_titles[] = {"environment", "workload identity", "managed identity",
                                          "Azure CLI"};
static const char *const part_names[] = {"EnvironmentCredential", "WorkloadIdentityCredential",
                                         "ManagedIdentityCredential", "AzureCliCredential"};

/* Which parts AZURE_TOKEN_CREDENTIALS and the options leave. */
static tmk_status choose_parts(const tmk_entra_options *all, bool *wanted, tmk_error *err) {
    const char *choice = environment("AZURE_TOKEN_CREDENTIALS");
    tmk_slice name = tmk_slice_trim(tmk_slice_str(choice));
    bool any = choice == NULL;

    for (int i = 0; i < part_count; i++) {
        if (name.size == 0) {
            wanted[i] = i != part_cli || all->use_cli;
        } else if (tmk_slice_eq_nocase(name, TMK_LIT("prod"))) {
            wanted[i] = i != part_cli;
        } else if (tmk_slice_eq_nocase(name, TMK_LIT("dev"))) {
            wanted[i] = i == part_cli;
        } else {
            wanted[i] = tmk_slice_eq_nocase(name, tmk_slice_str(part_names[i]));
        }
        any |= wanted[i];
    }
    return any ? TMK_OK
               : tmk_credential_bad(err, "AZURE_TOKEN_CREDENTIALS is none of prod, dev, "
                                         "EnvironmentCredential, WorkloadIdentityCredential, "
                                         "ManagedIdentityCredential, AzureCliCredential");
}

/* The first that is not set, or NULL. */
static const char *first_unset(const char *const *names) {
    while (*names != NULL && environment(*names) != NULL) {
        names++;
    }
    return *names;
}

static tmk_status make_environment(const tmk_entra_options *options, const char **unset,
                                   tmk_credential **out, tmk_error *err) {
    static const char *const needed[] = {"AZURE_TENANT_ID", "AZURE_CLIENT_ID", NULL};
    const char *secret = environment("AZURE_CLIENT_SECRET");
    const char *file = environment("AZURE_CLIENT_CERTIFICATE_PATH");

    *unset = first_unset(needed);
    if (*unset == NULL && secret == NULL && file == NULL) {
        *unset = "AZURE_CLIENT_SECRET";
    }
    if (*unset != NULL) {
        return TMK_ABSENT;
    }
    if (secret != NULL) {
        return tmk_credential_client_secret(environment("AZURE_TENANT_ID"),
                                            environment("AZURE_CLIENT_ID"), secret, options, out,
                                            err);
    }
    return tmk_credential_client_certificate(
        environment("AZURE_TENANT_ID"), environment("AZURE_CLIENT_ID"), file, options, out, err);
}

static tmk_status make_workload(const tmk_entra_options *options, const char **unset,
                                tmk_credential **out, tmk_error *err) {
    static const char *const needed[] = {"AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID",
                                         "AZURE_CLIENT_ID", NULL};

    *unset = first_unset(needed);
    return *unset != NULL ? TMK_ABSENT
                          : tmk_credential_workload_identity(NULL, NULL, NULL, options, out, err);
}

/* ABSENT with *unset: the variable that is missing for this part. */
static tmk_status make_part(chain_part part, const tmk_entra_options *options, const char **unset,
                            tmk_credential **out, tmk_error *err) {
    const char *id = environment("AZURE_CLIENT_ID");

    switch (part) {
    case part_environment:
        return make_environment(options, unset, out, err);
    case part_workload:
        return make_workload(options, unset, out, err);
    case part_managed:
        return tmk_credential_managed_identity(
            id != NULL ? TMK_IDENTITY_CLIENT_ID : TMK_IDENTITY_SYSTEM, id, options, out, err);
    case part_cli:
    case part_count:
        break;
    }
    return tmk_credential_azure_cli(NULL, options, out, err);
}

static tmk_status add_parts(tmk_credential *chain, const bool *wanted,
                            const tmk_entra_options *options, tmk_str *skipped, tmk_error *err) {
    for (int i = 0; i < part_count; i++) {
        const char *unset = NULL;
        tmk_status st;

        if (!wanted[i]) {
            continue;
        }
        st = make_part((chain_part)i, options, &unset, &chain->links[chain->link_count], err);
        if (st == TMK_ABSENT) {
            tmk_str_addf(skipped, "%s: %s is not set; ", part_titles[i], unset);
        } else if (st != TMK_OK) {
            return st;
        } else {
            chain->link_count++;
        }
    }
    return tmk_str_ok(skipped) ? TMK_OK : TMK_ENOMEM;
}

tmk_status tmk_credential_default(const tmk_entra_options *options, tmk_credential **out,
                                  tmk_error *err) {
    tmk_entra_options all;
    bool wanted[part_count] = {false};
    tmk_str skipped = TMK_STR_INIT;
    tmk_credential *c = NULL;
    tmk_status st = read_options(options, &all, err);

    if (st == TMK_OK) {
        st = choose_parts(&all, wanted, err);
    }
    if (st != TMK_OK) {
        return st;
    }
    c = tmk_credential_make(TMK_CREDENTIAL_CHAIN);
    st = c == NULL ? TMK_ENOMEM : keep_options(c, &all, err);
    if (st == TMK_OK) {
        st = add_parts(c, wanted, options, &skipped, err);
    }
    if (st == TMK_OK && c->link_count == 0) {
        st = tmk_fail(err, TMK_EINVAL, "credential", "no credential: %s", tmk_str_text(&skipped));
    }
    if (st == TMK_OK && skipped.size > 0) {
        c->skipped = tmk_str_take(&skipped);
        st = c->skipped == NULL ? TMK_ENOMEM : TMK_OK;
    }
    tmk_str_clear(&skipped);
    return tmk_credential_done(c, st, out, err);
}
