/*
 * Every fault of the hub, while a client sends and reads: what was
 * acknowledged is there, what was not is reported, reading goes on without a
 * gap. In virtual time. A fault that the hub knows and no case here plays is a
 * failure.
 */
#include <stdlib.h>

#include "base/str.h"
#include "hub/faults.h"
#include "support/check.h"
#include "support/pond.h"

enum {
    GAP = 1 << 0,     /* the hub leaves events out: told as missing */
    LOST = 1 << 1,    /* events that were stored are gone afterwards */
    CUT = 1 << 2,     /* all streams are cut, so that a beginning meets the fault */
    QUIET = 1 << 3,   /* nobody need notice */
    REJECTS = 1 << 4, /* some sends fail for good */
    TWICE = 1 << 5    /* some are sent again although they were stored */
};

typedef struct fault_case {
    const char *json;
    unsigned flags;
    tmk_status ends; /* the reader ends by this; OK: it goes on */
} fault_case;

#define FAULT(name) "{\"fault\":\"" name "\"}"
#define FAULT_WITH(name, more) "{\"fault\":\"" name "\"," more "}"
#define DELAY(what, ms) FAULT_WITH("delay", "\"what\":\"" what "\",\"ms\":" ms ",\"count\":3")
#define MUTE(what) FAULT_WITH("mute", "\"what\":\"" what "\",\"count\":1")

static const fault_case cases[] = {
    {FAULT("drop_connections"), 0, TMK_OK},
    {FAULT("close_connections"), 0, TMK_OK},
    {FAULT_WITH("close_connections", "\"condition\":\"com.microsoft:container-close\""), 0, TMK_OK},
    {FAULT("end_sessions"), 0, TMK_OK},
    {FAULT("detach"), 0, TMK_OK},
    {FAULT_WITH("detach", "\"condition\":\"amqp:connection:forced\",\"role\":\"any\""), 0, TMK_OK},
    {FAULT_WITH("detach", "\"condition\":\"amqp:internal-error\",\"role\":\"sender\""), 0, TMK_OK},
    {FAULT_WITH("detach", "\"condition\":\"amqp:link:stolen\",\"role\":\"receiver\""), 0,
     TMK_ELOST},
    {FAULT("expire_tokens"), 0, TMK_OK},
    {FAULT_WITH("truncate", "\"before\":10"), QUIET | LOST, TMK_OK},
    {FAULT("truncate"), QUIET | LOST, TMK_OK},
    {FAULT("recreate"), LOST, TMK_EPOSITION},
    {FAULT("geo"), QUIET, TMK_OK},
    /* Offsets from before are no good there. */
    {FAULT_WITH("geo", "\"strict\":true"), CUT, TMK_EPOSITION},
    {FAULT_WITH("idle", "\"link_ms\":200,\"connection_ms\":2000,\"no_link_ms\":2000"), CUT, TMK_OK},
    {FAULT("unsettled"), QUIET | CUT, TMK_OK},
    {FAULT_WITH("reject_sends", "\"count\":3"), 0, TMK_OK},
    {FAULT_WITH("reject_sends", "\"condition\":\"amqp:internal-error\",\"count\":3"), 0, TMK_OK},
    {FAULT_WITH("reject_sends", "\"condition\":\"amqp:not-allowed\",\"count\":3"), REJECTS, TMK_OK},
    {FAULT_WITH("refuse_attach", "\"count\":4"), CUT, TMK_OK},
    {FAULT_WITH("refuse_attach", "\"condition\":\"com.microsoft:server-busy\",\"count\":2"), CUT,
     TMK_OK},
    {FAULT_WITH("refuse_tokens", "\"count\":2"), CUT, TMK_OK},
    {FAULT_WITH("refuse_reads", "\"count\":2"), CUT | QUIET, TMK_OK},
    {FAULT_WITH("refuse_connections", "\"count\":4"), CUT, TMK_OK},
    {FAULT_WITH("delay", "\"what\":\"delivery\",\"ms\":3000,\"duration_ms\":9000"), QUIET, TMK_OK},
    {DELAY("open", "4000"), CUT, TMK_OK},
    {DELAY("begin", "4000"), CUT, TMK_OK},
    {DELAY("attach", "4000"), CUT, TMK_OK},
    {DELAY("detach", "4000"), CUT, TMK_OK},
    {DELAY("cbs", "4000"), CUT, TMK_OK},
    {DELAY("management", "4000"), CUT, TMK_OK},
    {DELAY("send", "4000"), QUIET, TMK_OK},
    {MUTE("open"), CUT, TMK_OK},
    {MUTE("begin"), CUT, TMK_OK},
    {MUTE("attach"), CUT, TMK_OK},
    {MUTE("detach"), CUT, TMK_OK},
    {MUTE("cbs"), CUT, TMK_OK},
    {MUTE("management"), CUT, TMK_OK},
    {MUTE("send"), TWICE, TMK_OK},
    {FAULT_WITH("stall", "\"duration_ms\":9000"), QUIET, TMK_OK},
    {FAULT_WITH("stall", "\"duration_ms\":90000"), 0, TMK_OK},
    {FAULT_WITH("repeat", "\"events\":5,\"count\":2"), QUIET, TMK_OK},
    {FAULT_WITH("skip", "\"events\":2,\"count\":1"), GAP, TMK_OK},
    {FAULT_WITH("freeze", "\"duration_ms\":9000"), QUIET, TMK_OK},
    {FAULT_WITH("freeze", "\"duration_ms\":100000"), 0, TMK_OK},
    {FAULT_WITH("drip", "\"bytes\":1,\"ms\":10,\"duration_ms\":5000"), QUIET, TMK_OK},
};

