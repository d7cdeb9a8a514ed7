/*
 * What may go wrong with an event: a failure that passes is tried again after a pause, five times;
 * an event that can never be handled goes to another hub, whole, with the reason.
 *
 *   EVENTHUB_CONNECTION_STRING=... ./retry HUB STORE_FOLDER DEAD_LETTER_HUB
 */
#include <tidemark/processor.h>
#include <tidemark/producer.h>
#include <tidemark/store_file.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tmk_producer *dead_letters;

static bool starts_with(tmk_slice body, const char *word) {
    return body.size >= strlen(word) && memcmp(body.bytes, word, strlen(word)) == 0;
}

static tmk_verdict handle(void *user, const tmk_event *event, tmk_delivery *delivery) {
    tmk_slice body = tmk_event_body(event);

    (void)user;
    if (starts_with(body, "nonsense")) {
        return TMK_DEAD_LETTER; /* no second try can help */
    }
    if (starts_with(body, "down") || (starts_with(body, "busy") && delivery->attempt < 3)) {
        delivery->retry_ms = 100 * delivery->attempt; /* or leave it to the policy below */
        return TMK_RETRY;
    }
    printf("%.*s (try %u)\n", (int)body.size, (const char *)body.bytes, delivery->attempt);
    return fflush(stdout) == 0 ? TMK_DONE : TMK_RETRY;
}

/* The letter is final when the other hub has it, and only then. */
typedef struct letter {
    tmk_processor *processor;
    tmk_handle handle;
} letter;

static void on_fate(void *user, const tmk_fate *fate) {
    letter *l = user;

    (void)tmk_processor_dead_letter_done(l->processor, l->handle, fate->status, fate->error);
    free(l);
}

static void put_aside(void *user, const tmk_dead_letter *dead, tmk_handle handle) {
    tmk_processor *processor = *(tmk_processor **)user;
    letter *l = malloc(sizeof *l);
    tmk_message *message = NULL;
    tmk_error err = {.status = TMK_ENOMEM, .text = "no memory for a dead letter"};
    tmk_status st = l == NULL ? TMK_ENOMEM : tmk_message_from_event(dead->event, &message, &err);

    st = st < 0 ? st : tmk_message_set_text(message, "reason", dead->reason, &err);
    if (st >= 0) {
        *l = (letter){processor, handle};
        st = tmk_producer_send(dead_letters, message, NULL, on_fate, l, &err);
    }
    message = tmk_message_free(message);
    if (st < 0) { /* given again after a pause */
        free(l);
        (void)tmk_processor_dead_letter_done(processor, handle, st, &err);
    }
}

int main(int argc, char **argv) {
    tmk_client *client = NULL, *other = NULL;
    tmk_processor *processor = NULL;
    tmk_store store = {NULL, NULL};
    tmk_client_options c;
    tmk_store_file_options s;
    tmk_processor_options p;
    tmk_error err = {.text = "usage: retry HUB STORE_FOLDER DEAD_LETTER_HUB"};
    sigset_t signals;
    int number, code = 1;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    tmk_client_options_init(&c);
    c.connection_string = getenv("EVENTHUB_CONNECTION_STRING");
    c.hub = argv[1];
    if (argc != 4 || tmk_client_new(&c, &client, &err) < 0) {
        goto done;
    }
    c.hub = argv[3];
    tmk_store_file_options_init(&s);
    s.folder = argv[2];
    s.host = tmk_client_host(client);
    s.hub = tmk_client_hub(client);
    tmk_processor_options_init(&p);
    p.on_event = handle;
    p.order = TMK_ORDER_KEY;
    p.retry_attempts = 5;
    p.on_dead_letter = put_aside;
    p.user = &processor;
    if (tmk_client_new(&c, &other, &err) >= 0 &&
        tmk_producer_new(other, NULL, &dead_letters, &err) >= 0 &&
        tmk_store_file_new(&s, &store, &err) >= 0 &&
        tmk_processor_new(client, store, &p, &processor, &err) >= 0 &&
        tmk_processor_start(processor, &err) >= 0) {
        sigwait(&signals, &number);
        code = tmk_processor_stop(processor, 30000, NULL, &err) < 0;
    }
done:
    if (code != 0) {
        fprintf(stderr, "retry: %s\n", err.text);
    }
    dead_letters = tmk_producer_free(dead_letters);
    processor = tmk_processor_free(processor);
    tmk_store_free(store);
    client = tmk_client_free(client);
    other = tmk_client_free(other);
    return code;
}
