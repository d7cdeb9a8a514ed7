/* The program tidemark-hub: options, one line when ready, a clean end. */
#include <tidemark/hub.h>
#include <tidemark/version.h>

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "base/time.h"

enum { FAILED = 1, WRONG_USAGE = 2 };

static const char help[] =
    "usage: tidemark-hub [options]\n"
    "\n"
    "An Event Hubs compatible server for development and tests.\n"
    "\n"
    "  --listen ADDR:PORT        AMQP; port 0 picks one (127.0.0.1:0)\n"
    "  --hub NAME[:PARTITIONS]   an event hub, 4 partitions unless said; repeatable (hub:4)\n"
    "  --group NAME              a consumer group of every hub beside $Default; repeatable\n"
    "  --data DIR                keep events in this folder; without it, in memory\n"
    "  --retention DURATION      older events go: 90s, 30m, 24h, 7d (24h)\n"
    "  --retention-bytes SIZE    of one partition; beyond it the oldest go: 64MiB (256MiB)\n"
    "  --throughput-units N      throttle as the service does (not at all)\n"
    "  --key-name NAME           of the shared access key (RootManageSharedAccessKey)\n"
    "  --key TEXT                the key itself (made at random)\n"
    "  --jwt any                 take tokens of type jwt, any that has not expired\n"
    "  --jwt-key TEXT            take those that are signed with this key by HS256\n"
    "  --tls-cert FILE           PEM; with --tls-key the AMQP ports take TLS too\n"
    "  --tls-key FILE            PEM\n"
    "  --websocket ADDR:PORT     AMQP over WebSocket\n"
    "  --control ADDR:PORT       HTTP: GET /state /metrics /healthz, POST and DELETE /faults\n"
    "  --preload HUB:COUNT:SIZE[:KEYS]\n"
    "                            start with events of SIZE bytes, for benchmarks; repeatable\n"
    "  --unsettled               deliver unsettled\n"
    "  --geo                     opaque offsets, as on a geo-replicated namespace\n"
    "  --log LEVEL               error, warn, info, debug or trace, to standard error (warn)\n"
    "  --help, --version\n"
    "\n"
    "When ready it prints one line of JSON on standard output, with the address and a connection\n"
    "string. SIGTERM and SIGINT end it. Exit codes: 0 ended, 1 failed, 2 wrong options.\n";

enum { HUBS_MAX = 64, GROUPS_MAX = 1000, PRELOADS_MAX = 16 };

typedef struct preload {
    char *hub;
    uint64_t count;
    uint64_t size, keys;
} preload;

typedef struct settings {
    tmk_hub_options hub;
    tmk_hub_spec hubs[HUBS_MAX];
    const char *groups[GROUPS_MAX];
    preload preloads[PRELOADS_MAX];
    size_t preload_count;
    bool done; /* --help or --version: nothing is to be run */
} settings;

/* ---- options ---- */

static bool wrong(const char *option, const char *value, const char *hint) {
    fprintf(stderr, "tidemark-hub: %s: '%s' %s\n", option, value, hint);
    return false;
}

/* "NAME[:N]" */
static bool take_hub(settings *s, char *value) {
    char *colon = strrchr(value, ':');
    uint64_t partitions = 4;

    if (s->hub.hub_count == HUBS_MAX) {
        return wrong("--hub", value, "is one too many: 64 can be");
    }
    if (colon != NULL && (!tmk_slice_uint64(tmk_slice_str(colon + 1), &partitions) ||
                          partitions < 1 || partitions > 1024)) {
        return wrong("--hub", value, "has no count of partitions from 1 to 1024 after the colon");
    }
    if (colon != NULL) {
        *colon = '\0';
    }
    s->hubs[s->hub.hub_count++] = (tmk_hub_spec){value, (uint32_t)partitions};
    return true;
}

static bool take_group(settings *s, const char *value) {
    if (s->hub.group_count == GROUPS_MAX) {
        return wrong("--group", value, "is one too many: 1000 can be");
    }
    s->groups[s->hub.group_count++] = value;
    return true;
}

static bool take_preload(settings *s, char *value) {
    preload *p = &s->preloads[s->preload_count];
    char *field[4] = {value, NULL, NULL, NULL};
    int count = 1;

    for (char *c = value; *c != '\0' && count < 4; c++) {
        if (*c == ':') {
            *c = '\0';
            field[count++] = c + 1;
        }
    }
    if (s->preload_count == PRELOADS_MAX || count < 3 ||
        !tmk_slice_uint64(tmk_slice_str(field[1]), &p->count) ||
        tmk_size_parse(tmk_slice_str(field[2]), &p->size, NULL) < 0 || p->size > (1u << 20) ||
        (count == 4 &&
         (!tmk_slice_uint64(tmk_slice_str(field[3]), &p->keys) || p->keys > UINT32_MAX))) {
        return wrong("--preload", value, "...: use HUB:COUNT:SIZE[:KEYS], like hub:100000:1KiB:64");
    }
    p->hub = value;
    s->preload_count++;
    return true;
}

