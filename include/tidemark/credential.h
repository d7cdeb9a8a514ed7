/*
 * Credentials: how the library proves who it is, to Event Hubs and to Storage.
 *
 * A credential is a description: nothing is asked of anybody when it is made.
 * It is immutable and counted, so that one can serve several clients and
 * stores, on any threads. Keys and secrets in it are wiped when the last
 * reference goes; they never appear in a log line or an error.
 *
 * All constructors copy what they are given. They return 0 with *out set, or a
 * failure with *out untouched: EINVAL when a setting is wrong (the text says
 * which), ENOMEM.
 */
#ifndef TIDEMARK_CREDENTIAL_H
#define TIDEMARK_CREDENTIAL_H

#include <tidemark/status.h>

TMK_BEGIN_C

typedef struct tmk_credential tmk_credential;

/** One more reference. NULL is fine. Threads: any. Returns c. */
TMK_API tmk_credential *tmk_credential_ref(tmk_credential *c);

/** Drops one reference. NULL is fine. Threads: any. Returns NULL. */
TMK_API tmk_credential *tmk_credential_free(tmk_credential *c);

/**
 * A shared access key. For Event Hubs: the name of the rule and its key. For
 * Storage: the name of the account and its key.
 */
TMK_API TMK_CHECKED tmk_status tmk_credential_shared_key(const char *name, const char *key,
                                                         tmk_credential **out, tmk_error *err);

/**
 * A shared access signature made by somebody else. For Event Hubs the whole
 * "SharedAccessSignature sr=...&sig=...&se=...&skn=..."; for Storage the query
 * "sv=...&sig=...", with or without "?". It cannot be renewed: when it ends,
 * so does access.
 */
TMK_API TMK_CHECKED tmk_status tmk_credential_sas(const char *signature, tmk_credential **out,
                                                  tmk_error *err);

/** What a connection string of Event Hubs or of Storage holds: a key or a signature. */
TMK_API TMK_CHECKED tmk_status tmk_credential_connection_string(const char *text,
                                                                tmk_credential **out,
                                                                tmk_error *err);

/** Settings of the credentials below, which get tokens from Entra ID. All may stay as they are. */
typedef struct tmk_entra_options {
    size_t size; /* set by _init, leave alone */

    const char *authority; /* "https://login.microsoftonline.us"; NULL: AZURE_AUTHORITY_HOST, or the
                              public cloud's */
    const char *tls_ca_file; /* PEM file of the authorities to trust; NULL: the system's */
    const char *proxy; /* "http://user:password@host:port", "env" for the environment's; NULL: none.
                          Never used for managed identity */
    int64_t timeout_ms; /* for one token, retries included; 0: 60000, managed identity 90000 */

    bool certificate_rs256; /* client certificate: sign by RS256 with "x5t" instead of PS256 with
                               "x5t#S256" */
    bool certificate_chain; /* client certificate: send the file's certificates along ("x5c") */
    bool use_cli;           /* default credential: also try the Azure CLI at the end */

    bool danger_plain_loopback; /* for tests: accept an http:// authority on 127.0.0.1, ::1 or
                                   localhost */

    /* What is asked for, where a cloud of its own has another name for it. */
    const char *hub_scope; /* NULL: TIDEMARK_HUB_SCOPE, or https://eventhubs.azure.net/.default */
    const char *storage_scope; /* NULL: TIDEMARK_STORAGE_SCOPE, or
                                  https://storage.azure.com/.default */
} tmk_entra_options;

/** Fills *options with the defaults of this version of the library. */
#define tmk_entra_options_init(options) tmk_entra_options_fill((options), sizeof *(options))
TMK_API void tmk_entra_options_fill(tmk_entra_options *options, size_t size);

/** A service principal with a secret. options: NULL for the defaults. */
TMK_API TMK_CHECKED tmk_status tmk_credential_client_secret(const char *tenant,
                                                            const char *client_id,
                                                            const char *client_secret,
                                                            const tmk_entra_options *options,
                                                            tmk_credential **out, tmk_error *err);

/**
 * A service principal with a certificate: a PEM file that holds the certificate
 * and its unencrypted RSA key. The file is read anew for every token, so a
 * rotation needs no restart.
 */
TMK_API TMK_CHECKED tmk_status tmk_credential_client_certificate(
    const char *tenant, const char *client_id, const char *pem_file,
    const tmk_entra_options *options, tmk_credential **out, tmk_error *err);

/**
 * AKS workload identity. Each NULL is taken from the environment of now:
 * AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE. The file is
 * read anew for every token.
 */
