/* The hub as a library: starting, stopping, and calls from other threads. See tidemark/hub.h. */
#include <tidemark/hub.h>

#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/status.h"
#include "base/thread.h"

#include "hub/shell.h"

enum { SEGMENT_MIN = 64 << 10, SEGMENT_MAX = 8 << 20 };

/* ---- options ---- */

static const tmk_hub_spec default_hub = {"hub", 4};

void tmk_hub_options_fill(tmk_hub_options *options, size_t size) {
    tmk_hub_options o = {
        .size = size,
        .listen = "127.0.0.1:0",
        .hubs = &default_hub,
        .hub_count = 1,
        .key_name = "RootManageSharedAccessKey",
        .retention_ms = INT64_C(24) * 3600 * 1000,
        .retention_bytes = UINT64_C(256) << 20,
        .max_message_size = 1 << 20,
    };

    tmk_assert(size >= sizeof o.size);
    memcpy(options, &o, size < sizeof o ? size : sizeof o);
}

static tmk_status check(const tmk_hub_options *o, tmk_error *err) {
    if (o->hub_count == 0 || o->hubs == NULL) {
        return tmk_fail(err, TMK_EINVAL, "hub", "no hub is named");
    }
    if (o->retention_ms <= 0 || o->retention_bytes == 0) {
        return tmk_fail(err, TMK_EINVAL, "hub", "retention must be longer than nothing");
    }
    if (o->throughput_units > 10000) {
        return tmk_fail(err, TMK_EINVAL, "hub", "throughput units: 0 (none) to 10000");
    }
    if (o->max_message_size < 1024 || o->max_message_size > (64u << 20)) {
        return tmk_fail(err, TMK_EINVAL, "hub", "the largest message is 1 KiB to 64 MiB");
    }
    if ((o->tls_cert == NULL) != (o->tls_key == NULL)) {
        return tmk_fail(err, TMK_EINVAL, "hub", "TLS needs both a certificate and its key");
    }
    if (o->jwt == TMK_HUB_JWT_HS256 && o->jwt_key == NULL) {
        return tmk_fail(err, TMK_EINVAL, "hub", "to check tokens of type jwt, a jwt_key is needed");
    }
    if (o->key != NULL && o->key[0] == '\0') {
        return tmk_fail(err, TMK_EINVAL, "hub", "the key is empty");
    }
    return TMK_OK;
}

/* ---- the loop's side ---- */

void tmk_hub_tick(tmk_hub *h) {
    h->server.now = tmk_loop_now(h->loop);
    h->server.wall_ms = tmk_wall_now(tmk_loop_clock(h->loop)).us / 1000;
}

void tmk_hub_settle(tmk_hub *h) {
    tmk_hub_conn *c;

    while ((c = tmk_hub_server_next(&h->server)) != NULL) {
        tmk_hub_peer_flush(tmk_hub_conn_owner(c));
    }
}

static void collect(tmk_bell *b) {
    tmk_hub *h = tmk_container_of(b, tmk_hub, stored);

    tmk_hub_tick(h);
    tmk_hub_keep_collect(h->keep);
    tmk_hub_settle(h);
}

static void ring(void *self) {
    tmk_hub *h = self;

    tmk_bell_ring(&h->stored);
}

static void mind(tmk_timer *t) {
    tmk_hub *h = tmk_container_of(t, tmk_hub, minder);

    tmk_hub_tick(h);
    tmk_hub_server_retain(&h->server);
    for (int i = 0; i < 3; i++) {
        tmk_hub_listen_again(&h->doors[i]);
    }
    if (tmk_hub_rules_expire(&h->server.rules, h->server.now)) {
        tmk_hub_server_recheck(&h->server);
    }
    tmk_hub_settle(h);
    tmk_timer_set(h->loop, &h->minder,
                  tmk_time_min(h->server.now + TMK_SEC, tmk_hub_rules_deadline(&h->server.rules)));
}

/* ---- starting ---- */

