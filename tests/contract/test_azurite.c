/* The blob store keeps the contract against Azurite: test_azurite SOURCES lease|shared [CHECK]. */
#include <tidemark/store_blob.h>

#include "contract/report.h"
#include "support/azurite.h"

#include <stdlib.h>
#include <string.h>

typedef struct world {
    azurite azurite;
    char group[32];
    int resets;
    tmk_claims claims;
} world;

static tmk_status reset(void *self, tmk_error *err) {
    world *w = self;

    (void)err;
    (void)snprintf(w->group, sizeof w->group, "Group-%d", w->resets++);
    return TMK_OK;
}

static tmk_status open_one(void *self, tmk_store *out, tmk_error *err) {
    world *w = self;
    tmk_store_blob_options o;

    tmk_store_blob_options_init(&o);
    o.connection_string = w->azurite.connection_string;
    o.container = "checkpoints";
    o.create_container = true;
    o.host = "ns.servicebus.windows.net";
    o.hub = "Hub";
    o.group = w->group;
    o.claims = w->claims;
    if (getenv("TIDEMARK_TEST_LOG") != NULL) {
        o.log = tmk_log_stderr(TMK_LOG_DEBUG);
    }
    return tmk_store_blob_new(&o, out, err);
}

static void pass_ms(void *self, int64_t ms) {
    azurite_advance(&((world *)self)->azurite, ms);
}

int main(int argc, char **argv) {
    static world w;
    tmk_store_contract c;
    const char *why = "usage";
    int failures;

    if (argc < 3 || !azurite_start(&w.azurite, argv[1], &why)) {
        printf("1..0 # SKIP %s\n", why);
        return 0;
    }
    tmk_store_contract_init(&c);
    c.self = &w;
    c.open = open_one;
    c.reset = reset;
    c.pass_ms = pass_ms;
    c.report = report_tap;
    c.lease_ms = 15000;
    c.many = 100;
    c.only = argc > 3 ? argv[3] : NULL;
    c.claims = strcmp(argv[2], "shared") == 0 ? TMK_CLAIMS_SHARED : TMK_CLAIMS_LEASE;
    w.claims = c.claims;
    failures = tmk_store_contract_run(&c);
    azurite_stop(&w.azurite);
    return report_end(failures);
}
