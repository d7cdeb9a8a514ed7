/* See hub_client.h. */
#include "support/hub_client.h"

#include <inttypes.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/assert.h"
#include "hub/conn.h"

/* ---- the server ---- */

static const int64_t world_ms = INT64_C(1700000000) * 1000;

void hub_server_init(tmk_hub_server *s) {
    static const char *const groups[] = {"g"};
    tmk_error err;

    tmk_hub_server_init(s, 1, 0, 1000 * TMK_SEC);
    s->wall_ms = world_ms;
    tmk_assert(tmk_hub_core_add(&s->core, "hub", 4, groups, 1, false, s->wall_ms, s->now, &err) ==
               TMK_OK);
    tmk_assert(tmk_hub_keyring_add(&s->keys, "all", TMK_LIT("secret"), TMK_HUB_ALL) == TMK_OK);
    tmk_assert(tmk_hub_keyring_add(&s->keys, "listen", TMK_LIT("secret"), TMK_HUB_LISTEN) ==
               TMK_OK);
    tmk_assert(tmk_hub_keyring_add(&s->keys, "send", TMK_LIT("secret"), TMK_HUB_SEND) == TMK_OK);
}

void hub_server_add_events(tmk_hub_server *s, const char *partition, int count, size_t size) {
    tmk_hub_entity *e = tmk_hub_core_find(&s->core, TMK_LIT("hub"));
    tmk_hub_part *p = tmk_hub_entity_part(e, tmk_slice_str(partition));
    tmk_str body = TMK_STR_INIT, text = TMK_STR_INIT;
    tmk_hub_message m;

    for (size_t i = 0; i < size; i++) {
        tmk_str_add_char(&body, (char)('a' + i % 26));
    }
    tmk_hub_plain_message_add(&text, tmk_str_slice(&body), (tmk_slice){0}, false);
    tmk_assert(tmk_hub_message_parse(tmk_str_slice(&text), &m));
    for (int i = 0; i < count; i++) {
        tmk_assert(tmk_hub_part_append(p, &m, m.key, false, s->wall_ms, &s->scratch) == TMK_OK);
    }
    tmk_hub_part_stored(p, p->log.end);
    tmk_str_clear(&body);
    tmk_str_clear(&text);
}

void hub_server_pass(tmk_hub_server *s, tmk_time passed) {
    tmk_time end = s->now + passed;

    for (;;) {
        tmk_hub_conn *due = NULL;
        tmk_time at = end;
        for (tmk_list *n = tmk_list_first(&s->conns); n != NULL; n = tmk_list_next(&s->conns, n)) {
            tmk_hub_conn *c = tmk_container_of(n, tmk_hub_conn, node);
            if (!tmk_hub_conn_broken(c) && tmk_hub_conn_deadline(c) <= at) {
                due = c;
                at = tmk_hub_conn_deadline(c);
            }
        }
        at = at > s->now ? at : s->now;
        s->wall_ms += (at - s->now) / TMK_MS;
        s->now = at;
        if (due == NULL) {
            return;
        }
        tmk_hub_conn_step(due);
    }
}

/* ---- life ---- */

void hub_client_init(hub_client *c, tmk_hub_server *s) {
    memset(c, 0, sizeof *c);
    c->server = s;
    c->conn = tmk_hub_conn_new(s, c);
    c->frame_max = 65536;
}

void hub_client_clear(hub_client *c) {
    tmk_hub_conn_free(c->conn);
    tmk_str_clear(&c->said);
    tmk_str_clear(&c->heard);
    tmk_str_clear(&c->told);
}

/* ---- saying ---- */

void say(hub_client *c, const void *bytes, size_t size) {
    tmk_str_add_slice(&c->said, tmk_slice_of(bytes, size));
}

void say_header(hub_client *c, int protocol) {
    const uint8_t header[8] = {'A', 'M', 'Q', 'P', (uint8_t)protocol, 1, 0, 0};

    say(c, header, sizeof header);
}

void say_init(hub_client *c, const char *mechanism, tmk_slice response) {
    tmk_frame_mark m = tmk_frame_begin(&c->said, 1, 0, TMK_SASL_INIT);

    tmk_wire_put_symbol(&c->said, tmk_slice_str(mechanism));
    tmk_wire_put_binary(&c->said, response);
    tmk_frame_end_fields(&c->said, m, 2);
    tmk_frame_end(&c->said, m);
}

