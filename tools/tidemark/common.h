/*
 * What most subcommands share: how to reach the hub and the store, as options,
 * and making the client and the store from them.
 */
#ifndef TIDEMARK_TOOL_COMMON_H
#define TIDEMARK_TOOL_COMMON_H

#include "options.h"

#include <tidemark/client.h>
#include <tidemark/store_blob.h>

typedef struct cli_common {
    const char *connection_string, *host, *credential, *tenant, *client_id, *client_secret;
    const char *certificate, *token_file;
    const char *hub, *group, *transport, *endpoint, *proxy, *tls_ca;
    const char *store, *storage_connection_string, *storage_account, *claims;
    const char *log_level, *log_format;
    bool create_container;
} cli_common;

/* clang-format off */
#define CLI_CONNECTION_OPTIONS(s, m)                                                               \
    {CLI_HEADING, NULL, 0, NULL, NULL, "which hub, and as whom", 0, 0},                            \
    {CLI_TEXT, "connection-string", offsetof(s, m.connection_string), "S", "EVENTHUB_CONNECTION_STRING", "connection string of the namespace or the hub", 0, 0}, \
    {CLI_TEXT, "namespace", offsetof(s, m.host), "HOST", "EVENTHUB_NAMESPACE", "NAME.servicebus.windows.net, instead; with --credential", 0, 0}, \
    {CLI_CHOICE, "credential", offsetof(s, m.credential), "default|workload|managed|secret|certificate|cli", "TIDEMARK_CREDENTIAL", "how to sign in (default)", 0, 0}, \
    {CLI_TEXT, "hub", offsetof(s, m.hub), "NAME", "EVENTHUB_NAME", "the event hub, where the connection string does not name it", 0, 0}, \
    {CLI_TEXT, "group", offsetof(s, m.group), "NAME", "EVENTHUB_CONSUMER_GROUP", "the consumer group ($Default)", 0, 0}, \
    {CLI_CHOICE, "transport", offsetof(s, m.transport), "amqp|websocket", "TIDEMARK_TRANSPORT", "AMQP over TLS (port 5671) or over a WebSocket (443)", 0, 0}, \
    {CLI_TEXT, "endpoint", offsetof(s, m.endpoint), "HOST[:PORT]", "TIDEMARK_ENDPOINT", "dial this instead: private endpoint, gateway", 0, 0}, \
    {CLI_TEXT, "proxy", offsetof(s, m.proxy), "URL", "TIDEMARK_PROXY", "HTTP proxy, http://USER:PASSWORD@HOST:PORT; 'env': as the environment says", 0, 0}, \
    {CLI_TEXT, "tls-ca", offsetof(s, m.tls_ca), "FILE", "TIDEMARK_TLS_CA", "PEM file of the authorities to trust", 0, 0}, \
    {CLI_TEXT, "tenant-id", offsetof(s, m.tenant), "ID", "AZURE_TENANT_ID", "directory, for --credential secret, certificate, workload, cli", 0, 0}, \
    {CLI_TEXT, "client-id", offsetof(s, m.client_id), "ID", "AZURE_CLIENT_ID", "application or identity", 0, 0}, \
    {CLI_TEXT, "client-certificate", offsetof(s, m.certificate), "FILE", "AZURE_CLIENT_CERTIFICATE_PATH", "PEM file with certificate and key", 0, 0}, \
    {CLI_TEXT, "federated-token-file", offsetof(s, m.token_file), "FILE", "AZURE_FEDERATED_TOKEN_FILE", "token of the workload identity", 0, 0}, \
    {CLI_CHOICE, "log-level", offsetof(s, m.log_level), "none|error|warn|info|debug|trace", "TIDEMARK_LOG_LEVEL", "log lines to standard error (warn)", 0, 0}, \
    {CLI_CHOICE, "log-format", offsetof(s, m.log_format), "text|json", "TIDEMARK_LOG_FORMAT", "how they are written (text)", 0, 0}

#define CLI_STORE_OPTIONS(s, m)                                                                    \
    {CLI_HEADING, NULL, 0, NULL, NULL, "where checkpoints are", 0, 0},                             \
    {CLI_TEXT, "store", offsetof(s, m.store), "memory|file:DIR|blob:CONTAINER", "TIDEMARK_STORE", "the checkpoint store", 0, 0}, \
    {CLI_TEXT, "storage-connection-string", offsetof(s, m.storage_connection_string), "S", "AZURE_STORAGE_CONNECTION_STRING", "of the storage account, for blob:", 0, 0}, \
    {CLI_TEXT, "storage-account", offsetof(s, m.storage_account), "URL", "AZURE_STORAGE_ACCOUNT_URL", "https://ACCOUNT.blob.core.windows.net, instead; with --credential", 0, 0}, \
    {CLI_CHOICE, "claims", offsetof(s, m.claims), "lease|shared", NULL, "how the group claims partitions: lease: Tidemark alone; shared: beside the official processors (lease)", 0, 0}, \
    {CLI_FLAG, "create-container", offsetof(s, m.create_container), NULL, NULL, "make the container when it does not exist", 0, 0}
/* clang-format on */

/* The log that --log-level and --log-format ask for. */
bool cli_log_is_json(const cli_common *c);
tmk_log cli_log(const cli_common *c);

/* Makes the client; on failure says why on standard error and returns the exit code, else 0. */
int cli_client(const cli_common *c, void (*on_error)(void *, const tmk_trouble *), void *user,
               tmk_client **out);

/* A credential from --credential and what belongs to it. The same returns. */
int cli_credential(const cli_common *c, tmk_credential **out);

/* The store that --store names, for a group of a hub. host and hub as the client knows them. */
int cli_store(const cli_common *c, const char *host, const char *hub, const char *group,
              tmk_store *out);

/*
 * The same for tools that look at a group whoever runs it: where --claims does not say, the blobs
 * tell how the group is run, and how its names are spelled.
 */
int cli_store_found(const cli_common *c, const char *host, const char *hub, const char *group,
                    tmk_store *out);

bool cli_store_is_blob(const cli_common *c);
/* The options of a blob store; *credential is the caller's to free, and lives as long as they. */
int cli_blob_options(const cli_common *c, const char *host, const char *hub, const char *group,
                     tmk_store_blob_options *o, tmk_credential **credential);

/* The claims that --claims asks for. */
tmk_claims cli_claims(const cli_common *c);

/* What a user can do about a failure, to be said after its text; "" where that says it already. */
const char *cli_advice(const tmk_error *err);

/* Says what failed and what to do; returns 1, or 2 for a wrong setting. */
int cli_error(const char *what, const tmk_error *err);

#endif
