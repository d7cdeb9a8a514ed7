/*
 * Two instances that balance by load, in virtual time, over the records of a
 * memory store; what they read is opened and drained at once.
 */
#include "checkpoint/memory_table.h"
#include "checkpoint/rules.h"
#include "core/fleet.h"
#include "core/member_text.h"

#include "support/check.h"

enum { PARTITIONS = 8, ASKED_MOST = 64, MEMBERS = 3 };

typedef struct asked {
    uint64_t ticket;
    tmk_reply reply;
    tmk_time due;
} asked;

typedef struct instance {
    tmk_fleet *fleet;
    asked asked[ASKED_MOST];
    size_t asked_count;
    bool reading[PARTITIONS];
    unsigned handed, accepted, drained;
    unsigned writes;                   /* of its record */
    bool mute;                         /* its record cannot be written */
    char body[TMK_STORE_BODY_MAX + 1]; /* of its record, as written last */
    uint64_t bytes[PARTITIONS];
    tmk_time busy[PARTITIONS];
} instance;

static tmk_memory_table table;
static instance members[MEMBERS];
static tmk_time now, measure_at;
static unsigned cost[PARTITIONS]; /* units */

/* --- carrying out --- */

static void submit(instance *i, const tmk_fleet_act *act) {
    asked *a = &i->asked[i->asked_count++];
    bool writes = act->op->kind == TMK_STORE_MEMBER_WRITE;

    CHECK(i->asked_count <= ASKED_MOST);
    a->ticket = act->ticket;
    a->due = now + 10 * TMK_MS;
    tmk_reply_init(&a->reply);
    if (writes && i->mute) {
        a->reply.status = TMK_ETIMEOUT;
        return;
    }
    i->writes += writes;
    if (writes || act->op->kind == TMK_STORE_MEMBER_JOIN) {
        (void)snprintf(i->body, sizeof i->body, "%s", act->op->body);
    }
    tmk_memory_table_apply(&table, act->op, now, &a->reply);
}

static void answer(instance *i, size_t n) {
    asked a = i->asked[n];
    tmk_store_result result = {.status = a.reply.status,
                               .version = a.reply.version,
                               .partitions = a.reply.partitions,
                               .partition_count = a.reply.partition_count,
                               .members = a.reply.members,
                               .member_count = a.reply.member_count};

    i->asked[n] = i->asked[--i->asked_count];
    tmk_fleet_on_answer(i->fleet, now, a.ticket, &result);
    tmk_reply_clear(&a.reply);
}

static void drain(instance *i, const char *partition) {
    tmk_checkpoint c = {.present = true, .sequence_known = true, .sequence = 7, .offset = "7"};

    i->reading[atoi(partition)] = false;
    i->drained++;
    CHECK_EQ(TMK_OK, tmk_fleet_on_drained(i->fleet, now, partition, &c));
}

static void carry_out(instance *i, const tmk_fleet_act *act) {
    switch (act->kind) {
    case TMK_FLEET_SUBMIT:
        submit(i, act);
        break;
    case TMK_FLEET_OPEN:
        for (size_t m = 0; m < MEMBERS; m++) {
            CHECK(!members[m].reading[atoi(act->partition)]);
        }
        i->reading[atoi(act->partition)] = true;
        tmk_fleet_on_opened(i->fleet, now, act->partition);
        break;
    case TMK_FLEET_DRAIN:
        drain(i, act->partition);
        break;
    case TMK_FLEET_STOP:
        i->reading[atoi(act->partition)] = false;
        tmk_fleet_on_stopped(i->fleet, now, act->partition);
        break;
    case TMK_FLEET_NOTE:
        i->handed += act->note == TMK_FLEET_HANDED;
        i->accepted += act->note == TMK_FLEET_ACCEPTED;
        break;
    default:
        break;
    }
}

static void step(instance *i) {
    tmk_fleet_act act;

    for (bool any = i->fleet != NULL; any;) {
        any = false;
        while (tmk_fleet_next(i->fleet, now, &act)) {
            carry_out(i, &act);
        }
        for (size_t n = 0; n < i->asked_count && !any; n++) {
            any = i->asked[n].due <= now;
            if (any) {
                answer(i, n);
            }
        }
    }
}

static void measure(instance *i) {
    for (size_t p = 0; p < PARTITIONS && i->fleet != NULL; p++) {
        char id[4];

        (void)snprintf(id, sizeof id, "%zu", p);
        if (i->reading[p]) {
            i->busy[p] += cost[p] * 5 * TMK_MS;
            tmk_fleet_measured(i->fleet, now, id, i->bytes[p], i->busy[p]);
        }
    }
    if (i->fleet != NULL) {
        tmk_fleet_weigh(i->fleet, now);
    }
}

