/* samples/store.c, a store in front of another, keeps the contract. */
#include "checkpoint/memory.h"
#include "contract/report.h"

int sample_main(int argc, char **argv);
#define main sample_main
#include "../../samples/store.c"
#undef main

#include <stdatomic.h>

typedef struct world {
    _Atomic int64_t now;
    tmk_store store;
} world;

static tmk_time now(void *self) {
    return atomic_load(&((world *)self)->now);
}

static tmk_wall wall(void *self) {
    (void)self;
    return (tmk_wall){0};
}

static tmk_status reset(void *self, tmk_error *err) {
    world *w = self;
    tmk_memory_setup setup = {.clock = {now, wall, w}};

    tmk_store_free(w->store);
    w->store = (tmk_store){NULL, NULL};
    return tmk_store_memory_new_with(&setup, &w->store, err);
}

static tmk_status open_one(void *self, tmk_store *out, tmk_error *err) {
    (void)err;
    return audited_new(tmk_store_memory_ref(((world *)self)->store), "/dev/null", out);
}

static void pass_ms(void *self, int64_t ms) {
    atomic_fetch_add(&((world *)self)->now, ms * TMK_MS);
}

int main(void) {
    static world w;
    tmk_store_contract c;
    int failures;

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
    tmk_store_free(w.store);
    return report_end(failures);
}
