/*
 * Sends each line of standard input as an event; what stands before the first ':' is its key. Every
 * event's fate is told: the program ends with 0 when the service has stored all of them.
 *
 *   EVENTHUB_CONNECTION_STRING=... ./produce HUB < lines
 */
#include <tidemark/producer.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_ulong stored, failed;

static void on_fate(void *user, const tmk_fate *fate) {
    (void)user;
    if (fate->status == TMK_OK) {
        stored++;
    } else {
        failed++;
        fprintf(stderr, "%s, after %u tries%s\n", fate->error->text, fate->attempts,
                fate->maybe_stored ? "; it may have been stored all the same" : "");
    }
}

/* Full: wait until what is under way has had its fate, and once more. */
static tmk_status send(tmk_producer *producer, const tmk_message *message, tmk_error *err) {
    tmk_status st = tmk_producer_send(producer, message, NULL, on_fate, NULL, err);

    if (st == TMK_ELIMIT && tmk_producer_flush_wait(producer, 60000, err) >= 0) {
        st = tmk_producer_send(producer, message, NULL, on_fate, NULL, err);
    }
    return st;
}

static tmk_status send_line(tmk_producer *producer, tmk_message *message, char *line,
                            tmk_error *err) {
    char *colon = strchr(line, ':');
    char *body = colon == NULL ? line : colon + 1;
    tmk_slice bytes = {(const uint8_t *)body, strcspn(body, "\n")};
    tmk_status st = tmk_message_reset(message, bytes, err);

    if (st >= 0 && colon != NULL) {
        *colon = '\0';
        st = tmk_message_set_key(message, line, err);
    }
    return st < 0 ? st : send(producer, message, err);
}

int main(int argc, char **argv) {
    tmk_client *client = NULL;
    tmk_producer *producer = NULL;
    tmk_message *message = NULL;
    tmk_client_options c;
    tmk_error err = {.text = "usage: produce HUB < lines"};
    tmk_status st = TMK_EINVAL;
    char *line = NULL;
    size_t room = 0;

    tmk_client_options_init(&c);
    c.connection_string = getenv("EVENTHUB_CONNECTION_STRING");
    c.hub = argv[1];
    if (argc != 2 || tmk_client_new(&c, &client, &err) < 0 ||
        tmk_producer_new(client, NULL, &producer, &err) < 0 ||
        tmk_message_new((tmk_slice){NULL, 0}, &message, &err) < 0) {
        goto done;
    }
    do {
        st = getline(&line, &room, stdin) < 0 ? TMK_EOF : send_line(producer, message, line, &err);
    } while (st == TMK_OK);
    if (st == TMK_EOF) {
        st = tmk_producer_close(producer, 60000, &err); /* waits for every fate */
    }
    printf("stored %lu, failed %lu\n", (unsigned long)stored, (unsigned long)failed);
done:
    if (st < 0) {
        fprintf(stderr, "produce: %s\n", err.text);
    }
    free(line);
    message = tmk_message_free(message);
    producer = tmk_producer_free(producer);
    client = tmk_client_free(client);
    return st < 0 || failed > 0;
}
