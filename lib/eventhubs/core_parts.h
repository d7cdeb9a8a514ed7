/* The inside of core.h, shared by core.c (connection, token), riders.c and calls.c. */
#ifndef TMK_EVENTHUBS_CORE_PARTS_H
#define TMK_EVENTHUBS_CORE_PARTS_H

#include "amqp/line.h"
#include "auth/token.h"
#include "eventhubs/core.h"

/* One connection with its two request pairs. */
typedef struct tmk_trunk {
    tmk_core *core;
    tmk_amqp *amqp;
    tmk_rpc *cbs, *management; /* NULL until there is something to ask */
    bool gone;                 /* the connection has ended; only the memory is left */
} tmk_trunk;

struct tmk_core {
    tmk_loop *loop;
    tmk_core_options options; /* its texts are owned */
    char *audience;           /* "sb://host/hub": what every token is for */
    tmk_rng rng;
    tmk_client_stats stats; /* written by atomic operations */

    tmk_line line;
    tmk_timer line_timer;
    bool line_busy, line_again;
    tmk_trunk *trunk;   /* the present connection, or NULL */
    tmk_trunk *leaving; /* one that is being closed in good order, or NULL */

    tmk_tokens *tokens;
    tmk_token_call token_call;
    tmk_token token, token_next; /* on the connection; fetched and not put yet */
    tmk_rpc_call put_call;

    tmk_list riders;
    tmk_list *cursor; /* where a walk over the riders goes on */

    tmk_list calls;
    tmk_timer calls_timer;

    bool closing;
    void (*closed)(void *user);
    void *closed_user;
};

bool tmk_core_stands(const tmk_core *c);

bool tmk_riders_want(const tmk_core *c);
void tmk_riders_on_line(tmk_core *c, bool up, const tmk_error *barred);
void tmk_riders_on_token(tmk_core *c, const tmk_error *why);

void tmk_calls_on_timer(tmk_timer *timer);
void tmk_calls_on_line(tmk_core *c, bool up, const tmk_error *barred);
void tmk_calls_run(tmk_core *c);

#endif
