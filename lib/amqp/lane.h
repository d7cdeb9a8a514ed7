/*
 * The data lane: a receiving link, alone in its session, whose transfers do not
 * go through Proton. Proton opens and closes the session and the link, and is
 * told of all that goes wrong; transfers, flows and dispositions of the session
 * are between the gate and the server. So each number has one owner: Proton
 * grants nothing on such a link, sees no transfer, and counts nothing that could
 * differ.
 *
 *      server --- transfer, flow, disposition ---> gate ---> frame()
 *             <-- flow, disposition -------------- gate <--- grant()
 *             --- begin, attach, detach, end ----> gate ---> Proton, and back
 *
 * Transfers pass the gate's rules like all others, before they get here. What
 * comes unsettled is accepted when its last frame has been handed on; what
 * comes for a link that is closed is counted and dropped.
 *
 * The lane is memory of whoever opens the link. It must be closed before that
 * goes; closing is final, and may be done from inside frame().
 *
 * Pure, as the gate is.
 */
#ifndef TMK_AMQP_LANE_H
#define TMK_AMQP_LANE_H

#include "base/slice.h"

typedef enum tmk_lane_part {
    TMK_LANE_MORE = 0, /* more of this message follows */
    TMK_LANE_LAST,     /* the message is complete */
    TMK_LANE_ABORTED   /* what came of this message is void */
} tmk_lane_part;

/*
 * One frame's worth of a message, from inside tmk_gate_in(): may open and close links and lanes
 * and grant, but neither show the gate bytes nor free it. The bytes end with the call.
 */
typedef void (*tmk_lane_frame_fn)(void *user, tmk_slice payload, tmk_lane_part part);

typedef struct tmk_data_lane {
    tmk_lane_frame_fn frame;
    void *user;
    /* The gate's. */
    struct gate_ask *ask;   /* not attached yet */
    struct gate_link *link; /* attached */
    uint32_t early;         /* granted before it was attached */
} tmk_data_lane;

/* Begun by tmk_gate_ask(). Lets `count` more messages come; told to the server with the next bytes
 * that go out. */
void tmk_lane_grant(tmk_data_lane *lane, uint32_t count);
/* Nothing is handed on any more. One that was never begun is fine. */
void tmk_lane_close(tmk_data_lane *lane);

#endif
