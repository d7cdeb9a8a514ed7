/*
 * What the service's error conditions mean, and what is done about each. The
 * one table that code, metrics and docs/ERRORS.md go by.
 *
 * Pure: no I/O, no clock, no allocation.
 */
#ifndef TMK_AMQP_CONDITION_H
#define TMK_AMQP_CONDITION_H

#include <tidemark/status.h>

#include "base/time.h"

/* From the mildest to the strongest. */
typedef enum tmk_reaction {
    TMK_REACTION_RETRY = 0,  /* the link stands: try again on it */
    TMK_REACTION_LINK,       /* attach again */
    TMK_REACTION_CONNECTION, /* connect again */
    TMK_REACTION_TOKEN,      /* put a fresh token and try once more; then it is fatal */
    TMK_REACTION_POSITION,   /* the position is gone: what the user has chosen for that */
    TMK_REACTION_GIVE_UP,    /* somebody else owns it: no further try */
    TMK_REACTION_FATAL       /* only people can mend it; rare tries are allowed */
} tmk_reaction;

/* Where a condition was found. */
typedef enum tmk_condition_at {
    TMK_AT_CONNECTION = 0, /* in a close */
    TMK_AT_SESSION,        /* in an end */
    TMK_AT_LINK,           /* in a detach */
    TMK_AT_SEND,           /* in a rejected outcome */
    TMK_AT_CALL,           /* in an answer of $cbs or $management */
    TMK_AT_LOCAL           /* made up by the AMQP engine on our side */
} tmk_condition_at;

/*
 * X(name, reaction, status, retryable, wait, means, todo)
 *
 * retryable: worth trying again unchanged. wait: the least time before that.
 * means, todo: a sentence each, for the user. A name with a blank is a variant,
 * chosen by place or text; "" is for all that is not listed.
 */
