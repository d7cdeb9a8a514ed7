/* See pond.h. */
#include "support/pond.h"

#include "base/alloc.h"
#include "base/status.h"
#include "eventhubs/client_parts.h"
#include "eventhubs/source_amqp.h"
#include "hub/faults.h"
#include "support/check.h"

static void shelter(pond *p, bool on) {
    if (p->shelter != NULL) {
        p->shelter(on);
    }
}

/* ---- streams ---- */

typedef struct pond_stream {
    tmk_stream base;
    tmk_list node;
    pond *pond;
    tmk_hub_conn *conn; /* NULL: no hub behind it */
    tmk_task opening;
    tmk_bell bell;
    pond_peer peer;
    size_t taken; /* bytes of the client's */
    bool open, told, ended, reset;
    tmk_time drip_at;
} pond_stream;

static size_t cut(pond *p, size_t size) {
    size_t limit = p->cut;

    return limit == 0 || size == 0
               ? size
               : (size_t)tmk_rng_between(&p->rng, 1, (int64_t)(size < limit ? size : limit));
}

/* What the hub's shell does to sockets by the rules that are set. */
static bool is_frozen(const pond_stream *s) {
    tmk_hub_rule rule;

    return s->conn != NULL && tmk_hub_conn_ruled(s->conn, TMK_HUB_RULE_FREEZE, &rule);
}

static bool is_refused(pond *p) {
    tmk_hub_subject anywhere = {.connection = 0};
    tmk_hub_rule rule;

    return tmk_hub_rules_hit(&p->hub.rules, TMK_HUB_RULE_REFUSE_CONNECTIONS, &anywhere, p->now,
                             &p->rng, &rule);
}

/* How much of what waits may arrive now. */
static size_t drip(pond_stream *s, size_t size) {
    tmk_hub_rule rule;

    if (!tmk_hub_conn_ruled(s->conn, TMK_HUB_RULE_DRIP, &rule)) {
        return size;
    }
    if (s->pond->now < s->drip_at) {
        return 0;
    }
    s->drip_at = s->pond->now + rule.ms * TMK_MS;
    return size < (size_t)rule.bytes ? size : (size_t)rule.bytes;
}

static tmk_status read_garbage(pond_stream *s, uint8_t *into, size_t room, size_t *got) {
    size_t n = room < 64 ? room : 64;

    if (s->taken == 0) {
        return TMK_AGAIN;
    }
    s->taken = 0;
    tmk_rng_bytes(&s->pond->rng, into, n);
    *got = n;
    return TMK_OK;
}

static tmk_status stream_read(tmk_stream *base, uint8_t *into, size_t room, size_t *got,
                              tmk_error *err) {
    pond_stream *s = tmk_container_of(base, pond_stream, base);
    tmk_slice out;
    size_t n;

    if (s->reset) {
        return tmk_fail_retry(err, TMK_EIO, "errno:104", "the connection was reset");
    }
    if (s->ended) {
        return TMK_EOF;
    }
    if (s->pond->black_hole) {
        return TMK_AGAIN;
    }
    if (s->peer == POND_GARBAGE) {
        return read_garbage(s, into, room, got);
    }
    if (s->conn == NULL || is_frozen(s)) {
        return TMK_AGAIN;
    }
    shelter(s->pond, true);
    tmk_hub_conn_pump(s->conn);
    shelter(s->pond, false);
    out = tmk_hub_conn_output(s->conn);
    if (out.size == 0) {
        return tmk_hub_conn_over(s->conn) ? TMK_EOF : TMK_AGAIN;
    }
    n = drip(s, cut(s->pond, out.size < room ? out.size : room));
    if (n == 0) {
        return TMK_AGAIN;
    }
    memcpy(into, out.bytes, n);
    for (size_t i = 0; s->pond->flip > 0 && i < n; i++) {
        if (tmk_rng_chance(&s->pond->rng, s->pond->flip)) {
            into[i] = (uint8_t)tmk_rng_next(&s->pond->rng);
        }
    }
    tmk_hub_conn_sent(s->conn, n);
    *got = n;
    return TMK_OK;
}

