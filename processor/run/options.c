/* Defaults of a processor's options, and what is wrong with those given. */
#include "run/options.h"

#include "base/rng.h"
#include "base/status.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void tmk_processor_options_fill(tmk_processor_options *opts, size_t size) {
    tmk_processor_options o = {
        .size = size,
        .group = "$Default",
        .claims = TMK_CLAIMS_LEASE,
        .batch_events = 100,
        .batch_bytes = UINT64_C(1) << 20,
        .order = TMK_ORDER_PARTITION,
        .threads = 8,
        .start = {.kind = TMK_START_EARLIEST},
        .lost_position = TMK_POSITION_FAIL,
        .checkpoint_events = 10000,
        .checkpoint_interval_ms = 10000,
        .retry_attempts = 10,
        .retry_delay_ms = 200,
        .retry_delay_max_ms = 30000,
        .probe_ms = 1000,
        .handler_warn_ms = 60000,
        .later_warn_ms = 600000,
        .events_max = 20000,
        .bytes_max = UINT64_C(64) << 20,
        .prefetch = 1000,
        .lag_interval_ms = 10000,
        .stats_interval_ms = 10000,
        .ride_through_events = 1000000,
    };

    memcpy(opts, &o, size < sizeof o ? size : sizeof o);
}

enum { OWNER_ID_MAX = 100 };
#define TIME_MAX_MS (INT64_C(10) * 365 * 24 * 3600 * 1000)

static tmk_status wrong(tmk_error *err, const char *option, const char *rule) {
    return tmk_fail(err, TMK_EINVAL, "options", "%s must %s", option, rule);
}

static tmk_status check_handlers(const tmk_processor_options *o, tmk_error *err) {
    if ((o->on_event == NULL) == (o->on_batch == NULL)) {
        return tmk_fail(err, TMK_EINVAL, "options", "set exactly one of on_event and on_batch");
    }
    if (o->claims != TMK_CLAIMS_LEASE && o->claims != TMK_CLAIMS_SHARED) {
        return wrong(err, "claims", "be by lease or shared");
    }
    if (!o->caller_driven && (o->threads < 1 || o->threads > 1024)) {
        return wrong(err, "threads", "be between 1 and 1024");
    }
    if (o->on_batch != NULL && (o->batch_events < 1 || o->batch_events > 10000)) {
        return wrong(err, "batch_events", "be between 1 and 10000");
    }
    if ((unsigned)o->order > TMK_ORDER_NONE) {
        return wrong(err, "order", "be TMK_ORDER_PARTITION, TMK_ORDER_KEY or TMK_ORDER_NONE");
    }
    return TMK_OK;
}

static tmk_status check_positions(const tmk_processor_options *o, tmk_error *err) {
    if ((unsigned)o->start.kind > TMK_START_TIME) {
        return wrong(err, "start", "be made by one of the tmk_start functions");
    }
    if ((unsigned)o->lost_position > TMK_POSITION_TIME) {
        return wrong(err, "lost_position", "be one of the TMK_POSITION values");
    }
    if ((unsigned)o->exhausted > TMK_EXHAUSTED_SKIP) {
        return wrong(err, "exhausted", "be one of the TMK_EXHAUSTED values");
    }
    return TMK_OK;
}

static tmk_status check_bounds(const tmk_processor_options *o, tmk_error *err) {
    if (o->prefetch < 1 || o->prefetch > 5000) {
        return wrong(err, "prefetch", "be between 1 and 5000");
    }
    if (o->events_max < 1 || o->bytes_max < 1) {
        return wrong(err, "events_max and bytes_max", "be at least 1");
    }
    return TMK_OK;
}

static tmk_status check_times(const tmk_processor_options *o, tmk_error *err) {
    const struct {
        const char *name;
        int64_t ms;
    } times[] = {{"batch_linger_ms", o->batch_linger_ms},
                 {"checkpoint_interval_ms", o->checkpoint_interval_ms},
                 {"retry_delay_ms", o->retry_delay_ms},
                 {"handler_warn_ms", o->handler_warn_ms},
                 {"later_warn_ms", o->later_warn_ms},
                 {"lag_interval_ms", o->lag_interval_ms},
                 {"heartbeat_ms", o->heartbeat_ms},
                 {"expiry_ms", o->expiry_ms},
                 {"retention_ms", o->retention_ms}};

    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        if (times[i].ms < 0 || times[i].ms > TIME_MAX_MS) {
            return wrong(err, times[i].name, "be neither below 0 nor above ten years");
        }
    }
    if (o->retry_delay_max_ms < o->retry_delay_ms || o->retry_delay_max_ms > TIME_MAX_MS) {
        return wrong(err, "retry_delay_max_ms", "be at least retry_delay_ms");
    }
    if (o->probe_ms < 1 || o->probe_ms > 30000) {
        return wrong(err, "probe_ms", "be between 1 and 30000");
    }
    return TMK_OK;
}

/* Those of the claims; 0 is what is usual for their kind. */
static tmk_status check_claims(const tmk_processor_options *o, tmk_error *err) {
    tmk_fleet_options usual;

    tmk_fleet_options_init(&usual, o->claims);
    tmk_time heartbeat = o->heartbeat_ms == 0 ? usual.heartbeat : o->heartbeat_ms * TMK_MS;
    tmk_time expiry = o->expiry_ms == 0 ? usual.expiry : o->expiry_ms * TMK_MS;
    if (o->claims == TMK_CLAIMS_LEASE && (expiry < 15 * TMK_SEC || expiry > 60 * TMK_SEC)) {
        return wrong(err, "expiry_ms", "be between 15000 and 60000");
    }
    if (o->weighted && o->claims == TMK_CLAIMS_SHARED) {
        return wrong(err, "weighted",
                     "be off with claims shared: official processors do not tell "
                     "their load, so partitions are balanced by count");
    }
    if (expiry <= 3 * heartbeat) {
        return wrong(err, "expiry_ms", "be more than three heartbeats");
    }
    return TMK_OK;
}

