/* Questions, answers and expectations; and the run over all checks. */
#include "contract/suite.h"

#include "base/alloc.h"
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const tmk_member_record no_member = {.id = "", .body = ""};
static const tmk_partition_record no_partition = {
    .id = "", .owner = "", .successor = "", .version = "", .checkpoint = {.offset = ""}};

bool expect(suite *s, bool holds, const char *format, ...) {
    va_list args;

    if (!holds && s->failure[0] == '\0') {
        va_start(args, format);
        (void)vsnprintf(s->failure, sizeof s->failure, format, args);
        va_end(args);
    }
    return holds;
}

bool expect_status(suite *s, tmk_status expected, const tmk_store_result *r, const char *what) {
    return expect(s, r->status == expected, "%s: expected %s, is %s (%s)", what,
                  tmk_status_name(expected), tmk_status_name(r->status), r->error.text);
}

const char *token(suite *s, size_t n) {
    return s->tokens[n];
}

const char *owner_of(size_t token_number) {
    static const char *const names[] = {"owner-0", "owner-1", "owner-2", "owner-3", "owner-4"};

    return names[token_number < 4 ? token_number : 4];
}

/* ---- questions ---- */

static void answered(tmk_store_call *call, const tmk_store_result *result) {
    question *q = tmk_container_of(call, question, call);
    suite *s = q->s;
    tmk_store_result *copy = tmk_store_result_copy(result);

    tmk_mutex_lock(&s->lock);
    q->inside = q->inside || (q->submitting && pthread_equal(q->asker, pthread_self()) != 0);
    if (q->answers++ == 0) {
        q->result = copy;
        copy = NULL;
    }
    tmk_cond_broadcast(&s->answered);
    tmk_mutex_unlock(&s->lock);
    (void)tmk_store_result_free(copy); /* of a second answer */
}

question *ask_begin(suite *s, int handle, const tmk_store_op *op) {
    question *q = tmk_new(question);
    tmk_store store = s->handles[handle];

    if (q == NULL) {
        return NULL;
    }
    q->call.answered = answered;
    q->s = s;
    q->asker = pthread_self();
    q->submitting = true;

    tmk_mutex_lock(&s->lock);
    q->next = s->questions;
    s->questions = q;
    tmk_mutex_unlock(&s->lock);
    store.ops->submit(store.self, op, &q->call);
    tmk_mutex_lock(&s->lock);
    q->submitting = false;
    tmk_mutex_unlock(&s->lock);
    return q;
}

const tmk_store_result *ask_end(suite *s, question *q) {
    static const tmk_store_result none = {
        .status = TMK_EINTERNAL,
        .error = {.status = TMK_EINTERNAL, .origin = "contract", .text = "no answer came"},
        .version = ""};
    const tmk_store_result *result;
    tmk_clock clock = tmk_clock_system();
    tmk_time deadline = tmk_time_after(tmk_now(&clock), 2 * s->c.timeout_ms * TMK_MS);

    if (q == NULL) {
        return &none;
    }
    tmk_mutex_lock(&s->lock);
    while (q->answers == 0 && tmk_now(&clock) < deadline) {
        if (s->c.turn != NULL) {
            tmk_mutex_unlock(&s->lock);
            s->c.turn(s->c.self);
            tmk_mutex_lock(&s->lock);
        } else {
            (void)tmk_cond_wait_until(&s->answered, &s->lock, deadline);
        }
    }
    result = q->result == NULL ? &none : q->result;
    tmk_mutex_unlock(&s->lock);
    return result;
}

const tmk_store_result *ask(suite *s, int handle, const tmk_store_op *op) {
    return ask_end(s, ask_begin(s, handle, op));
}

/* After the handles are closed no answer may come any more: now count them. */
static void end_questions(suite *s) {
    question *q = s->questions;

    s->questions = NULL;
    while (q != NULL) {
        question *next = q->next;
        (void)expect(s, q->answers == 1, "a question was answered %d times", q->answers);
        (void)expect(s, !q->inside, "an answer came from inside submit()");
        q->result = tmk_store_result_free(q->result);
        tmk_free(q);
        q = next;
    }
}

/* ---- races and time ---- */

typedef struct racer {
    suite *s;
    const tmk_store_op *op;
    int handle;
    const tmk_store_result *reply;
    tmk_thread thread;
} racer;

static void open_gate(suite *s, bool open) {
    tmk_mutex_lock(&s->lock);
    s->gate_open = open;
    tmk_cond_broadcast(&s->answered);
    tmk_mutex_unlock(&s->lock);
}

static void *run_racer(void *arg) {
    racer *r = arg;

    tmk_mutex_lock(&r->s->lock);
    while (!r->s->gate_open) {
        tmk_cond_wait(&r->s->answered, &r->s->lock);
    }
    tmk_mutex_unlock(&r->s->lock);
    r->reply = ask(r->s, r->handle, r->op);
    return NULL;
}