static tmk_status stream_write(tmk_stream *base, const uint8_t *from, size_t size, size_t *taken,
                               tmk_error *err) {
    pond_stream *s = tmk_container_of(base, pond_stream, base);
    size_t n = cut(s->pond, size);

    if (s->reset) {
        return tmk_fail_retry(err, TMK_EIO, "errno:32", "the connection was reset");
    }
    s->taken += n;
    if (s->conn != NULL && !s->pond->black_hole && !s->pond->deaf) {
        if (is_frozen(s) || !tmk_hub_conn_reads(s->conn)) {
            return TMK_AGAIN;
        }
        shelter(s->pond, true);
        tmk_hub_conn_input(s->conn, tmk_slice_of(from, n));
        shelter(s->pond, false);
    }
    if (s->peer == POND_CLOSES && s->taken >= s->pond->peer_bytes) {
        s->ended = true;
    }
    *taken = n;
    return TMK_OK;
}

static void stream_free(tmk_stream *base) {
    pond_stream *s = tmk_container_of(base, pond_stream, base);

    tmk_loop_unpost(tmk_client_loop(s->pond->client), &s->opening);
    tmk_bell_clear(&s->bell);
    tmk_list_remove(&s->node);
    s->conn = tmk_hub_conn_free(s->conn);
    tmk_free(s);
}

static const tmk_stream_ops stream_ops = {stream_read, stream_write, stream_free};

static void tell_opened(tmk_task *task) {
    pond_stream *s = tmk_container_of(task, pond_stream, opening);
    tmk_error err;

    if (s->peer == POND_REFUSES) {
        (void)tmk_fail_retry(&err, TMK_EIO, "errno:111", "the connection was refused");
        s->base.opened(&s->base, TMK_EIO, &err);
    } else if (s->peer != POND_NEVER_OPENS) {
        s->open = true;
        s->base.opened(&s->base, TMK_OK, NULL);
    }
}

static void on_bell(tmk_bell *bell) {
    pond_stream *s = tmk_container_of(bell, pond_stream, bell);

    s->base.ready(&s->base);
}

static tmk_status open_stream(void *self, tmk_loop *loop, const tmk_stream_options *options,
                              tmk_stream **out, tmk_error *err) {
    pond *p = self;
    pond_stream *s = tmk_new(pond_stream);

    (void)options;
    if (s == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "pond", "no memory for a stream");
    }
    p->connects++;
    s->pond = p;
    s->base.ops = &stream_ops;
    s->peer = p->peer;
    s->opening.run = tell_opened;
    tmk_bell_init(&s->bell, loop, on_bell);
    tmk_list_push_back(&p->streams, &s->node);
    if (p->peer == POND_HUB_PEER && is_refused(p)) {
        s->ended = true;
    } else if (p->peer == POND_HUB_PEER || p->peer == POND_CLOSES) {
        shelter(p, true);
        s->conn = tmk_hub_conn_new(&p->hub, s);
        shelter(p, false);
    }
    tmk_loop_post(loop, &s->opening);
    *out = &s->base;
    return TMK_OK;
}

/* ---- time ---- */

static tmk_time clock_now(void *self) {
    return ((pond *)self)->now;
}

static tmk_wall clock_wall(void *self) {
    tmk_wall w = {((pond *)self)->wall_us};

    return w;
}

static void set_hub_time(pond *p) {
    p->hub.now = p->now;
    p->hub.wall_ms = p->wall_us / 1000;
}

static bool stream_has_news(pond_stream *s) {
    if (!s->open) {
        return false;
    }
    if (s->ended || s->reset) {
        bool news = !s->told;

        s->told = true;
        return news;
    }
    if (s->pond->black_hole) {
        return false;
    }
    if (s->peer == POND_GARBAGE) {
        return s->taken > 0;
    }
    return s->conn != NULL && (tmk_hub_conn_has_more(s->conn) || tmk_hub_conn_over(s->conn));
}

/* One step of everybody at this moment; false: nothing happened. */
static bool step(pond *p) {
    tmk_hub_conn *c;
    bool news = false;

    shelter(p, true);
    set_hub_time(p);
    if (tmk_hub_rules_expire(&p->hub.rules, p->now)) {
        tmk_hub_server_recheck(&p->hub);
    }
    for (tmk_list *n = tmk_list_first(&p->streams); n != NULL; n = tmk_list_next(&p->streams, n)) {
        pond_stream *s = tmk_container_of(n, pond_stream, node);

        if (s->conn != NULL && p->now >= tmk_hub_conn_deadline(s->conn)) {
            tmk_hub_conn_step(s->conn);
        }
    }
    while ((c = tmk_hub_server_next(&p->hub)) != NULL) {
        tmk_hub_conn_pump(c);
    }
    shelter(p, false);
    for (tmk_list *n = tmk_list_first(&p->streams); n != NULL; n = tmk_list_next(&p->streams, n)) {
        pond_stream *s = tmk_container_of(n, pond_stream, node);

        if (stream_has_news(s)) {
            news = true;
            tmk_bell_ring(&s->bell);
        }
    }
    CHECK_EQ(TMK_OK, tmk_client_poll(p->client, 0, NULL));
    return news;
}

