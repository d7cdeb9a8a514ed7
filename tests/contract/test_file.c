/* The file store keeps the contract, both ways; leases in virtual time. */
#include "checkpoint/file.h"
#include "contract/report.h"
#include "support/temp_folder.h"

#include <stdatomic.h>

typedef struct world {
    _Atomic int64_t now;
    temp_folder folder;
    char group[32];
    int resets;
} world;

static tmk_time now(void *self) {
    return atomic_load(&((world *)self)->now);
}

static tmk_wall wall(void *self) {
    return (tmk_wall){INT64_C(1790000000000000) + now(self) / 1000};
}

static tmk_status reset(void *self, tmk_error *err) {
    world *w = self;

    (void)err;
    (void)snprintf(w->group, sizeof w->group, "Group %d", w->resets++);
    return TMK_OK;
}

static tmk_status open_one(void *self, tmk_store *out, tmk_error *err) {
    world *w = self;
    tmk_store_file_options o;

    tmk_store_file_options_init(&o);
    o.folder = w->folder.path;
    o.host = "ns.servicebus.windows.net";
    o.hub = "../hub";
    o.group = w->group;
    return tmk_store_file_new_with(&o, (tmk_clock){now, wall, w}, out, err);
}

static void pass_ms(void *self, int64_t ms) {
    atomic_fetch_add(&((world *)self)->now, ms * TMK_MS);
}

int main(void) {
    static world w = {.now = 3600 * TMK_SEC};
    tmk_store_contract c;
    int failures;

    temp_folder_make(&w.folder);
    tmk_store_contract_init(&c);
    c.self = &w;
    c.open = open_one;
    c.reset = reset;
    c.pass_ms = pass_ms;
    c.report = report_tap;
    c.lease_ms = 20000;
    failures = tmk_store_contract_run(&c);
    c.claims = TMK_CLAIMS_SHARED;
    failures += tmk_store_contract_run(&c);
    temp_folder_remove(&w.folder);
    return report_end(failures);
}