void say_open(hub_client *c, uint32_t frame_max, uint32_t idle_ms) {
    tmk_frame_mark m = tmk_frame_begin(&c->said, 0, 0, TMK_AMQP_OPEN);

    tmk_wire_put_string(&c->said, TMK_LIT("client"));
    tmk_wire_put_string(&c->said, TMK_LIT("ns"));
    tmk_wire_put_uint(&c->said, frame_max);
    tmk_wire_null(&c->said);
    tmk_wire_put_uint(&c->said, idle_ms);
    tmk_frame_end_fields(&c->said, m, 5);
    tmk_frame_end(&c->said, m);
}

void say_hello(hub_client *c) {
    say_header(c, 3);
    say_init(c, "ANONYMOUS", (tmk_slice){0});
    say_header(c, 0);
    say_open(c, c->frame_max, 60000);
}

void say_begin(hub_client *c, uint16_t channel, uint32_t window) {
    tmk_frame_mark m = tmk_frame_begin(&c->said, 0, channel, TMK_AMQP_BEGIN);

    tmk_wire_null(&c->said);
    tmk_wire_put_uint(&c->said, 0);
    tmk_wire_put_uint(&c->said, window);
    tmk_wire_put_uint(&c->said, 1000);
    tmk_frame_end_fields(&c->said, m, 4);
    tmk_frame_end(&c->said, m);
}

static void say_bare(hub_client *c, uint16_t channel, uint8_t code) {
    tmk_frame_mark m = tmk_frame_begin(&c->said, 0, channel, code);

    tmk_frame_end_fields(&c->said, m, 0);
    tmk_frame_end(&c->said, m);
}

void say_end(hub_client *c, uint16_t channel) {
    say_bare(c, channel, TMK_AMQP_END);
}

void say_close(hub_client *c) {
    say_bare(c, 0, TMK_AMQP_CLOSE);
}

void say_detach(hub_client *c, uint16_t channel, uint32_t handle) {
    tmk_frame_mark m = tmk_frame_begin(&c->said, 0, channel, TMK_AMQP_DETACH);

    tmk_wire_put_uint(&c->said, handle);
    tmk_wire_put_bool(&c->said, true);
    tmk_frame_end_fields(&c->said, m, 2);
    tmk_frame_end(&c->said, m);
}

static void put_terminus(tmk_str *out, uint64_t code, const char *address, const char *selector) {
    tmk_wire_mark list, map;

    tmk_wire_put_descriptor(out, code);
    list = tmk_wire_begin_list(out);
    tmk_wire_put_string(out, tmk_slice_str(address));
    if (selector != NULL) {
        for (int i = 0; i < 6; i++) {
            tmk_wire_null(out);
        }
        map = tmk_wire_begin_map(out);
        tmk_wire_put_symbol(out, TMK_LIT("apache.org:selector-filter:string"));
        tmk_wire_put_descriptor(out, UINT64_C(0x0000468C00000004));
        tmk_wire_put_string(out, tmk_slice_str(selector));
        tmk_wire_end_map(out, map, 2);
    }
    tmk_wire_end_list(out, list, selector == NULL ? 1 : 8);
}

void say_receiver(hub_client *c, const say_link *l) {
    tmk_str *out = &c->said;
    tmk_frame_mark m = tmk_frame_begin(out, 0, l->channel, TMK_AMQP_ATTACH);
    const tmk_slice metrics = TMK_LIT("com.microsoft:enable-receiver-runtime-metric");
    tmk_wire_mark map;

    tmk_wire_put_string(out, TMK_LIT("receiver"));
    tmk_wire_put_uint(out, l->handle);
    tmk_wire_put_bool(out, true);
    tmk_wire_put_ubyte(out, 2);
    tmk_wire_put_ubyte(out, 0);
    put_terminus(out, TMK_AMQP_SOURCE, l->address, l->selector);
    put_terminus(out, TMK_AMQP_TARGET, l->reply_to == NULL ? "me" : l->reply_to, NULL);
    for (int i = 0; i < 5; i++) {
        tmk_wire_null(out);
    }
    if (l->metrics) {
        tmk_wire_put_symbols(out, &metrics, 1);
    } else {
        tmk_wire_null(out);
    }
    map = tmk_wire_begin_map(out);
    if (l->level >= 0) {
        tmk_wire_put_symbol(out, TMK_LIT("com.microsoft:epoch"));
        tmk_wire_put_long(out, l->level);
    }
    tmk_wire_end_map(out, map, l->level >= 0 ? 2 : 0);
    tmk_frame_end_fields(out, m, 14);
    tmk_frame_end(out, m);
}

