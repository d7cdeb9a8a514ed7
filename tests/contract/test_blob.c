/* The blob store keeps the contract against a Blob service in memory: test_blob lease|shared. */
#include <tidemark/store_blob.h>

#include "contract/report.h"
#include "support/blob_service.h"

#include <string.h>

typedef struct world {
    blob_service service;
    tmk_claims claims;
} world;

static tmk_status reset(void *self, tmk_error *err) {
    (void)err;
    blob_service_reset(&((world *)self)->service);
    return TMK_OK;
}

static tmk_status open_one(void *self, tmk_store *out, tmk_error *err) {
    world *w = self;
    tmk_store_blob_options o;

    tmk_store_blob_options_init(&o);
    o.connection_string = w->service.connection_string;
    o.container = "box";
    o.create_container = true;
    o.host = "ns.servicebus.windows.net";
    o.hub = "Hub";
    o.group = "g";
    o.claims = w->claims;
    return tmk_store_blob_new(&o, out, err);
}

static void pass_ms(void *self, int64_t ms) {
    blob_service_advance(&((world *)self)->service, ms);
}

int main(int argc, char **argv) {
    static world w;
    tmk_store_contract c;
    int failures;

    w.claims = argc > 1 && strcmp(argv[1], "shared") == 0 ? TMK_CLAIMS_SHARED : TMK_CLAIMS_LEASE;
    blob_service_start(&w.service);
    tmk_store_contract_init(&c);
    c.self = &w;
    c.open = open_one;
    c.reset = reset;
    c.pass_ms = pass_ms;
    c.report = report_tap;
    c.lease_ms = 15000;
    c.many = 100;
    c.only = argc > 2 ? argv[2] : NULL;
    c.claims = w.claims;
    failures = tmk_store_contract_run(&c);
    blob_service_stop(&w.service);
    return report_end(failures);
}
