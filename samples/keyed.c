/*
 * Slow handlers and few partitions: events of one key come one after the other, those of different
 * keys side by side, 32 at once, whatever the number of partitions. The checkpoint knows exactly
 * what is finished.
 *
 *   EVENTHUB_CONNECTION_STRING=... ./keyed HUB STORE_FOLDER
 */
#include <tidemark/processor.h>
#include <tidemark/store_file.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Stands for a call to something slow. */
static void work(void) {
    const struct timespec ten_ms = {0, 10 * 1000 * 1000};

    (void)nanosleep(&ten_ms, NULL);
}

static tmk_verdict handle(void *user, const tmk_event *event, tmk_delivery *delivery) {
    tmk_slice key = tmk_event_key(event), body = tmk_event_body(event);

    (void)user, (void)delivery;
    work();
    printf("%.*s: %.*s\n", (int)key.size, (const char *)key.bytes, (int)body.size,
           (const char *)body.bytes);
    return fflush(stdout) == 0 ? TMK_DONE : TMK_RETRY;
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
    tmk_error err = {.text = "usage: keyed HUB STORE_FOLDER"};
    sigset_t signals;
    int number, code = 1;

    sigemptyset(&signals); /* blocked here and in all threads that follow; waited for below */
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    tmk_client_options_init(&c);
    c.connection_string = getenv("EVENTHUB_CONNECTION_STRING");
    c.hub = argv[1];
    if (argc != 3 || tmk_client_new(&c, &client, &err) < 0) {
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
    p.on_event = handle;
    p.order = TMK_ORDER_KEY;
    p.threads = 32;
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
        fprintf(stderr, "keyed: %s\n", err.text);
    }
    processor = tmk_processor_free(processor);
    tmk_store_free(store);
    client = tmk_client_free(client);
    return code;
}
