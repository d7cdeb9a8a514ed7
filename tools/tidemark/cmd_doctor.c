/*
 * tidemark doctor: tries every setting and says, line by line, what is right,
 * what is wrong and what to do.
 *
 * Exit codes: 0 all works (warnings included), 1 something does not, 2 usage.
 */
#include "commands.h"
#include "doctor.h"

#include <tidemark/reach.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* clang-format off */
static const cli_option options[] = {
    {CLI_HEADING, NULL, 0, NULL, NULL, "what to try", 0, 0},
    {CLI_FLAG, "read-only", offsetof(doctor, read_only), NULL, NULL, "write nothing: no trial whether the store may be written", 0, 0},
    {CLI_DURATION, "timeout", offsetof(doctor, timeout_ms), "D", NULL, "how long to wait for each answer (20s)", 100, 3600000},
    {CLI_DURATION, "heartbeat", offsetof(doctor, heartbeat_ms), "D", NULL, "as for consume", 0, 3600000},
    {CLI_DURATION, "expiry", offsetof(doctor, expiry_ms), "D", NULL, "as for consume", 0, 3600000},
    CLI_STORE_OPTIONS(doctor, common),
    CLI_CONNECTION_OPTIONS(doctor, common),
    {CLI_END, NULL, 0, NULL, NULL, NULL, 0, 0},
};
/* clang-format on */

void doctor_say(doctor *d, doctor_kind kind, const char *topic, const char *advice,
                const char *format, ...) {
    static const char *const marks[] = {"ok", "warn", "FAIL", "-"};
    va_list args;

    d->counts[kind]++;
    printf("%-5s %-20s ", marks[kind], topic);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    if (advice != NULL) {
        printf("%-26s -> %s\n", "", advice);
    }
    fflush(stdout);
}

/* ---- reaching an address ---- */

typedef struct address {
    char host[256];
    uint16_t port;
    bool tls;
} address;

static bool parse_address(const char *text, address *out) {
    const char *host = strstr(text, "://");
    size_t size;
    long port = 0;

    *out = (address){.tls = strncmp(text, "amqps:", 6) == 0 || strncmp(text, "wss:", 4) == 0 ||
                            strncmp(text, "https:", 6) == 0};
    if (host == NULL) {
        return false;
    }
    host += 3;
    if (*host == '[') {
        host++;
        size = strcspn(host, "]");
        text = host[size] == ']' ? host + size + 1 : host + size;
    } else {
        size = strcspn(host, ":/");
        text = host + size;
    }
    if (*text == ':') {
        port = strtol(text + 1, NULL, 10);
    }
    out->port = (uint16_t)(port > 0 && port < 65536 ? port : out->tls ? 443 : 80);
    (void)snprintf(out->host, sizeof out->host, "%.*s", (int)size, host);
    return size > 0 && size < sizeof out->host;
}

static void topic(char out[32], const char *what, const char *part) {
    (void)snprintf(out, 32, "%s %s", what, part);
}

/* Never the proxy's text itself: it may hold a password. */
static void say_proxy(doctor *d, const char *what, const char *peer) {
    const char *env = getenv("HTTPS_PROXY") != NULL ? getenv("HTTPS_PROXY") : getenv("https_proxy");
    char name[32];

    topic(name, what, "proxy");
    if (d->common.proxy != NULL) {
        doctor_say(d, DOCTOR_OK, name, NULL, "goes through the proxy%s%s",
                   peer[0] == '\0' ? "" : " at ", peer);
    } else if (env != NULL && env[0] != '\0') {
        doctor_say(d, DOCTOR_WARN, name,
                   "--proxy env uses it; without one it is right to leave it so",
                   "none, although the environment names one in HTTPS_PROXY");
    } else {
        doctor_say(d, DOCTOR_OK, name, NULL, "none");
    }
}

