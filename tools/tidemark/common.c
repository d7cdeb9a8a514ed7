/* Making clients and credentials from options. See common.h. */
#include "common.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cli_log_is_json(const cli_common *c) {
    return c->log_format != NULL && strcmp(c->log_format, "json") == 0;
}

tmk_log cli_log(const cli_common *c) {
    static const char *const names[] = {"none", "error", "warn", "info", "debug", "trace"};
    int level = TMK_LOG_WARN;

    for (int i = 0; c->log_level != NULL && i <= TMK_LOG_TRACE; i++) {
        if (strcmp(names[i], c->log_level) == 0) {
            level = i;
        }
    }
    return (cli_log_is_json(c) ? tmk_log_stderr_json : tmk_log_stderr)((tmk_log_level)level);
}

const char *cli_advice(const tmk_error *err) {
    bool store = strncmp(err->origin, "blob", 4) == 0;

    switch (err->status) {
    case TMK_EAUTH:
        return store ? "; check the key or the role (Storage Blob Data Contributor) and its scope"
                     : "; check the key or the role (Azure Event Hubs Data Receiver or Sender) and "
                       "its scope";
    case TMK_ENOTFOUND:
        return store ? "; check the container's name, or give --create-container"
                     : "; check --hub, --group and --partition";
    case TMK_ETIMEOUT:
        return store ? "; check the address of the storage account, firewalls and --proxy"
                     : "; check the address, firewalls (try --transport websocket) and --proxy";
    case TMK_ELOST:
        return "; another reader with the same or a higher owner level has taken the partition";
    default:
        return "";
    }
}

/*
 * What the client last could not do: when an answer has not come in time, this is why.
 * Written on the client's thread.
 */
static struct {
    pthread_mutex_t lock;
    char operation[24];
    tmk_error error;
} trouble = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void remember(void *user, const tmk_trouble *t) {
    (void)user;
    pthread_mutex_lock(&trouble.lock);
    (void)snprintf(trouble.operation, sizeof trouble.operation, "%s", t->operation);
    trouble.error = *t->error;
    pthread_mutex_unlock(&trouble.lock);
}

int cli_error(const char *what, const tmk_error *err) {
    tmk_error cause = *err;
    char operation[24];

    pthread_mutex_lock(&trouble.lock);
    memcpy(operation, trouble.operation, sizeof operation);
    if (err->status == TMK_ETIMEOUT && operation[0] != '\0') {
        cause = trouble.error;
    }
    pthread_mutex_unlock(&trouble.lock);
    fprintf(stderr, "tidemark: %s: %s", what, err->text);
    if (cause.text[0] != '\0' && strcmp(cause.text, err->text) != 0) {
        fprintf(stderr, "; %s: %s", operation, cause.text);
    }
    fprintf(stderr, "%s [%s]\n", cli_advice(&cause),
            cause.origin[0] == '\0' ? tmk_status_name(cause.status) : cause.origin);
    return err->status == TMK_EINVAL ? 2 : 1;
}

int cli_credential(const cli_common *c, tmk_credential **out) {
    const char *kind = c->credential == NULL ? "default" : c->credential;
    tmk_entra_options entra;
    tmk_status st = TMK_OK;
    tmk_error err;

    tmk_entra_options_init(&entra);
    entra.proxy = c->proxy;
    entra.tls_ca_file = c->tls_ca;
    entra.use_cli = true;
    if (strcmp(kind, "default") == 0) {
        st = tmk_credential_default(&entra, out, &err);
    } else if (strcmp(kind, "workload") == 0) {
        st = tmk_credential_workload_identity(c->tenant, c->client_id, c->token_file, &entra, out,
                                              &err);
    } else if (strcmp(kind, "managed") == 0) {
        st = tmk_credential_managed_identity(c->client_id == NULL ? TMK_IDENTITY_SYSTEM
                                                                  : TMK_IDENTITY_CLIENT_ID,
                                             c->client_id, &entra, out, &err);
    } else if (strcmp(kind, "cli") == 0) {
        st = tmk_credential_azure_cli(c->tenant, &entra, out, &err);
    } else if (c->tenant == NULL || c->client_id == NULL) {
        return cli_usage("--credential %s needs --tenant-id and --client-id", kind);
    } else if (strcmp(kind, "certificate") == 0) {
        if (c->certificate == NULL) {
            return cli_usage("--credential certificate needs --client-certificate");
        }
        st = tmk_credential_client_certificate(c->tenant, c->client_id, c->certificate, &entra, out,
                                               &err);
    } else {
        const char *secret = getenv("AZURE_CLIENT_SECRET"); /* never an option: others see those */
        if (secret == NULL) {
            return cli_usage("--credential secret needs AZURE_CLIENT_SECRET in the environment");
        }
        st = tmk_credential_client_secret(c->tenant, c->client_id, secret, &entra, out, &err);
    }
    return st < 0 ? cli_error("cannot sign in", &err) : 0;
}

int cli_client(const cli_common *c, void (*on_error)(void *, const tmk_trouble *), void *user,
               tmk_client **out) {
    tmk_credential *credential = NULL;
    tmk_client_options o;
    tmk_error err;
    int code = 0;

    if (c->connection_string == NULL && c->host == NULL) {
        return cli_usage(
            "no hub: give --connection-string (or EVENTHUB_CONNECTION_STRING), or --namespace");
    }
    tmk_client_options_init(&o);
    o.hub = c->hub;
    o.endpoint = c->endpoint;
    o.proxy = c->proxy;
    o.tls_ca_file = c->tls_ca;
    o.application = "tidemark-cli";
    o.log = cli_log(c);
    o.on_error = on_error == NULL ? remember : on_error;
    o.user = user;
    if (c->transport != NULL && strcmp(c->transport, "websocket") == 0) {
        o.transport = TMK_TRANSPORT_WEBSOCKET;
    }
    if (c->host != NULL) {
        o.host = c->host;
        code = cli_credential(c, &credential);
        o.credential = credential;
    } else {
        o.connection_string = c->connection_string;
    }
    if (code == 0 && tmk_client_new(&o, out, &err) < 0) {
        code = cli_error("cannot use these settings", &err);
    }
    tmk_credential_free(credential);
    return code;
}
