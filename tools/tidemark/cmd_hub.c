/* tidemark hub: properties of the hub and its partitions. */
#include "commands.h"
#include "common.h"
#include "format.h"

#include <tidemark/management.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct settings {
    cli_common common;
    int64_t timeout_ms;
    bool json;
} settings;

static const cli_option options[] = {
    CLI_CONNECTION_OPTIONS(settings, common),
    {CLI_HEADING, NULL, 0, NULL, NULL, "output", 0, 0},
    {CLI_FLAG, "json", offsetof(settings, json), NULL, NULL, "one JSON object", 0, 0},
    {CLI_DURATION, "timeout", offsetof(settings, timeout_ms), "D", NULL,
     "how long to wait for an answer (30s)", 1, 3600000},
    {CLI_END, NULL, 0, NULL, NULL, NULL, 0, 0},
};

static void print_json(cli_buffer *b, const tmk_hub_facts *hub, const tmk_partition_facts *parts) {
    cli_addf(b, "{\"name\":\"%s\",\"created_ms\":%" PRId64 ",\"georeplicated\":%s,\"partitions\":[",
             hub->name, hub->created_ms, hub->georeplicated ? "true" : "false");
    for (size_t i = 0; i < hub->partition_count; i++) {
        cli_addf(b,
                 "%s{\"id\":\"%s\",\"begin_sequence\":%" PRId64 ",\"last_sequence\":%" PRId64
                 ",\"last_offset\":",
                 i == 0 ? "" : ",", hub->partitions[i], parts[i].begin_sequence,
                 parts[i].last_sequence);
        cli_add_json(
            b, (tmk_slice){(const uint8_t *)parts[i].last_offset, strlen(parts[i].last_offset)});
        cli_addf(b, ",\"last_enqueued_ms\":%" PRId64 ",\"empty\":%s}", parts[i].last_enqueued_ms,
                 parts[i].empty ? "true" : "false");
    }
    cli_add_text(b, "]}\n");
}

static void print_table(const tmk_hub_facts *hub, const tmk_partition_facts *parts) {
    printf("hub %s, %zu partitions%s\n\n", hub->name, hub->partition_count,
           hub->georeplicated ? ", geo-replicated" : "");
    printf("partition       begin        last  last offset\n");
    for (size_t i = 0; i < hub->partition_count; i++) {
        if (parts[i].last_sequence < 0) {
            printf("%9s           -           -  (never used)\n", hub->partitions[i]);
        } else {
            printf("%9s %11" PRId64 " %11" PRId64 "  %s%s\n", hub->partitions[i],
                   parts[i].begin_sequence, parts[i].last_sequence, parts[i].last_offset,
                   parts[i].empty ? " (empty)" : "");
        }
    }
}

static int show(const settings *s, tmk_client *client) {
    tmk_partition_facts parts[2048];
    tmk_hub_facts *hub = NULL;
    cli_buffer b = {NULL, 0, 0, false};
    tmk_error err;
    int code = 0;

    if (tmk_client_hub_facts_wait(client, s->timeout_ms, &hub, &err) < 0) {
        return cli_error("cannot read the hub's properties", &err);
    }
    for (size_t i = 0; code == 0 && i < hub->partition_count && i < 2048; i++) {
        if (tmk_client_partition_facts_wait(client, hub->partitions[i], s->timeout_ms, &parts[i],
                                            &err) < 0) {
            code = cli_error("cannot read a partition's properties", &err);
        }
    }
    if (code == 0 && s->json) {
        print_json(&b, hub, parts);
        if (!cli_put(&b, stdout)) {
            code = cli_failed("cannot write to standard output");
        }
    } else if (code == 0) {
        print_table(hub, parts);
    }
    cli_free(&b);
    tmk_hub_facts_free(hub);
    return code;
}

int cmd_hub(int argc, char **argv) {
    settings s = {.timeout_ms = 30000};
    int count = cli_parse(options, &s, argc, argv, NULL, 0);
    tmk_client *client = NULL;
    int code;

    if (count == -1) {
        puts("usage: tidemark hub [OPTIONS]\n\nProperties of the hub and its partitions.");
        cli_help(options);
        return 0;
    }
    if (count < 0) {
        return 2;
    }
    code = cli_client(&s.common, NULL, NULL, &client);
    if (code == 0) {
        code = show(&s, client);
    }
    tmk_client_free(client);
    return code;
}