static void run(tmk_time length) {
    tmk_time end = now + length;

    while (now < end) {
        tmk_time due = tmk_time_min(end, measure_at);

        for (size_t m = 0; m < MEMBERS; m++) {
            step(&members[m]);
        }
        for (size_t m = 0; m < MEMBERS; m++) {
            instance *i = &members[m];

            due = i->fleet == NULL ? due : tmk_time_min(due, tmk_fleet_deadline(i->fleet));
            for (size_t n = 0; n < i->asked_count; n++) {
                due = tmk_time_min(due, i->asked[n].due);
            }
        }
        now = due > now ? due : now + 1;
        if (now >= measure_at) {
            measure_at += 5 * TMK_SEC;
            for (size_t m = 0; m < MEMBERS; m++) {
                measure(&members[m]);
            }
        }
    }
}

/* --- beginning and end --- */

static void join_fleet(size_t m, bool weighted, unsigned most) {
    static const char *const names[] = {"one", "two", "three"};
    const char *ids[] = {"0", "1", "2", "3", "4", "5", "6", "7"};
    tmk_fleet_options o;
    tmk_rng seed;

    tmk_fleet_options_init(&o, TMK_CLAIMS_LEASE);
    o.instance = names[m];
    o.weighted = weighted;
    o.partitions_max = most;
    tmk_rng_seed(&seed, m + 1);
    CHECK_EQ(0, members[m].asked_count);
    members[m].fleet = tmk_fleet_free(members[m].fleet);
    members[m] = (instance){0};
    CHECK_EQ(TMK_OK, tmk_fleet_new(&o, &seed, &members[m].fleet, NULL));
    CHECK_EQ(TMK_OK, tmk_fleet_partitions(members[m].fleet, now, ids, PARTITIONS, NULL));
}

static void begin(void) {
    tmk_memory_table_init(&table);
    memset(members, 0, sizeof members);
    memset(cost, 0, sizeof cost);
    now = 1000 * TMK_SEC;
    measure_at = now + 5 * TMK_SEC;
}

static void end(void) {
    for (size_t m = 0; m < MEMBERS; m++) {
        while (members[m].asked_count > 0) {
            tmk_reply_clear(&members[m].asked[--members[m].asked_count].reply);
        }
        members[m].fleet = tmk_fleet_free(members[m].fleet);
    }
    tmk_memory_table_clear(&table);
}

static size_t held(size_t m) {
    size_t n = 0;

    for (size_t p = 0; p < PARTITIONS; p++) {
        n += members[m].reading[p];
    }
    return n;
}

static unsigned load(size_t m) {
    unsigned sum = 0;

    for (size_t p = 0; p < PARTITIONS; p++) {
        sum += members[m].reading[p] ? cost[p] : 0;
    }
    return sum;
}

/* The first is there, then the second: four partitions each. Its own two cost a lot. */
static void begin_skewed(bool second_asks, unsigned second_most) {
    begin();
    join_fleet(0, true, 0);
    run(5 * TMK_SEC);
    CHECK_EQ(8, held(0));
    join_fleet(1, second_asks, second_most);
    run(15 * TMK_SEC);
    CHECK_EQ(4, held(0));
    CHECK_EQ(4, held(1));
    for (size_t p = 0, heavy = 0; p < PARTITIONS; p++) {
        cost[p] = members[0].reading[p] && heavy++ < 2 ? 500 : 10;
    }
    CHECK_EQ(1020, load(0));
    CHECK_EQ(40, load(1));
}

static bool tells(size_t m) {
    return strstr(members[m].body, " loads=") != NULL;
}

/* --- tests --- */

static void what_is_heavy_is_shared_in_one_move_and_then_it_is_quiet(void) {
    begin_skewed(true, 0);
    unsigned before = members[0].handed;
    run(30 * TMK_SEC);
    CHECK(!tells(0) && !tells(1)); /* not measured for long enough */
    run(90 * TMK_SEC);
    CHECK(tells(0) && tells(1));
    CHECK_EQ(before + 1, members[0].handed);
    CHECK_EQ(520, load(0));
    CHECK_EQ(540, load(1));
    run(3 * TMK_MIN);
    unsigned writes = members[0].writes + members[1].writes;
    run(60 * TMK_MIN);
    CHECK_EQ(before + 1, members[0].handed);
    CHECK_EQ(0, members[1].handed);
    CHECK_EQ(writes, members[0].writes + members[1].writes); /* nor is there anything to tell */
    end();
}

static void while_one_does_not_ask_it_is_by_count(void) {
    begin_skewed(false, 0);
    run(10 * TMK_MIN);
    CHECK(!tmk_fleet_weighs(members[0].fleet) && !tmk_fleet_weighs(members[1].fleet));
    CHECK(!tells(0));
    CHECK_EQ(1020, load(0));
    tmk_fleet_stop(members[1].fleet, now); /* and when it has gone, the others do ask */
    run(10 * TMK_SEC);
    join_fleet(1, true, 0);
    run(5 * TMK_MIN);
    CHECK(tmk_fleet_weighs(members[0].fleet) && tmk_fleet_weighs(members[1].fleet));
    CHECK(load(0) < 600 && load(1) < 600);
    end();
}

