/* Opening the store that --store names. See common.h. */
#include "common.h"

#include <tidemark/store_blob.h>
#include <tidemark/store_file.h>
#include <tidemark/store_memory.h>

#include <string.h>

static int open_file(const cli_common *c, const char *folder, const char *host, const char *hub,
                     const char *group, tmk_store *out) {
    tmk_store_file_options o;
    tmk_error err;

    tmk_store_file_options_init(&o);
    o.folder = folder;
    o.host = host;
    o.hub = hub;
    o.group = group;
    o.log = cli_log(c);
    return tmk_store_file_new(&o, out, &err) < 0 ? cli_error("cannot open the store", &err) : 0;
}

tmk_claims cli_claims(const cli_common *c) {
    return c->claims != NULL && strcmp(c->claims, "shared") == 0 ? TMK_CLAIMS_SHARED
                                                                 : TMK_CLAIMS_LEASE;
}

static int open_blob(const cli_common *c, const char *container, const char *host, const char *hub,
                     const char *group, tmk_store *out) {
    tmk_credential *credential = NULL;
    tmk_store_blob_options o;
    tmk_error err;
    int code = 0;

    if (c->storage_connection_string == NULL && c->storage_account == NULL) {
        return cli_usage("no storage account: give --storage-connection-string (or "
                         "AZURE_STORAGE_CONNECTION_STRING), or --storage-account");
    }
    tmk_store_blob_options_init(&o);
    o.container = container;
    o.create_container = c->create_container;
    o.host = host;
    o.hub = hub;
    o.group = group;
    o.claims = cli_claims(c);
    o.tls_ca_file = c->tls_ca;
    o.proxy = c->proxy;
    o.log = cli_log(c);
    if (c->storage_account != NULL) {
        o.account_url = c->storage_account;
        code = cli_credential(c, &credential);
        o.credential = credential;
    } else {
        o.connection_string = c->storage_connection_string;
    }
    if (code == 0 && tmk_store_blob_new(&o, out, &err) < 0) {
        code = cli_error("cannot open the store", &err);
    }
    tmk_credential_free(credential);
    return code;
}

int cli_store(const cli_common *c, const char *host, const char *hub, const char *group,
              tmk_store *out) {
    const char *store = c->store;
    tmk_error err;

    if (store == NULL) {
        return cli_usage(
            "no store: give --store file:DIR, or blob:CONTAINER, or memory (nothing is kept)");
    }
    if (strcmp(store, "memory") == 0) {
        return tmk_store_memory_new(out, &err) < 0 ? cli_error("cannot make the store", &err) : 0;
    }
    if (strncmp(store, "file:", 5) == 0 && store[5] != '\0') {
        return open_file(c, store + 5, host, hub, group, out);
    }
    if (strncmp(store, "blob:", 5) == 0 && store[5] != '\0') {
        return open_blob(c, store + 5, host, hub, group, out);
    }
    return cli_usage("--store takes memory, file:DIR or blob:CONTAINER, not '%s'", store);
}