/* ---- events with a number each ---- */

enum { EVENTS_MAX = 200, STEP_MS = 50, LONG_MS = 400000 };

typedef struct sent {
    unsigned fates, read;
    tmk_status status;
    bool maybe_twice, maybe_stored;
} sent;

static pond p;
static const fault_case *now;
static tmk_producer *producer;
static sent events[EVENTS_MAX];
static unsigned sent_count;
static uint64_t fate_count;

#define EXPECT(condition)                                                         \
    do {                                                                          \
        if (!(condition)) {                                                       \
            fail_msg("%s:%d: %s: %s", __FILE__, __LINE__, now->json, #condition); \
        }                                                                         \
    } while (0)

static void on_fate(void *user, const tmk_fate *fate) {
    sent *e = user;

    EXPECT(e->fates++ == 0);
    EXPECT((fate->status == TMK_OK) == (fate->error == NULL));
    EXPECT(fate->error == NULL || fate->error->text[0] != '\0');
    e->status = fate->status;
    e->maybe_twice = fate->maybe_twice;
    e->maybe_stored = fate->maybe_stored;
    fate_count++;
}

static void send_one(void) {
    char body[16];
    tmk_message *m = NULL;

    (void)snprintf(body, sizeof body, "%u", sent_count);
    EXPECT(sent_count < EVENTS_MAX);
    EXPECT(tmk_message_new(tmk_slice_str(body), &m, NULL) == TMK_OK);
    EXPECT(tmk_producer_send(producer, m, "0", on_fate, &events[sent_count], NULL) == TMK_OK);
    m = tmk_message_free(m);
    sent_count++;
}

static void send_some(unsigned count) {
    while (count-- > 0) {
        send_one();
        pond_run(&p, STEP_MS);
    }
}

/* ---- a reader of them ---- */

typedef struct reader {
    tmk_consumer *consumer;
    int64_t next; /* -1: any */
    uint64_t count;
    int64_t missing;
    bool ended, counts;
    tmk_error why;
} reader;

static void on_events(void *user, tmk_received *got) {
    reader *r = user;

    for (size_t i = 0; i < tmk_received_count(got); i++) {
        const tmk_event *e = tmk_received_event(got, i);
        tmk_slice body = tmk_event_body(e);
        int64_t sequence = tmk_event_sequence(e);
        char text[16] = {0};

        EXPECT(r->next < 0 || sequence >= r->next); /* never back, never twice */
        r->missing += r->next < 0 ? 0 : sequence - r->next;
        r->next = sequence + 1;
        r->count++;
        EXPECT(body.size < sizeof text);
        memcpy(text, body.bytes, body.size);
        EXPECT(strtoul(text, NULL, 10) < sent_count);
        events[strtoul(text, NULL, 10)].read += r->counts;
    }
    got = tmk_received_free(got);
}

static void on_ended(void *user, const tmk_error *why) {
    reader *r = user;

    r->ended = true;
    r->why = *why;
}

static void read_all(reader *r, bool counts) {
    tmk_consumer_options o;

    *r = (reader){.next = -1, .counts = counts};
    tmk_consumer_options_init(&o);
    o.partition = "0";
    o.start = tmk_start_earliest();
    o.on_events = on_events;
    o.on_ended = on_ended;
    o.user = r;
    EXPECT(tmk_consumer_new(p.client, &o, &r->consumer, NULL) == TMK_OK);
}

static bool has_all(const reader *r) {
    return r->next == pond_last(&p, "0") + 1;
}

static void wait_for_all(const reader *r) {
    for (int i = 0; i < LONG_MS / 500 && !has_all(r) && !r->ended; i++) {
        pond_run(&p, 500);
    }
}

/* ---- a case ---- */

static void let_it_happen(void) {
    uint64_t id, met;
    tmk_error err;

    if (tmk_hub_fault_do(&p.hub, tmk_slice_str(now->json), &id, &met, &err) != TMK_OK) {
        fail_msg("%s: %s", now->json, err.text);
    }
    EXPECT(id != 0 || met > 0); /* a fault that meets nobody proves nothing */
    if ((now->flags & CUT) != 0) {
        pond_cut_streams(&p, true);
    }
}

/* What the producer was told is true. */
static void judge_sends(void) {
    unsigned failed = 0, twice = 0;

    for (unsigned i = 0; i < sent_count; i++) {
        const sent *e = &events[i];

        EXPECT(e->fates == 1);
        if (e->status == TMK_OK && (now->flags & LOST) == 0) {
            EXPECT(e->read >= 1);
            EXPECT(e->read == 1 || e->maybe_twice);
        }
        if (e->status != TMK_OK) {
            EXPECT(e->read == 0 || e->maybe_stored);
            failed++;
        }
        twice += e->maybe_twice;
    }
    EXPECT((failed > 0) == ((now->flags & REJECTS) != 0));
    EXPECT((now->flags & TWICE) == 0 || twice > 0);
}

static void judge_reader(const reader *r) {
    if (now->ends != TMK_OK) {
        EXPECT(r->ended && r->why.status == now->ends && r->why.text[0] != '\0');
        return;
    }
    if (r->ended) {
        fail_msg("%s: the reader ended: %s", now->json, r->why.text);
    }
    EXPECT(has_all(r));
    if ((now->flags & GAP) != 0) {
        EXPECT(r->missing > 0 && pond_find_trouble(&p, "tidemark:gap", NULL) != NULL);
    } else {
        EXPECT(r->missing == 0);
    }
}

static void play(const fault_case *f) {
    reader first, judge;

    now = f;
    memset(events, 0, sizeof events);
    sent_count = 0;
    fate_count = 0;
    pond_begin(&p, NULL);
    p.tick = 25 * TMK_MS;
    EXPECT(tmk_producer_new(p.client, NULL, &producer, NULL) == TMK_OK);
    read_all(&first, false);
    send_some(20);
    wait_for_all(&first);
    EXPECT(first.count == 20 && p.trouble_count == 0);

    let_it_happen();
    send_some(40);
    pond_run(&p, 1000); /* without traffic: for what is about idle links */
    send_some(20);
    EXPECT(pond_until_count(&p, &fate_count, sent_count, LONG_MS));
    wait_for_all(&first);
    judge_reader(&first);
    EXPECT((f->flags & QUIET) != 0 || p.trouble_count > 0);

    (void)tmk_hub_fault_undo(&p.hub, 0);
    read_all(&judge, true);
    wait_for_all(&judge);
    EXPECT(has_all(&judge) && judge.missing == 0);
    judge_sends();
    producer = tmk_producer_free(producer);
    first.consumer = tmk_consumer_free(first.consumer);
    judge.consumer = tmk_consumer_free(judge.consumer);
    pond_end(&p);
}

enum { CASES = sizeof cases / sizeof *cases };

/* What the hub can do at once. */
static void faults_done_at_once_are_outlived_or_told(void) {
    for (size_t i = 0; i < 16; i++) {
        play(&cases[i]);
    }
}

static void faults_that_stand_are_outlived_or_told(void) {
    for (size_t i = 16; i < CASES; i++) {
        play(&cases[i]);
    }
}

static void no_fault_of_the_hub_is_left_out(void) {
    const char *name;
    size_t count = 0;

    for (; (name = tmk_hub_fault_name(count)) != NULL; count++) {
        char start[64];
        bool played = false;

        (void)snprintf(start, sizeof start, "{\"fault\":\"%s\"", name);
        for (size_t i = 0; i < CASES; i++) {
            played = played || strncmp(cases[i].json, start, strlen(start)) == 0;
        }
        if (!played) {
            fail_msg("no case plays the fault '%s'", name);
        }
    }
    CHECK(count >= 22);
}

int main(void) {
    return RUN(TEST(faults_done_at_once_are_outlived_or_told),
               TEST(faults_that_stand_are_outlived_or_told), TEST(no_fault_of_the_hub_is_left_out));
}
