/*
 * The contract must find what is wrong: a store with one planted bug at a
 * time, each of which at least one check must catch; and none without a bug.
 *
 * The store is driven by hand, so that every run is the same.
 */
#include <tidemark/store_contract.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/call.h"
#include "checkpoint/memory_table.h"
#include "checkpoint/rules.h"

#define BUGS(X)                                                                     \
    X(NO_BUG, "nothing planted")                                                    \
    X(NO_FENCE, "anybody's token may write")                                        \
    X(WRITE_VERSION_IGNORED, "a write ignores its version")                         \
    X(CLAIM_VERSION_IGNORED, "a claim ignores its version")                         \
    X(CLAIM_ALWAYS_TAKES_OVER, "a claim takes over without being asked to")         \
    X(TAKE_OVER_KEEPS_FENCE, "a take-over leaves the claim with the former holder") \
    X(FIRST_CLAIM_UNCONDITIONAL, "a first claim does not mind a record")            \
    X(PASS_NOT_ATOMIC, "a pass releases first and claims later")                    \
    X(PASS_KEEPS_HOLDER, "a pass is said to be done and is not")                    \
    X(PASS_NOT_REPEATABLE, "a repeated pass is refused")                            \
    X(PASS_CHANGES_VERSION, "a pass changes the version")                           \
    X(LATE_RENEWAL_AFTER_EVICTION, "a renewal is granted after the eviction")       \
    X(LATE_RENEWAL_REFUSED, "a late renewal is refused though nobody evicted")      \
    X(RENEWAL_WITHOUT_EFFECT, "a renewal does not extend the lease")                \
    X(EVICTS_THE_LIVING, "a living member can be evicted")                          \
    X(NEVER_DEAD, "a lease that has ended is listed as alive")                      \
    X(EVICTION_UNSEEN, "an eviction is not marked in the list")                     \
    X(JOIN_OVER_THE_DEAD, "a join takes a dead record over")                        \
    X(LEAVE_BY_ANYBODY, "anybody may leave for a member")                           \
    X(REMOVE_WITHOUT_EVICTION, "a dead member is removed without an eviction")      \
    X(BODY_TRIMMED, "blanks around a body are lost")                                \
    X(CLAIM_WRITES_CHECKPOINT, "a claim overwrites the checkpoint")                 \
    X(CLAIM_LOSES_DONE_MAP, "a claim loses the done-map")                           \
    X(REPEATED_CLAIM_UNDOES, "a repeated claim undoes what was written since")      \
    X(REPEATED_CLAIM_ACCEPTS, "a claim is taken for repeated that was passed")      \
    X(DONE_MAP_IS_TEXT, "a done-map ends at its first zero byte")                   \
    X(DONE_MAP_STAYS, "a done-map cannot be taken away")                            \
    X(SEQUENCE_32_BITS, "sequence numbers have 32 bits")                            \
    X(OFFSET_CUT, "an offset is cut at 64 characters")                              \
    X(OFFSET_NUMERIC, "an offset that is no number is lost")                        \
    X(RELEASE_KEEPS_CLAIM, "a release leaves the claim")                            \
    X(RELEASE_DROPS_CHECKPOINT, "a release drops the checkpoint")                   \
    X(VERSIONS_RESTART, "versions start anew after a deletion")                     \
    X(DELETE_REFUSES_HELD, "what is held cannot be deleted")                        \
    X(LIST_CUT, "a list ends after its first page")                                 \
    X(BELL_STUCK, "a bell rings once only")                                         \
    X(BELL_NERVOUS, "a bell always says that it was rung")                          \
    X(IDS_FOLDED, "ids that differ in case are one")                                \
    X(IDS_AS_PATHS, "an id is taken for a path")                                    \
    X(NO_CHECKS, "bad operations are not refused")                                  \
    X(ANSWERS_TWICE, "an answer comes twice")                                       \
    X(ANSWERS_INSIDE, "an answer comes from inside submit()")                       \
    X(NO_ANSWER, "one operation in a hundred is forgotten")

typedef enum bug {
#define X(name, words) name,
    BUGS(X)
#undef X
        BUG_COUNT
} bug;

static const char *const words[] = {
#define X(name, words) words,
    BUGS(X)
#undef X
};

typedef struct mutant {
    bug planted;
    tmk_memory_table table;
    tmk_list queue;
    tmk_time now;
    uint64_t answered;
    const char *caught; /* the first check that failed */
} mutant;

static tmk_partition_entry *partition(mutant *m, const char *id) {
    return tmk_map_get(&m->table.partitions, tmk_slice_str(id));
}

static tmk_member_entry *member(mutant *m, const char *id) {
    return tmk_map_get(&m->table.members, tmk_slice_str(id));
}

