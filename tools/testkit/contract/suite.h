/*
 * What the checks of the contract are written with: questions that wait for
 * their answers, and expectations that remember the first that did not hold.
 *
 * Threads: everything from the thread of the run, other than suite_race(),
 *          which has threads of its own.
 */
#ifndef TMK_CONTRACT_SUITE_H
#define TMK_CONTRACT_SUITE_H

#include <tidemark/store_contract.h>

#include "base/call.h"
#include "base/thread.h"

enum { SUITE_RACERS_MAX = 64, SUITE_HANDLES = 2 };

typedef struct suite suite;

/* A question and its copied answer; lives until the check is over. */
typedef struct question {
    tmk_store_call call;
    suite *s;
    struct question *next;
    pthread_t asker;
    bool submitting; /* submit() has not returned */
    bool inside;     /* the answer came from inside submit() */
    int answers;
    tmk_store_result *result; /* a copy of the first answer */
} question;

struct suite {
    tmk_store_contract c;
    tmk_store handles[SUITE_HANDLES];
    char failure[256]; /* "" while all is well */
    char tokens[SUITE_RACERS_MAX + 1][37];

    tmk_mutex lock; /* rank 95; guards questions and what is in them */
    tmk_cond answered;
    question *questions;
    bool gate_open; /* racers may run */
};

typedef struct suite_check {
    const char *name;
    void (*run)(suite *s);
    bool lease, shared; /* in which way of claiming it makes sense */
} suite_check;

extern const suite_check suite_checks_basic[];
extern const suite_check suite_checks_member[];
extern const suite_check suite_checks_partition[];
extern const suite_check suite_checks_race[];

/* Remembers the sentence unless it holds; returns whether it does. */
TMK_PRINTF(3, 4) bool expect(suite *s, bool holds, const char *format, ...);
/* The status is as expected, or the sentence says what it was. */
bool expect_status(suite *s, tmk_status expected, const tmk_store_result *r, const char *what);

/* Asks handle 0 or 1 and waits. Never NULL: without an answer the status is EINTERNAL. */
const tmk_store_result *ask(suite *s, int handle, const tmk_store_op *op);
question *ask_begin(suite *s, int handle, const tmk_store_op *op);
const tmk_store_result *ask_end(suite *s, question *q);
/* Asks all at once, each from a thread of its own, with both handles in turn. */
void suite_race(suite *s, const tmk_store_op *ops, size_t count, const tmk_store_result **replies);
void suite_pass(suite *s, int64_t ms);

/* The n-th token, 0 .. SUITE_RACERS_MAX. */
const char *token(suite *s, size_t n);

/* Operations, each on handle 0 unless it says otherwise. */
const tmk_store_result *member_op(suite *s, tmk_store_op_kind kind, const char *id,
                                  size_t token_number, const char *body);
const tmk_store_result *ring(suite *s, const char *id);
const tmk_store_result *look(suite *s, const char *id, const char *version);
const tmk_store_result *claim(suite *s, const char *id, size_t token_number, const char *version,
                              int64_t generation, bool take_over);
const tmk_store_result *write_at(suite *s, const char *id, size_t token_number, const char *version,
                                 int64_t generation, int64_t sequence);
const tmk_store_result *pass(suite *s, const char *id, size_t from, size_t to);
const tmk_store_result *release(suite *s, const char *id, size_t token_number);

/* A record as the suite writes it; its texts live as long as the arguments. */
tmk_partition_record record_of(const char *owner, int64_t generation, int64_t sequence,
                               const char *offset);
tmk_store_op partition_op(suite *s, tmk_store_op_kind kind, const char *id, size_t token_number,
                          const char *version, const tmk_partition_record *record);
/* What handle 1 sees; never NULL, a record with an empty id where there is none. */
const tmk_member_record *seen_member(suite *s, const char *id);
const tmk_partition_record *seen_partition(suite *s, const char *id); /* read, with its done-map */
const tmk_partition_record *listed_partition(suite *s, const char *id);

/* The owner that the suite writes for a token: "owner-<n>". */
const char *owner_of(size_t token_number);

#endif
