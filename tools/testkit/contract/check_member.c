/*
 * Members: leases that the store times. All that needs a lease to end shares
 * one wait, because real stores have leases of fifteen seconds.
 */
#include "contract/suite.h"

#include <string.h>

#define JOIN TMK_STORE_MEMBER_JOIN
#define RENEW TMK_STORE_MEMBER_RENEW
#define WRITE TMK_STORE_MEMBER_WRITE
#define EVICT TMK_STORE_MEMBER_EVICT
#define LEAVE TMK_STORE_MEMBER_LEAVE
#define REMOVE TMK_STORE_MEMBER_REMOVE

static void a_member_joins_and_is_seen(suite *s) {
    const tmk_member_record *m;

    (void)expect(s, seen_member(s, "m")->id[0] == '\0', "a member nobody made is listed");
    (void)expect_status(s, TMK_OK, member_op(s, JOIN, "m", 1, "{\"load\": 1}"), "joining");
    m = seen_member(s, "m");
    (void)expect(s, strcmp(m->id, "m") == 0, "the member is not listed");
    (void)expect(s, m->alive && !m->evicted, "a fresh member is listed as dead or evicted");
    (void)expect(s, !m->gone, "a member that has just joined is listed as gone for good");
    (void)expect(s, strcmp(m->body, "{\"load\": 1}") == 0, "its body came back as '%s'", m->body);
    (void)expect(s, m->age_ms >= 0 && m->age_ms < 60000, "a fresh body is %lld ms old",
                 (long long)m->age_ms);
    (void)expect_status(s, TMK_OK, member_op(s, JOIN, "m", 1, "again"), "joining once more");
    (void)expect(s, strcmp(seen_member(s, "m")->body, "again") == 0,
                 "a repeated join did not write the body");
}

static void only_its_own_token_acts_for_a_member(suite *s) {
    (void)expect_status(s, TMK_OK, member_op(s, JOIN, "m", 1, "mine"), "joining");
    (void)expect_status(s, TMK_CONFLICT, member_op(s, JOIN, "m", 2, "x"), "another joins as it");
    (void)expect_status(s, TMK_CONFLICT, member_op(s, RENEW, "m", 2, ""), "another renews");
    (void)expect_status(s, TMK_CONFLICT, member_op(s, WRITE, "m", 2, "x"), "another writes");
    (void)expect_status(s, TMK_CONFLICT, member_op(s, LEAVE, "m", 2, ""), "another leaves for it");
    (void)expect(s, strcmp(seen_member(s, "m")->body, "mine") == 0, "a refused write was done");
    (void)expect_status(s, TMK_OK, member_op(s, RENEW, "m", 1, ""), "it renews itself");
    (void)expect_status(s, TMK_OK, member_op(s, WRITE, "m", 1, "new"), "it writes itself");
    (void)expect(s, strcmp(seen_member(s, "m")->body, "new") == 0, "the new body is not listed");
    (void)expect(s, seen_member(s, "m")->alive, "it is listed as dead");
}

static void a_member_that_was_never_there_is_nobody(suite *s) {
    (void)expect_status(s, TMK_CONFLICT, member_op(s, RENEW, "m", 1, ""), "renewing nobody");
    (void)expect_status(s, TMK_CONFLICT, member_op(s, WRITE, "m", 1, "x"), "writing nobody");
    (void)expect_status(s, TMK_OK, member_op(s, EVICT, "m", 1, ""), "evicting nobody");
    (void)expect_status(s, TMK_OK, member_op(s, LEAVE, "m", 1, ""), "leaving twice");
    (void)expect_status(s, TMK_ABSENT, member_op(s, REMOVE, "m", 1, ""), "removing nobody");
    (void)expect(s, seen_member(s, "m")->id[0] == '\0', "a member appeared");
}

static void who_leaves_is_gone_and_may_come_again(suite *s) {
    (void)expect_status(s, TMK_OK, member_op(s, JOIN, "m", 1, ""), "joining");
    (void)expect_status(s, TMK_OK, member_op(s, JOIN, "n", 2, ""), "another joins");
    (void)expect_status(s, TMK_OK, member_op(s, LEAVE, "m", 1, ""), "leaving");
    (void)expect(s, seen_member(s, "m")->id[0] == '\0', "it is still listed");
    (void)expect(s, seen_member(s, "n")->alive, "the other went with it");
    (void)expect_status(s, TMK_CONFLICT, member_op(s, RENEW, "m", 1, ""), "renewing afterwards");
    (void)expect_status(s, TMK_OK, member_op(s, JOIN, "m", 3, ""), "joining under a new token");
}

