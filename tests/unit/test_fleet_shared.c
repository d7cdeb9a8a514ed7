/*
 * One instance beside official processors, in virtual time: a fleet, a small
 * store that others write to as well, and a caller that carries out at once.
 */
#include "core/fleet.h"
#include "core/member_text.h"

#include "support/check.h"
#include "support/failing.h"

enum { MOST = 16, ASKED_MOST = 64 };

typedef struct row {
    char owner[64], successor[64], token[40];
    int64_t generation, version;
    bool present;
    tmk_time written;
    int64_t sequence; /* -1: no checkpoint */
} row;

typedef struct asked {
    uint64_t ticket;
    tmk_store_op_kind kind;
    size_t p;
    row record; /* as it is to be written */
    int64_t version;
    bool take_over;
    tmk_time sent;
} asked;

typedef struct rig {
    tmk_fleet *fleet;
    tmk_time now;
    size_t count;
    row rows[MOST];
    char ids[MOST][4];
    asked asked[ASKED_MOST];
    size_t asked_count;
    bool deaf;      /* requests arrive, answers do not */
    bool cut;       /* requests do not arrive */
    bool no_reader; /* openings and drains are not answered by themselves */
    bool reading[MOST], fenced[MOST], all_fenced, left, ready;
    int64_t level[MOST], start[MOST], final[MOST];
    tmk_fleet_reason reason[MOST];
    unsigned opened[MOST], drained[MOST], stopped[MOST], fences, reports;
    unsigned requests[TMK_STORE_PARTITION_DELETE + 1];
} rig;

/* --- the store --- */

static const char *version_text(const row *r, char out[24]) {
    (void)snprintf(out, 24, "%" PRId64, r->present ? r->version : 0);
    return out;
}

static void touch(rig *r, row *e) {
    e->present = true;
    e->version++;
    e->written = r->now;
}

static tmk_status claim(rig *r, row *e, const asked *a) {
    if (e->present ? a->version != e->version || (e->owner[0] != '\0' && !a->take_over)
                   : a->version != 0) {
        return TMK_CONFLICT;
    }
    (void)snprintf(e->owner, sizeof e->owner, "%s", a->record.owner);
    (void)snprintf(e->token, sizeof e->token, "%s", a->record.token);
    e->successor[0] = '\0';
    e->generation = a->record.generation;
    if (!e->present) {
        e->sequence = -1;
    }
    touch(r, e);
    return TMK_OK;
}

static tmk_status renew(rig *r, row *e, const asked *a) {
    if (!e->present || strcmp(e->token, a->record.token) != 0 || a->version != e->version) {
        return TMK_CONFLICT;
    }
    (void)snprintf(e->owner, sizeof e->owner, "%s", a->record.owner);
    (void)snprintf(e->successor, sizeof e->successor, "%s", a->record.successor);
    e->generation = a->record.generation;
    touch(r, e);
    return TMK_OK;
}

static tmk_status apply(rig *r, const asked *a) {
    row *e = &r->rows[a->p];

    switch ((int)a->kind) {
    case TMK_STORE_PARTITION_READ:
        return e->present ? TMK_OK : TMK_ABSENT;
    case TMK_STORE_PARTITION_CLAIM:
        return claim(r, e, a);
    case TMK_STORE_PARTITION_RENEW:
        return renew(r, e, a);
    case TMK_STORE_PARTITION_WRITE:
        if (!e->present || strcmp(e->token, a->record.token) != 0) {
            return TMK_CONFLICT;
        }
        e->sequence = a->record.sequence;
        e->version++; /* without a new age: that is the ownership's */
        return TMK_OK;
    case TMK_STORE_PARTITION_RELEASE:
        if (!e->present || strcmp(e->token, a->record.token) != 0) {
            return TMK_CONFLICT;
        }
        e->owner[0] = e->successor[0] = e->token[0] = '\0';
        touch(r, e);
        return TMK_OK;
    default:
        return TMK_OK; /* a list */
    }
}

static tmk_partition_record view(const rig *r, size_t p, char version[24]) {
    const row *e = &r->rows[p];

    return (tmk_partition_record){.id = r->ids[p],
                                  .owner = e->owner,
                                  .successor = e->successor,
                                  .generation = e->generation,
                                  .held = e->owner[0] != '\0',
                                  .age_ms = (r->now - e->written) / TMK_MS,
                                  .version = version_text(e, version),
                                  .checkpoint = {.present = e->sequence >= 0,
                                                 .sequence_known = e->sequence >= 0,
                                                 .sequence = e->sequence,
                                                 .offset = ""}};
}