/* A store that is turned by hand cannot be asked from threads: all questions, then the answers. */
static void race_in_turn(suite *s, const tmk_store_op *ops, size_t count,
                         const tmk_store_result **replies) {
    question *questions[SUITE_RACERS_MAX];

    for (size_t i = 0; i < count; i++) {
        questions[i] = ask_begin(s, (int)(i % SUITE_HANDLES), &ops[i]);
    }
    for (size_t i = 0; i < count; i++) {
        replies[i] = ask_end(s, questions[i]);
    }
}

void suite_race(suite *s, const tmk_store_op *ops, size_t count, const tmk_store_result **replies) {
    racer racers[SUITE_RACERS_MAX] = {0};
    size_t started = 0;

    if (s->c.turn != NULL) {
        race_in_turn(s, ops, count, replies);
        return;
    }
    open_gate(s, false);
    for (; started < count; started++) {
        racer *r = &racers[started];
        *r = (racer){.s = s, .op = &ops[started], .handle = (int)(started % SUITE_HANDLES)};
        if (tmk_thread_start(&r->thread, "tmk-racer", run_racer, r, NULL) < 0) {
            break;
        }
    }
    (void)expect(s, started == count, "the machine has no threads for %zu racers", count);
    open_gate(s, true);
    for (size_t i = 0; i < count; i++) {
        tmk_thread_join(&racers[i].thread);
        replies[i] = i < started ? racers[i].reply : ask_end(s, NULL);
    }
}

void suite_pass(suite *s, int64_t ms) {
    tmk_clock clock = tmk_clock_system();
    tmk_time until = tmk_time_after(tmk_now(&clock), ms * TMK_MS);

    if (s->c.pass_ms != NULL) {
        s->c.pass_ms(s->c.self, ms);
        return;
    }
    tmk_mutex_lock(&s->lock);
    while (tmk_now(&clock) < until) {
        (void)tmk_cond_wait_until(&s->answered, &s->lock, until);
    }
    tmk_mutex_unlock(&s->lock);
}

/* ---- operations ---- */

const tmk_store_result *member_op(suite *s, tmk_store_op_kind kind, const char *id,
                                  size_t token_number, const char *body) {
    tmk_store_op op = {.kind = kind,
                       .id = id,
                       .token = token(s, token_number),
                       .body = body,
                       .lease_ms = s->c.lease_ms,
                       .timeout_ms = s->c.timeout_ms};

    return ask(s, 0, &op);
}

const tmk_store_result *ring(suite *s, const char *id) {
    tmk_store_op op = {.kind = TMK_STORE_CALL_RING, .id = id, .timeout_ms = s->c.timeout_ms};

    return ask(s, 0, &op);
}

const tmk_store_result *look(suite *s, const char *id, const char *version) {
    tmk_store_op op = {
        .kind = TMK_STORE_CALL_LOOK, .id = id, .version = version, .timeout_ms = s->c.timeout_ms};

    return ask(s, 1, &op);
}

tmk_partition_record record_of(const char *owner, int64_t generation, int64_t sequence,
                               const char *offset) {
    tmk_partition_record r = {.owner = owner,
                              .successor = "",
                              .generation = generation,
                              .version = "",
                              .checkpoint = {.present = offset != NULL,
                                             .sequence_known = offset != NULL,
                                             .sequence = sequence,
                                             .offset = offset == NULL ? "" : offset}};
    return r;
}

tmk_store_op partition_op(suite *s, tmk_store_op_kind kind, const char *id, size_t token_number,
                          const char *version, const tmk_partition_record *record) {
    tmk_store_op op = {.kind = kind,
                       .id = id,
                       .token = token(s, token_number),
                       .version = version,
                       .record = record,
                       .timeout_ms = s->c.timeout_ms};
    return op;
}

const tmk_store_result *claim(suite *s, const char *id, size_t token_number, const char *version,
                              int64_t generation, bool take_over) {
    tmk_partition_record r = record_of(owner_of(token_number), generation, 0, NULL);
    tmk_store_op op = partition_op(s, TMK_STORE_PARTITION_CLAIM, id, token_number, version, &r);

    op.take_over = take_over;
    return ask(s, 0, &op);
}

const tmk_store_result *write_at(suite *s, const char *id, size_t token_number, const char *version,
                                 int64_t generation, int64_t sequence) {
    tmk_partition_record r = record_of(owner_of(token_number), generation, sequence, "4096");
    tmk_store_op op = partition_op(s, TMK_STORE_PARTITION_WRITE, id, token_number, version, &r);

    return ask(s, 0, &op);
}

const tmk_store_result *pass(suite *s, const char *id, size_t from, size_t to) {
    tmk_store_op op = partition_op(s, TMK_STORE_PARTITION_PASS, id, from, "", NULL);

    op.token_next = token(s, to);
    return ask(s, 0, &op);
}