static void bodies_come_back_as_they_were(suite *s) {
    char all[96], large[TMK_STORE_BODY_MAX + 1];

    for (int i = 0; i < 95; i++) {
        all[i] = (char)(' ' + i);
    }
    all[95] = '\0';
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    (void)expect_status(s, TMK_OK, member_op(s, JOIN, "m", 1, all), "joining with a body");
    (void)expect(s, strcmp(seen_member(s, "m")->body, all) == 0, "it came back as '%s'",
                 seen_member(s, "m")->body);
    (void)expect_status(s, TMK_OK, member_op(s, WRITE, "m", 1, "  two blanks  "), "writing blanks");
    (void)expect(s, strcmp(seen_member(s, "m")->body, "  two blanks  ") == 0,
                 "blanks came back as '%s'", seen_member(s, "m")->body);
    (void)expect_status(s, TMK_OK, member_op(s, WRITE, "m", 1, large), "writing 4 KiB");
    (void)expect(s, strcmp(seen_member(s, "m")->body, large) == 0, "4 KiB came back changed");
    (void)expect_status(s, TMK_OK, member_op(s, WRITE, "m", 1, ""), "writing nothing");
    (void)expect(s, seen_member(s, "m")->body[0] == '\0', "nothing came back as something");
}

static void the_living_cannot_be_evicted(suite *s) {
    (void)expect_status(s, TMK_OK, member_op(s, JOIN, "m", 1, ""), "joining");
    (void)expect_status(s, TMK_CONFLICT, member_op(s, EVICT, "m", 2, ""), "evicting the living");
    (void)expect_status(s, TMK_CONFLICT, member_op(s, REMOVE, "m", 2, ""), "removing the living");
    (void)expect(s, seen_member(s, "m")->alive && !seen_member(s, "m")->evicted,
                 "it is listed as dead or evicted");
    (void)expect_status(s, TMK_OK, member_op(s, RENEW, "m", 1, ""), "renewing afterwards");
}

/* ---- what needs a lease to end ---- */

static void renewed_late(suite *s) {
    (void)expect(s, strcmp(seen_member(s, "late")->id, "late") == 0, "a dead member is not listed");
    (void)expect(s, !seen_member(s, "late")->alive, "a lease that has ended is listed as alive");
    (void)expect(s, !seen_member(s, "late")->gone,
                 "one who is only late is listed as gone for good");
    (void)expect(s, !seen_member(s, "late")->evicted, "a dead member is listed as evicted");
    (void)expect_status(s, TMK_CONFLICT, member_op(s, REMOVE, "late", 2, ""),
                        "removing the dead who was not evicted");
    (void)expect_status(s, TMK_CONFLICT, member_op(s, JOIN, "late", 2, ""),
                        "joining over the dead");
    (void)expect_status(s, TMK_OK, member_op(s, RENEW, "late", 1, ""),
                        "renewing late, before any eviction");
    (void)expect(s, seen_member(s, "late")->alive, "renewed late, it is still dead");
    (void)expect_status(s, TMK_CONFLICT, member_op(s, EVICT, "late", 2, ""),
                        "evicting after the late renewal has won");
    (void)expect_status(s, TMK_OK, member_op(s, RENEW, "late", 1, ""), "renewing after that");
}

static void evicted(suite *s) {
    (void)expect_status(s, TMK_OK, member_op(s, EVICT, "gone", 2, ""), "evicting the dead");
    (void)expect(s, seen_member(s, "gone")->evicted, "the evicted is not listed as evicted");
    (void)expect(s, !seen_member(s, "gone")->alive, "the evicted is listed as alive");
    (void)expect(s, strcmp(seen_member(s, "gone")->body, "body") == 0,
                 "the eviction changed the body");
    (void)expect_status(s, TMK_CONFLICT, member_op(s, RENEW, "gone", 1, ""),
                        "renewing after the eviction");
    (void)expect_status(s, TMK_CONFLICT, member_op(s, WRITE, "gone", 1, "x"),
                        "writing after the eviction");
    (void)expect_status(s, TMK_CONFLICT, member_op(s, LEAVE, "gone", 1, ""),
                        "leaving after the eviction");
    (void)expect_status(s, TMK_CONFLICT, member_op(s, JOIN, "gone", 1, ""),
                        "joining again under the evicted token");
    (void)expect_status(s, TMK_CONFLICT, member_op(s, JOIN, "gone", 3, ""),
                        "joining over an evicted record");
    (void)expect(s, !seen_member(s, "gone")->alive, "a refused join or renewal brought it back");
    (void)expect_status(s, TMK_OK, member_op(s, EVICT, "gone", 3, ""), "evicting once more");
    (void)expect_status(s, TMK_OK, member_op(s, REMOVE, "gone", 3, ""), "removing the evicted");
    (void)expect(s, seen_member(s, "gone")->id[0] == '\0', "the removed is still listed");
    (void)expect_status(s, TMK_ABSENT, member_op(s, REMOVE, "gone", 2, ""), "removing again");
    (void)expect_status(s, TMK_CONFLICT, member_op(s, RENEW, "gone", 1, ""),
                        "renewing after the removal");
    (void)expect_status(s, TMK_OK, member_op(s, JOIN, "gone", 3, ""), "joining anew");
}