static void answer(rig *r, const asked *a) {
    static tmk_partition_record records[MOST];
    static char versions[MOST][24];
    tmk_store_result result = {.status = r->cut ? TMK_ETIMEOUT : apply(r, a), .version = ""};

    if (r->cut || r->deaf) {
        result.status = TMK_ETIMEOUT;
    }
    if (a->kind == TMK_STORE_PARTITION_LIST && result.status == TMK_OK) {
        for (size_t p = 0; p < r->count; p++) {
            if (r->rows[p].present) {
                records[result.partition_count] = view(r, p, versions[p]);
                result.partition_count++;
            }
        }
        result.partitions = records;
    } else if (a->kind == TMK_STORE_PARTITION_READ && result.status == TMK_OK) {
        records[0] = view(r, a->p, versions[0]);
        result.partitions = records;
        result.partition_count = 1;
    } else if (result.status == TMK_OK) {
        result.version = version_text(&r->rows[a->p], versions[0]);
    }
    tmk_fleet_on_answer(r->fleet, r->now, a->ticket, &result);
}

/* --- the caller --- */

static void keep(rig *r, const tmk_fleet_act *act) {
    asked *a = &r->asked[r->asked_count++];
    const tmk_partition_record *from = act->op->record;

    CHECK(r->asked_count <= ASKED_MOST);
    memset(a, 0, sizeof *a);
    a->ticket = act->ticket;
    a->kind = act->op->kind;
    a->p = strtoul(act->op->id, NULL, 10);
    a->version = act->op->version == NULL ? 0 : strtoll(act->op->version, NULL, 10);
    a->take_over = act->op->take_over;
    a->sent = r->now;
    r->requests[a->kind]++;
    if (act->op->token != NULL) {
        (void)snprintf(a->record.token, sizeof a->record.token, "%s", act->op->token);
    }
    if (from != NULL) {
        (void)snprintf(a->record.owner, sizeof a->record.owner, "%s", from->owner);
        (void)snprintf(a->record.successor, sizeof a->record.successor, "%s", from->successor);
        a->record.generation = from->generation;
        a->record.sequence = from->checkpoint.present ? from->checkpoint.sequence : -1;
    }
}

static void open_one(rig *r, size_t p, const tmk_fleet_act *act) {
    CHECK(!r->reading[p]);
    r->reading[p] = true;
    r->opened[p]++;
    r->level[p] = act->owner_level;
    r->start[p] = act->checkpoint->present ? act->checkpoint->sequence : -1;
    r->final[p] = r->start[p];
    if (!r->no_reader) {
        tmk_fleet_on_opened(r->fleet, r->now, r->ids[p]);
    }
}

static void drain_one(rig *r, size_t p) {
    tmk_checkpoint c = {.present = r->final[p] >= 0,
                        .sequence_known = true,
                        .sequence = r->final[p],
                        .offset = "1"};

    CHECK(r->reading[p]);
    r->reading[p] = false;
    r->drained[p]++;
    CHECK_EQ(TMK_OK, tmk_fleet_on_drained(r->fleet, r->now, r->ids[p], &c));
}

static void carry_out(rig *r, const tmk_fleet_act *act) {
    size_t p = act->partition == NULL ? MOST : strtoul(act->partition, NULL, 10);

    switch (act->kind) {
    case TMK_FLEET_SUBMIT:
        keep(r, act);
        break;
    case TMK_FLEET_OPEN:
        open_one(r, p, act);
        break;
    case TMK_FLEET_DRAIN:
        r->reason[p] = act->reason;
        drain_one(r, p);
        break;
    case TMK_FLEET_STOP:
        CHECK(r->reading[p]);
        r->reading[p] = false;
        r->stopped[p]++;
        r->reason[p] = act->reason;
        tmk_fleet_on_stopped(r->fleet, r->now, act->partition);
        break;
    case TMK_FLEET_FENCE:
    case TMK_FLEET_UNFENCE:
        r->fences += act->kind == TMK_FLEET_FENCE;
        *(p == MOST ? &r->all_fenced : &r->fenced[p]) = act->kind == TMK_FLEET_FENCE;
        break;
    case TMK_FLEET_READY:
        r->ready = true;
        break;
    case TMK_FLEET_LEFT:
        r->left = true;
        break;
    case TMK_FLEET_REPORT:
        r->reports++;
        break;
    default:
        break;
    }
}

