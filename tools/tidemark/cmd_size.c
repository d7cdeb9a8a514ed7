/*
 * tidemark size: how many throughput units a load needs, and which of the four
 * limits decides. Arithmetic only; connects to nothing.
 */
#include "commands.h"
#include "options.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* One throughput unit of the Standard tier. A megabyte is 10^6 bytes: the safer reading. */
static const double unit_in_bytes = 1e6, unit_in_events = 1000, unit_out_bytes = 2e6,
                    unit_out_events = 4096;
static const int64_t units_max = 40;
static const double head_room = 1.2;

typedef struct settings {
    double events;
    int64_t event_size, bytes, groups, replay_percent;
    bool json;
} settings;

static const cli_option options[] = {
    {CLI_RATE, "events", offsetof(settings, events), "N/s", NULL, "events sent per second", 0, 0},
    {CLI_SIZE, "event-size", offsetof(settings, event_size), "SIZE", NULL, "bytes of one event", 1,
     INT64_C(1) << 30},
    {CLI_SIZE, "bytes", offsetof(settings, bytes), "SIZE", NULL,
     "bytes sent per second, instead of --event-size", 1, INT64_C(1) << 50},
    {CLI_INT, "groups", offsetof(settings, groups), "N", NULL,
     "consumer groups that read everything (1)", 0, 1000},
    {CLI_INT, "replay-percent", offsetof(settings, replay_percent), "N", NULL,
     "what is read again, in percent of the sent bytes (0)", 0, 10000},
    {CLI_FLAG, "json", offsetof(settings, json), NULL, NULL,
     "one JSON line instead of the reasoning", 0, 0},
    {CLI_END, NULL, 0, NULL, NULL, NULL, 0, 0},
};

typedef struct term {
    const char *what;
    double load, unit;
} term;

static int64_t round_up(double units) {
    return (int64_t)ceil(units - 1e-9);
}

static int help(void) {
    puts("usage: tidemark size --events N/s --event-size SIZE [--groups N]\n\n"
         "Throughput units that a load needs on the Standard tier, and why.\n");
    cli_help(options);
    return 0;
}

static void explain(const term *terms, size_t decides, int64_t need, int64_t provision) {
    for (size_t i = 0; i < 4; i++) {
        printf("  %-10s %12.0f per second / %7.0f per unit = %6.2f units%s\n", terms[i].what,
               terms[i].load, terms[i].unit, terms[i].load / terms[i].unit,
               i == decides ? "   <- decides" : "");
    }
    printf("needed: %" PRId64 " throughput units; to provision, with a fifth of head-room: %" PRId64
           "\n",
           need, provision);
    if (provision > units_max) {
        printf("more than %" PRId64 " units: take the Premium or the Dedicated tier\n", units_max);
    }
}

int cmd_size(int argc, char **argv) {
    settings s = {.groups = 1};
    int count = cli_parse(options, &s, argc, argv, NULL, 0);

    if (count == -1) {
        return help();
    }
    if (count < 0) {
        return 2;
    }
    if (s.bytes == 0) {
        s.bytes = (int64_t)llround(s.events * (double)s.event_size);
    }
    if (s.bytes <= 0) {
        return cli_usage("size needs --events with --event-size, or --bytes");
    }

    double out = (double)s.groups + (double)s.replay_percent / 100.0;
    const term terms[] = {
        {"bytes in", (double)s.bytes, unit_in_bytes},
        {"events in", s.events, unit_in_events},
        {"bytes out", (double)s.bytes * out, unit_out_bytes},
        {"events out", s.events * out, unit_out_events},
    };
    size_t decides = 0;
    for (size_t i = 1; i < 4; i++) {
        if (terms[i].load / terms[i].unit > terms[decides].load / terms[decides].unit) {
            decides = i;
        }
    }
    int64_t need = round_up(terms[decides].load / terms[decides].unit);
    int64_t provision = round_up(head_room * (double)need);

    if (s.json) {
        printf(
            "{\"need\":%" PRId64 ",\"provision\":%" PRId64 ",\"decides\":\"%s\",\"tier\":\"%s\"}\n",
            need, provision, terms[decides].what, provision > units_max ? "premium" : "standard");
    } else {
        explain(terms, decides, need, provision);
    }
    return 0;
}