void say_sender(hub_client *c, uint16_t channel, uint32_t handle, const char *address) {
    tmk_frame_mark m = tmk_frame_begin(&c->said, 0, channel, TMK_AMQP_ATTACH);

    tmk_wire_put_string(&c->said, TMK_LIT("sender"));
    tmk_wire_put_uint(&c->said, handle);
    tmk_wire_put_bool(&c->said, false);
    tmk_wire_null(&c->said);
    tmk_wire_null(&c->said);
    put_terminus(&c->said, TMK_AMQP_SOURCE, "me", NULL);
    put_terminus(&c->said, TMK_AMQP_TARGET, address, NULL);
    tmk_wire_null(&c->said);
    tmk_wire_null(&c->said);
    tmk_wire_put_uint(&c->said, 0);
    tmk_frame_end_fields(&c->said, m, 10);
    tmk_frame_end(&c->said, m);
}

void say_flow(hub_client *c, uint16_t channel, uint32_t next_in, uint32_t window, int handle,
              uint32_t count, uint32_t credit, bool drain) {
    tmk_frame_mark m = tmk_frame_begin(&c->said, 0, channel, TMK_AMQP_FLOW);

    tmk_wire_put_uint(&c->said, next_in);
    tmk_wire_put_uint(&c->said, window);
    tmk_wire_put_uint(&c->said, 0);
    tmk_wire_put_uint(&c->said, 1000);
    if (handle >= 0) {
        tmk_wire_put_uint(&c->said, (uint32_t)handle);
        tmk_wire_put_uint(&c->said, count);
        tmk_wire_put_uint(&c->said, credit);
        tmk_wire_null(&c->said);
        tmk_wire_put_bool(&c->said, drain);
    }
    tmk_frame_end_fields(&c->said, m, handle >= 0 ? 9 : 4);
    tmk_frame_end(&c->said, m);
}

void say_transfer(hub_client *c, const say_delivery *d) {
    tmk_str *out = &c->said;
    tmk_frame_mark m = tmk_frame_begin(out, 0, d->channel, TMK_AMQP_TRANSFER);

    tmk_wire_put_uint(out, d->handle);
    if (d->next) {
        tmk_wire_null(out);
        tmk_wire_null(out);
        tmk_wire_null(out);
    } else {
        tmk_wire_put_uint(out, d->id);
        tmk_wire_put_binary(out, tmk_slice_of(&d->id, sizeof d->id));
        tmk_wire_put_uint(out, d->format);
    }
    tmk_wire_put_bool(out, d->settled);
    tmk_wire_put_bool(out, d->more);
    tmk_wire_null(out);
    tmk_wire_null(out);
    tmk_wire_null(out);
    tmk_wire_put_bool(out, d->aborted);
    tmk_frame_end_fields(out, m, 10);
    tmk_str_add_slice(out, d->payload);
    tmk_frame_end(out, m);
}

void say_event(hub_client *c, uint16_t channel, uint32_t handle, uint32_t id, const char *body) {
    tmk_str text = TMK_STR_INIT;
    say_delivery d = {.channel = channel, .handle = handle, .id = id};

    tmk_hub_plain_message_add(&text, tmk_slice_str(body), (tmk_slice){0}, false);
    d.payload = tmk_str_slice(&text);
    say_transfer(c, &d);
    tmk_str_clear(&text);
}

void say_cbs(hub_client *c) {
    const say_link replies = {0, 1, "$cbs", NULL, -1, false, "cbs-replies"};

    say_begin(c, 0, 1000);
    say_sender(c, 0, 0, "$cbs");
    say_receiver(c, &replies);
    say_flow(c, 0, 1, 1000, 1, 0, 100, false);
}

tmk_str make_sas(const char *key_name, const char *audience, int64_t expires_s) {
    tmk_str token = TMK_STR_INIT, text = TMK_STR_INIT, sig = TMK_STR_INIT;
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    tmk_str_add_percent(&text, tmk_slice_str(audience));
    tmk_str_addf(&token, "SharedAccessSignature sr=%s", tmk_str_text(&text));
    tmk_str_addf(&text, "\n%" PRId64, expires_s);
    HMAC(EVP_sha256(), "secret", 6, (const uint8_t *)tmk_str_text(&text), text.size, mac, &size);
    tmk_str_add_base64(&sig, tmk_slice_of(mac, size));
    tmk_str_add(&token, "&sig=");
    tmk_str_add_percent(&token, tmk_str_slice(&sig));
    tmk_str_addf(&token, "&se=%" PRId64 "&skn=%s", expires_s, key_name);
    tmk_str_clear(&text);
    tmk_str_clear(&sig);
    return token;
}