/* All that is to be done now; answers come 10 ms after their question. */
static void step(rig *r) {
    tmk_fleet_act act;

    for (bool any = true; any;) {
        any = false;
        while (tmk_fleet_next(r->fleet, r->now, &act)) {
            carry_out(r, &act);
        }
        for (size_t i = 0; i < r->asked_count; i++) {
            if (r->now >= r->asked[i].sent + (r->deaf || r->cut ? 2 * TMK_SEC : 10 * TMK_MS)) {
                asked a = r->asked[i];

                r->asked[i] = r->asked[--r->asked_count];
                answer(r, &a);
                any = true;
                break;
            }
        }
    }
}

static tmk_time next_time(const rig *r, tmk_time end) {
    tmk_time due = tmk_fleet_deadline(r->fleet);

    for (size_t i = 0; i < r->asked_count; i++) {
        tmk_time at = r->asked[i].sent + (r->deaf || r->cut ? 2 * TMK_SEC : 10 * TMK_MS);

        due = tmk_time_min(due, at);
    }
    CHECK(due > r->now || due == r->now);
    return due < end ? (due > r->now ? due : r->now + 1) : end;
}

static void run(rig *r, tmk_time length) {
    tmk_time end = r->now + length;

    step(r);
    while (r->now < end) {
        r->now = next_time(r, end);
        step(r);
    }
}

static tmk_status begin(rig *r, size_t count) {
    const char *ids[MOST];
    tmk_fleet_options o;
    tmk_rng seed;
    tmk_status st = TMK_OK;

    memset(r, 0, sizeof *r);
    r->count = count;
    r->now = 1000 * TMK_SEC;
    for (size_t p = 0; p < count; p++) {
        (void)snprintf(r->ids[p], sizeof r->ids[p], "%zu", p);
        ids[p] = r->ids[p];
        r->rows[p].sequence = -1;
    }
    tmk_fleet_options_init(&o, TMK_CLAIMS_SHARED);
    o.instance = "me";
    tmk_rng_seed(&seed, 5);
    st = tmk_fleet_new(&o, &seed, &r->fleet, NULL);
    return st < 0 ? st : tmk_fleet_partitions(r->fleet, r->now, ids, count, NULL);
}

static void end(rig *r) {
    r->fleet = tmk_fleet_free(r->fleet);
}

/* An official processor claims, renews or gives up: it drops what is ours in the record. */
static void official(rig *r, size_t p, const char *owner) {
    row *e = &r->rows[p];

    (void)snprintf(e->owner, sizeof e->owner, "%s", owner);
    e->successor[0] = e->token[0] = '\0';
    e->generation = 0;
    touch(r, e);
}

/* Another instance of ours. */
static void other(rig *r, size_t p, const char *owner, const char *successor) {
    row *e = &r->rows[p];

    e->generation++;
    (void)snprintf(e->owner, sizeof e->owner, "%s", owner);
    (void)snprintf(e->successor, sizeof e->successor, "%s", successor);
    tmk_member_token(owner, r->ids[p], e->generation, e->token);
    touch(r, e);
}

static size_t held(const rig *r) {
    size_t n = 0;

    for (size_t p = 0; p < r->count; p++) {
        n += r->reading[p];
    }
    return n;
}

static size_t owned_by(const rig *r, const char *owner) {
    size_t n = 0;

    for (size_t p = 0; p < r->count; p++) {
        n += strcmp(r->rows[p].owner, owner) == 0;
    }
    return n;
}

static const char *me(const rig *r) {
    return tmk_fleet_id(r->fleet);
}

/* All of them renewed, for so long. */
static void run_beside(rig *r, const char *who, tmk_time length) {
    tmk_time until = r->now + length;

    while (r->now < until) {
        for (size_t p = 0; p < r->count; p++) {
            if (strcmp(r->rows[p].owner, who) == 0) {
                r->rows[p].version++;
                r->rows[p].written = r->now;
            }
        }
        run(r, 5 * TMK_SEC);
    }
}

/* --- claims --- */