/* Either the renewal or the evictions, whoever comes first; never both. */
static void raced(suite *s) {
    enum { COUNT = 8 };
    tmk_store_op ops[COUNT];
    const tmk_store_result *replies[COUNT];
    size_t evictions = 0;
    bool renewed;

    for (size_t i = 0; i < COUNT; i++) {
        ops[i] = (tmk_store_op){.kind = i == COUNT / 2 ? RENEW : EVICT,
                                .id = "raced",
                                .token = token(s, i == COUNT / 2 ? 1 : i + 10),
                                .lease_ms = s->c.lease_ms,
                                .timeout_ms = s->c.timeout_ms};
    }
    suite_race(s, ops, COUNT, replies);
    renewed = replies[COUNT / 2]->status == TMK_OK;
    for (size_t i = 0; i < COUNT; i++) {
        evictions += i != COUNT / 2 && replies[i]->status == TMK_OK;
        (void)expect(s, replies[i]->status == TMK_OK || replies[i]->status == TMK_CONFLICT,
                     "a racing eviction or renewal: %s (%s)", tmk_status_name(replies[i]->status),
                     replies[i]->error.text);
    }
    (void)expect(s, renewed == (evictions == 0), "a renewal %s beside %zu evictions",
                 renewed ? "was granted" : "was refused", evictions);
    (void)expect(s, seen_member(s, "raced")->alive == renewed,
                 "the list disagrees with who has won");
}

static void written_late(suite *s) {
    (void)expect_status(s, TMK_OK, member_op(s, WRITE, "slow", 1, "late"),
                        "writing late, before any eviction");
    (void)expect(s, strcmp(seen_member(s, "slow")->body, "late") == 0, "the late body is lost");
    (void)expect_status(s, TMK_OK, member_op(s, LEAVE, "dead", 1, ""), "leaving late");
    (void)expect(s, seen_member(s, "dead")->id[0] == '\0', "who left late is still listed");
}

static void leases_end_by_the_stores_clock(suite *s) {
    static const char *const ids[] = {"late", "gone", "raced", "slow", "dead", "kept"};

    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        (void)expect_status(s, TMK_OK, member_op(s, JOIN, ids[i], 1, "body"), "joining");
    }
    suite_pass(s, s->c.lease_ms * 2 / 3);
    (void)expect_status(s, TMK_OK, member_op(s, RENEW, "kept", 1, ""), "renewing in time");
    suite_pass(s, s->c.lease_ms * 2 / 3);
    (void)expect(s, seen_member(s, "kept")->alive, "renewed in time, yet dead");
    (void)expect_status(s, TMK_CONFLICT, member_op(s, EVICT, "kept", 2, ""),
                        "evicting whom a renewal has kept alive");
    renewed_late(s);
    evicted(s);
    raced(s);
    written_late(s);
}

static void a_hundred_members_are_listed(suite *s) {
    tmk_store_op list = {.kind = TMK_STORE_MEMBER_LIST, .timeout_ms = s->c.timeout_ms};
    char id[8] = "m-00";
    const tmk_store_result *r;

    for (int i = 0; i < 100; i++) {
        id[2] = (char)('0' + i / 10);
        id[3] = (char)('0' + i % 10);
        (void)expect_status(s, TMK_OK, member_op(s, JOIN, id, 1, id), "joining");
    }
    r = ask(s, 1, &list);
    (void)expect(s, r->member_count == 100, "of 100 members %zu are listed", r->member_count);
    for (size_t i = 0; i < r->member_count; i++) {
        (void)expect(s, strcmp(r->members[i].id, r->members[i].body) == 0,
                     "'%s' has the body of '%s'", r->members[i].id, r->members[i].body);
    }
}

const suite_check suite_checks_member[] = {
    {"a member joins and is seen", a_member_joins_and_is_seen, true, false},
    {"only its own token acts for a member", only_its_own_token_acts_for_a_member, true, false},
    {"a member that was never there is nobody", a_member_that_was_never_there_is_nobody, true,
     false},
    {"who leaves is gone and may come again", who_leaves_is_gone_and_may_come_again, true, false},
    {"bodies come back as they were", bodies_come_back_as_they_were, true, false},
    {"the living cannot be evicted", the_living_cannot_be_evicted, true, false},
    {"leases end by the store's clock", leases_end_by_the_stores_clock, true, false},
    {"a hundred members are listed", a_hundred_members_are_listed, true, false},
    {NULL, NULL, false, false}};
