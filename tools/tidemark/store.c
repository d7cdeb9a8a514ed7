/* Opening the store that --store names. See common.h. */
#include "common.h"

#include <tidemark/store_blob_inspect.h>
#include <tidemark/store_file.h>
#include <tidemark/store_memory.h>

#include <stdio.h>
#include <string.h>

enum { INSPECT_MS = 30000 };

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

int cli_blob_options(const cli_common *c, const char *host, const char *hub, const char *group,
                     tmk_store_blob_options *o, tmk_credential **credential) {
    int code = 0;

    if (c->storage_connection_string == NULL && c->storage_account == NULL) {
        return cli_usage("no storage account: give --storage-connection-string (or "
                         "AZURE_STORAGE_CONNECTION_STRING), or --storage-account");
    }
    tmk_store_blob_options_init(o);
    o->container = c->store + 5;
    o->create_container = c->create_container;
    o->host = host;
    o->hub = hub;
    o->group = group;
    o->claims = cli_claims(c);
    o->tls_ca_file = c->tls_ca;
    o->proxy = c->proxy;
    o->log = cli_log(c);
    if (c->storage_account != NULL) {
        o->account_url = c->storage_account;
        code = cli_credential(c, credential);
        o->credential = *credential;
    } else {
        o->connection_string = c->storage_connection_string;
    }
    return code;
}

static int open_blob(const cli_common *c, const char *host, const char *hub, const char *group,
                     tmk_store *out) {
    tmk_credential *credential = NULL;
    tmk_store_blob_options o;
    tmk_error err;
    int code = cli_blob_options(c, host, hub, group, &o, &credential);

    if (code == 0 && tmk_store_blob_new(&o, out, &err) < 0) {
        code = cli_error("cannot open the store", &err);
    }
    tmk_credential_free(credential);
    return code;
}

bool cli_store_is_blob(const cli_common *c) {
    return c->store != NULL && strncmp(c->store, "blob:", 5) == 0 && c->store[5] != '\0';
}

/* ---- groups of others ---- */

static size_t alive(const tmk_blob_fleet *f) {
    return f->owned_fresh + f->members_alive;
}

/* Of several spellings: one with life in it before one without, the usual one before others. */
static const tmk_blob_fleet *choose(const tmk_blob_report *r) {
    const tmk_blob_fleet *best = NULL;

    for (size_t i = 0; i < r->fleet_count; i++) {
        const tmk_blob_fleet *f = &r->fleets[i];
        bool better = best == NULL || (alive(f) > 0) > (alive(best) > 0) ||
                      ((alive(f) > 0) == (alive(best) > 0) && f->lower);
        best = better ? f : best;
    }
    return best;
}

static void tell_of_others(const tmk_blob_report *r, const tmk_blob_fleet *chosen) {
    for (size_t i = 0; i < r->fleet_count; i++) {
        const tmk_blob_fleet *f = &r->fleets[i];
        if (f != chosen) {
            fprintf(stderr,
                    "tidemark: looking at '%s'; the group has records under '%s' too (%zu "
                    "checkpoints, %zu living owners): two spellings are two fleets\n",
                    chosen->prefix, f->prefix, f->checkpoints, alive(f));
        }
    }
}

int cli_store_found(const cli_common *c, const char *host, const char *hub, const char *group,
                    tmk_store *out) {
    tmk_credential *credential = NULL;
    tmk_blob_report *report = NULL;
    const tmk_blob_fleet *fleet = NULL;
    tmk_store_blob_options o;
    tmk_error err;
    int code;

    if (!cli_store_is_blob(c)) {
        return cli_store(c, host, hub, group, out);
    }
    code = cli_blob_options(c, host, hub, group, &o, &credential);
    if (code == 0 && tmk_store_blob_inspect(&o, false, INSPECT_MS, &report, &err) < 0) {
        code = cli_error("cannot open the store", &err);
    }
    if (code == 0 && report->list.status < 0 &&
        !(report->list.status == TMK_ENOTFOUND && c->create_container)) {
        code = cli_error("cannot read the store", &report->list);
    }
    if (code == 0 && (fleet = choose(report)) != NULL) {
        tell_of_others(report, fleet);
        o.host = fleet->host;
        o.hub = fleet->hub;
        o.group = fleet->group;
        o.keep_case = true;
        if (c->claims == NULL && fleet->leased + fleet->members_alive == 0 &&
            fleet->ownerships > 0) {
            o.claims = TMK_CLAIMS_SHARED;
        }
    }
    if (code == 0 && tmk_store_blob_new(&o, out, &err) < 0) {
        code = cli_error("cannot open the store", &err);
    }
    tmk_blob_report_free(report);
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
    if (!cli_store_is_blob(c) && cli_claims(c) == TMK_CLAIMS_SHARED) {
        return cli_usage("--claims shared is for a group of official processors, which know blobs "
                         "alone: give --store blob:CONTAINER, or leave it out");
    }
    if (strcmp(store, "memory") == 0) {
        return tmk_store_memory_new(out, &err) < 0 ? cli_error("cannot make the store", &err) : 0;
    }
    if (strncmp(store, "file:", 5) == 0 && store[5] != '\0') {
        return open_file(c, store + 5, host, hub, group, out);
    }
    if (cli_store_is_blob(c)) {
        return open_blob(c, host, hub, group, out);
    }
    return cli_usage("--store takes memory, file:DIR or blob:CONTAINER, not '%s'", store);
}