static void whoever_is_alone_takes_one_then_all_and_reads_with_level_zero(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 8));
    run(&r, TMK_SEC);
    CHECK_EQ(1, held(&r));
    run(&r, 2 * TMK_SEC);
    CHECK_EQ(8, held(&r));
    CHECK(r.ready);
    for (size_t p = 0; p < 8; p++) {
        CHECK_EQ(0, r.level[p]);
        CHECK_EQ(-1, r.start[p]);
    }
    end(&r);
}

static void ownership_is_renewed_each_interval(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 4));
    run(&r, 10 * TMK_SEC);
    unsigned renewed = r.requests[TMK_STORE_PARTITION_RENEW],
             listed = r.requests[TMK_STORE_PARTITION_LIST];
    run(&r, 100 * TMK_SEC);
    renewed = r.requests[TMK_STORE_PARTITION_RENEW] - renewed;
    listed = r.requests[TMK_STORE_PARTITION_LIST] - listed;
    CHECK(renewed >= 40 && renewed <= 52);
    CHECK(listed >= 8 && listed <= 13);
    end(&r);
}

static void a_partition_of_an_official_owner_is_taken_at_its_expiry_and_not_before(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 1));
    official(&r, 0, "net-1");
    r.rows[0].sequence = 41;
    run(&r, 59 * TMK_SEC);
    CHECK_EQ(0, held(&r));
    run(&r, 14 * TMK_SEC);
    CHECK_EQ(1, held(&r));
    CHECK_EQ(41, r.start[0]); /* its checkpoint is taken over */
    end(&r);
}

static void one_is_stolen_an_interval_until_the_share_is_reached(void) {
    rig r;
    size_t last = 0;

    CHECK_EQ(TMK_OK, begin(&r, 8));
    for (size_t p = 0; p < 8; p++) {
        official(&r, p, "js-1");
    }
    for (int round = 0; round < 12; round++) {
        run_beside(&r, "js-1", 5 * TMK_SEC);
        CHECK(held(&r) <= last + 1);
        last = held(&r);
    }
    CHECK_EQ(4, held(&r));
    CHECK_EQ(4, owned_by(&r, "js-1"));
    run_beside(&r, "js-1", 300 * TMK_SEC);
    CHECK_EQ(4, held(&r));
    end(&r);
}

static void reading_starts_from_what_stands_there_after_the_claim(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 1));
    official(&r, 0, "");
    r.rows[0].sequence = 10;
    run(&r, 5 * TMK_MS); /* the list is asked for, and will show 10 */
    run(&r, 10 * TMK_MS);
    r.rows[0].sequence = 20; /* written by its former owner while we claim */
    run(&r, 5 * TMK_SEC);
    CHECK_EQ(1, held(&r));
    CHECK_EQ(20, r.start[0]);
    end(&r);
}

static void a_claim_without_an_answer_is_looked_at(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 1));
    run(&r, 5 * TMK_MS);
    r.deaf = true; /* the list is lost as well; then one that is not, and a claim that is */
    run(&r, 3 * TMK_SEC);
    r.deaf = false;
    for (int i = 0; i < 400 && r.requests[TMK_STORE_PARTITION_CLAIM] == 0; i++) {
        run(&r, 10 * TMK_MS);
    }
    r.deaf = true; /* it is carried out, unheard */
    run(&r, 5 * TMK_SEC);
    CHECK_EQ(0, held(&r));
    r.deaf = false;
    run(&r, 10 * TMK_SEC);
    CHECK_EQ(1, held(&r));
    CHECK_STR(me(&r), r.rows[0].owner);
    CHECK_EQ(1, r.requests[TMK_STORE_PARTITION_CLAIM]);
    end(&r);
}

static void of_a_lost_race_nothing_is_opened(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 1));
    run(&r, 15 * TMK_MS); /* the list has shown that it is free */
    official(&r, 0, "py-1");
    run(&r, 20 * TMK_SEC);
    CHECK_EQ(0, held(&r));
    CHECK_STR("py-1", r.rows[0].owner);
    end(&r);
}

/* --- losses --- */

static void whoever_was_stolen_from_stops_with_its_next_renewal(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 4));
    run(&r, 10 * TMK_SEC);
    CHECK_EQ(4, held(&r));
    official(&r, 2, "go-1");
    run(&r, 11 * TMK_SEC);
    CHECK_EQ(3, held(&r));
    CHECK_EQ(1, r.stopped[2]);
    CHECK_EQ(TMK_FLEET_BECAUSE_TAKEN, r.reason[2]);
    CHECK_STR("go-1", r.rows[2].owner);
    end(&r);
}

