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
    X(KEEPERS_LEVELLED, "balance by load, and a join levels the counts of all")                \
    X(LANES_KEPT, "throttling neither reduces the lanes nor is it waited out")                 \
    X(LEFT_TOO_EARLY, "the membership ends before the last handoff is written")                \
    X(LOAD_UNDAMPED, "a load is what was measured last, not smoothed")                         \
    X(LOOK_ONCE_MORE_NOT, "no bell is rung, and nobody looks again when the dust has settled") \
    X(NO_ANSWER_IS_REFUSAL, "a write without an answer is repeated without looking")           \
    X(NO_GATHERING, "joins are not gathered")                                                  \
    X(NO_PAIR_AWAITED, "a partition moves for its load to one who does not know")              \
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
    X(TOKEN_FOR_EVER, "a partition is held under the same token in each generation")           \
    X(WEIGHED_UNASKED, "one who asks is enough to balance by load")                            \
    X(WEIGH_ALL_AT_ONCE, "a round of levelling moves whatever helps")                          \
    X(WEIGH_BY_OLD_TABLES, "partitions move by tables of before the last move")                \
    X(WEIGH_FOR_NOTHING, "partitions move however little is won")                              \
    X(WEIGH_RESTLESS, "loads are told again and again, and right after a move")

/* Beside the official processors, where claims are "shared": tests/sim/sim_mixed_mutants. */
#define TMK_MUTANT_SHARED_MAP(X)                                                           \
    X(ASK_LEFT_STANDING, "who leaves does not take its name out of what it has asked for") \
    X(GIVEN_UNDRAINED, "what was asked for is passed on while it is read")                 \
    X(GIVES_NOTHING, "an owner that is asked does not give")                               \
    X(INSIST_NEVER, "a link that was taken wrongly is taken back at the same level")       \
    X(LOSS_UNSEEN, "a record that names another does not end the reading")                 \
    X(NO_GRACE, "after an outage those who could not renew are taken for dead")            \
    X(ONE_MORE_FOR_ALL, "who has its share takes from whoever has one more")               \
    X(OURS_ARE_STOLEN_FROM, "one of our own is stolen from, not asked")                    \
    X(REFUSED_RENEWAL_IS_OK, "a renewal that was refused is taken for granted")            \
    X(RELEASES_NOTHING, "who leaves lets its records lie")                                 \
    X(RENEWS_NEVER, "what is held is not renewed")                                         \
    X(SILENT_TOO_SOON, "an owner is taken for dead that has missed one renewal")           \
    X(START_BEFORE_READ, "reading begins before the checkpoint was read")

