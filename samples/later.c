/*
 * Asynchronous completion: the handler only hands the event on and returns TMK_LATER; a thread of
 * the program's own writes whatever has gathered with one fsync and completes all of it. The events
 * themselves need no copy: they live until they are completed.
 *
 *   EVENTHUB_CONNECTION_STRING=... ./later HUB OUTPUT
 */
#include <tidemark/processor.h>
#include <tidemark/store_memory.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 20000 }; /* as many as the processor holds at most: events_max */

typedef struct waiting {
    const tmk_event *event;
    tmk_handle handle;
} waiting;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static waiting queue[ROOM], group[ROOM];
static size_t queued;
static bool over;
static tmk_processor *processor;

static tmk_verdict handle(void *user, const tmk_event *event, tmk_delivery *delivery) {
    (void)user;
    pthread_mutex_lock(&lock);
    queue[queued++] = (waiting){event, delivery->handle};
    pthread_cond_signal(&more);
    pthread_mutex_unlock(&lock);
    return TMK_LATER;
}

/* Takes all that waits; 0: it is over. */
static size_t take(void) {
    size_t count;

    pthread_mutex_lock(&lock);
    while (queued == 0 && !over) {
        pthread_cond_wait(&more, &lock);
    }
    count = queued;
    memcpy(group, queue, count * sizeof *queue);
    queued = 0;
    pthread_mutex_unlock(&lock);
    return count;
}

static void *write_groups(void *arg) {
    FILE *out = arg;

    for (size_t count = take(); count > 0; count = take()) {
        bool good = true;

        for (size_t i = 0; i < count; i++) {
            tmk_slice body = tmk_event_body(group[i].event);

            good = fprintf(out, "%.*s\n", (int)body.size, (const char *)body.bytes) >= 0 && good;
        }
        good = fflush(out) == 0 && fsync(fileno(out)) == 0 && good;
        for (size_t i = 0; i < count; i++) { /* from here on the events may be gone */
            (void)tmk_processor_complete(processor, group[i].handle, good ? TMK_DONE : TMK_RETRY,
                                         -1);
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    tmk_client *client = NULL;
    tmk_store store = {NULL, NULL};
    tmk_client_options c;
    tmk_processor_options p;
    tmk_error err = {.text = "usage: later HUB OUTPUT"};
    FILE *out = argc == 3 ? fopen(argv[2], "a") : NULL;
    pthread_t writer;
    sigset_t signals;
    int number, code = 1;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    if (out == NULL || pthread_create(&writer, NULL, write_groups, out) != 0) {
        fprintf(stderr, "later: %s\n", err.text);
        return 2;
    }
    tmk_client_options_init(&c);
    c.connection_string = getenv("EVENTHUB_CONNECTION_STRING");
    c.hub = argv[1];
    tmk_processor_options_init(&p);
    p.on_event = handle;
    p.order = TMK_ORDER_NONE; /* else each lane waits for the event that it has handed out */
    if (tmk_client_new(&c, &client, &err) >= 0 && tmk_store_memory_new(&store, &err) >= 0 &&
        tmk_processor_new(client, store, &p, &processor, &err) >= 0 &&
        tmk_processor_start(processor, &err) >= 0) {
        sigwait(&signals, &number);
        code = tmk_processor_stop(processor, 30000, NULL, &err) < 0; /* waits for the handles */
    }
    if (code != 0) {
        fprintf(stderr, "later: %s\n", err.text);
    }
    pthread_mutex_lock(&lock);
    over = true;
    pthread_cond_signal(&more);
    pthread_mutex_unlock(&lock);
    pthread_join(writer, NULL);
    processor = tmk_processor_free(processor);
    tmk_store_free(store);
    client = tmk_client_free(client);
    return fclose(out) == 0 ? code : 1;
}