static tmk_status check_seeing(const tmk_processor_options *o, tmk_error *err) {
    if ((o->on_span_begin == NULL) != (o->on_span_end == NULL)) {
        return wrong(err, "on_span_begin and on_span_end", "be set both or not at all");
    }
    if (o->on_span_begin != NULL && o->on_batch != NULL) {
        return wrong(err, "on_span_begin", "come with on_event; in on_batch use tmk_event_trace()");
    }
    if (o->on_stats != NULL && o->stats_interval_ms < 100) {
        return wrong(err, "stats_interval_ms", "be at least 100");
    }
    if (o->alarm_lag_events < 0 || o->alarm_lag_ms < 0 || o->alarm_to_loss_ms < -1) {
        return wrong(err, "alarm_lag_events, alarm_lag_ms and alarm_to_loss_ms",
                     "not be below 0 (alarm_to_loss_ms: -1 for none)");
    }
    if (o->alarm_to_loss_ms > 0 && o->retention_ms <= 0) {
        return wrong(err, "alarm_to_loss_ms",
                     "come with retention_ms: the service does not tell it");
    }
    return TMK_OK;
}

static tmk_status check_names(const tmk_processor_options *o, tmk_error *err) {
    if (o->group == NULL || o->group[0] == '\0') {
        return wrong(err, "group", "name a consumer group, $Default say");
    }
    if (o->owner_id == NULL) {
        return TMK_OK;
    }
    for (const char *c = o->owner_id; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~') {
            return wrong(err, "owner_id", "be printable ASCII without blanks");
        }
    }
    return o->owner_id[0] == '\0' || strlen(o->owner_id) > OWNER_ID_MAX
               ? wrong(err, "owner_id", "have 1 to 100 characters")
               : TMK_OK;
}

tmk_status tmk_processor_options_check(const tmk_processor_options *o, tmk_error *err) {
    static tmk_status (*const checks[])(const tmk_processor_options *o, tmk_error *err) = {
        check_handlers, check_names,  check_positions, check_bounds,
        check_times,    check_claims, check_seeing};
    tmk_status st = TMK_OK;

    for (size_t i = 0; i < sizeof checks / sizeof checks[0] && st == TMK_OK; i++) {
        st = checks[i](o, err);
    }
    return st;
}

void tmk_processor_options_own_id(char *out, size_t room) {
    char host[65] = "";
    tmk_rng rng;

    if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0') {
        (void)snprintf(host, sizeof host, "instance");
    }
    tmk_rng_seed_system(&rng); /* a process may have several */
    (void)snprintf(out, room, "%s-%ld-%04x", host, (long)getpid(),
                   (unsigned)(tmk_rng_next(&rng) & 0xffff));
}

void tmk_processor_options_control(const tmk_processor_options *o, const char *owner_id,
                                   tmk_processor *p, tmk_control_options *out) {
    memset(out, 0, sizeof *out);
    tmk_fleet_options_init(&out->fleet, o->claims);
    out->fleet.instance = owner_id;
    out->fleet.host =
        owner_id; /* a crash loop shows by the name; those that are made up are new each time */
    if (o->heartbeat_ms > 0) {
        out->fleet.heartbeat = o->heartbeat_ms * TMK_MS;
    }
    if (o->expiry_ms > 0) {
        out->fleet.expiry = o->expiry_ms * TMK_MS;
    }
    out->fleet.partitions_max = o->partitions_max;
    out->fleet.weighted = o->weighted;
    out->fleet.weigh_every = 12 * out->fleet.heartbeat;
    out->fleet.replay_max = o->ride_through_events == 0 || o->ride_through_events > INT64_MAX
                                ? INT64_MAX
                                : (int64_t)o->ride_through_events;
    out->fleet.log = o->log;

    tmk_engine_options *e = &out->engine;
    tmk_engine_options_fill(e);
    e->checkpoint.events = o->checkpoint_events;
    e->checkpoint.bytes = o->checkpoint_bytes;
    e->checkpoint.interval = o->checkpoint_interval_ms * TMK_MS;
    e->store_rate = 15;
    e->store_burst = 30;
    e->retry.attempts_max = o->retry_attempts;
    e->retry.backoff =
        (tmk_backoff){o->retry_delay_ms * TMK_MS, o->retry_delay_max_ms * TMK_MS, 2, 0.2};
    e->retry.sink = o->on_dead_letter != NULL;
    e->retry.exhausted = o->exhausted;
    if (o->exhausted == TMK_EXHAUSTED_DEAD_LETTER && !e->retry.sink) {
        e->retry.exhausted = TMK_EXHAUSTED_STOP;
    }
    e->probe = (tmk_backoff){o->probe_ms * TMK_MS, 30 * TMK_SEC, 2, 0.2};
    e->later_warn = o->later_warn_ms * TMK_MS;
    e->bytes_max = o->bytes_max;
    e->events_max = o->events_max;
    e->prefetch_max = o->prefetch;
    e->order = o->order;
    e->keyless_free = o->keyless_free;
    e->key_of = o->key_of;
    e->user = o->user;
    e->processor = p;
    e->fallback = o->start;
    e->lost_position = o->lost_position;

    out->user = o;
    out->seed = o->seed;
    out->drain_max = 30 * TMK_SEC;
    out->ids_every = 60 * TMK_SEC;
    out->log = o->log;
}