static void a_taken_link_is_looked_into_and_not_fought_for(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 4));
    run(&r, 10 * TMK_SEC);
    official(&r, 1, "js-1");
    tmk_fleet_on_stolen(r.fleet, r.now, "1");
    run(&r, TMK_SEC);
    CHECK_EQ(1, r.stopped[1]);
    CHECK_EQ(1, r.opened[1]);
    CHECK_EQ(3, held(&r));
    end(&r);
}

/* A former owner that did not notice: its link ends for good, and ours can be taken again then. */
static void a_link_that_the_store_calls_ours_is_insisted_on_for_a_moment(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 2));
    run(&r, 10 * TMK_SEC);
    r.final[1] = 77;
    tmk_fleet_on_stolen(r.fleet, r.now, "1");
    run(&r, 2 * TMK_SEC);
    CHECK_EQ(2, r.opened[1]);
    CHECK_EQ(1, r.level[1]);
    CHECK_EQ(1, r.reports);
    r.final[1] = 78;
    run(&r, 4 * TMK_SEC);
    CHECK_EQ(1, r.drained[1]);
    CHECK_EQ(3, r.opened[1]);
    CHECK_EQ(0, r.level[1]);
    CHECK_EQ(78, r.start[1]);
    run(&r, 60 * TMK_SEC);
    CHECK_EQ(3, r.opened[1]);
    end(&r);
}

static void a_store_outage_is_ridden_out_while_the_link_lives(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 2));
    run(&r, 10 * TMK_SEC);
    r.cut = true;
    run(&r, 120 * TMK_SEC);
    CHECK_EQ(2, held(&r));
    CHECK(!r.fenced[0] && !r.fenced[1] && !r.all_fenced);
    tmk_fleet_on_link(r.fleet, r.now, "0", false); /* nobody vouches for it any more */
    run(&r, TMK_SEC);
    CHECK(r.fenced[0] && !r.fenced[1]);
    tmk_fleet_on_link(r.fleet, r.now, "0", true); /* by level 0 it may have taken it from another */
    run(&r, TMK_SEC);
    CHECK(r.fenced[0]);
    r.cut = false;
    run(&r, 20 * TMK_SEC);
    CHECK(!r.fenced[0]);
    CHECK_EQ(2, held(&r));
    end(&r);
}

static void after_an_outage_the_others_may_renew_first(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 4));
    official(&r, 0, "net-1");
    official(&r, 1, "net-1");
    run_beside(&r, "net-1", 30 * TMK_SEC);
    CHECK_EQ(2, held(&r));
    r.cut = true; /* for it too */
    run(&r, 90 * TMK_SEC);
    r.cut = false;
    run(&r, 20 * TMK_SEC);
    CHECK_EQ(2, held(&r));
    run_beside(&r, "net-1", 60 * TMK_SEC);
    CHECK_EQ(2, held(&r));
    CHECK_EQ(2, owned_by(&r, "net-1"));
    end(&r);
}

static void a_sleeper_dispatches_nothing_before_the_store_has_confirmed_it(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 3));
    run(&r, 10 * TMK_SEC);
    CHECK_EQ(3, held(&r));
    r.now += 100 * TMK_SEC; /* nobody steps it */
    official(&r, 1, "js-1");
    CHECK(tmk_fleet_trust(r.fleet) < r.now);
    step(&r);
    CHECK(r.all_fenced);
    run(&r, TMK_SEC);
    CHECK(!r.all_fenced);
    CHECK_EQ(2, held(&r));
    CHECK_EQ(1, r.stopped[1]);
    end(&r);
}

/* Whoever steps us may be late: as long as the store vouches for us nothing stops dispatching. */
static void the_trust_lasts_as_long_as_the_store_vouches_for_us(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 4));
    official(&r, 0, "net-1");
    official(&r, 1, "net-1");
    for (int i = 0; i < 60; i++) {
        run_beside(&r, "net-1", 5 * TMK_SEC);
        CHECK(tmk_fleet_trust(r.fleet) >= r.now + 45 * TMK_SEC);
    }
    CHECK_EQ(2, held(&r));
    r.cut = true;
    run(&r, 70 * TMK_SEC);
    CHECK(tmk_fleet_trust(r.fleet) < r.now + 45 * TMK_SEC);
    r.cut = false;
    run_beside(&r, "net-1", 20 * TMK_SEC);
    CHECK(tmk_fleet_trust(r.fleet) >= r.now + 45 * TMK_SEC);
    end(&r);
}