/* Random text for a key, as the portal makes them: 32 bytes in base64. */
static tmk_status add_key(tmk_hub *h, const tmk_hub_options *o, tmk_str *key) {
    uint8_t bytes[32];
    tmk_rng rng;
    tmk_status st;

    if (o->key != NULL) {
        tmk_str_add(key, o->key);
    } else {
        tmk_rng_seed_system(&rng);
        tmk_rng_bytes(&rng, bytes, sizeof bytes);
        tmk_str_add_base64(key, tmk_slice_of(bytes, sizeof bytes));
    }
    if (!tmk_str_ok(key)) {
        return TMK_ENOMEM;
    }
    st = tmk_hub_keyring_add(&h->server.keys, o->key_name, tmk_str_slice(key), TMK_HUB_ALL);
    for (size_t i = 0; st == TMK_OK && i < o->key_count; i++) {
        st = tmk_hub_keyring_add(&h->server.keys, o->keys[i].name, tmk_slice_str(o->keys[i].key),
                                 o->keys[i].rights);
    }
    if (st == TMK_OK && o->jwt_key != NULL) {
        h->server.keys.jwt_key = tmk_secret_new(tmk_slice_str(o->jwt_key));
        st = h->server.keys.jwt_key == NULL ? TMK_ENOMEM : TMK_OK;
    }
    h->server.keys.jwt = o->jwt;
    return st;
}

static tmk_status set_up(tmk_hub *h, const tmk_hub_options *o, tmk_error *err) {
    tmk_hub_server *s = &h->server;
    tmk_status st = TMK_OK;

    tmk_hub_server_init(s, o->seed, o->throughput_units, tmk_loop_now(h->loop));
    tmk_hub_tick(h);
    s->log = o->log;
    s->unsettled = o->unsettled;
    s->core.retention_ms = o->retention_ms;
    s->core.retention_bytes = o->retention_bytes;
    s->core.message_max = o->max_message_size;
    for (size_t i = 0; st == TMK_OK && i < o->hub_count; i++) {
        uint32_t partitions = o->hubs[i].partitions == 0 ? 4 : o->hubs[i].partitions;
        st = tmk_hub_core_add(&s->core, o->hubs[i].name, partitions, o->groups, o->group_count,
                              o->geo, s->wall_ms, s->now, err);
    }
    return st;
}

static tmk_status listen_all(tmk_hub *h, const tmk_hub_options *o, tmk_error *err) {
    const char *const wanted[] = {o->listen, o->websocket, o->control};
    tmk_status st = TMK_OK;

    for (int i = 0; st == TMK_OK && i < 3; i++) {
        h->doors[i].hub = h;
        h->doors[i].door = (tmk_hub_door)i;
        if (wanted[i] != NULL) {
            st = tmk_hub_listen(&h->doors[i], wanted[i], err);
        }
    }
    return st;
}

/* SDKs take "localhost" for a development endpoint, some nothing else. */
static void make_connection_string(tmk_hub *h, const tmk_hub_options *o, const tmk_str *key) {
    const tmk_hub_listener *l = &h->doors[TMK_HUB_DOOR_AMQP];
    tmk_slice at = tmk_slice_str(l->address);
    bool local = tmk_slice_starts(at, TMK_LIT("127.")) ||
                 tmk_slice_starts(at, TMK_LIT("0.0.0.0:")) ||
                 tmk_slice_starts(at, TMK_LIT("[::]:")) || tmk_slice_starts(at, TMK_LIT("[::1]:"));
    tmk_str s = TMK_STR_INIT;

    if (local) {
        tmk_str_addf(&s, "Endpoint=sb://localhost:%u", l->port);
    } else {
        tmk_str_addf(&s, "Endpoint=sb://%s", l->address);
    }
    tmk_str_addf(&s, ";SharedAccessKeyName=%s;SharedAccessKey=%s;UseDevelopmentEmulator=true",
                 o->key_name, tmk_str_text(key));
    h->connection_string = tmk_str_take(&s);
}