static void say_certificate(doctor *d, const char *what, const tmk_reach *r) {
    int64_t days = (r->ends_unix_s - (int64_t)time(NULL)) / 86400;
    char name[32];

    topic(name, what, "certificate");
    if (r->ends_unix_s > 0 && days < 14) {
        doctor_say(d, DOCTOR_WARN, name, "whoever runs that server must renew it",
                   "trusted, but it ends in %" PRId64 " days (%s)", days, r->subject);
    } else {
        doctor_say(d, DOCTOR_OK, name, NULL, "%s, issued by %s, for %" PRId64 " more days",
                   r->names[0] != '\0' ? r->names : r->subject, r->issuer, days);
    }
}

static void say_bad_certificate(doctor *d, const char *what, const tmk_reach *r,
                                const tmk_error *err) {
    const char *advice = "look at this machine's clock, and at who answers at that address";
    char name[32];

    topic(name, what, "certificate");
    if (strstr(err->text, "another host") != NULL) {
        advice = "use a name that the certificate is for (private endpoints keep the public name)";
    } else if (strstr(err->text, "unknown CA") != NULL) {
        advice = "give the CA's file by --tls-ca; a firewall or proxy that opens TLS has one of "
                 "its own";
    }
    doctor_say(d, DOCTOR_FAIL, name, advice, "%s; shown: %s, for %s, issued by %s", err->text,
               r->subject[0] == '\0' ? "?" : r->subject, r->names[0] == '\0' ? "?" : r->names,
               r->issuer[0] == '\0' ? "?" : r->issuer);
}

static const char *const no_connection =
    "check the address, firewalls and the account's network rules; --transport websocket (port "
    "443) and --proxy pass most firewalls";

/* Which of the steps has failed, and what to do. */
static void say_unreachable(doctor *d, const char *what, const tmk_reach *r, const tmk_error *err) {
    char name[32];

    if (strcmp(err->origin, "curl:60") == 0) {
        say_bad_certificate(d, what, r, err);
        return;
    }
    if (strcmp(err->origin, "curl:77") == 0) {
        topic(name, what, "certificate");
        doctor_say(d, DOCTOR_FAIL, name, "--tls-ca takes a PEM file that can be read", "%s",
                   err->text);
    } else if (strcmp(err->origin, "curl:6") == 0) {
        topic(name, what, "name");
        doctor_say(d, DOCTOR_FAIL, name,
                   "check the name and this machine's DNS; a private endpoint needs its DNS zone",
                   "%s", err->text);
    } else if (strcmp(err->origin, "curl:5") == 0 || strncmp(err->origin, "proxy:", 6) == 0 ||
               (d->common.proxy != NULL && strcmp(err->origin, "curl:7") == 0)) {
        topic(name, what, "proxy");
        doctor_say(d, DOCTOR_FAIL, name, "check --proxy, its user and password, and what it allows",
                   "%s", err->text);
    } else if (strcmp(err->origin, "curl:35") == 0) {
        topic(name, what, "TLS");
        doctor_say(d, DOCTOR_FAIL, name, "is it the right port, and does TLS end there?", "%s",
                   err->text);
    } else {
        topic(name, what, "connection");
        doctor_say(d, DOCTOR_FAIL, name, no_connection, "%s", err->text);
    }
}

bool doctor_reach(doctor *d, const char *what, const char *text) {
    tmk_reach_options o = {.size = sizeof o};
    tmk_error err = {.text = ""};
    tmk_reach r;
    address a;
    char name[32];
    bool good;

    if (!parse_address(text, &a)) {
        return true; /* whoever made the address has checked it */
    }
    o.host = a.host;
    o.port = a.port;
    o.tls = a.tls;
    o.tls_ca_file = d->common.tls_ca;
    o.proxy = d->common.proxy;
    o.timeout_ms = d->timeout_ms;
    good = tmk_reach_try(&o, &r, &err) == TMK_OK;
    topic(name, what, "name");
    if (r.addresses[0] != '\0') {
        doctor_say(d, DOCTOR_OK, name, NULL, "%s is %s", a.host, r.addresses);
    } else if (good) {
        doctor_say(d, DOCTOR_OK, name, NULL, "%s is looked up by the proxy", a.host);
    }
    if (!good) {
        say_unreachable(d, what, &r, &err);
        return false;
    }
    say_proxy(d, what, r.peer);
    topic(name, what, "connection");
    doctor_say(d, DOCTOR_OK, name, NULL, "%s, port %u, stood after %" PRId64 " ms", r.peer,
               (unsigned)a.port, r.connect_ms);
    if (a.tls) {
        say_certificate(d, what, &r);
    } else {
        topic(name, what, "TLS");
        doctor_say(d, DOCTOR_OK, name, NULL, "none: a development server");
    }
    return true;
}