/* The same for pumps, lanes and control: tests/sim/sim_whole_mutants. */
#define TMK_MUTANT_WHOLE_MAP(X)                                                         \
    X(AGAIN_BEHIND, "an event that comes again is queued behind the others")            \
    X(ATTEMPT_KEPT, "a retry is told to be the same attempt")                           \
    X(BREAKER_DEAF, "TMK_STOP does not pause the handlers")                             \
    X(BREAKER_STAYS, "a probe that succeeded does not open the gate")                   \
    X(BUDGET_IGNORED, "credit is granted beyond the budget")                            \
    X(BUDGET_OF_WRITES, "checkpoints are written as often as events come")              \
    X(BUDGET_UNFAIR, "whoever looks first takes what the budget of writes has")         \
    X(CHECKPOINT_BEFORE_SUCCESS, "a checkpoint covers all that has come")               \
    X(COMPLETION_UNHEARD, "what was completed later rings no bell")                     \
    X(CREDIT_LOST_WITH_LINK, "credit of a link that ended is not given back")           \
    X(CREDIT_NOT_RETURNED, "what was dropped as a repeat is held for ever")             \
    X(DEBT_UNPAID, "the fleet is not told that a partition was drained")                \
    X(DRAIN_DOES_NOT_WAIT, "a drain does not wait for running callbacks")               \
    X(DRAIN_FORGETS_HANDLES, "a drain does not wait for handles and dead letters")      \
    X(DRAIN_WRITES_NOTHING, "while a partition drains nothing is written")              \
    X(ENDED_LINK_VOUCHES, "a link that has ended counts as one that stands")            \
    X(EXHAUSTED_IS_FINAL, "what has failed to the last is taken for handled")           \
    X(FENCE_UNHEARD, "the fleet says fence, and handlers go on")                        \
    X(GIVEN_BACK_TWICE, "a turn gives back the event that it has just run")             \
    X(HALT_FORGOTTEN, "a partition that stops at an event goes on behind it")           \
    X(KEYS_MIXED, "events of a key go to several lanes")                                \
    X(KNOWN_HANDED_OUT, "what the done-map has is handed out all the same")             \
    X(LANE_ASLEEP, "a lane that is released is not looked at again")                    \
    X(LANE_NOT_HELD, "an event that is to come again does not hold back its lane")      \
    X(LANE_TAKEN_TWICE, "two workers take the same lane")                               \
    X(LAST_CHECKPOINT_LOST, "a partition is handed over without its last checkpoint")   \
    X(LATER_DOES_NOT_HOLD, "the lane goes on while an event of it is out")              \
    X(LETTER_FINAL_EARLY, "a dead letter counts before the sink has kept it")           \
    X(LETTER_ONCE, "a dead letter that failed is not given to the sink again")          \
    X(LINK_END_SILENT, "the end of a link is told to nobody")                           \
    X(LINK_NOT_REOPENED, "a link that has failed is not opened again")                  \
    X(MAP_NOT_INHERITED, "what a former map had above the newest event is left out")    \
    X(MAP_TOO_WIDE, "the done-map closes a gap of one event")                           \
    X(MAP_UNREAD, "the done-map of a checkpoint is not looked at")                      \
    X(PAUSE_UNHEARD, "a paused partition hands out what it has")                        \
    X(POLICY_BY_COUNT_ALONE, "checkpoints are not written by time")                     \
    X(POLICY_BY_TIME_ALONE, "checkpoints are not written by count")                     \
    X(POSITION_ONE_TOO_FAR, "a link that is opened again leaves one event out")         \
    X(QUIET_INHERITED, "what held a former opening back holds back the next")           \
    X(RELIEF_UNNOTICED, "whoever was refused credit is not asked again")                \
    X(REOPENED_LINK_IS_DOWN, "a link that was opened anew does not count as standing")  \
    X(REPEATS_HANDED_OUT, "events that come again are taken for new ones")              \
    X(RETRY_AT_ONCE, "a retry does not wait for its pause")                             \
    X(RETRY_FOR_EVER, "attempts are not counted out")                                   \
    X(REWIND_FORGOTTEN, "the checkpoint of a hub that is no more stays")                \
    X(RUN_GOES_ON, "a turn goes on behind an event that failed")                        \
    X(SILENCE_UNNOTICED, "a link that is silent is waited for")                         \
    X(SINK_FAILURE_IS_OK, "a sink that failed is believed to have the event")           \
    X(SINK_FAILURE_SILENT, "a failure of the sink is told to nobody")                   \
    X(STOLEN_GOES_ON, "what is queued of a stolen partition is handed out")             \
    X(STOP_DRAINS_NOTHING, "a stop does not wait for the drain")                        \
    X(STOP_ENDS_NO_TURN, "a turn goes on after TMK_STOP")                               \
    X(TRUST_FOR_EVER, "a worker does not look at the clock when the machine has slept") \
    X(TURN_NOT_RELIEVED, "what a turn has taken waits for a callback that hangs")       \
    X(UNHEARD_BY_NUMBER, "a write without an answer is known by its number alone")      \
    X(WATER_ONE_TOO_FAR, "the low water passes the first unfinished event")

typedef enum tmk_mutant {
    TMK_MUTANT_NONE = 0,
#define X(name, what) TMK_MUTANT_##name,
    TMK_MUTANT_MAP(X) TMK_MUTANT_SHARED_MAP(X) TMK_MUTANT_WHOLE_MAP(X)
#undef X
        TMK_MUTANT_COUNT
} tmk_mutant;

extern tmk_mutant tmk_mutant_on;
#define TMK_MUTANT(name) (tmk_mutant_on == TMK_MUTANT_##name)

#else
#define TMK_MUTANT(name) false
#endif

#endif