static void settle(pond *p) {
    for (int i = 0; i < 8 || (step(p) && i < 2000); i++) {
        if (i < 8) {
            (void)step(p);
        }
    }
}

void pond_run(pond *p, int64_t ms) {
    tmk_time end = p->now + ms * TMK_MS;

    settle(p);
    while (p->now < end) {
        p->now += p->tick;
        p->wall_us += p->tick / 1000;
        settle(p);
    }
}

bool pond_until(pond *p, const bool *flag, int64_t ms) {
    tmk_time end = p->now + ms * TMK_MS;

    while (!*flag && p->now < end) {
        pond_run(p, p->tick / TMK_MS);
    }
    return *flag;
}

bool pond_until_count(pond *p, const uint64_t *counter, uint64_t at_least, int64_t ms) {
    tmk_time end = p->now + ms * TMK_MS;

    while (*counter < at_least && p->now < end) {
        pond_run(p, p->tick / TMK_MS);
    }
    return *counter >= at_least;
}

bool pond_until_trouble(pond *p, const char *origin, int64_t ms) {
    tmk_time end = p->now + ms * TMK_MS;
    unsigned from = p->trouble_count;

    while (p->now < end) {
        for (; from < p->trouble_count; from++) {
            if (strcmp(p->troubles[from].origin, origin) == 0) {
                return true;
            }
        }
        pond_run(p, p->tick / TMK_MS);
    }
    return false;
}

/* ---- troubles ---- */

static void on_error(void *user, const tmk_trouble *t) {
    pond *p = user;
    pond_trouble *to = &p->troubles[p->trouble_count];

    CHECK(t->error->text[0] != '\0');
    CHECK(strstr(t->error->text, POND_KEY) == NULL);
    if (p->trouble_count == POND_TROUBLES) {
        return;
    }
    if (getenv("POND_TALK") != NULL) {
        (void)fprintf(
            stderr, "# %8.3f %s %s '%s' %s -> %s in %d ms: %s\n", (double)(p->now - p->began) / 1e9,
            t->operation, t->partition == NULL ? "-" : t->partition, t->error->origin,
            tmk_status_name(t->error->status), t->reaction, (int)t->delay_ms, t->error->text);
    }
    (void)snprintf(to->origin, sizeof to->origin, "%s", t->error->origin);
    (void)snprintf(to->operation, sizeof to->operation, "%s", t->operation);
    (void)snprintf(to->partition, sizeof to->partition, "%s",
                   t->partition == NULL ? "" : t->partition);
    (void)snprintf(to->reaction, sizeof to->reaction, "%s", t->reaction);
    (void)snprintf(to->text, sizeof to->text, "%s", t->error->text);
    to->status = t->error->status;
    to->delay_ms = t->delay_ms;
    to->at_ms = p->now / TMK_MS;
    p->trouble_count++;
}

const pond_trouble *pond_find_trouble(const pond *p, const char *origin, const char *reaction) {
    for (unsigned i = 0; i < p->trouble_count; i++) {
        const pond_trouble *t = &p->troubles[i];

        if ((origin == NULL || strcmp(t->origin, origin) == 0) &&
            (reaction == NULL || strcmp(t->reaction, reaction) == 0)) {
            return t;
        }
    }
    return NULL;
}

/* ---- beginning and end ---- */

static void make_client(pond *p, const pond_options *o) {
    char string[256];
    tmk_client_options opts;
    tmk_client_seams seams = {.clock = {clock_now, clock_wall, p},
                              .seed = tmk_rng_next(&p->rng),
                              .open_stream = open_stream,
                              .self = p};
    tmk_error err = {0};

    (void)snprintf(string, sizeof string,
                   "Endpoint=sb://localhost;SharedAccessKeyName=%s;SharedAccessKey=%s;"
                   "UseDevelopmentEmulator=true",
                   POND_KEY_NAME, o->key == NULL ? POND_KEY : o->key);
    tmk_client_options_init(&opts);
    opts.connection_string = string;
    opts.hub = o->hub == NULL ? POND_HUB : o->hub;
    opts.caller_driven = true;
    opts.on_error = on_error;
    opts.user = p;
    opts.log = o->log;
    if (o->retry.attempts != 0) {
        opts.retry = o->retry;
    }
    if (tmk_client_make(&opts, &seams, &p->client, &err) != TMK_OK) {
        fail_msg("no client: %s", err.text);
    }
}