/* The planted pass: takes the claim away at once, and gives it to the next one when its turn comes
 * again, unless somebody was faster. False: this is no such pass, carry it out as usual. */
static bool pass_in_two_steps(mutant *m, tmk_request *r) {
    tmk_partition_entry *e = partition(m, r->op.id);
    bool second = strcmp(r->op.version, "second step") == 0;
    tmk_store_result result = {.version = ""};

    if (m->planted != PASS_NOT_ATOMIC || r->op.kind != TMK_STORE_PARTITION_PASS || e == NULL) {
        return false;
    }
    if (!second && strcmp(e->token, r->op.token) == 0) {
        (void)tmk_partition_entry_set(e, "", &e->record);
        r->op.version = "second step";
        tmk_list_push_back(&m->queue, &r->node);
        return true;
    }
    if (second && e->token[0] == '\0') {
        (void)tmk_partition_entry_set(e, r->op.token_next, &e->record);
    }
    result.status = strcmp(e->token, r->op.token_next) == 0 ? TMK_OK : TMK_CONFLICT;
    tmk_store_answer(r->call, &result);
    (void)tmk_request_free(r);
    return true;
}

/* The bugs that bend an operation before it is carried out. */
static void bend_partition_op(mutant *m, tmk_request *r, char version[TMK_ENTRY_VERSION_ROOM]) {
    tmk_partition_entry *e = partition(m, r->op.id);
    bool claim = r->op.kind == TMK_STORE_PARTITION_CLAIM;
    bool write = r->op.kind == TMK_STORE_PARTITION_WRITE;

    if (m->planted == NO_FENCE && write && e != NULL && e->token[0] != '\0') {
        r->op.token = e->token;
    } else if (m->planted == WRITE_VERSION_IGNORED && write) {
        r->op.version = "";
    } else if (m->planted == CLAIM_ALWAYS_TAKES_OVER && claim) {
        r->op.take_over = true;
    } else if (claim && e != NULL &&
               (m->planted == CLAIM_VERSION_IGNORED ||
                (m->planted == FIRST_CLAIM_UNCONDITIONAL && r->op.version[0] == '\0') ||
                ((m->planted == REPEATED_CLAIM_UNDOES || m->planted == REPEATED_CLAIM_ACCEPTS) &&
                 strcmp(e->token, r->op.token) == 0))) {
        tmk_entry_version_text(e->version, version);
        r->op.version = version;
        if (m->planted == REPEATED_CLAIM_UNDOES) {
            e->record.checkpoint = r->record.checkpoint;
        }
    } else if (m->planted == CLAIM_WRITES_CHECKPOINT && claim && e != NULL) {
        e->record.checkpoint = r->record.checkpoint;
        e->record.checkpoint.offset = "";
    } else if (m->planted == CLAIM_LOSES_DONE_MAP && claim && e != NULL) {
        e->record.checkpoint.done_map.size = 0;
    } else if (m->planted == DONE_MAP_IS_TEXT && write && r->record.checkpoint.done_map.size > 0) {
        r->record.checkpoint.done_map.size = strnlen(
            (const char *)r->record.checkpoint.done_map.bytes, r->record.checkpoint.done_map.size);
    } else if (m->planted == DONE_MAP_STAYS && write && e != NULL &&
               r->record.checkpoint.done_map.size == 0) {
        r->record.checkpoint.done_map = e->record.checkpoint.done_map;
    } else if (m->planted == SEQUENCE_32_BITS && write) {
        r->record.checkpoint.sequence = (int32_t)r->record.checkpoint.sequence;
    } else if (m->planted == OFFSET_CUT && write && strlen(r->record.checkpoint.offset) > 64) {
        r->record.checkpoint.offset += strlen(r->record.checkpoint.offset) - 64;
    } else if (m->planted == OFFSET_NUMERIC && write &&
               strspn(r->record.checkpoint.offset, "0123456789") !=
                   strlen(r->record.checkpoint.offset)) {
        r->record.checkpoint.offset = "";
    } else if (m->planted == RELEASE_DROPS_CHECKPOINT && e != NULL &&
               r->op.kind == TMK_STORE_PARTITION_RELEASE && strcmp(e->token, r->op.token) == 0) {
        e->record.checkpoint = (tmk_checkpoint){.offset = ""};
    }
}

