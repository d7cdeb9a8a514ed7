/*
 * Metrics in a program's own HTTP server: a snapshot is taken for each GET of /metrics and written
 * as Prometheus text. The server here is libmicrohttpd; any other does as well.
 *
 *   EVENTHUB_CONNECTION_STRING=... ./exporter HUB PORT
 */
#include <tidemark/stats.h>
#include <tidemark/store_memory.h>

#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tmk_verdict handle(void *user, const tmk_event *event, tmk_delivery *delivery) {
    (void)user, (void)event, (void)delivery;
    return TMK_DONE;
}

static void write_text(void *self, const char *text, size_t size) {
    (void)fwrite(text, 1, size, self);
}

/* The text of a snapshot, to be freed; NULL where there is no memory. */
static char *metrics(tmk_processor *processor, size_t *size) {
    tmk_stats *stats = NULL;
    const tmk_stats *list[1];
    tmk_error err;
    char *text = NULL;
    FILE *memory;
    bool good;

    if (tmk_stats_take(processor, &stats, &err) < 0) {
        return NULL;
    }
    list[0] = stats;
    memory = open_memstream(&text, size);
    good = memory != NULL && tmk_stats_write_prometheus(list, 1, write_text, memory, &err) >= 0;
    good = memory != NULL && fclose(memory) == 0 && good;
    stats = tmk_stats_free(stats);
    if (!good) {
        free(text);
    }
    return good ? text : NULL;
}

static enum MHD_Result answer(void *self, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state) {
    bool right = strcmp(method, "GET") == 0 && strcmp(url, "/metrics") == 0;
    size_t size = 0;
    char *text = right ? metrics(self, &size) : NULL;
    unsigned code = !right         ? MHD_HTTP_NOT_FOUND
                    : text == NULL ? MHD_HTTP_INTERNAL_SERVER_ERROR
                                   : MHD_HTTP_OK;
    struct MHD_Response *response = NULL;
    enum MHD_Result result = MHD_NO;

    (void)version, (void)upload, (void)upload_size, (void)state;
    response = MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(text);
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, "Content-Type", "text/plain; version=0.0.4");
    result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

int main(int argc, char **argv) {
    tmk_client *client = NULL;
    tmk_processor *processor = NULL;
    struct MHD_Daemon *server = NULL;
    tmk_store store = {NULL, NULL};
    tmk_client_options c;
    tmk_processor_options p;
    tmk_error err = {.text = "usage: exporter HUB PORT"};
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
    if (argc != 3 || tmk_client_new(&c, &client, &err) < 0 ||
        tmk_store_memory_new(&store, &err) < 0 ||
        tmk_processor_new(client, store, &p, &processor, &err) < 0 ||
        tmk_processor_start(processor, &err) < 0) {
        goto done;
    }
    server = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, (uint16_t)atoi(argv[2]), NULL, NULL,
                              answer, processor, MHD_OPTION_END);
    if (server == NULL) {
        (void)snprintf(err.text, sizeof err.text, "cannot listen on port %s", argv[2]);
        goto done;
    }
    printf("http://127.0.0.1:%u/metrics\n",
           MHD_get_daemon_info(server, MHD_DAEMON_INFO_BIND_PORT)->port);
    (void)fflush(stdout);
    sigwait(&signals, &number);
    MHD_stop_daemon(server); /* nobody asks any more */
    code = tmk_processor_stop(processor, 30000, NULL, &err) < 0;
done:
    if (code != 0) {
        fprintf(stderr, "exporter: %s\n", err.text);
    }
    processor = tmk_processor_free(processor);
    tmk_store_free(store);
    client = tmk_client_free(client);
    return code;
}
