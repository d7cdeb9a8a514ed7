/*
 * Events in batches: up to 500 of a partition, or what has come within 100 ms, are written to a
 * file with one fsync. None of a batch is final before all of it is on the disk.
 *
 *   EVENTHUB_CONNECTION_STRING=... ./batch HUB STORE_FOLDER OUTPUT
 */
#include <tidemark/processor.h>
#include <tidemark/store_file.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static FILE *out;

static void handle(void *user, const tmk_event *const *events, size_t count, tmk_verdict *verdicts,
                   tmk_delivery *delivery) {
    bool good = true;

    (void)user, (void)delivery;
    flockfile(out); /* batches of several partitions come side by side */
    for (size_t i = 0; i < count; i++) {
        tmk_slice body = tmk_event_body(events[i]);

        good = fprintf(out, "%.*s\n", (int)body.size, (const char *)body.bytes) >= 0 && good;
    }
    good = fflush(out) == 0 && fsync(fileno(out)) == 0 && good;
    printf("%zu events\n", count);
    funlockfile(out);
    for (size_t i = 0; !good && i < count; i++) {
        verdicts[i] = TMK_RETRY; /* they were TMK_DONE */
    }
}

static void complain(void *user, const tmk_problem *problem) {
    (void)user;
    fprintf(stderr, "%s: %s; %s\n", problem->operation, problem->error->text, problem->reaction);
}

int main(int argc, char **argv) {
    tmk_client *client = NULL;
    tmk_processor *processor = NULL;
    tmk_store store = {NULL, NULL};
    tmk_client_options c;
    tmk_store_file_options s;
    tmk_processor_options p;
    tmk_error err = {.text = "usage: batch HUB STORE_FOLDER OUTPUT"};
    sigset_t signals;
    int number, code = 1;

    sigemptyset(&signals); /* blocked here and in all threads that follow; waited for below */
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    tmk_client_options_init(&c);
    c.connection_string = getenv("EVENTHUB_CONNECTION_STRING");
    c.hub = argv[1];
    if (argc != 4 || tmk_client_new(&c, &client, &err) < 0) {
        goto done;
    }
    out = fopen(argv[3], "a");
    if (out == NULL) {
        perror(argv[3]);
        goto done;
    }
    tmk_store_file_options_init(&s);
    s.folder = argv[2];
    s.host = tmk_client_host(client);
    s.hub = tmk_client_hub(client);
    if (tmk_store_file_new(&s, &store, &err) < 0) {
        goto done;
    }
    tmk_processor_options_init(&p);
    p.on_batch = handle;
    p.batch_events = 500;
    p.batch_linger_ms = 100;
    p.on_error = complain;
    if (tmk_processor_new(client, store, &p, &processor, &err) < 0 ||
        tmk_processor_start(processor, &err) < 0) {
        goto done;
    }
    sigwait(&signals, &number);
    if (tmk_processor_stop(processor, 30000, NULL, &err) >= 0) {
        code = 0;
    }
done:
    if (code != 0) {
        fprintf(stderr, "batch: %s\n", err.text);
    }
    processor = tmk_processor_free(processor);
    if (out != NULL) {
        (void)fclose(out);
    }
    tmk_store_free(store);
    client = tmk_client_free(client);
    return code;
}