static void bend_member_op(mutant *m, tmk_request *r) {
    tmk_member_entry *e = member(m, r->op.id);

    if (e == NULL) {
        return;
    }
    if (m->planted == LATE_RENEWAL_AFTER_EVICTION && r->op.kind == TMK_STORE_MEMBER_EVICT) {
        r->op.token = e->token; /* the evicted keeps it */
    } else if (m->planted == LATE_RENEWAL_AFTER_EVICTION && r->op.kind == TMK_STORE_MEMBER_RENEW) {
        e->evicted = false;
    } else if (m->planted == EVICTS_THE_LIVING && r->op.kind == TMK_STORE_MEMBER_EVICT) {
        e->lease_end = m->now;
    } else if (m->planted == LEAVE_BY_ANYBODY && r->op.kind == TMK_STORE_MEMBER_LEAVE) {
        r->op.token = e->token;
    } else if (m->planted == JOIN_OVER_THE_DEAD && r->op.kind == TMK_STORE_MEMBER_JOIN &&
               m->now >= e->lease_end) {
        r->op.token = e->token;
    } else if (m->planted == REMOVE_WITHOUT_EVICTION && r->op.kind == TMK_STORE_MEMBER_REMOVE) {
        e->evicted = m->now >= e->lease_end;
    }
}

static void bend_ids(mutant *m, tmk_request *r) {
    char *id = (char *)(uintptr_t)r->op.id;

    if (m->planted == IDS_FOLDED) {
        for (; *id != '\0'; id++) {
            *id = (char)tolower((unsigned char)*id);
        }
    } else if (m->planted == IDS_AS_PATHS && strrchr(id, '/') != NULL) {
        r->op.id = strrchr(id, '/') + 1;
    } else if (m->planted == BODY_TRIMMED) {
        char *body = (char *)(uintptr_t)r->op.body + strspn(r->op.body, " ");
        size_t size = strlen(body);
        for (; size > 0 && body[size - 1] == ' '; size--) {
            body[size - 1] = '\0';
        }
        r->op.body = body;
    }
}

/* The bugs that bend the records or the answer afterwards. */
static void bend_answer(mutant *m, const tmk_request *r, const char *token_before,
                        tmk_time lease_before, tmk_reply *reply) {
    tmk_partition_entry *p = partition(m, r->op.id);
    tmk_member_entry *e = member(m, r->op.id);
    bool done = reply->status == TMK_OK;

    if (m->planted == TAKE_OVER_KEEPS_FENCE && r->op.take_over && done && token_before[0] != '\0') {
        (void)tmk_partition_entry_set(p, token_before, &p->record);
    } else if (m->planted == PASS_KEEPS_HOLDER && r->op.kind == TMK_STORE_PARTITION_PASS && done) {
        (void)tmk_partition_entry_set(p, token_before, &p->record);
    } else if (m->planted == PASS_CHANGES_VERSION && r->op.kind == TMK_STORE_PARTITION_PASS &&
               done) {
        p->version.count++;
    } else if (m->planted == RELEASE_KEEPS_CLAIM && r->op.kind == TMK_STORE_PARTITION_RELEASE &&
               done && token_before[0] != '\0') {
        (void)tmk_partition_entry_set(p, token_before, &p->record);
    } else if (m->planted == VERSIONS_RESTART && p != NULL) {
        p->version.birth = 1;
    } else if (m->planted == RENEWAL_WITHOUT_EFFECT && r->op.kind == TMK_STORE_MEMBER_RENEW &&
               done) {
        e->lease_end = lease_before;
    } else if (m->planted == BELL_STUCK && r->op.kind == TMK_STORE_CALL_RING) {
        ((tmk_call_entry *)tmk_map_get(&m->table.calls, tmk_slice_str(r->op.id)))->version.count =
            1;
    } else if (m->planted == BELL_NERVOUS && reply->status == TMK_UNCHANGED) {
        reply->status = TMK_OK;
    } else if (m->planted == LIST_CUT && reply->partition_count > 250) {
        while (reply->partition_count > 250) {
            reply->partition_count--;
            tmk_free((void *)(uintptr_t)reply->partitions[reply->partition_count].id);
        }
    }
    for (size_t i = 0; i < reply->member_count; i++) {
        reply->members[i].alive |= m->planted == NEVER_DEAD;
        reply->members[i].evicted &= m->planted != EVICTION_UNSEEN;
    }
}