static void who_holds_nothing_is_trusted_with_each_list(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 1));
    official(&r, 0, "net-1");
    for (int i = 0; i < 30; i++) {
        run_beside(&r, "net-1", 10 * TMK_SEC);
        CHECK(tmk_fleet_trust(r.fleet) >= r.now + 45 * TMK_SEC);
    }
    CHECK_EQ(0, held(&r));
    end(&r);
}

/* --- moves among our own --- */

static void who_asks_gets_it_drained_and_written(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 4));
    run(&r, 10 * TMK_SEC);
    r.final[3] = 500;
    (void)snprintf(r.rows[3].successor, sizeof r.rows[3].successor, "you~00000001");
    r.rows[3].version++;
    run(&r, 12 * TMK_SEC);
    CHECK_EQ(1, r.drained[3]);
    CHECK_EQ(TMK_FLEET_BECAUSE_MOVED, r.reason[3]);
    CHECK_STR("you~00000001", r.rows[3].owner);
    CHECK_EQ(500, r.rows[3].sequence);
    CHECK_EQ(3, held(&r));
    run(&r, 5 * TMK_SEC);
    CHECK_EQ(3, held(&r)); /* and is not taken back */
    end(&r);
}

static void nobody_is_given_what_is_our_share(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 4));
    for (size_t p = 0; p < 2; p++) {
        other(&r, p, "you~00000001", "");
    }
    run_beside(&r, "you~00000001", 20 * TMK_SEC);
    CHECK_EQ(2, held(&r));
    (void)snprintf(r.rows[3].successor, sizeof r.rows[3].successor, "you~00000001");
    r.rows[3].version++;
    run_beside(&r, "you~00000001", 20 * TMK_SEC);
    CHECK_STR("", r.rows[3].successor);
    CHECK_EQ(2, held(&r));
    CHECK_EQ(0, r.drained[3]);
    end(&r);
}

static void our_own_are_asked_and_what_they_pass_is_taken_at_once(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 4));
    for (size_t p = 0; p < 4; p++) {
        other(&r, p, "you~00000001", "");
    }
    run(&r, 2 * TMK_SEC);
    CHECK_EQ(0, held(&r));
    CHECK_EQ(4, owned_by(&r, "you~00000001"));
    for (size_t p = 0; p < 4; p++) {
        if (strcmp(r.rows[p].successor, me(&r)) == 0) {
            r.rows[p].sequence = 9;
            (void)snprintf(r.rows[p].owner, sizeof r.rows[p].owner, "%s", me(&r));
            r.rows[p].successor[0] = '\0';
            r.rows[p].version++;
        }
    }
    CHECK_EQ(2, r.requests[TMK_STORE_PARTITION_RENEW]);
    CHECK_EQ(2, owned_by(&r, me(&r)));
    run_beside(&r, "you~00000001", 5 * TMK_SEC);
    CHECK_EQ(2, held(&r));
    CHECK_EQ(2, tmk_fleet_counted(r.fleet)->accepted);
    end(&r);
}

static void whoever_does_not_give_what_was_asked_for_is_stolen_from(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 2));
    other(&r, 0, "you~00000001", "");
    other(&r, 1, "you~00000001", "");
    run_beside(&r, "you~00000001", 35 * TMK_SEC);
    CHECK_EQ(0, held(&r));
    run_beside(&r, "you~00000001", 35 * TMK_SEC);
    CHECK_EQ(1, held(&r));
    end(&r);
}

/* The Python processor does not steal from whoever has one more than the others, and two. */
static void what_is_too_many_and_nobody_takes_is_released_drained(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 5));
    run(&r, 10 * TMK_SEC);
    official(&r, 0, "py-1");
    run_beside(&r, "py-1", 80 * TMK_SEC);
    CHECK_EQ(4, held(&r));
    run_beside(&r, "py-1", 35 * TMK_SEC);
    CHECK_EQ(3, held(&r));
    CHECK_EQ(1, owned_by(&r, ""));
    CHECK_EQ(1, r.drained[1] + r.drained[2] + r.drained[3] + r.drained[4]);
    end(&r);
}

