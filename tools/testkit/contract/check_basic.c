/* Answers, bad questions, strange ids, bells. */
#include "contract/suite.h"

#include <stdio.h>
#include <string.h>

static void answers_come_once_and_later(suite *s) {
    tmk_store_op op = {.kind = TMK_STORE_PARTITION_LIST, .timeout_ms = s->c.timeout_ms};
    question *questions[50];

    for (size_t i = 0; i < 50; i++) {
        questions[i] = ask_begin(s, (int)(i % SUITE_HANDLES), &op);
    }
    for (size_t i = 0; i < 50; i++) {
        (void)expect_status(s, TMK_OK, ask_end(s, questions[i]), "one of fifty lists");
    }
    /* That each was answered once, and not from inside submit(), is judged after every check. */
}

static void a_hurried_question_is_answered_too(suite *s) {
    tmk_store_op op = {.kind = TMK_STORE_PARTITION_LIST, .timeout_ms = 1};

    for (int i = 0; i < 20; i++) {
        const tmk_store_result *r = ask(s, 0, &op);
        (void)expect(s, r->status == TMK_OK || r->status == TMK_ETIMEOUT,
                     "a list with 1 ms time: %s (%s)", tmk_status_name(r->status), r->error.text);
    }
}

static void expect_refused(suite *s, tmk_store_op op, const char *what) {
    const tmk_store_result *r;

    op.timeout_ms = s->c.timeout_ms;
    r = ask(s, 0, &op);
    (void)expect(s, r->status == TMK_EINVAL, "%s: expected EINVAL, is %s", what,
                 tmk_status_name(r->status));
    (void)expect(s, r->error.text[0] != '\0', "%s: refused without a word", what);
}

static void bad_questions_are_refused(suite *s) {
    tmk_partition_record r = record_of("o", 1, 0, NULL);
    char long_id[500];

    memset(long_id, 'x', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = '\0';
    expect_refused(s, (tmk_store_op){.kind = (tmk_store_op_kind)0}, "operation 0");
    expect_refused(s, (tmk_store_op){.kind = (tmk_store_op_kind)99}, "operation 99");
    expect_refused(s, (tmk_store_op){.kind = TMK_STORE_PARTITION_READ, .id = ""}, "an empty id");
    expect_refused(s, (tmk_store_op){.kind = TMK_STORE_PARTITION_READ}, "no id");
    expect_refused(s, (tmk_store_op){.kind = TMK_STORE_PARTITION_READ, .id = long_id},
                   "an id of 499 characters");
    expect_refused(s, (tmk_store_op){.kind = TMK_STORE_PARTITION_READ, .id = "a\nb"},
                   "an id with a line end");
    expect_refused(s, partition_op(s, TMK_STORE_PARTITION_CLAIM, "0", 0, "", NULL),
                   "a claim without a record");
    expect_refused(s, (tmk_store_op){.kind = TMK_STORE_PARTITION_CLAIM, .id = "0", .record = &r},
                   "a claim without a token");
    expect_refused(s,
                   (tmk_store_op){.kind = TMK_STORE_PARTITION_CLAIM,
                                  .id = "0",
                                  .token = "not-a-uuid",
                                  .version = "",
                                  .record = &r},
                   "a token that is no UUID");
    r.generation = -1;
    expect_refused(s, partition_op(s, TMK_STORE_PARTITION_CLAIM, "0", 0, "", &r),
                   "a negative generation");
    (void)expect(s, listed_partition(s, "0")->id[0] == '\0', "a refused claim left a record");
}

/* Kept apart, or refused; never mixed up, never outside of where the records live. */
static void strange_ids_are_kept_apart_or_refused(suite *s) {
    static const char *const ids[] = {"0",      "00",  "..",   ".",       "../0",  "a/b", "a\\b",
                                      "%2e%2e", "%41", "A",    "a",       "a b",   "~",   "'\"<&>",
                                      "0.json", "-rf", "C:\\", "$x;`id`", "?q=1#f"};
    enum { COUNT = sizeof ids / sizeof *ids };
    bool taken[COUNT];
    size_t count = 0;
    tmk_store_op list = partition_op(s, TMK_STORE_PARTITION_LIST, "", 0, "", NULL);
    const tmk_store_result *all;

    for (size_t i = 0; i < COUNT; i++) {
        const tmk_store_result *r = claim(s, ids[i], 0, "", (int64_t)i + 1, false);
        taken[i] = r->status == TMK_OK;
        count += taken[i];
        (void)expect(s, taken[i] || r->status == TMK_EINVAL, "claiming '%s': %s (%s)", ids[i],
                     tmk_status_name(r->status), r->error.text);
    }
    for (size_t i = 0; i < COUNT; i++) {
        const tmk_partition_record *p = taken[i] ? seen_partition(s, ids[i]) : NULL;
        (void)expect(s, p == NULL || p->generation == (int64_t)i + 1,
                     "the record of '%s' is that of another", ids[i]);
        (void)expect(s, p == NULL || strcmp(p->id, ids[i]) == 0, "'%s' came back as '%s'", ids[i],
                     p == NULL ? "" : p->id);
    }
    (void)expect(s, taken[0], "the partition '0' was refused");
    all = ask(s, 1, &list);
    (void)expect(s, all->partition_count == count, "%zu records were made, %zu are listed", count,
                 all->partition_count);
}

static void a_bell_tells_whether_it_was_rung(suite *s) {
    char first[TMK_STORE_VERSION_MAX + 1];
    const tmk_store_result *r;

    (void)expect_status(s, TMK_UNCHANGED, look(s, "m", ""), "looking at a bell that is not there");
    (void)expect_status(s, TMK_OK, look(s, "m", "old"), "looking for a bell that has gone");
    (void)expect_status(s, TMK_OK, ring(s, "m"), "ringing");
    r = look(s, "m", "");
    (void)expect_status(s, TMK_OK, r, "looking after the first ring");
    (void)expect(s, r->version[0] != '\0', "a rung bell has no version");
    (void)snprintf(first, sizeof first, "%s", r->version);
    (void)expect_status(s, TMK_UNCHANGED, look(s, "m", first), "looking again");
    (void)expect_status(s, TMK_UNCHANGED, look(s, "n", ""), "looking at another's bell");
    (void)expect_status(s, TMK_OK, ring(s, "m"), "ringing again");
    r = look(s, "m", first);
    (void)expect_status(s, TMK_OK, r, "looking after the second ring");
    (void)expect(s, strcmp(r->version, first) != 0, "a second ring did not change the version");
}

const suite_check suite_checks_basic[] = {
    {"answers come once and later", answers_come_once_and_later, true, true},
    {"a hurried question is answered too", a_hurried_question_is_answered_too, true, true},
    {"bad questions are refused", bad_questions_are_refused, true, true},
    {"strange ids are kept apart or refused", strange_ids_are_kept_apart_or_refused, true, true},
    {"a bell tells whether it was rung", a_bell_tells_whether_it_was_rung, true, false},
    {NULL, NULL, false, false}};