void pond_begin(pond *p, const pond_options *options) {
    static const char *const groups[] = {"group"};
    pond_options o = {0};

    if (options != NULL) {
        o = *options;
    }
    memset(p, 0, sizeof *p);
    tmk_rng_seed(&p->rng, o.seed);
    p->now = p->began = 1000 * TMK_SEC;
    p->wall_us = INT64_C(1700000000000000);
    p->tick = 10 * TMK_MS;
    p->cut = o.cut;
    tmk_list_init(&p->streams);
    tmk_hub_server_init(&p->hub, tmk_rng_next(&p->rng), 0, p->now);
    set_hub_time(p);
    CHECK_EQ(TMK_OK, tmk_hub_keyring_add(&p->hub.keys, POND_KEY_NAME, tmk_slice_str(POND_KEY),
                                         TMK_HUB_ALL));
    CHECK_EQ(TMK_OK, tmk_hub_core_add(&p->hub.core, POND_HUB, o.partitions == 0 ? 2 : o.partitions,
                                      groups, 1, false, p->hub.wall_ms, p->now, NULL));
    make_client(p, &o);
}

void pond_end(pond *p) {
    bool none = false;

    /* The good-bye needs the hub's answers, and tmk_client_free() lets no time pass. */
    pond_cut_streams(p, true);
    (void)pond_until(p, &none, 50);
    p->client = tmk_client_free(p->client);
    CHECK(tmk_list_empty(&p->streams));
    tmk_hub_server_clear(&p->hub);
}

/* ---- events ---- */

static tmk_hub_part *part_of(pond *p, const char *partition) {
    tmk_hub_entity *e = tmk_hub_core_find(&p->hub.core, TMK_LIT(POND_HUB));
    tmk_hub_part *part = tmk_hub_entity_part(e, tmk_slice_str(partition));

    CHECK(part != NULL);
    return part;
}

void pond_put(pond *p, const char *partition, unsigned count, size_t size) {
    tmk_hub_part *part = part_of(p, partition);
    tmk_str body = TMK_STR_INIT, text = TMK_STR_INIT;

    set_hub_time(p);
    for (unsigned i = 0; i < count; i++) {
        tmk_hub_message m;

        tmk_str_reset(&body);
        tmk_str_reset(&text);
        tmk_str_addf(&body, "%" PRId64 " ", part->log.end);
        while (body.size < size) {
            tmk_str_add_char(&body, '.');
        }
        tmk_hub_plain_message_add(&text, tmk_str_slice(&body), tmk_slice_of(NULL, 0), false);
        CHECK(tmk_hub_message_parse(tmk_str_slice(&text), &m));
        CHECK_EQ(TMK_OK, tmk_hub_part_append(part, &m, tmk_slice_of(NULL, 0), false, p->hub.wall_ms,
                                             &p->hub.scratch));
    }
    tmk_hub_part_stored(part, part->log.end);
    tmk_str_clear(&body);
    tmk_str_clear(&text);
}

int64_t pond_last(pond *p, const char *partition) {
    return tmk_hub_part_last_sequence(part_of(p, partition));
}

/* ---- faults ---- */

void pond_cut_streams(pond *p, bool reset) {
    for (tmk_list *n = tmk_list_first(&p->streams); n != NULL; n = tmk_list_next(&p->streams, n)) {
        pond_stream *s = tmk_container_of(n, pond_stream, node);

        s->ended = true;
        s->reset = reset;
        s->open = true;
        s->conn = tmk_hub_conn_free(s->conn);
    }
}

unsigned pond_open_streams(const pond *p) {
    unsigned count = 0;

    for (tmk_list *n = tmk_list_first(&p->streams); n != NULL; n = tmk_list_next(&p->streams, n)) {
        count++;
    }
    return count;
}

tmk_hub_match pond_match(const char *partition, tmk_hub_role role) {
    tmk_hub_match m = {.role = role};

    (void)snprintf(m.partition, sizeof m.partition, "%s", partition == NULL ? "" : partition);
    return m;
}

void pond_detach(pond *p, const char *partition, const char *condition, const char *text) {
    tmk_hub_match m = pond_match(partition, TMK_HUB_ROLE_ANY);
    tmk_hub_fail why;

    set_hub_time(p);
    tmk_hub_fail_set(&why, condition, "%s", text);
    CHECK(tmk_hub_server_detach(&p->hub, &m, &why, -1) > 0);
}

