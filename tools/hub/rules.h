/*
 * Faults that stand: rules that the engine asks before it does something.
 *
 * Pure. A rule matches by where (hub, partition, group, role, connection) and
 * by what (for delays and silence), a limited number of times, for a limited
 * time, with a probability. Those that are done at once do not come here.
 */
#ifndef TMK_HUB_RULES_H
#define TMK_HUB_RULES_H

#include "base/list.h"
#include "base/rng.h"
#include "base/time.h"

typedef enum tmk_hub_rule_kind {
    TMK_HUB_RULE_REJECT_SENDS,       /* outcome rejected with `condition` */
    TMK_HUB_RULE_REFUSE_ATTACH,      /* attach answered as in facts 6.10 */
    TMK_HUB_RULE_REFUSE_TOKENS,      /* put-token answered with `status` */
    TMK_HUB_RULE_REFUSE_READS,       /* $management answered with `status` */
    TMK_HUB_RULE_REFUSE_CONNECTIONS, /* accepted and closed at once */
    TMK_HUB_RULE_DELAY,              /* `what` comes `ms` later */
    TMK_HUB_RULE_MUTE,               /* `what` is not answered at all */
    TMK_HUB_RULE_STALL,              /* nothing is delivered */
    TMK_HUB_RULE_REPEAT,             /* the last `events` deliveries come again */
    TMK_HUB_RULE_SKIP,               /* `events` events are left out: a hub that loses */
    TMK_HUB_RULE_FREEZE,             /* sockets stay open, nothing is read or written */
    TMK_HUB_RULE_DRIP,               /* writes are cut into `bytes`, `ms` apart */
    TMK_HUB_RULE_KINDS
} tmk_hub_rule_kind;

typedef enum tmk_hub_role {
    TMK_HUB_ROLE_ANY = 0,
    TMK_HUB_ROLE_RECEIVER, /* a client that receives */
    TMK_HUB_ROLE_SENDER,
    TMK_HUB_ROLE_CBS,
    TMK_HUB_ROLE_MANAGEMENT
} tmk_hub_role;

typedef enum tmk_hub_what {
    TMK_HUB_WHAT_ANY = 0,
    TMK_HUB_WHAT_OPEN,
    TMK_HUB_WHAT_BEGIN,
    TMK_HUB_WHAT_ATTACH,
    TMK_HUB_WHAT_DETACH,
    TMK_HUB_WHAT_CBS,
    TMK_HUB_WHAT_MANAGEMENT,
    TMK_HUB_WHAT_SEND,    /* the outcome of a send */
    TMK_HUB_WHAT_DELIVERY /* events to receivers */
} tmk_hub_what;

/* Where something happens. Empty: nowhere in particular, which only a rule for anywhere matches. */
typedef struct tmk_hub_subject {
    tmk_slice hub, partition, group;
    tmk_hub_role role;
    tmk_hub_what what;
    uint64_t connection;
} tmk_hub_subject;

typedef struct tmk_hub_match {
    char hub[257];
    char partition[12];
    char group[64];
    tmk_hub_role role;
    tmk_hub_what what;
    uint64_t connection; /* 0: any */
} tmk_hub_match;

bool tmk_hub_match_is(const tmk_hub_match *m, const tmk_hub_subject *s);

typedef struct tmk_hub_rule {
    tmk_list node;
    uint64_t id;
    const char *name; /* as in JSON; static */
    tmk_hub_rule_kind kind;
    tmk_hub_match match;
    int64_t left;   /* how often it still fires; -1: no limit */
    tmk_time until; /* TMK_NEVER: no limit */
    double probability;
    char condition[80];
    char text[200];
    int64_t ms, events, bytes, status;
    uint64_t fired;
} tmk_hub_rule;

typedef struct tmk_hub_rules {
    tmk_list items; /* oldest first */
    uint64_t next_id;
    unsigned count[TMK_HUB_RULE_KINDS];
} tmk_hub_rules;

void tmk_hub_rules_init(tmk_hub_rules *r);
void tmk_hub_rules_clear(tmk_hub_rules *r);
/* Copies the rule; its number is *id. */
tmk_status tmk_hub_rules_add(tmk_hub_rules *r, const tmk_hub_rule *rule, uint64_t *id);
bool tmk_hub_rules_remove(tmk_hub_rules *r, uint64_t id); /* false: there is none */
/* Does a rule fire here and now? Counts it, and copies it to *out. */
bool tmk_hub_rules_hit(tmk_hub_rules *r, tmk_hub_rule_kind kind, const tmk_hub_subject *s,
                       tmk_time now, tmk_rng *rng, tmk_hub_rule *out);
/* The same without counting: for what lasts rather than happens. */
bool tmk_hub_rules_holds(const tmk_hub_rules *r, tmk_hub_rule_kind kind, const tmk_hub_subject *s,
                         tmk_time now, tmk_hub_rule *out);
/* Removes what is over; true when something was. */
bool tmk_hub_rules_expire(tmk_hub_rules *r, tmk_time now);
tmk_time tmk_hub_rules_deadline(const tmk_hub_rules *r);

static inline bool tmk_hub_rules_any(const tmk_hub_rules *r, tmk_hub_rule_kind kind) {
    return r->count[kind] > 0;
}

#endif