TMK_API TMK_CHECKED tmk_status tmk_credential_workload_identity(
    const char *tenant, const char *client_id, const char *token_file,
    const tmk_entra_options *options, tmk_credential **out, tmk_error *err);

/** Which managed identity, where a machine has several. */
typedef enum tmk_identity_kind {
    TMK_IDENTITY_SYSTEM = 0, /* the machine's own, or its only one; id is NULL */
    TMK_IDENTITY_CLIENT_ID,
    TMK_IDENTITY_OBJECT_ID,
    TMK_IDENTITY_RESOURCE_ID
} tmk_identity_kind;

/**
 * Managed identity: of App Service and Container Apps, of Azure Arc, or of a
 * virtual machine (IMDS); which of them, the environment of now tells.
 */
TMK_API TMK_CHECKED tmk_status tmk_credential_managed_identity(tmk_identity_kind kind,
                                                               const char *id,
                                                               const tmk_entra_options *options,
                                                               tmk_credential **out,
                                                               tmk_error *err);

/** Whoever is logged in to the Azure CLI ("az" in PATH). For developers. tenant may be NULL. */
TMK_API TMK_CHECKED tmk_status tmk_credential_azure_cli(const char *tenant,
                                                        const tmk_entra_options *options,
                                                        tmk_credential **out, tmk_error *err);

/**
 * The first that works of: service principal from the environment
 * (AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or
 * AZURE_CLIENT_CERTIFICATE_PATH), workload identity, managed identity, and,
 * with use_cli, the Azure CLI. AZURE_TOKEN_CREDENTIALS narrows this: "prod",
 * "dev", or the name of one: "EnvironmentCredential",
 * "WorkloadIdentityCredential", "ManagedIdentityCredential",
 * "AzureCliCredential". What is not set up is passed over; a refusal ends
 * the search. The one that worked is kept.
 */
TMK_API TMK_CHECKED tmk_status tmk_credential_default(const tmk_entra_options *options,
                                                      tmk_credential **out, tmk_error *err);

/** What kind of token a text is. */
typedef enum tmk_token_kind {
    TMK_TOKEN_JWT = 1, /* an access token of Entra ID, without "Bearer" */
    TMK_TOKEN_SAS = 2  /* a shared access signature */
} tmk_token_kind;

/** A token that the library asks the program for. */
typedef struct tmk_token_ask tmk_token_ask;

/** The Entra scope, say "https://eventhubs.azure.net/.default". Lives until the answer. */
TMK_API const char *tmk_token_ask_scope(const tmk_token_ask *ask);
/** What it is to open, say "sb://ns.servicebus.windows.net/hub"; for makers of signatures. */
TMK_API const char *tmk_token_ask_audience(const tmk_token_ask *ask);

typedef struct tmk_token_reply {
    size_t size;             /* sizeof(tmk_token_reply) */
    const char *token;       /* copied */
    int64_t expires_unix_ms; /* when it ends; 0: see lives_ms */
    int64_t lives_ms;        /* how long it lives from now */
} tmk_token_reply;

/**
 * Answers with a token. Each ask is answered exactly once, by this or by
 * tmk_token_ask_fail(), at any time and also from inside the callback; it is
 * gone afterwards. An answer that nobody waits for any more is dropped.
 *
 * Threads: any. Returns: 0, or EINVAL (no token, no time to live) or ENOMEM;
 * then the ask has been answered with that failure.
 */
TMK_API tmk_status tmk_token_ask_answer(tmk_token_ask *ask, const tmk_token_reply *reply,
                                        tmk_error *err);

/** Answers that there is no token. why: one sentence without secrets, copied. Threads: any. */
TMK_API void tmk_token_ask_fail(tmk_token_ask *ask, bool retryable, const char *why);

/**
 * Asks for a token.
 *
 * Threads:  one of the library's; several at once when several clients share the credential.
 * Must:     answer the ask, now or later.
 * Must not: block.
 */
typedef void (*tmk_token_fn)(void *self, tmk_token_ask *ask);

/**
 * A credential that asks the program. kind: what it will answer with. Access
 * tokens are asked for once per scope and shared; signatures once per
 * audience. free_self(self) is called once, when the credential has been
 * freed; it may be NULL.
 */
TMK_API TMK_CHECKED tmk_status tmk_credential_callback(tmk_token_kind kind, tmk_token_fn ask,
                                                       void *self, void (*free_self)(void *self),
                                                       tmk_credential **out, tmk_error *err);

TMK_END_C

#endif
