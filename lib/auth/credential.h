/*
 * What a credential holds. Immutable once made, so it needs no lock.
 */
#ifndef TMK_AUTH_CREDENTIAL_H
#define TMK_AUTH_CREDENTIAL_H

#include <tidemark/credential.h>

#include <stdatomic.h>

#include "base/secret.h"
#include "base/time.h"

typedef enum tmk_credential_kind {
    TMK_CREDENTIAL_KEY,         /* name, secret: text of the key */
    TMK_CREDENTIAL_SAS,         /* secret: the signature as given */
    TMK_CREDENTIAL_SECRET,      /* tenant, client_id, secret, token_url */
    TMK_CREDENTIAL_CERTIFICATE, /* tenant, client_id, file, token_url */
    TMK_CREDENTIAL_WORKLOAD,    /* tenant, client_id, file, token_url */
    TMK_CREDENTIAL_MANAGED,     /* source, endpoint, identity, client_id: the identity's id */
    TMK_CREDENTIAL_CLI,         /* tenant or NULL */
    TMK_CREDENTIAL_CHAIN,       /* links, skipped */
    TMK_CREDENTIAL_CALLBACK     /* gives, ask, self, free_self */
} tmk_credential_kind;

/* Where a managed identity is asked for. */
typedef enum tmk_identity_source {
    TMK_SOURCE_IMDS,
    TMK_SOURCE_APP_SERVICE, /* secret: IDENTITY_HEADER */
    TMK_SOURCE_ARC          /* file: the folder of its keys */
} tmk_identity_source;

enum { tmk_chain_max = 4 };

struct tmk_credential {
    atomic_uint references;
    tmk_credential_kind kind;
    /* Owned texts; NULL where they do not belong to the kind. */
    char *name, *tenant, *client_id, *file;
    char *token_url; /* of the authority, or the identity endpoint's without query */
    tmk_secret *secret;
    char *tls_ca_file, *proxy;
    char *hub_scope, *storage_scope; /* NULL: the public cloud's */
    tmk_time timeout;                /* for one token, retries included */
    bool rs256, send_chain;
    tmk_identity_source source;
    tmk_identity_kind identity;
    tmk_credential *links[tmk_chain_max];
    size_t link_count;
    char
        *skipped; /* of a chain: what is not set up, "environment (AZURE_TENANT_ID is not set); " */
    tmk_token_kind gives; /* of the program's own */
    tmk_token_fn ask;
    void *self;
    void (*free_self)(void *self);
};

/* What people call it: "client secret", "managed identity" ... */
const char *tmk_credential_title(const tmk_credential *c);

/* Whether tokens of it come over HTTP. */
bool tmk_credential_uses_http(const tmk_credential *c);

/* An empty one of this kind with one reference; NULL: out of memory. */
tmk_credential *tmk_credential_make(tmk_credential_kind kind);

#endif