static bool take_number(const char *option, const char *value, uint32_t *out) {
    uint64_t n = 0;

    if (!tmk_slice_uint64(tmk_slice_str(value), &n) || n > 10000) {
        return wrong(option, value, "is no number from 0 to 10000");
    }
    *out = (uint32_t)n;
    return true;
}

static bool take_retention(settings *s, const char *value) {
    tmk_time t = 0;
    tmk_error err;

    if (tmk_duration_parse(tmk_slice_str(value), &t, &err) < 0 || t < TMK_MS) {
        return wrong("--retention", value, "is no duration: use 90s, 30m, 24h or 7d");
    }
    s->hub.retention_ms = t / TMK_MS;
    return true;
}

static bool take_size(settings *s, const char *value) {
    tmk_error err;

    if (tmk_size_parse(tmk_slice_str(value), &s->hub.retention_bytes, &err) < 0 ||
        s->hub.retention_bytes == 0) {
        return wrong("--retention-bytes", value, "is no size: use 512KiB, 64MiB or 1GiB");
    }
    return true;
}

static bool take_log(settings *s, const char *value) {
    static const char *const names[] = {"none", "error", "warn", "info", "debug", "trace"};

    for (int i = 0; i < 6; i++) {
        if (strcmp(value, names[i]) == 0) {
            s->hub.log = tmk_log_stderr((tmk_log_level)i);
            return true;
        }
    }
    return wrong("--log", value, "is none of error, warn, info, debug, trace");
}

static bool take_jwt(settings *s, const char *value) {
    if (strcmp(value, "any") != 0) {
        return wrong("--jwt", value, "can only be 'any'");
    }
    s->hub.jwt = TMK_HUB_JWT_ANY;
    return true;
}

enum {
    OPTION_LISTEN = 256,
    OPTION_HUB,
    OPTION_GROUP,
    OPTION_DATA,
    OPTION_RETENTION,
    OPTION_RETENTION_BYTES,
    OPTION_UNITS,
    OPTION_KEY_NAME,
    OPTION_KEY,
    OPTION_JWT,
    OPTION_JWT_KEY,
    OPTION_TLS_CERT,
    OPTION_TLS_KEY,
    OPTION_WEBSOCKET,
    OPTION_CONTROL,
    OPTION_PRELOAD,
    OPTION_UNSETTLED,
    OPTION_GEO,
    OPTION_LOG,
    OPTION_HELP,
    OPTION_VERSION
};

static const struct option long_options[] = {
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"hub", required_argument, NULL, OPTION_HUB},
    {"group", required_argument, NULL, OPTION_GROUP},
    {"data", required_argument, NULL, OPTION_DATA},
    {"retention", required_argument, NULL, OPTION_RETENTION},
    {"retention-bytes", required_argument, NULL, OPTION_RETENTION_BYTES},
    {"throughput-units", required_argument, NULL, OPTION_UNITS},
    {"key-name", required_argument, NULL, OPTION_KEY_NAME},
    {"key", required_argument, NULL, OPTION_KEY},
    {"jwt", required_argument, NULL, OPTION_JWT},
    {"jwt-key", required_argument, NULL, OPTION_JWT_KEY},
    {"tls-cert", required_argument, NULL, OPTION_TLS_CERT},
    {"tls-key", required_argument, NULL, OPTION_TLS_KEY},
    {"websocket", required_argument, NULL, OPTION_WEBSOCKET},
    {"control", required_argument, NULL, OPTION_CONTROL},
    {"preload", required_argument, NULL, OPTION_PRELOAD},
    {"unsettled", no_argument, NULL, OPTION_UNSETTLED},
    {"geo", no_argument, NULL, OPTION_GEO},
    {"log", required_argument, NULL, OPTION_LOG},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

static bool take_plain(settings *s, int option, const char *value) {
    tmk_hub_options *o = &s->hub;

    switch (option) {
    case OPTION_LISTEN:
        o->listen = value;
        return true;
    case OPTION_DATA:
        o->data_dir = value;
        return true;
    case OPTION_KEY_NAME:
        o->key_name = value;
        return true;
    case OPTION_KEY:
        o->key = value;
        return true;
    case OPTION_JWT_KEY:
        o->jwt = TMK_HUB_JWT_HS256;
        o->jwt_key = value;
        return true;
    case OPTION_TLS_CERT:
        o->tls_cert = value;
        return true;
    case OPTION_TLS_KEY:
        o->tls_key = value;
        return true;
    case OPTION_WEBSOCKET:
        o->websocket = value;
        return true;
    case OPTION_CONTROL:
        o->control = value;
        return true;
    case OPTION_UNSETTLED:
        o->unsettled = true;
        return true;
    case OPTION_GEO:
        o->geo = true;
        return true;
    default:
        fprintf(stderr, "Try 'tidemark-hub --help'.\n");
        return false;
    }
}

