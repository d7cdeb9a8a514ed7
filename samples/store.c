/*
 * A store of one's own, in front of another: each operation that changes something is noted in a
 * file before it is passed on: who asked for which partition, when. The same functions, with a
 * database behind them, keep checkpoints where the results are. It passes the contract suite.
 *
 *   EVENTHUB_CONNECTION_STRING=... ./store HUB AUDIT_FILE
 */
#include <tidemark/processor.h>
#include <tidemark/store_memory.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct audited {
    tmk_store behind;
    FILE *file;
} audited;

static const char *name_of(tmk_store_op_kind kind) {
    switch (kind) {
    case TMK_STORE_MEMBER_JOIN:
        return "join";
    case TMK_STORE_MEMBER_LEAVE:
        return "leave";
    case TMK_STORE_PARTITION_CLAIM:
        return "claim";
    case TMK_STORE_PARTITION_WRITE:
        return "checkpoint";
    case TMK_STORE_PARTITION_RELEASE:
        return "release";
    default:
        return NULL; /* reads, renewals: nothing to note */
    }
}

/* Must not block, nor answer: the call is answered by the store behind, when it has done it. */
static void submit(void *self, const tmk_store_op *op, tmk_store_call *call) {
    audited *a = self;
    const char *name = name_of(op->kind);
    long long sequence = op->record == NULL ? -1 : (long long)op->record->checkpoint.sequence;

    if (name != NULL) {
        (void)fprintf(a->file, "%lld %s %s %lld\n", (long long)time(NULL), name,
                      op->id == NULL ? "-" : op->id, sequence);
    }
    a->behind.ops->submit(a->behind.self, op, call);
}

static unsigned claims(void *self) {
    audited *a = self;

    return a->behind.ops->claims(a->behind.self);
}

static void free_store(void *self) {
    audited *a = self;

    tmk_store_free(a->behind);
    (void)fclose(a->file);
    free(a);
}

/* `behind` is the new store's from here on, also where this fails. */
static tmk_status audited_new(tmk_store behind, const char *path, tmk_store *out) {
    static const tmk_store_ops ops = {sizeof ops, submit, claims, free_store};
    audited *a = malloc(sizeof *a);
    FILE *file = fopen(path, "a");

    if (a == NULL || file == NULL) {
        free(a);
        if (file != NULL) {
            (void)fclose(file);
        }
        tmk_store_free(behind);
        return TMK_EIO;
    }
    (void)setvbuf(file, NULL, _IOLBF, 0);
    *a = (audited){behind, file};
    *out = (tmk_store){&ops, a};
    return TMK_OK;
}

static tmk_verdict handle(void *user, const tmk_event *event, tmk_delivery *delivery) {
    (void)user, (void)event, (void)delivery;
    return TMK_DONE;
}

int main(int argc, char **argv) {
    tmk_client *client = NULL;
    tmk_processor *processor = NULL;
    tmk_store memory = {NULL, NULL}, store = {NULL, NULL};
    tmk_client_options c;
    tmk_processor_options p;
    tmk_error err = {.text = "usage: store HUB AUDIT_FILE"};
    sigset_t signals;
    int number, code = 1;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    tmk_client_options_init(&c);
    c.connection_string = getenv("EVENTHUB_CONNECTION_STRING");
    c.hub = argv[1];
    tmk_processor_options_init(&p);
    p.on_event = handle;
    p.checkpoint_interval_ms = 1000;
    if (argc == 3 && tmk_client_new(&c, &client, &err) >= 0 &&
        tmk_store_memory_new(&memory, &err) >= 0 && audited_new(memory, argv[2], &store) >= 0 &&
        tmk_processor_new(client, store, &p, &processor, &err) >= 0 &&
        tmk_processor_start(processor, &err) >= 0) {
        sigwait(&signals, &number);
        code = tmk_processor_stop(processor, 30000, NULL, &err) < 0;
    }
    if (code != 0) {
        fprintf(stderr, "store: %s\n", err.text);
    }
    processor = tmk_processor_free(processor);
    tmk_store_free(store);
    client = tmk_client_free(client);
    return code;
}