static void put_pair(tmk_str *out, const char *name, const char *value) {
    tmk_wire_put_string(out, tmk_slice_str(name));
    tmk_wire_put_string(out, tmk_slice_str(value));
}

void say_token(hub_client *c, uint32_t id, const char *key_name, const char *audience,
               int64_t life_s) {
    tmk_str text = TMK_STR_INIT;
    tmk_str token = make_sas(key_name, audience, c->server->wall_ms / 1000 + life_s);
    say_delivery d = {.id = id};
    tmk_wire_mark m;

    tmk_wire_put_descriptor(&text, TMK_SECTION_PROPERTIES);
    m = tmk_wire_begin_list(&text);
    tmk_wire_put_ulong(&text, id);
    tmk_wire_null(&text);
    tmk_wire_null(&text);
    tmk_wire_null(&text);
    tmk_wire_put_string(&text, TMK_LIT("cbs-replies"));
    tmk_wire_end_list(&text, m, 5);
    tmk_wire_put_descriptor(&text, TMK_SECTION_APPLICATION_PROPERTIES);
    m = tmk_wire_begin_map(&text);
    put_pair(&text, "operation", "put-token");
    put_pair(&text, "type", "servicebus.windows.net:sastoken");
    put_pair(&text, "name", audience);
    tmk_wire_end_map(&text, m, 6);
    tmk_wire_put_descriptor(&text, TMK_SECTION_VALUE);
    tmk_wire_put_string(&text, tmk_str_slice(&token));
    d.payload = tmk_str_slice(&text);
    say_transfer(c, &d);
    tmk_str_clear(&text);
    tmk_str_clear(&token);
}

/* ---- hearing ---- */

void exchange(hub_client *c) {
    tmk_slice said = tmk_str_slice(&c->said);
    size_t piece = c->piece == 0 ? said.size : c->piece;

    while (said.size > 0) {
        size_t size = said.size < piece ? said.size : piece;
        tmk_hub_conn_input(c->conn, tmk_slice_of(said.bytes, size));
        said = tmk_slice_from(said, size);
    }
    tmk_str_reset(&c->said);
    for (int i = 0; i < 1000; i++) {
        tmk_slice out;
        tmk_hub_conn_pump(c->conn);
        out = tmk_hub_conn_output(c->conn);
        if (out.size == 0) {
            return;
        }
        tmk_str_add_slice(&c->heard, out);
        tmk_hub_conn_sent(c->conn, out.size);
    }
}

static void tell_error(tmk_str *out, const tmk_value *error) {
    tmk_wire_list l;
    tmk_value condition = {0};

    if (tmk_wire_list_open(error, &l) && tmk_wire_list_field(&l, 0, &condition)) {
        tmk_slice text = tmk_wire_text(&condition);
        tmk_str_addf(out, " %.*s", (int)text.size, (const char *)text.bytes);
    }
}

static tmk_value field(const tmk_frame *f, uint32_t index) {
    tmk_wire_list l;
    tmk_value v = {0};

    tmk_assert(tmk_wire_list_open(&f->performative, &l));
    tmk_assert(tmk_wire_list_field(&l, index, &v));
    return v;
}

static uint64_t number(const tmk_frame *f, uint32_t index) {
    tmk_value v = field(f, index);

    return tmk_wire_uint(&v, 0);
}

static bool flag(const tmk_frame *f, uint32_t index) {
    tmk_value v = field(f, index);

    return tmk_wire_bool(&v, false);
}

static void tell_attach(tmk_str *out, const tmk_frame *f) {
    bool sends = !flag(f, 2);
    tmk_value node = field(f, sends ? 5 : 6);

    tmk_str_addf(out, "attach %u %u%s%s", f->channel, (unsigned)number(f, 1),
                 sends ? " sends" : " receives", node.kind == TMK_VALUE_NONE ? " refused" : "");
}