uint64_t pond_rule(pond *p, const tmk_hub_rule *rule) {
    tmk_hub_rule r = *rule;
    uint64_t id = 0;

    r.probability = r.probability > 0 ? r.probability : 1.0;
    r.left = r.left == 0 ? -1 : r.left;
    r.until = r.until == 0 ? TMK_NEVER : r.until;
    CHECK_EQ(TMK_OK, tmk_hub_rules_add(&p->hub.rules, &r, &id));
    set_hub_time(p);
    tmk_hub_server_recheck(&p->hub);
    return id;
}

void pond_unrule(pond *p, uint64_t id) {
    CHECK(tmk_hub_rules_remove(&p->hub.rules, id));
    set_hub_time(p);
    tmk_hub_server_recheck(&p->hub);
}

/* ---- reading ---- */

static void check_event(pond_reader *r, const tmk_event *e) {
    int64_t sequence = tmk_event_sequence(e), told = -1;
    tmk_slice body = tmk_event_body(e);
    tmk_slice number = tmk_slice_cut(&body, ' ', NULL);

    if (tmk_slice_int64(number, &told) && told != sequence) {
        r->wrong++;
    }
    if (strcmp(tmk_event_partition(e), r->partition) != 0) {
        r->wrong++;
    }
    if (r->next >= 0 && sequence < r->next) {
        r->out_of_order++;
    } else if (r->next >= 0 && sequence > r->next) {
        r->holes++;
    }
    if (r->first < 0) {
        r->first = sequence;
    }
    r->next = sequence + 1;
    r->count++;
    r->bytes += tmk_event_encoded(e).size;
}

static void on_events(void *user, tmk_received *got) {
    pond_reader *r = user;

    CHECK(tmk_received_count(got) > 0);
    CHECK(!r->ended);
    for (size_t i = 0; i < tmk_received_count(got); i++) {
        check_event(r, tmk_received_event(got, i));
    }
    if (r->keep) {
        CHECK(r->kept_count < 1024);
        r->kept[r->kept_count++] = got;
    } else {
        got = tmk_received_free(got);
    }
}

static void on_ended(void *user, const tmk_error *why) {
    pond_reader *r = user;

    CHECK(!r->ended);
    r->ended = true;
    r->why = *why;
}

void pond_read(pond *p, pond_reader *r, const char *partition, const tmk_consumer_options *opts) {
    tmk_consumer_options o;
    tmk_error err = {0};

    tmk_consumer_options_init(&o);
    if (opts != NULL) {
        o = *opts;
    }
    memset(r, 0, sizeof *r);
    r->pond = p;
    r->partition = partition;
    r->first = r->next = -1;
    o.partition = partition;
    o.on_events = on_events;
    o.on_ended = on_ended;
    o.user = r;
    if (tmk_consumer_new(p->client, &o, &r->consumer, &err) != TMK_OK) {
        fail_msg("no consumer: %s", err.text);
    }
}

void pond_read_from(pond *p, pond_reader *r, const char *partition, tmk_start start) {
    tmk_consumer_options o;

    tmk_consumer_options_init(&o);
    o.start = start;
    pond_read(p, r, partition, &o);
}

void pond_read_end(pond_reader *r) {
    r->consumer = tmk_consumer_free(r->consumer);
    for (unsigned i = 0; i < r->kept_count; i++) {
        r->kept[i] = tmk_received_free(r->kept[i]);
    }
    r->kept_count = 0;
}

/* ---- sending ---- */

void pond_fate(void *user, const tmk_fate *fate) {
    pond_fates *f = user;

    f->count++;
    f->attempts += fate->attempts;
    f->maybe_twice += fate->maybe_twice;
    f->maybe_stored += fate->maybe_stored;
    CHECK_EQ(fate->status == TMK_OK, fate->error == NULL);
    if (fate->status == TMK_OK) {
        f->stored += fate->events;
    } else {
        f->failed += fate->events;
        f->last = *fate->error;
    }
}

tmk_status pond_send(tmk_producer *producer, const char *text, const char *partition,
                     const char *key, pond_fates *fates, tmk_error *err) {
    tmk_message *m = NULL;
    tmk_status st = tmk_message_new(tmk_slice_str(text), &m, err);

    if (st == TMK_OK) {
        st = tmk_message_set_key(m, key, err);
    }
    if (st == TMK_OK) {
        st = tmk_producer_send(producer, m, partition, pond_fate, fates, err);
    }
    m = tmk_message_free(m);
    return st;
}