static tmk_status start(tmk_hub *h, const tmk_hub_options *o, tmk_error *err) {
    tmk_str key = TMK_STR_INIT;
    tmk_status st = set_up(h, o, err);

    if (st == TMK_OK &&
        (add_key(h, o, &key) < 0 || tmk_timer_init(h->loop, &h->minder, mind) < 0)) {
        st = tmk_fail(err, TMK_ENOMEM, "hub", "no memory to start a hub");
    }
    if (st == TMK_OK && o->data_dir != NULL) {
        uint64_t share = o->retention_bytes / 8;
        tmk_hub_keep_options keep = {o->data_dir, share, ring, h};
        keep.segment_bytes = share < SEGMENT_MIN   ? SEGMENT_MIN
                             : share > SEGMENT_MAX ? SEGMENT_MAX
                                                   : share;
        tmk_bell_init(&h->stored, h->loop, collect);
        st = tmk_hub_keep_open(&keep, &h->server, &h->keep, err);
    }
    if (st == TMK_OK && o->tls_cert != NULL) {
        st = tmk_hub_tls_new(o->tls_cert, o->tls_key, &h->tls, err);
    }
    if (st == TMK_OK) {
        st = listen_all(h, o, err);
    }
    if (st == TMK_OK) {
        make_connection_string(h, o, &key);
        st = h->connection_string == NULL
                 ? tmk_fail(err, TMK_ENOMEM, "hub", "no memory to start a hub")
                 : TMK_OK;
    }
    if (st == TMK_OK) {
        tmk_timer_set(h->loop, &h->minder, h->server.now + TMK_SEC);
        st = tmk_loop_start(h->loop, "tidemark-hub", err);
    }
    tmk_wipe(key.text, key.room);
    tmk_str_clear(&key);
    return st;
}

tmk_status tmk_hub_start(const tmk_hub_options *options, tmk_hub **out, tmk_error *err) {
    tmk_hub_options o;
    tmk_hub *h = NULL;
    tmk_status st;

    tmk_hub_options_init(&o);
    if (options != NULL) {
        memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    }
    st = check(&o, err);
    if (st < 0) {
        return st;
    }
    h = tmk_new(tmk_hub);
    if (h == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "hub", "no memory to start a hub");
    }
    tmk_list_init(&h->peers);
    tmk_list_init(&h->visitors);
    st = tmk_loop_new(tmk_clock_system(), &h->loop, err);
    if (st == TMK_OK) {
        st = start(h, &o, err);
    }
    if (st < 0) {
        tmk_hub_stop(h);
        return st;
    }
    *out = h;
    return TMK_OK;
}

tmk_hub *tmk_hub_stop(tmk_hub *h) {
    if (h == NULL) {
        return NULL;
    }
    if (h->loop != NULL) {
        tmk_loop_stop(h->loop);
        for (int i = 0; i < 3; i++) {
            tmk_hub_unlisten(&h->doors[i]);
        }
        tmk_hub_peers_clear(h);
        tmk_hub_visitors_clear(h);
        tmk_timer_clear(h->loop, &h->minder);
        tmk_hub_keep_close(h->keep);
        tmk_bell_clear(&h->stored);
        tmk_hub_server_clear(&h->server);
        tmk_hub_tls_free(h->tls);
        tmk_loop_free(h->loop);
    }
    if (h->connection_string != NULL) {
        tmk_wipe(h->connection_string, strlen(h->connection_string));
        tmk_free(h->connection_string);
    }
    tmk_free(h);
    return NULL;
}

/* ---- what is fixed once it runs ---- */

const char *tmk_hub_address(const tmk_hub *hub, tmk_hub_door door) {
    const char *address = hub->doors[door].address;

    return address[0] == '\0' ? NULL : address;
}

uint16_t tmk_hub_port(const tmk_hub *hub, tmk_hub_door door) {
    return hub->doors[door].port;
}

const char *tmk_hub_connection_string(const tmk_hub *hub) {
    return hub->connection_string;
}