/* ---- timing ---- */

/* Leases of the Blob service last 15 to 60 s; shared claims have no such bounds. */
static void look_at_timing(doctor *d) {
    bool shared = cli_claims(&d->common) == TMK_CLAIMS_SHARED;

    d->heartbeat_ms = d->heartbeat_ms > 0 ? d->heartbeat_ms : shared ? 10000 : 5000;
    d->expiry_ms = d->expiry_ms > 0 ? d->expiry_ms : shared ? 60000 : 20000;
    if (!shared && (d->expiry_ms < 15000 || d->expiry_ms > 60000)) {
        doctor_say(d, DOCTOR_FAIL, "timing", "choose an --expiry between 15s and 60s",
                   "an expiry of %" PRId64 " ms: leases of the Blob service last 15 to 60 s",
                   d->expiry_ms);
    } else if (d->expiry_ms <= 3 * d->heartbeat_ms) {
        doctor_say(d, DOCTOR_FAIL, "timing",
                   "let --expiry be more than three times --heartbeat, four or more",
                   "an expiry of %" PRId64 " ms with a heartbeat each %" PRId64
                   " ms: one slow answer, and an instance that lives is taken for dead",
                   d->expiry_ms, d->heartbeat_ms);
    } else {
        doctor_say(d, DOCTOR_OK, "timing", NULL,
                   "a heartbeat each %" PRId64 " ms; a silent instance is dead after %" PRId64
                   " ms, %" PRId64 " heartbeats",
                   d->heartbeat_ms, d->expiry_ms, d->expiry_ms / d->heartbeat_ms);
    }
}

/* ---- all of it ---- */

static void on_trouble(void *user, const tmk_trouble *t) {
    doctor *d = user;

    pthread_mutex_lock(&d->lock);
    (void)snprintf(d->operation, sizeof d->operation, "%s", t->operation);
    d->trouble = *t->error;
    pthread_mutex_unlock(&d->lock);
}

static int help(void) {
    puts("usage: tidemark doctor [OPTIONS]\n\nTries every setting and says, line by line, what is "
         "right (ok), what will hurt (warn), what\ndoes not work (FAIL), what could not be seen "
         "(-), and what to do. Takes the options and\nvariables of consume. In a blob store it "
         "makes, leases and deletes one small blob (not with\n--read-only).");
    cli_help(options);
    return 0;
}

int cmd_doctor(int argc, char **argv) {
    doctor d = {.timeout_ms = 20000, .lock = PTHREAD_MUTEX_INITIALIZER};
    int count = cli_parse(options, &d, argc, argv, NULL, 0);
    tmk_client *client = NULL;
    int code;

    if (count < 0) {
        return count == -1 ? help() : 2;
    }
    d.group = d.common.group == NULL ? "$Default" : d.common.group;
    if (d.common.log_level == NULL) {
        d.common.log_level = "none"; /* the lines below say it */
    }
    code = cli_client(&d.common, on_trouble, &d, &client);
    if (code != 0) {
        return code;
    }
    doctor_say(&d, DOCTOR_OK, "settings", NULL, "hub '%s' of %s, group '%s', by %s",
               tmk_client_hub(client), tmk_client_host(client), d.group,
               tmk_client_address(client));
    if (doctor_reach(&d, "hub", tmk_client_address(client))) {
        doctor_hub(&d, client);
    }
    look_at_timing(&d);
    doctor_store(&d, client);
    tmk_client_free(client);
    printf("%d right, %d to think about, %d wrong, %d not seen\n", d.counts[DOCTOR_OK],
           d.counts[DOCTOR_WARN], d.counts[DOCTOR_FAIL], d.counts[DOCTOR_UNKNOWN]);
    return d.counts[DOCTOR_FAIL] > 0 ? 1 : 0;
}
