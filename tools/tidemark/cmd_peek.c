/* tidemark peek: a few events of a partition, without a group's ownership or checkpoints. */
#include "commands.h"
#include "common.h"
#include "format.h"

#include <tidemark/consumer.h>

#include <stdio.h>
#include <string.h>

typedef struct settings {
    cli_common common;
    const char *partition, *start, *format;
    int64_t count, wait_ms, timeout_ms;
} settings;

static const cli_option options[] = {
    {CLI_HEADING, NULL, 0, NULL, NULL, "what to read", 0, 0},
    {CLI_TEXT, "partition", offsetof(settings, partition), "ID", NULL, "the partition (0)", 0, 0},
    {CLI_TEXT, "start", offsetof(settings, start), "earliest|latest|sequence:N|offset:O|time:T",
     NULL, "where to begin (earliest)", 0, 0},
    {CLI_INT, "count", offsetof(settings, count), "N", NULL, "how many events (10)", 1, INT64_MAX},
    {CLI_DURATION, "wait", offsetof(settings, wait_ms), "D", NULL,
     "end when no event has come for this long (2s)", 1, 86400000},
    {CLI_DURATION, "timeout", offsetof(settings, timeout_ms), "D", NULL,
     "how long to wait for the link (30s)", 1, 3600000},
    {CLI_CHOICE, "format", offsetof(settings, format), "json|raw", NULL,
     "how events are written (json)", 0, 0},
    CLI_CONNECTION_OPTIONS(settings, common),
    {CLI_END, NULL, 0, NULL, NULL, NULL, 0, 0},
};

static int read_events(const settings *s, tmk_consumer *consumer) {
    bool raw = s->format != NULL && strcmp(s->format, "raw") == 0;
    cli_buffer b = {NULL, 0, 0, false};
    int64_t left = s->count;
    tmk_error err;
    int code = 0;

    if (tmk_consumer_open_wait(consumer, s->timeout_ms, &err) < 0) {
        return cli_error("cannot open the partition", &err);
    }
    while (left > 0 && code == 0) {
        tmk_received *got = NULL;
        tmk_status st = tmk_consumer_receive(consumer, (size_t)(left < 1000 ? left : 1000),
                                             s->wait_ms, &got, &err);
        if (st == TMK_AGAIN) {
            break;
        }
        if (st < 0) {
            code = cli_error("reading ended", &err);
            break;
        }
        for (size_t i = 0; i < tmk_received_count(got); i++, left--) {
            (raw ? cli_format_raw : cli_format_json)(&b, tmk_received_event(got, i));
        }
        if (!cli_put(&b, stdout)) {
            code = cli_failed("cannot write to standard output");
        }
        b.size = 0;
        tmk_received_free(got);
    }
    cli_free(&b);
    return code;
}

int cmd_peek(int argc, char **argv) {
    settings s = {
        .partition = "0", .start = "earliest", .count = 10, .wait_ms = 2000, .timeout_ms = 30000};
    int count = cli_parse(options, &s, argc, argv, NULL, 0);
    tmk_consumer_options o;
    tmk_consumer *consumer = NULL;
    tmk_client *client = NULL;
    tmk_error err;
    int code;

    if (count == -1) {
        puts("usage: tidemark peek [OPTIONS]\n\nA few events of a partition; touches no ownership "
             "and no checkpoint.");
        cli_help(options);
        return 0;
    }
    if (count < 0) {
        return 2;
    }
    tmk_consumer_options_init(&o);
    o.partition = s.partition;
    if (s.common.group != NULL) {
        o.group = s.common.group;
    }
    if (tmk_start_parse(s.start, &o.start, &err) < 0) {
        return cli_error("--start", &err);
    }
    code = cli_client(&s.common, NULL, NULL, &client);
    if (code == 0) {
        code = tmk_consumer_new(client, &o, &consumer, &err) < 0 ? cli_error("cannot read", &err)
                                                                 : read_events(&s, consumer);
    }
    tmk_consumer_free(consumer);
    tmk_client_free(client);
    return code;
}