const tmk_store_result *release(suite *s, const char *id, size_t token_number) {
    const tmk_partition_record *seen = seen_partition(s, id);
    tmk_partition_record r = *seen;
    tmk_store_op op = partition_op(s, TMK_STORE_PARTITION_RELEASE, id, token_number, "", &r);

    r.owner = "";
    return ask(s, 0, &op);
}

/* ---- what another handle sees ---- */

const tmk_member_record *seen_member(suite *s, const char *id) {
    tmk_store_op op = {.kind = TMK_STORE_MEMBER_LIST, .timeout_ms = s->c.timeout_ms};
    const tmk_store_result *r = ask(s, 1, &op);

    (void)expect_status(s, TMK_OK, r, "listing the members");
    for (size_t i = 0; i < r->member_count; i++) {
        if (strcmp(r->members[i].id, id) == 0) {
            return &r->members[i];
        }
    }
    return &no_member;
}

const tmk_partition_record *seen_partition(suite *s, const char *id) {
    tmk_store_op op = partition_op(s, TMK_STORE_PARTITION_READ, id, 0, "", NULL);
    const tmk_store_result *r = ask(s, 1, &op);

    if (r->status == TMK_ABSENT) {
        return &no_partition;
    }
    (void)expect_status(s, TMK_OK, r, "reading a partition");
    (void)expect(s, r->partition_count == 1, "reading one partition gave %zu records",
                 r->partition_count);
    return r->partition_count == 1 ? &r->partitions[0] : &no_partition;
}

const tmk_partition_record *listed_partition(suite *s, const char *id) {
    tmk_store_op op = partition_op(s, TMK_STORE_PARTITION_LIST, "", 0, "", NULL);
    const tmk_store_result *r = ask(s, 1, &op);

    (void)expect_status(s, TMK_OK, r, "listing the partitions");
    for (size_t i = 0; i < r->partition_count; i++) {
        if (strcmp(r->partitions[i].id, id) == 0) {
            return &r->partitions[i];
        }
    }
    return &no_partition;
}

/* ---- the run ---- */

void tmk_store_contract_fill(tmk_store_contract *c, size_t size) {
    tmk_store_contract defaults = {
        .size = size, .lease_ms = 1000, .timeout_ms = 10000, .racers = 32, .many = 300};

    memcpy(c, &defaults, size < sizeof defaults ? size : sizeof defaults);
}

static void close_handles(suite *s) {
    for (int i = 0; i < SUITE_HANDLES; i++) {
        tmk_store_free(s->handles[i]);
        s->handles[i] = (tmk_store){NULL, NULL};
    }
}

static bool run_check(suite *s, const suite_check *check) {
    tmk_error err = {0};
    tmk_status st = s->c.reset == NULL ? TMK_OK : s->c.reset(s->c.self, &err);

    s->failure[0] = '\0';
    for (int i = 0; st == TMK_OK && i < SUITE_HANDLES; i++) {
        st = s->c.open(s->c.self, &s->handles[i], &err);
    }
    if (expect(s, st == TMK_OK, "the store cannot be opened: %s", err.text)) {
        check->run(s);
    }
    close_handles(s);
    end_questions(s);
    if (s->c.report != NULL) {
        s->c.report(s->c.self, check->name, s->failure[0] == '\0' ? NULL : s->failure);
    }
    return s->failure[0] == '\0';
}

static int run_checks(suite *s, const suite_check *checks) {
    int failures = 0;

    for (; checks->name != NULL; checks++) {
        bool wanted = s->c.claims == TMK_CLAIMS_LEASE ? checks->lease : checks->shared;
        if (wanted && (s->c.only == NULL || strstr(checks->name, s->c.only) != NULL)) {
            failures += run_check(s, checks) ? 0 : 1;
        }
    }
    return failures;
}

int tmk_store_contract_run(const tmk_store_contract *c) {
    suite *s = tmk_new(suite);
    int failures = 1;

    if (s == NULL) {
        return failures;
    }
    tmk_store_contract_init(&s->c);
    memcpy(&s->c, c, c->size < sizeof s->c ? c->size : sizeof s->c);
    s->c.racers = s->c.racers > SUITE_RACERS_MAX ? SUITE_RACERS_MAX : s->c.racers;
    s->c.many = s->c.many > 5000 ? 5000 : s->c.many;
    for (size_t i = 0; i <= SUITE_RACERS_MAX; i++) {
        (void)snprintf(s->tokens[i], sizeof s->tokens[i], "5eed0000-0000-4000-8000-%012zx", i);
    }
    if (tmk_mutex_init(&s->lock, 95, NULL) == TMK_OK) {
        if (tmk_cond_init(&s->answered, NULL) == TMK_OK) {
            failures = run_checks(s, suite_checks_basic) + run_checks(s, suite_checks_member) +
                       run_checks(s, suite_checks_partition) + run_checks(s, suite_checks_race);
            tmk_cond_clear(&s->answered);
        }
        tmk_mutex_clear(&s->lock);
    }
    tmk_free(s);
    return failures;
}