static void a_limit_is_kept_whatever_the_loads(void) {
    begin_skewed(true, 4);
    run(20 * TMK_MIN);
    CHECK_EQ(4, held(1));
    CHECK_EQ(1020, load(0));
    end();
}

static void nothing_is_drained_before_the_receiver_has_said_that_it_knows(void) {
    begin_skewed(true, 0);
    unsigned drained = members[0].drained;
    for (int n = 0; n < 900 && !(tells(0) && tells(1)); n++) {
        run(TMK_SEC / 10);
    }
    CHECK(tells(0) && tells(1));
    members[1].mute = true;
    run(2 * TMK_MIN);
    CHECK_EQ(drained, members[0].drained);
    CHECK_EQ(1020, load(0));
    members[1].mute = false;
    run(2 * TMK_MIN);
    CHECK_EQ(drained + 1, members[0].drained);
    end();
}

/* A third one gets its share by count at once; then loads are levelled among three. */
static void whoever_joins_gets_a_share_at_once_and_is_levelled_later(void) {
    begin_skewed(true, 0);
    run(10 * TMK_MIN);
    join_fleet(2, true, 0);
    run(10 * TMK_SEC);
    CHECK_EQ(2, held(2));
    CHECK(held(0) + held(1) == 6);
    run(30 * TMK_MIN);
    CHECK(load(0) <= 540 && load(1) <= 540 && load(2) <= 540);
    tmk_fleet_stop(members[2].fleet, now);
    run(20 * TMK_SEC);
    CHECK_EQ(8, held(0) + held(1));
    end();
}

static void a_heavy_partition_alone_does_not_go_to_and_fro(void) {
    begin_skewed(true, 0);
    for (size_t p = 0; p < PARTITIONS; p++) {
        cost[p] = cost[p] == 500 && p > 0 ? 5 : cost[p] == 500 ? 3000 : 10;
    }
    run(60 * TMK_MIN);
    unsigned handed = members[0].handed + members[1].handed;
    CHECK(handed <= 4 + 4);
    run(60 * TMK_MIN);
    CHECK_EQ(handed, members[0].handed + members[1].handed);
    end();
}

/* Somebody writes rubbish in a member's name: it counts for one that has not told its loads. */
static void a_table_that_is_none_moves_nothing(void) {
    static const char *const bad[] = {"8:0-__________________", "9:0-AB", "8:0-ABABABABABABABABAB",
                                      "8:99-AB"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin_skewed(true, 0);
        for (int n = 0; n < 900 && !(tells(0) && tells(1)); n++) {
            run(TMK_SEC / 10);
        }
        members[1].mute = true; /* its own word does not come through from now on */
        tmk_member_entry *e =
            tmk_map_get(&table.members, tmk_slice_str(tmk_fleet_id(members[1].fleet)));
        char body[TMK_STORE_BODY_MAX + 1], token[40];

        CHECK(e != NULL);
        (void)snprintf(token, sizeof token, "%s", e->token);
        (void)snprintf(body, sizeof body, "%s", e->body);
        CHECK(strstr(body, " loads=") != NULL);
        (void)snprintf(strstr(body, " loads="), 100, " loads=%s", bad[i]);
        CHECK_EQ(TMK_OK, tmk_member_entry_set(e, token, body));
        unsigned handed = members[0].handed;
        run(40 * TMK_SEC);
        CHECK_EQ(handed, members[0].handed);
        end();
    }
}

static void options_that_cannot_be_are_refused(void) {
    tmk_fleet_options o;
    tmk_fleet *f = NULL;
    tmk_error err;
    tmk_rng seed;

    tmk_rng_seed(&seed, 1);
    tmk_fleet_options_init(&o, TMK_CLAIMS_LEASE);
    o.instance = "one";
    o.weighted = true;
    o.weigh_moves = 0;
    CHECK_EQ(TMK_EINVAL, tmk_fleet_new(&o, &seed, &f, &err));
    o.weigh_moves = TMK_WEIGH_MOVES_MAX + 1;
    CHECK_EQ(TMK_EINVAL, tmk_fleet_new(&o, &seed, &f, &err));
    tmk_fleet_options_init(&o, TMK_CLAIMS_SHARED);
    o.instance = "one";
    o.weighted = true;
    CHECK_EQ(TMK_EINVAL, tmk_fleet_new(&o, &seed, &f, &err));
    CHECK(strstr(err.text, "lease") != NULL);
}

int main(void) {
    return RUN(TEST(what_is_heavy_is_shared_in_one_move_and_then_it_is_quiet),
               TEST(while_one_does_not_ask_it_is_by_count),
               TEST(a_limit_is_kept_whatever_the_loads),
               TEST(nothing_is_drained_before_the_receiver_has_said_that_it_knows),
               TEST(whoever_joins_gets_a_share_at_once_and_is_levelled_later),
               TEST(a_heavy_partition_alone_does_not_go_to_and_fro),
               TEST(a_table_that_is_none_moves_nothing), TEST(options_that_cannot_be_are_refused));
}
