/*
 * The frame gate: stands between the byte stream and Proton and sees every
 * frame in both directions.
 *
 * Outgoing: adds what Proton cannot write: desired capabilities of a link
 * (ask()), and the message format of batches.
 *
 * Incoming: lets nothing through that is not plain AMQP between a client that
 * opened every session and link itself and a server that answers. Proton 0.37
 * aborts, reads past buffers, grows without bound or falls silent on some
 * frames (the table in docs/internals/gate.md names them all); none of these
 * reaches it. Frames for what we have closed already are swallowed.
 *
 * Pure: no I/O, no clock. Not for several threads: belongs to its connection.
 *
 * What the user of Proton must keep to:
 *   - one receiving link a session (frames may be swallowed, and Proton counts
 *     deliveries by session);
 *   - no more sessions than tmk_gate_channel_max() allows: Proton would fall
 *     silent;
 *   - of a session that we have ended only its end is heard; if we end it before
 *     the server answered our begin, not even that. Of a link that we detach
 *     before the server answered our attach nothing is heard. So free them
 *     without waiting, and do not touch what was freed when an event names it;
 *   - pn_transport_set_max_frame() with frame_max.
 *
 * Transfers of links with a data lane (lane.h) do not reach Proton at all.
 */
#ifndef TMK_AMQP_GATE_H
#define TMK_AMQP_GATE_H

#include "amqp/lane.h"
#include "amqp/wire.h"

/* A delivery whose tag begins with this byte is sent with the message format of a batch. */
#define TMK_GATE_BATCH_TAG 'B'
#define TMK_GATE_BATCH_FORMAT UINT32_C(0x80013700)

typedef struct tmk_gate tmk_gate;

typedef struct tmk_gate_options {
    bool sasl;            /* we begin with a SASL exchange */
    uint32_t frame_max;   /* what we tell the server; 65536 */
    uint64_t message_max; /* larger incoming messages end the connection */
} tmk_gate_options;

tmk_status tmk_gate_new(const tmk_gate_options *opts, tmk_gate **out, tmk_error *err);
tmk_gate *tmk_gate_free(tmk_gate *g);

/*
 * Before the link of this name is opened: capabilities to desire of the server, and, for a
 * receiver that will be alone in its session, its data lane (NULL: none). Names are unique.
 */
tmk_status tmk_gate_ask(tmk_gate *g, tmk_slice link_name, const tmk_slice *capabilities,
                        size_t count, tmk_data_lane *lane, tmk_error *err);

/*
 * From the server to Proton. `bytes` is what was received and not taken yet;
 * call again until it says AGAIN. *taken: so many of them are done with. *pass:
 * what to give to Proton before the next call; empty, or within `bytes`, or the
 * gate's own until the next call.
 *
 * The gate takes whole frames only: keep the rest, and have room for frame_max
 * bytes. AGAIN: no whole frame is there. EPROTO: the server broke the rules;
 * ENOMEM. After a failure every call fails.
 */
tmk_status tmk_gate_in(tmk_gate *g, tmk_slice bytes, size_t *taken, tmk_slice *pass,
                       tmk_error *err);

/*
 * From Proton to the server. `bytes` is what Proton wants to send now; call
 * again with what it then wants until both *taken and *send are empty. First
 * write *send, then tell Proton that *taken bytes are written. *send is within
 * `bytes`, or the gate's own until the next call.
 */
tmk_status tmk_gate_out(tmk_gate *g, tmk_slice bytes, size_t *taken, tmk_slice *send,
                        tmk_error *err);

/* ---- what the server said ---- */

/* Whether it offered (desired) this capability when it answered our attach. */
bool tmk_gate_is_offered(const tmk_gate *g, tmk_slice link_name, const char *capability);
bool tmk_gate_is_desired(const tmk_gate *g, tmk_slice link_name, const char *capability);
/* The message format of the newest delivery on a link; 0 where there is none. */
uint32_t tmk_gate_format(const tmk_gate *g, tmk_slice link_name);
/* The highest channel number that both sides allow; sessions are one more. */
uint16_t tmk_gate_channel_max(const tmk_gate *g);

#endif
