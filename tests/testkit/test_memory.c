/* Memory that cannot be had: the kit says so, nothing crashes, nothing leaks, nothing is lost. */
#include "testkit/rig.h"

#include <tidemark/alloc.h>

#include "support/failing_alloc.h"

static tmk_verdict on_event(void *user, const tmk_event *e, tmk_delivery *d) {
    (void)user;
    (void)e;
    (void)d;
    return TMK_DONE;
}

/* A short life; the first failure, or OK. */
static tmk_status live(tmk_kit *kit, tmk_processor **p, tmk_error *err) {
    tmk_kit_instance *i = NULL;
    tmk_processor_options o;
    tmk_status st = tmk_kit_append_many(kit, 4, 2, err);

    tmk_processor_options_init(&o);
    o.on_event = on_event;
    o.threads = 1;
    o.checkpoint_interval_ms = 1000;
    if (st == TMK_OK) {
        st = tmk_kit_join(kit, "a", &i, err);
    }
    if (st == TMK_OK) {
        st = tmk_processor_new(tmk_kit_client(i), tmk_kit_store(i), &o, p, err);
    }
    if (st == TMK_OK) {
        st = tmk_processor_start(*p, err);
    }
    if (st == TMK_OK) {
        st = tmk_kit_fault(kit, TMK_KIT_CONNECTION_LOST, NULL, NULL, 0, err);
    }
    return st == TMK_OK ? tmk_kit_run(kit, 4000, err) : st;
}

static void run_with(failing_mode mode) {
    tmk_kit_options options;
    uint32_t rounds = 0, failed = 0;

    tmk_kit_options_init(&options);
    options.partitions = 1;
    for (failing_begin(mode); failing_next(); rounds++) {
        tmk_kit_counts c = {.size = sizeof c};
        tmk_processor *p = NULL;
        tmk_kit *kit = NULL;
        tmk_error err;
        tmk_status st = tmk_kit_new(&options, &kit, &err);

        if (st == TMK_OK) {
            st = live(kit, &p, &err);
            tmk_kit_counts_get(kit, &c);
            CHECK_EQ(0, c.lost);
        }
        failed += st < 0;
        if (st != TMK_OK && st != TMK_ENOMEM) {
            fail_msg("%s: %s", tmk_status_name(st), err.text);
        }
        CHECK(failing_hit() || st == TMK_OK);
        p = tmk_processor_free(p);
        kit = tmk_kit_free(kit);
        CHECK_EQ(0, failing_live());
    }
    CHECK(rounds > 100 && failed > 20);
}

static void each_allocation_may_fail_once(void) {
    run_with(FAILING_ONCE);
}

static void from_each_allocation_on_all_may_fail(void) {
    run_with(FAILING_FROM);
}

int main(void) {
    return RUN(TEST(each_allocation_may_fail_once), TEST(from_each_allocation_on_all_may_fail));
}
