/*
 * How many checkpoints a second the stores take, one after the other and with
 * 32 partitions at once: memory, file, and, where Azurite is installed below the
 * folder given (tests/), blob.
 */
#include <tidemark/store_blob.h>
#include <tidemark/store_file.h>
#include <tidemark/store_memory.h>

#include "base/call.h"
#include "base/thread.h"
#include "support/azurite.h"
#include "support/temp_folder.h"

enum { PARTITIONS = 32 };

#define TOKEN "11111111-1111-4111-8111-111111111111"

typedef struct writer {
    tmk_store_call call;
    char id[8];
    int64_t sequence;
    tmk_status status;
} writer;

static tmk_store store;
static tmk_mutex lock;
static tmk_cond moved;
static int64_t left, failed;
static int under_way;

static void write_next(writer *w, tmk_store_op_kind kind) {
    tmk_partition_record r = {.owner = "bench",
                              .generation = 1,
                              .checkpoint = {true, true, w->sequence++, "4294967296", {NULL, 0}}};
    tmk_store_op op = {.kind = kind,
                       .id = w->id,
                       .token = TOKEN,
                       .version = "",
                       .record = &r,
                       .timeout_ms = 60000};

    store.ops->submit(store.self, &op, &w->call);
}

static void answered(tmk_store_call *call, const tmk_store_result *result) {
    writer *w = (writer *)(void *)call;
    bool more;

    tmk_mutex_lock(&lock);
    failed += result->status != TMK_OK;
    more = left > 0;
    left -= more;
    under_way -= !more;
    tmk_cond_signal(&moved);
    tmk_mutex_unlock(&lock);
    if (more) {
        write_next(w, TMK_STORE_PARTITION_WRITE);
    }
}

static void measure(const char *name, int writers, int64_t count) {
    static writer all[PARTITIONS];
    tmk_clock clock = tmk_clock_system();
    tmk_time begin = tmk_now(&clock);

    left = count;
    under_way = writers;
    for (int i = 0; i < writers; i++) {
        all[i] = (writer){.call = {.answered = answered}};
        (void)snprintf(all[i].id, sizeof all[i].id, "%d", i);
        write_next(&all[i], TMK_STORE_PARTITION_CLAIM);
    }
    tmk_mutex_lock(&lock);
    while (under_way > 0) {
        tmk_cond_wait(&moved, &lock);
    }
    tmk_mutex_unlock(&lock);
    printf("%s, %d at once: %.0f checkpoints/s\n", name, writers,
           (double)count * (double)TMK_SEC / (double)(tmk_now(&clock) - begin));
    (void)fflush(stdout);
}

static void measure_blob(const char *sources) {
    tmk_store_blob_options o;
    azurite service;
    const char *why = "";

    if (!azurite_start(&service, sources, &why)) {
        printf("blob: not measured: %s\n", why);
        return;
    }
    tmk_store_blob_options_init(&o);
    o.connection_string = service.connection_string;
    o.container = "checkpoints";
    o.create_container = true;
    o.host = "host";
    o.hub = "hub";
    for (int writers = 1; writers <= PARTITIONS; writers += PARTITIONS - 1) {
        o.group = writers == 1 ? "one" : "many";
        if (tmk_store_blob_new(&o, &store, NULL) < 0) {
            failed++;
            break;
        }
        measure("blob on Azurite", writers, 500);
        tmk_store_free(store);
    }
    azurite_stop(&service);
}

int main(int argc, char **argv) {
    tmk_store_file_options o;
    temp_folder folder;

    temp_folder_make(&folder);
    tmk_store_file_options_init(&o);
    o.folder = folder.path;
    o.host = "host";
    o.hub = "hub";
    if (tmk_mutex_init(&lock, 80, NULL) < 0 || tmk_cond_init(&moved, NULL) < 0 ||
        tmk_store_memory_new(&store, NULL) < 0) {
        return 1;
    }
    for (int writers = 1; writers <= PARTITIONS; writers += PARTITIONS - 1) {
        measure("memory", writers, 100000);
    }
    tmk_store_free(store);
    for (int writers = 1; writers <= PARTITIONS; writers += PARTITIONS - 1) {
        o.group = writers == 1 ? "one" : "many";
        if (tmk_store_file_new(&o, &store, NULL) < 0) {
            return 1;
        }
        measure("file", writers, 500);
        tmk_store_free(store);
    }
    temp_folder_remove(&folder);
    measure_blob(argc > 1 ? argv[1] : "tests");
    return failed == 0 ? 0 : 1;
}
