/*
 * A link that delivers the events of one partition and heals itself: a rider of
 * the core with a position. The inside of source_amqp.h.
 */
#ifndef TMK_EVENTHUBS_LINK_H
#define TMK_EVENTHUBS_LINK_H

#include "eventhubs/position.h"
#include "eventhubs/source_amqp.h"

typedef struct tmk_source_amqp {
    tmk_core *core;
    char *group, *name;
    bool track_last;
    uint64_t message_max;
    tmk_burst_pool *pool;
    tmk_list links; /* all that exist, closing ones too */
    tmk_list asks;  /* questions under way */
} tmk_source_amqp;

struct tmk_link {
    tmk_rider rider;
    tmk_list node;
    tmk_source_amqp *source;
    const tmk_link_events *events;
    void *user;
    int64_t owner_level;
    tmk_position position;
    tmk_amqp_link *amqp; /* NULL: not attached and not attaching */
    tmk_burst *burst;    /* being filled, or NULL */
    size_t tail;         /* bytes of an unfinished message behind it */
    uint32_t allowed;    /* events that the owner lets come and that have not come */
    int64_t missing;     /* in the burst under way */
    unsigned holds;      /* callers that go on after a callback */
    bool over, freed;
    bool closing; /* the connection holds it until the service has agreed */
    bool opened, up;
    bool seen_facts; /* `facts` are of a look since the link stands */
    tmk_partition_facts facts;
    void (*closed)(void *user);
    tmk_task task; /* closed without a link: told from the loop */
};

tmk_link *tmk_link_open(tmk_source_amqp *s, const char *partition, int64_t owner_level,
                        const tmk_start *start, const tmk_link_events *events, void *user);
void tmk_link_credit(tmk_link *l, uint32_t count);
void tmk_link_close(tmk_link *l, void (*closed)(void *user));
void tmk_link_drop(tmk_link *l); /* at once, without a word */

#endif
