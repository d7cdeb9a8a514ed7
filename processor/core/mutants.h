/*
 * Planted bugs. In the product TMK_MUTANT() is false and costs nothing; in the
 * library that tests/sim builds with -DTMK_MUTANTS one of them can be switched
 * on, and the simulation has to notice. Each stands for a rule; a rule without
 * one is a rule that no test keeps.
 */
#ifndef TMK_CORE_MUTANTS_H
#define TMK_CORE_MUTANTS_H

#include <stdbool.h>

#ifdef TMK_MUTANTS

#define TMK_MUTANT_MAP(X)                                                                      \
    X(ABSENT_IS_GONE, "an owner missing in an older list is taken for gone, without asking")   \
    X(CHECKPOINT_MAY_GO_BACK, "an older checkpoint is written over a newer one")               \
    X(CHECKPOINT_RETRY_OLD, "a repeated checkpoint carries the state it was born with")        \
    X(CLAIM_AGAIN_BLINDLY, "a refused claim is repeated with the new version, unexamined")     \
    X(CLAIM_TIMEOUT_IS_OK, "a claim without an answer is taken for granted")                   \
    X(DONE_MAP_LOST, "a claim forgets the done-map")                                           \
    X(EVICTION_REFUSED_IS_OK, "an eviction that was refused is followed by the claims")        \
    X(EVICTION_SKIPPED, "what the dead have held is taken without an eviction")                \
    X(FENCE_FORGOTTEN, "a late wake-up goes on without asking")                                \
    X(FENCE_ENDS_EARLY, "a renewal sent before the sleep ends the fence")                      \
    X(FIGHT, "a stolen link is opened again without asking the store")                         \
    X(FORMER_CHECKPOINT, "a reader starts from what was listed before it held the partition")  \
    X(GENERATION_KEPT_AT_CLAIM, "a claim does not raise the generation")                       \
    X(GENERATION_KEPT_AT_HANDOFF, "a handoff does not raise the generation")                   \
    X(HANDOFF_BEFORE_DRAIN, "the partition is passed on while it is still read")               \
    X(HEARTBEAT_TRY_LONG, "a heartbeat waits for its answer for ever")                         \
    X(LANES_KEPT, "throttling neither reduces the lanes nor is it waited out")                 \
    X(LEFT_TOO_EARLY, "the membership ends before the last handoff is written")                \
    X(LOOK_ONCE_MORE_NOT, "no bell is rung, and nobody looks again when the dust has settled") \
    X(NO_ANSWER_IS_REFUSAL, "a write without an answer is repeated without looking")           \
    X(NO_GATHERING, "joins are not gathered")                                                  \
    X(NO_PROBATION, "a crash loop gets partitions at once")                                    \
    X(NO_SUCCESSOR_NAMED, "the handoff does not write who comes next")                         \
    X(NO_VIEW_AWAITED, "a partition is passed to one who does not know yet")                   \
    X(OPEN_WITHOUT_CLAIM, "the reader starts before the claim is answered")                    \
    X(PLAN_NOT_STICKY, "the plan deals all partitions anew")                                   \
    X(PROBATION_FOR_EVER, "a member on probation is never evicted")                            \
    X(RELEASE_FIRST, "a partition is released before its checkpoint is written")               \
    X(STATE_RETRY_OLD, "a repeated member record carries the state it was born with")          \
    X(STEAL, "what the plan gives us is taken, not waited for")                                \
    X(STREAK_IGNORED, "others are judged by one whose own heartbeats failed")                  \
    X(STREAK_NEEDS_ALL, "one failed request of our own forbids to judge others")               \
    X(SUCCESSOR_FORGOTTEN, "a handoff whose successor died is taken for done")                 \
    X(TAKEN_UNNOTICED, "a refused checkpoint does not end the reading")                        \
    X(TOKEN_FOR_EVER, "a partition is held under the same token in each generation")

typedef enum tmk_mutant {
    TMK_MUTANT_NONE = 0,
#define X(name, what) TMK_MUTANT_##name,
    TMK_MUTANT_MAP(X)
#undef X
        TMK_MUTANT_COUNT
} tmk_mutant;

extern tmk_mutant tmk_mutant_on;
#define TMK_MUTANT(name) (tmk_mutant_on == TMK_MUTANT_##name)

#else
#define TMK_MUTANT(name) false
#endif

#endif
