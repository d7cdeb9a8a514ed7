/*
 * A test of a handler: storage fails for 90 seconds while partitions move from
 * one instance to another. Nothing may be lost, nothing repeated. Two and a
 * half minutes of virtual time, in a fraction of a second, the same each time.
 *
 *     cc testkit.c $(pkg-config --cflags --libs tidemark-testkit) && ./a.out
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tidemark/testkit.h>

/* What is tested: a handler that adds up what the events say, for each key. */
typedef struct ledger {
    tmk_kit *kit;
    uint64_t total[10], events;
} ledger;

static tmk_verdict add_up(void *user, const tmk_event *event, tmk_delivery *delivery) {
    ledger *l = user;
    tmk_slice key = tmk_event_key(event); /* "key-0" .. "key-9" */
    unsigned which = key.size == 5 ? key.bytes[4] - '0' : 10;

    (void)delivery;
    tmk_kit_takes(l->kit, 3); /* it talks to a database, say */
    if (which >= 10) {
        return TMK_SKIP;
    }
    l->total[which]++;
    l->events++;
    return TMK_DONE;
}

static void check(tmk_status st, const tmk_error *err) {
    if (st != TMK_OK) {
        fprintf(stderr, "testkit: %s: %s\n", tmk_status_name(st), err->text);
        exit(1);
    }
}

/* As the program itself does it: the same options, the same callbacks. */
static tmk_processor *start(tmk_kit *kit, const char *name, ledger *l) {
    tmk_processor_options o;
    tmk_processor *processor = NULL;
    tmk_kit_instance *process = NULL;
    tmk_error err;

    tmk_processor_options_init(&o);
    o.order = TMK_ORDER_KEY;
    o.checkpoint_interval_ms = 5000;
    o.on_event = add_up;
    o.user = l;
    check(tmk_kit_join(kit, name, &process, &err), &err);
    check(tmk_processor_new(tmk_kit_client(process), tmk_kit_store(process), &o, &processor, &err),
          &err);
    check(tmk_processor_start(processor, &err), &err);
    return processor;
}

static bool handoff_has_begun(void *kit) {
    tmk_kit_partition p = {.size = sizeof p};

    for (int n = 0; n < 4; n++) {
        char id[2] = {(char)('0' + n), '\0'};
        if (tmk_kit_partition_get(kit, id, &p, NULL) == TMK_OK && strcmp(p.owner, "b") == 0) {
            return true;
        }
    }
    return false;
}

int main(void) {
    tmk_kit *kit = NULL;
    tmk_processor *a, *b;
    tmk_kit_counts counts = {.size = sizeof counts};
    tmk_error err;

    check(tmk_kit_new(NULL, &kit, &err), &err);
    ledger l = {.kit = kit};
    check(tmk_kit_append_many(kit, 5000, 10, &err), &err);
    check(tmk_kit_flow(kit, 50, 10, &err), &err); /* and 50 more each second */

    a = start(kit, "a", &l);
    check(tmk_kit_run(kit, 30000, &err), &err);
    b = start(kit, "b", &l);
    check(tmk_kit_run_until(kit, handoff_has_begun, kit, 60000, &err), &err);
    check(tmk_kit_fault(kit, TMK_KIT_STORE_DOWN, NULL, NULL, 90000, &err), &err);
    check(tmk_kit_run(kit, 120000, &err), &err);

    check(tmk_kit_flow(kit, 0, 0, &err), &err);
    check(tmk_kit_settle(kit, 120000, &err), &err); /* all handled, all written */
    check(tmk_processor_stop(b, 30000, NULL, &err), &err);
    check(tmk_processor_stop(a, 30000, NULL, &err), &err);

    tmk_kit_counts_get(kit, &counts);
    bool good = counts.lost == 0 && counts.repeated == 0 && l.events == counts.appended;
    printf("appended %" PRIu64 ", handled %" PRIu64 ", lost %" PRIu64 ", repeated %" PRIu64
           ", %" PRId64 " s\n",
           counts.appended, l.events, counts.lost, counts.repeated, tmk_kit_now_ms(kit) / 1000);
    if (!good) {
        printf("not as it should be: %s\n", tmk_kit_replay(kit));
    }
    (void)tmk_processor_free(b);
    (void)tmk_processor_free(a);
    (void)tmk_kit_free(kit);
    return good ? 0 : 1;
}
