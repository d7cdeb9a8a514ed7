/*
 * The server side of AMQP 1.0 as Event Hubs speaks it: bytes in, bytes out.
 *
 * No sockets, no clock: whoever owns a connection feeds it what was received,
 * sends what it has to say, and steps it at its deadline. Before any call, the
 * time of the turn is put into the server (tmk_hub_server.now and wall_ms).
 *
 *   tmk_hub_conn_input()  ->  frames are handled, answers are in `out`
 *   tmk_hub_conn_pump()   ->  events are added to `out` until it is full
 *   tmk_hub_conn_step()   ->  what is due: heartbeats, expiry, idle ends, delays
 *
 * A connection with something to pump or to send is in server.ready.
 * A protocol error closes that connection and nothing else; memory is bounded
 * whatever a peer does.
 *
 * Threads: one. All connections of a server belong to it.
 */
#ifndef TMK_HUB_ENGINE_H
#define TMK_HUB_ENGINE_H

#include <tidemark/log.h>

#include "hub/core.h"
#include "hub/rules.h"
#include "hub/tokens.h"

enum {
    TMK_HUB_FRAME_MAX = 65536,
    TMK_HUB_OUT_HIGH = 256 << 10, /* events are added up to here */
    TMK_HUB_OUT_MAX = 1 << 20,    /* beyond this nothing is read until the peer has read */
    TMK_HUB_SESSIONS_MAX = 5000,
    TMK_HUB_HANDLE_MAX = 255
};

typedef struct tmk_hub_conn tmk_hub_conn;
typedef struct tmk_hub_session tmk_hub_session;
typedef struct tmk_hub_link tmk_hub_link;

/* How long what may stay idle; as the service has it, shorter in tests. */
typedef struct tmk_hub_idle {
    int64_t no_link_ms;    /* after open, without any link: 60 s */
    int64_t link_ms;       /* without traffic on it: 30 min */
    int64_t connection_ms; /* after its last link: 5 min */
    int64_t announced_ms;  /* idle-time-out in our open: 240 s; twice that ends a silent peer */
} tmk_hub_idle;

typedef struct tmk_hub_stats {
    uint64_t connections, links_attached, links_refused, events_in, events_out, bytes_in, bytes_out,
        sends_rejected, throttled, tokens_put, tokens_refused, faults_fired;
} tmk_hub_stats;

/*
 * What keeps events safe. Absent: they are visible at once. store() copies; what becomes of it is
 * told later by tmk_hub_part_stored() or tmk_hub_part_lost(), for all events up to `end`.
 */
typedef struct tmk_hub_keeper {
    tmk_status (*store)(void *self, tmk_hub_part *p, int64_t first, int64_t end);
    void (*cut)(void *self, tmk_hub_part *p);       /* log.begin has moved */
    void (*restart)(void *self, tmk_hub_entity *e); /* all is forgotten, numbers start at 0 */
    void *self;
} tmk_hub_keeper;

typedef struct tmk_hub_server {
    tmk_hub_core core;
    tmk_hub_keyring keys;
    tmk_hub_rules rules;
    tmk_hub_idle idle;
    tmk_hub_stats stats;
    tmk_hub_keeper keeper;
    tmk_rng rng;
    tmk_log log;
    bool unsettled;
    tmk_time now;    /* of this turn */
    int64_t wall_ms; /* of this turn */
    tmk_list conns;  /* tmk_hub_conn.node */
    tmk_list ready;  /* tmk_hub_conn.ready_node */
    uint64_t next_conn;
    unsigned session_count, sessions_max; /* of all connections */
    uint16_t channel_max;                 /* of a connection */
    uint32_t handle_max;                  /* of a session; TMK_HUB_HANDLE_MAX at most */
    tmk_str scratch;
} tmk_hub_server;

void tmk_hub_server_init(tmk_hub_server *s, uint64_t seed, uint32_t throughput_units, tmk_time now);
void tmk_hub_server_clear(tmk_hub_server *s); /* no connection is left */
/* Wakes the readers that wait for events of this partition. */
void tmk_hub_part_wake(tmk_hub_part *p);
/* All events below `end` are safe: they become visible, their senders get their outcome. */
void tmk_hub_part_stored(tmk_hub_part *p, int64_t end);
/* What is not visible yet is lost; senders are told why. */
void tmk_hub_part_lost(tmk_hub_server *s, tmk_hub_part *p, const tmk_hub_fail *why);
/* Retention on all partitions. */
void tmk_hub_server_retain(tmk_hub_server *s);

/* ---- connections ---- */

/* Takes the next connection from server.ready: pump it and send its output. NULL: none. */
tmk_hub_conn *tmk_hub_server_next(tmk_hub_server *s);

tmk_hub_conn *tmk_hub_conn_new(tmk_hub_server *s, void *owner); /* NULL: out of memory */
tmk_hub_conn *tmk_hub_conn_free(tmk_hub_conn *c);               /* NULL is fine */
void tmk_hub_conn_input(tmk_hub_conn *c, tmk_slice bytes);
void tmk_hub_conn_pump(tmk_hub_conn *c);
void tmk_hub_conn_step(tmk_hub_conn *c);
tmk_time tmk_hub_conn_deadline(const tmk_hub_conn *c);
tmk_slice tmk_hub_conn_output(const tmk_hub_conn *c);
void tmk_hub_conn_sent(tmk_hub_conn *c, size_t size);
bool tmk_hub_conn_has_more(const tmk_hub_conn *c); /* output, or events for it */
void tmk_hub_conn_ready(tmk_hub_conn *c);          /* puts it into server.ready */
bool tmk_hub_conn_reads(const tmk_hub_conn *c);    /* false: do not read before more was sent */
bool tmk_hub_conn_over(const tmk_hub_conn *c);     /* nothing more is to be read or sent: close */
bool tmk_hub_conn_broken(const tmk_hub_conn *c);   /* close at once, whatever is still to be sent */
void tmk_hub_conn_rest(tmk_hub_conn *c);           /* takes it out of server.ready */
void *tmk_hub_conn_owner(const tmk_hub_conn *c);

/* ---- faults that are done at once; each returns how many it met ---- */

unsigned tmk_hub_server_drop(tmk_hub_server *s, const tmk_hub_match *m);
unsigned tmk_hub_server_close(tmk_hub_server *s, const tmk_hub_match *m, const tmk_hub_fail *why);
unsigned tmk_hub_server_end(tmk_hub_server *s, const tmk_hub_match *m, const tmk_hub_fail *why);
unsigned tmk_hub_server_detach(tmk_hub_server *s, const tmk_hub_match *m, const tmk_hub_fail *why,
                               int64_t limit);
unsigned tmk_hub_server_expire(tmk_hub_server *s, const tmk_hub_match *m);
/* Rules have changed: what they held back may go on. */
void tmk_hub_server_recheck(tmk_hub_server *s);

#endif