static bool take_option(settings *s, int option, char *value) {
    switch (option) {
    case OPTION_HUB:
        return take_hub(s, value);
    case OPTION_GROUP:
        return take_group(s, value);
    case OPTION_RETENTION:
        return take_retention(s, value);
    case OPTION_RETENTION_BYTES:
        return take_size(s, value);
    case OPTION_UNITS:
        return take_number("--throughput-units", value, &s->hub.throughput_units);
    case OPTION_JWT:
        return take_jwt(s, value);
    case OPTION_PRELOAD:
        return take_preload(s, value);
    case OPTION_LOG:
        return take_log(s, value);
    case OPTION_HELP:
        fputs(help, stdout);
        s->done = true;
        return true;
    case OPTION_VERSION:
        puts("tidemark-hub " TMK_VERSION_STRING);
        s->done = true;
        return true;
    default:
        return take_plain(s, option, value);
    }
}

static bool read_options(settings *s, int argc, char **argv) {
    int option;

    tmk_hub_options_init(&s->hub);
    s->hub.log = tmk_log_stderr(TMK_LOG_WARN);
    s->hub.hub_count = 0;
    while (!s->done && (option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (!take_option(s, option, optarg)) {
            return false;
        }
    }
    if (!s->done && optind < argc) {
        return wrong("argument", argv[optind], "is not understood; try 'tidemark-hub --help'");
    }
    if (s->hub.hub_count == 0) {
        s->hubs[s->hub.hub_count++] = (tmk_hub_spec){"hub", 4};
    }
    s->hub.hubs = s->hubs;
    s->hub.groups = s->groups;
    return true;
}

/* ---- running ---- */

static bool print_ready(const tmk_hub *h, bool tls) {
    static const char *const names[] = {"amqp", "websocket", "control"};
    tmk_str line = TMK_STR_INIT;
    bool ok;

    tmk_str_add(&line, "{\"ready\":true");
    for (int i = 0; i < 3; i++) {
        const char *address = tmk_hub_address(h, (tmk_hub_door)i);
        if (address != NULL) {
            tmk_str_addf(&line, ",\"%s\":\"%s\"", names[i], address);
        }
    }
    if (tls) {
        tmk_str_addf(&line, ",\"tls\":\"%s\"", tmk_hub_address(h, TMK_HUB_DOOR_AMQP));
    }
    tmk_str_add(&line, ",\"connection_string\":");
    tmk_str_add_json(&line, tmk_slice_str(tmk_hub_connection_string(h)));
    tmk_str_add(&line, "}\n");
    ok = tmk_str_ok(&line) && fputs(tmk_str_text(&line), stdout) >= 0 && fflush(stdout) == 0;
    tmk_str_clear(&line);
    return ok;
}

static int fail(const tmk_error *err) {
    fprintf(stderr, "tidemark-hub: %s\n", err->text);
    return err->status == TMK_EINVAL ? WRONG_USAGE : FAILED;
}

/* Until a signal says to end. They are blocked in every thread, and taken here. */
static void wait_for_end(const sigset_t *signals) {
    int got = 0;

    while (sigwait(signals, &got) != 0) {
    }
}

static int run(const settings *s) {
    tmk_hub *h = NULL;
    tmk_error err;
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE,
           SIG_IGN); /* a reader of the ready line that has gone is an error, not a death */
    if (tmk_hub_start(&s->hub, &h, &err) < 0) {
        return fail(&err);
    }
    for (size_t i = 0; i < s->preload_count; i++) {
        const preload *p = &s->preloads[i];
        if (tmk_hub_preload(h, p->hub, p->count, (uint32_t)p->size, (uint32_t)p->keys, &err) < 0) {
            tmk_hub_stop(h);
            return fail(&err);
        }
    }
    if (!print_ready(h, s->hub.tls_cert != NULL)) {
        fprintf(stderr, "tidemark-hub: cannot write to standard output\n");
        tmk_hub_stop(h);
        return FAILED;
    }
    wait_for_end(&signals);
    tmk_hub_stop(h);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
    settings s = {0};

    if (!read_options(&s, argc, argv)) {
        return WRONG_USAGE;
    }
    return s.done ? EXIT_SUCCESS : run(&s);
}