static void tell_disposition(tmk_str *out, const tmk_frame *f) {
    tmk_value state = field(f, 4), error = {0};
    tmk_wire_list l;

    tmk_str_addf(out, "%s %u-%u",
                 tmk_wire_descriptor(&state) == TMK_AMQP_ACCEPTED ? "accepted" : "rejected",
                 (unsigned)number(f, 1), (unsigned)number(f, 2));
    if (tmk_wire_list_open(&state, &l) && tmk_wire_list_field(&l, 0, &error)) {
        tell_error(out, &error);
    }
}

/* The status of an answer from $cbs or $management, where the message is one. */
static void tell_status(tmk_str *out, tmk_slice message) {
    while (message.size > 0) {
        tmk_value section = {0}, status;
        if (!tmk_wire_take(&message, &section)) {
            return;
        }
        status = tmk_wire_map_get(&section, "status-code");
        if (status.kind == TMK_VALUE_INT) {
            tmk_str_addf(out, " status %d", (int)tmk_wire_int(&status, 0));
        }
    }
}

static void tell_transfer(tmk_str *out, const tmk_frame *f) {
    tmk_str_addf(out, "transfer %u %u", f->channel, (unsigned)number(f, 0));
    if (field(f, 1).kind != TMK_VALUE_NONE) {
        tmk_str_addf(out, " #%u%s", (unsigned)number(f, 1), flag(f, 4) ? "" : " unsettled");
    }
    tmk_str_add(out, flag(f, 5) ? " more" : "");
    tell_status(out, f->payload);
}

static void tell_flow(tmk_str *out, const tmk_frame *f) {
    tmk_str_addf(out, "flow %u", f->channel);
    if (field(f, 4).kind != TMK_VALUE_NONE) {
        tmk_str_addf(out, " %u count %u credit %u%s", (unsigned)number(f, 4),
                     (unsigned)number(f, 5), (unsigned)number(f, 6), flag(f, 8) ? " drain" : "");
    }
}

static void tell_frame(tmk_str *out, const tmk_frame *f) {
    tmk_value v;

    switch (f->code) {
    case TMK_SASL_MECHANISMS:
        tmk_str_add(out, "mechanisms");
        break;
    case TMK_SASL_OUTCOME:
        tmk_str_addf(out, "outcome %u", (unsigned)number(f, 0));
        break;
    case TMK_AMQP_OPEN:
        tmk_str_addf(out, "open frame %u channels %u idle %u", (unsigned)number(f, 2),
                     (unsigned)number(f, 3), (unsigned)number(f, 4));
        break;
    case TMK_AMQP_BEGIN:
        tmk_str_addf(out, "begin %u next %u in %u out %u handles %u", f->channel,
                     (unsigned)number(f, 1), (unsigned)number(f, 2), (unsigned)number(f, 3),
                     (unsigned)number(f, 4));
        break;
    case TMK_AMQP_ATTACH:
        tell_attach(out, f);
        break;
    case TMK_AMQP_FLOW:
        tell_flow(out, f);
        break;
    case TMK_AMQP_TRANSFER:
        tell_transfer(out, f);
        break;
    case TMK_AMQP_DISPOSITION:
        tell_disposition(out, f);
        break;
    case TMK_AMQP_DETACH:
        tmk_str_addf(out, "detach %u %u", f->channel, (unsigned)number(f, 0));
        v = field(f, 2);
        tell_error(out, &v);
        break;
    case TMK_AMQP_END:
    case TMK_AMQP_CLOSE:
        tmk_str_add(out, f->code == TMK_AMQP_END ? "end" : "close");
        v = field(f, 0);
        tell_error(out, &v);
        break;
    case 0:
        tmk_str_add(out, "empty");
        break;
    default:
        tmk_str_addf(out, "frame 0x%x", f->code);
    }
    tmk_str_add_char(out, '\n');
}

const char *hear(hub_client *c) {
    tmk_slice in;

    exchange(c);
    tmk_str_reset(&c->told);
    in = tmk_str_slice(&c->heard);
    while (in.size > 0) {
        tmk_frame f;
        size_t size = 8;
        if (in.size >= 8 && memcmp(in.bytes, "AMQP", 4) == 0) {
            tmk_str_addf(&c->told, "header %u\n", in.bytes[4]);
        } else {
            tmk_error err;
            tmk_assert(tmk_frame_take(in, c->frame_max, &size, &f, &err) == TMK_OK);
            tell_frame(&c->told, &f);
        }
        in = tmk_slice_from(in, size);
    }
    tmk_str_reset(&c->heard);
    return tmk_str_text(&c->told);
}