#define TMK_CONDITION_MAP(X)                                                                       \
    X("com.microsoft:server-busy", RETRY, EBUSY, true, 4 * TMK_SEC,                                \
      "The hub or the namespace is throttled.",                                                    \
      "Nothing if it is rare; else add throughput or processing units.")                           \
    X("com.microsoft:timeout", RETRY, ETIMEOUT, true, 2 * TMK_SEC,                                 \
      "The service did not finish in time.", "Nothing; it is tried again.")                        \
    X("com.microsoft:operation-cancelled", RETRY, EREMOTE, true, 0,                                \
      "The service dropped the operation.", "Nothing; it is tried again.")                         \
    X("amqp:internal-error", LINK, EREMOTE, true, 0, "The service had a fault of its own.",        \
      "Nothing; report it to Azure with the tracking id if it lasts.")                             \
    X("amqp:link:detach-forced", LINK, EREMOTE, true, 0,                                           \
      "The link was idle for long, or the service moved or was upgraded.",                         \
      "Nothing; it happens daily and the link is attached again.")                                 \
    X("amqp:connection:forced", CONNECTION, EREMOTE, true, 0,                                      \
      "The connection was idle for long, or the service restarts.",                                \
      "Nothing; it happens daily and the connection is made again.")                               \
    X("com.microsoft:container-close", CONNECTION, EREMOTE, true, 4 * TMK_SEC,                     \
      "The part of the service that held the connection shuts down.",                              \
      "Nothing; the connection is made again.")                                                    \
    X("amqp:connection:framing-error", CONNECTION, EPROTO, true, 0, "The byte stream was broken.", \
      "Look for a proxy or a middlebox that changes traffic if it comes again.")                   \
    X("proton:io", CONNECTION, EIO, true, 0, "The connection broke.",                              \
      "Look at the network between here and the service if it comes often.")                       \
    X("local idle-timeout", CONNECTION, ETIMEOUT, true, 0,                                         \
      "The service fell silent and the connection was given up.",                                  \
      "Look at firewalls that forget idle connections if it comes often.")                         \
    X("amqp:transfer-limit-exceeded", LINK, EPROTO, true, 0,                                       \
      "More was sent than the other side allowed.", "Report it as a bug of this library.")         \
    X("amqp:link:transfer-limit-exceeded", LINK, EPROTO, true, 0,                                  \
      "More was sent than the other side allowed.", "Report it as a bug of this library.")         \
    X("amqp:session:window-violation", CONNECTION, EPROTO, true, 0,                                \
      "The two sides do not agree on the session.", "Report it as a bug of this library.")         \
    X("amqp:session:errant-link", CONNECTION, EPROTO, true, 0,                                     \
      "The two sides do not agree on the session.", "Report it as a bug of this library.")         \
    X("amqp:session:handle-in-use", CONNECTION, EPROTO, true, 0,                                   \
      "The two sides do not agree on the session.", "Report it as a bug of this library.")         \
    X("amqp:session:unattached-handle", CONNECTION, EPROTO, true, 0,                               \
      "The two sides do not agree on the session.", "Report it as a bug of this library.")         \
    X("amqp:unauthorized-access", TOKEN, EAUTH, false, 0,                                          \
      "The token is missing, has ended, or does not allow this.",                                  \
      "Give the identity the role Azure Event Hubs Data Receiver or Sender, or the key the "       \
      "right Listen or Send.")                                                                     \
    X("com.microsoft:auth-failed", TOKEN, EAUTH, false, 0, "The token was rejected.",              \
      "Check key, credential and the clock of this machine.")                                      \
    X("com.microsoft:publisher-revoked", FATAL, EAUTH, false, 0, "The publisher is blocked.",      \
      "Unblock it in the namespace.")                                                              \
    X("amqp:link:stolen", GIVE_UP, ELOST, false, 0,                                                \
      "Another reader with the same or a higher owner level took the partition.",                  \
      "Nothing after a rebalance; if it goes on, two groups of programs share a consumer group.")  \
    X("com.microsoft:producer-epoch-stolen", GIVE_UP, ELOST, false, 0,                             \
      "Another producer took this producer's identity.", "Give each producer its own.")            \
    X("com.microsoft:partition-not-owned", GIVE_UP, ELOST, false, 0,                               \
      "The partition is served by somebody else.", "Nothing after a rebalance.")                   \
    X("amqp:resource-limit-exceeded", FATAL, ELIMIT, false, 10 * TMK_SEC,                          \
      "A quota is used up: readers of a partition, links, connections, or size.",                  \
      "See the text for which; close readers without owner level, or choose a larger tier.")       \
    X("amqp:not-found", FATAL, ENOTFOUND, false, 30 * TMK_SEC,                                     \
      "The hub or the consumer group does not exist.", "Check their names, or create them.")       \
    X("amqp:not-found (passing)", LINK, ENOTFOUND, true, 0,                                        \
      "The service does not find the entity for now.", "Nothing unless it lasts.")                 \
    X("com.microsoft:argument-out-of-range", FATAL, ENOTFOUND, false, 30 * TMK_SEC,                \
      "There is no such partition.", "Check the partition's id.")                                  \
    X("amqp:resource-deleted", FATAL, ENOTFOUND, false, 30 * TMK_SEC, "The hub was deleted.",      \
      "Create it again, and clear the checkpoints of the old one.")                                \
    X("com.microsoft:entity-disabled", FATAL, EREMOTE, false, 30 * TMK_SEC,                        \
      "The hub is disabled.", "Enable it in the portal.")                                          \
    X("com.microsoft:entity-updated", LINK, EREMOTE, true, 0, "The hub's settings were changed.",  \
      "Nothing; the link is attached again.")                                                      \
    X("amqp:resource-locked", FATAL, EREMOTE, false, 10 * TMK_SEC,                                 \
      "Somebody else holds the entity.", "Find out who uses it exclusively.")                      \
    X("com.microsoft:georeplication:invalid-offset", POSITION, EPOSITION, false, 0,                \
      "The offset is from before the namespace was geo-replicated.",                               \
      "Choose in the position policy where to go on.")                                             \
    X("com.microsoft:argument-error (attach)", POSITION, EPOSITION, false, 0,                      \
      "The position lies beyond the end: the hub was probably deleted and made again.",            \
      "Choose in the position policy where to go on, or delete the checkpoint.")                   \
    X("com.microsoft:argument-error", FATAL, EINVAL, false, 0, "An argument is wrong.",            \
      "See the text for which.")                                                                   \
    X("amqp:not-allowed", FATAL, EINVAL, false, 10 * TMK_SEC,                                      \
      "The service does not allow this: see the text.", "Check the settings the text names.")      \
    X("amqp:not-allowed (call)", TOKEN, EAUTH, false, 0,                                           \
      "The token in the request has ended or does not allow this.",                                \
      "Give the identity a role on the hub, not only on a consumer group.")                        \
    X("amqp:link:message-size-exceeded", FATAL, ELIMIT, false, 0,                                  \
      "The event or batch is larger than the hub takes.", "Send less at once.")                    \
    X("amqp:not-implemented", FATAL, EUNSUPPORTED, false, 0, "The service cannot do this.",        \
      "Check tier and region of the namespace.")                                                   \
    X("amqp:link:redirect", FATAL, EUNSUPPORTED, false, 0, "The service points elsewhere.",        \
      "Use the connection string of the endpoint it names.")                                       \
    X("amqp:connection:redirect", FATAL, EUNSUPPORTED, false, 0, "The service points elsewhere.",  \
      "Use the connection string of the endpoint it names.")                                       \
    X("amqp:invalid-field", FATAL, EPROTO, false, 0, "The service did not understand a request.",  \
      "Check names for odd characters; else report it as a bug.")                                  \
    X("amqp:decode-error", FATAL, EPROTO, false, 0, "The service did not understand a request.",   \
      "Report it as a bug of this library.")                                                       \
    X("amqp:precondition-failed", FATAL, EREMOTE, false, 0, "A condition does not hold.",          \
      "See the text for which.")                                                                   \
    X("com.microsoft:precondition-failed", FATAL, EREMOTE, false, 0, "A condition does not hold.", \
      "See the text for which.")                                                                   \
    X("amqp:illegal-state", FATAL, EPROTO, false, 0, "The two sides do not agree on the state.",   \
      "Report it as a bug of this library.")                                                       \
    X("amqp:frame-size-too-small", FATAL, EPROTO, false, 0, "A frame was too large.",              \
      "Report it as a bug of this library.")                                                       \
    X("com.microsoft:out-of-order-sequence", FATAL, ESTATE, false, 0,                              \
      "The numbers of an idempotent producer have a gap.", "Start the producer anew.")             \
    X("com.microsoft:store-lock-lost", LINK, EREMOTE, true, 0,                                     \
      "The service moved the partition inside.", "Nothing; the link is attached again.")           \
    X("com.microsoft:message-wait-timeout", FATAL, ETIMEOUT, false, 0, "No message came in time.", \
      "Nothing.")                                                                                  \
    X("com.microsoft:entity-already-exists", FATAL, EREMOTE, false, 0, "It exists already.",       \
      "Choose another name.")                                                                      \
    X("com.microsoft:no-matching-subscription", FATAL, EREMOTE, false, 0,                          \
      "An error of Service Bus, not of Event Hubs.", "Check what the endpoint is.")                \
    X("com.microsoft:message-lock-lost", FATAL, EREMOTE, false, 0,                                 \
      "An error of Service Bus, not of Event Hubs.", "Check what the endpoint is.")                \
    X("com.microsoft:session-lock-lost", FATAL, EREMOTE, false, 0,                                 \
      "An error of Service Bus, not of Event Hubs.", "Check what the endpoint is.")                \
    X("com.microsoft:session-cannot-be-locked", FATAL, EREMOTE, false, 0,                          \
      "An error of Service Bus, not of Event Hubs.", "Check what the endpoint is.")                \
    X("com.microsoft:message-not-found", FATAL, EREMOTE, false, 0,                                 \
      "An error of Service Bus, not of Event Hubs.", "Check what the endpoint is.")                \
    X("com.microsoft:session-not-found", FATAL, EREMOTE, false, 0,                                 \
      "An error of Service Bus, not of Event Hubs.", "Check what the endpoint is.")                \
    X("com.microsoft:address-already-in-use", FATAL, EREMOTE, false, 0,                            \
      "An error of Azure Relay, not of Event Hubs.", "Check what the endpoint is.")                \
    X("com.microsoft:relay-not-found", FATAL, EREMOTE, false, 0,                                   \
      "An error of Azure Relay, not of Event Hubs.", "Check what the endpoint is.")                \
    X("", CONNECTION, EREMOTE, true, 0, "The service gave a reason that is not known here.",       \
      "See the text; nothing unless it lasts.")

typedef struct tmk_condition {
    const char *name;
    tmk_reaction reaction; /* see tmk_condition_judge() for what the place makes of it */
    tmk_status status;
    bool retryable;
    tmk_time wait;
    const char *means, *todo;
} tmk_condition;

/* The whole table; the last row is the one for all that is not listed. */
const tmk_condition *tmk_condition_table(size_t *count);

typedef struct tmk_judgement {
    const tmk_condition *condition; /* never NULL */
    tmk_reaction reaction;          /* at this place: what is gone already must be made anew */
    tmk_time wait;
} tmk_judgement;

/*
 * Judges what was found: the condition's name and description, NULL for none.
 * Fills *out (NULL is fine) with the status, the condition as origin, and the
 * description, or else what it means.
 */
tmk_judgement tmk_condition_judge(tmk_condition_at at, const char *name, const char *description,
                                  tmk_error *out);

/* The condition that a status code of $cbs or $management stands for; NULL: 2xx, which is none;
 * "": no known one. */
const char *tmk_condition_of_code(int64_t code);

/* "retry", "new link" ... for logs, metrics and people. */
const char *tmk_reaction_name(tmk_reaction reaction);

#endif