/* Bugs that are a wrong answer in place of the operation. */
static bool answers_wrongly(mutant *m, const tmk_request *r, tmk_reply *reply) {
    const tmk_partition_entry *p = partition(m, r->op.id);
    const tmk_member_entry *e = member(m, r->op.id);
    bool pass = r->op.kind == TMK_STORE_PARTITION_PASS;
    bool repeated = pass && p != NULL && strcmp(p->token, r->op.token_next) == 0;
    bool late = r->op.kind == TMK_STORE_MEMBER_RENEW && e != NULL && m->now >= e->lease_end;
    bool delete_held = r->op.kind == TMK_STORE_PARTITION_DELETE && p != NULL && p->token[0] != '\0';

    if ((m->planted == PASS_NOT_REPEATABLE && repeated) ||
        (m->planted == LATE_RENEWAL_REFUSED && late) ||
        (m->planted == DELETE_REFUSES_HELD && delete_held)) {
        reply->status = TMK_CONFLICT;
        return true;
    }
    if (m->planted == NO_CHECKS && tmk_store_op_check(&r->op, NULL) != TMK_OK) {
        reply->status = TMK_OK;
        return true;
    }
    return false;
}

static void carry_out(mutant *m, tmk_request *r) {
    char version[TMK_ENTRY_VERSION_ROOM];
    char token_before[40] = "";
    tmk_time lease_before = 0;
    tmk_reply reply;

    tmk_reply_init(&reply);
    bend_ids(m, r);
    bend_partition_op(m, r, version);
    bend_member_op(m, r);
    if (partition(m, r->op.id) != NULL) {
        (void)snprintf(token_before, sizeof token_before, "%s", partition(m, r->op.id)->token);
    }
    if (member(m, r->op.id) != NULL) {
        lease_before = member(m, r->op.id)->lease_end;
    }
    if (!answers_wrongly(m, r, &reply)) {
        tmk_memory_table_apply(&m->table, &r->op, m->now, &reply);
        bend_answer(m, r, token_before, lease_before, &reply);
    }
    tmk_reply_send(&reply, r->call);
    if (m->planted == ANSWERS_TWICE) {
        tmk_reply_send(&reply, r->call);
    }
    tmk_reply_clear(&reply);
}

static void turn(void *self) {
    mutant *m = self;
    tmk_list *node = tmk_list_pop_front(&m->queue);
    tmk_request *r;

    if (node == NULL) {
        m->now += TMK_SEC; /* nothing will come any more: let the suite give up */
        return;
    }
    r = tmk_container_of(node, tmk_request, node);
    if (pass_in_two_steps(m, r)) {
        return;
    }
    if (m->planted != NO_ANSWER || m->answered++ % 100 != 99) {
        carry_out(m, r);
    }
    (void)tmk_request_free(r);
}

static void submit(void *self, const tmk_store_op *op, tmk_store_call *call) {
    mutant *m = self;
    tmk_request *r = tmk_request_new(op, call, m->now);

    tmk_list_push_back(&m->queue, &r->node);
    if (m->planted == ANSWERS_INSIDE) {
        turn(m);
    }
}

static unsigned claims(void *self) {
    (void)self;
    return 1U << TMK_CLAIMS_LEASE;
}

static const tmk_store_ops ops = {.size = sizeof ops, .submit = submit, .claims = claims};

static tmk_status open_one(void *self, tmk_store *out, tmk_error *err) {
    (void)err;
    *out = (tmk_store){&ops, self};
    return TMK_OK;
}

static tmk_status reset(void *self, tmk_error *err) {
    mutant *m = self;

    (void)err;
    tmk_memory_table_clear(&m->table);
    return TMK_OK;
}

static void pass_ms(void *self, int64_t ms) {
    ((mutant *)self)->now += ms * TMK_MS;
}

static void note(void *self, const char *check, const char *failure) {
    mutant *m = self;

    if (failure != NULL && m->caught == NULL) {
        m->caught = check;
        if (m->planted == NO_BUG) {
            printf("# %s: %s\n", check, failure);
        }
    }
}

static int run_with(bug planted, const char **caught) {
    mutant m = {.planted = planted};
    tmk_store_contract c;
    int failures;

    tmk_list_init(&m.queue);
    tmk_memory_table_init(&m.table);
    tmk_store_contract_init(&c);
    c.self = &m;
    c.open = open_one;
    c.reset = reset;
    c.pass_ms = pass_ms;
    c.turn = turn;
    c.report = note;
    c.timeout_ms = 50;
    failures = tmk_store_contract_run(&c);
    tmk_memory_table_clear(&m.table);
    *caught = m.caught;
    return failures;
}

int main(void) {
    int wrong = 0;

    for (int i = 0; i < BUG_COUNT; i++) {
        const char *caught = NULL;
        int failures = run_with((bug)i, &caught);
        bool right = (failures > 0) == (i != NO_BUG);

        wrong += !right;
        printf("%s %d - %s%s%s\n", right ? "ok" : "not ok", i + 1, words[i],
               caught == NULL ? "" : ": caught by ", caught == NULL ? "" : caught);
    }
    printf("1..%d\n", BUG_COUNT);
    return wrong == 0 ? 0 : 1;
}