/* --- the end --- */

static void a_stop_drains_writes_and_releases(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 3));
    run(&r, 10 * TMK_SEC);
    for (size_t p = 0; p < 3; p++) {
        r.final[p] = (int64_t)p + 5;
    }
    tmk_fleet_stop(r.fleet, r.now);
    run(&r, TMK_SEC);
    CHECK(r.left);
    for (size_t p = 0; p < 3; p++) {
        CHECK_STR("", r.rows[p].owner);
        CHECK_EQ(p + 5, r.rows[p].sequence);
        CHECK_EQ(TMK_FLEET_BECAUSE_LEAVING, r.reason[p]);
    }
    CHECK_EQ(TMK_NEVER, tmk_fleet_deadline(r.fleet));
    end(&r);
}

static void a_stop_takes_back_what_was_asked_for(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 4));
    for (size_t p = 0; p < 4; p++) {
        other(&r, p, "you~00000001", "");
    }
    run(&r, 2 * TMK_SEC);
    for (size_t p = 0, passed = 0; p < 4; p++) { /* one was passed to us in this very moment */
        if (strcmp(r.rows[p].successor, me(&r)) == 0 && passed++ == 0) {
            (void)snprintf(r.rows[p].owner, sizeof r.rows[p].owner, "%s", me(&r));
            r.rows[p].successor[0] = '\0';
            r.rows[p].version++;
        }
    }
    tmk_fleet_stop(r.fleet, r.now);
    run(&r, 20 * TMK_SEC);
    CHECK(r.left);
    CHECK_EQ(0, owned_by(&r, me(&r)));
    for (size_t p = 0; p < 4; p++) {
        CHECK_STR("", r.rows[p].successor);
    }
    end(&r);
}

static void a_record_that_was_removed_is_made_anew(void) {
    rig r;

    CHECK_EQ(TMK_OK, begin(&r, 2));
    run(&r, 10 * TMK_SEC);
    r.rows[0].present = false;
    r.rows[0].owner[0] = r.rows[0].token[0] = '\0';
    run(&r, 15 * TMK_SEC);
    CHECK_STR(me(&r), r.rows[0].owner);
    CHECK_EQ(2, held(&r));
    CHECK_EQ(1, r.opened[0]);
    end(&r);
}

static bool scenario(void) {
    rig r;
    bool good = begin(&r, 4) == TMK_OK;

    if (good) {
        run(&r, 20 * TMK_SEC);
        good = held(&r) == 4;
    }
    end(&r);
    return good;
}

static void short_memory_is_survived(void) {
    failing_each(scenario);
}

int main(void) {
    return RUN(TEST(whoever_is_alone_takes_one_then_all_and_reads_with_level_zero),
               TEST(ownership_is_renewed_each_interval),
               TEST(a_partition_of_an_official_owner_is_taken_at_its_expiry_and_not_before),
               TEST(one_is_stolen_an_interval_until_the_share_is_reached),
               TEST(reading_starts_from_what_stands_there_after_the_claim),
               TEST(a_claim_without_an_answer_is_looked_at), TEST(of_a_lost_race_nothing_is_opened),
               TEST(whoever_was_stolen_from_stops_with_its_next_renewal),
               TEST(a_taken_link_is_looked_into_and_not_fought_for),
               TEST(a_link_that_the_store_calls_ours_is_insisted_on_for_a_moment),
               TEST(a_store_outage_is_ridden_out_while_the_link_lives),
               TEST(after_an_outage_the_others_may_renew_first),
               TEST(a_sleeper_dispatches_nothing_before_the_store_has_confirmed_it),
               TEST(the_trust_lasts_as_long_as_the_store_vouches_for_us),
               TEST(who_holds_nothing_is_trusted_with_each_list),
               TEST(who_asks_gets_it_drained_and_written), TEST(nobody_is_given_what_is_our_share),
               TEST(our_own_are_asked_and_what_they_pass_is_taken_at_once),
               TEST(whoever_does_not_give_what_was_asked_for_is_stolen_from),
               TEST(what_is_too_many_and_nobody_takes_is_released_drained),
               TEST(a_stop_drains_writes_and_releases), TEST(a_stop_takes_back_what_was_asked_for),
               TEST(a_record_that_was_removed_is_made_anew), TEST(short_memory_is_survived));
}
