/*
 * The store of production: blobs in a container of an Azure Storage account.
 * docs/STORES.md has the layout and what each operation costs.
 *
 * Checkpoints are the blobs that the official SDKs and KEDA read. How partitions
 * are claimed is chosen once for a group: by leases (TMK_CLAIMS_LEASE), where
 * the group is Tidemark's alone, or by the official SDKs' ownership blobs
 * (TMK_CLAIMS_SHARED), where their processors may work in the same group. A
 * store that finds the group run the other way says so.
 */
#ifndef TIDEMARK_STORE_BLOB_H
#define TIDEMARK_STORE_BLOB_H

#include <tidemark/credential.h>
#include <tidemark/log.h>
#include <tidemark/store.h>

TMK_BEGIN_C

typedef struct tmk_store_blob_options {
    size_t size; /* set by _init, leave alone */

    /* Which account: a connection string (UseDevelopmentStorage=true is one), or an address and a
     * credential, which is referenced. */
    const char *connection_string;
    const char *account_url; /* "https://myaccount.blob.core.windows.net" */
    tmk_credential *credential;
    const char *container;
    bool create_container; /* make it where it is missing; default false */

    const char *host; /* of the namespace, "myns.servicebus.windows.net" */
    const char *hub;
    const char *group; /* default "$Default" */
    tmk_claims claims; /* default TMK_CLAIMS_LEASE */

    const char *tls_ca_file; /* PEM file of trusted authorities; NULL: the system's */
    const char *proxy;       /* "http://user:password@host:port", "env"; NULL: none */
    const char *api_version; /* of the Blob service; NULL: "2021-12-02" */
    tmk_log log;             /* copied; silent by default */

    /* Name blobs by host, hub and group as they are spelled, not in lower case: the Go and Rust
     * SDKs do, unless their programs spell all three in lower case themselves. Default false. */
    bool keep_case;
} tmk_store_blob_options;

/** Fills *opts with the defaults of this version of the library. */
#define tmk_store_blob_options_init(opts) tmk_store_blob_options_fill((opts), sizeof *(opts))
TMK_API void tmk_store_blob_options_fill(tmk_store_blob_options *opts, size_t size);

/**
 * Makes a store for one consumer group; nothing is asked of the service before the first operation.
 *
 * Owns:    opts is copied; *out is freed by tmk_store_free().
 * Threads: answers come from the one thread of the store's own.
 * Returns: 0 with *out set; EINVAL says which setting is wrong; ENOMEM, or EIO when there can be no
 *          further thread.
 */
TMK_API TMK_CHECKED tmk_status tmk_store_blob_new(const tmk_store_blob_options *opts,
                                                  tmk_store *out, tmk_error *err);

TMK_END_C

#endif
