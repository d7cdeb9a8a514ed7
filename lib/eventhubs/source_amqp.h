/*
 * The source of events (source.h) over a client's AMQP connection.
 *
 * Threads: the client's loop; answers come on it.
 */
#ifndef TMK_EVENTHUBS_SOURCE_AMQP_H
#define TMK_EVENTHUBS_SOURCE_AMQP_H

#include <tidemark/client.h>

#include "eventhubs/core.h"
#include "eventhubs/source.h"

/* The loop that a client's callbacks come from. From any thread. */
tmk_loop *tmk_client_loop(tmk_client *client);
tmk_core *tmk_client_core(tmk_client *client);

/* name: what the service calls its readers in errors; NULL: made up. Texts are copied. */
tmk_status tmk_source_amqp_new(tmk_client *client, const char *group, const char *name,
                               tmk_source *out, tmk_error *err);

typedef struct tmk_source_amqp_options {
    const char *group, *name;
    bool track_last;      /* have each event tell where the partition ends */
    size_t keep_bytes;    /* memory kept for bursts to come; 0: 16 MiB */
    uint64_t message_max; /* a larger event is refused; 0: 32 MiB */
} tmk_source_amqp_options;
tmk_status tmk_source_amqp_make(tmk_core *core, const tmk_source_amqp_options *options,
                                tmk_source *out, tmk_error *err);

/* Ends all links of it at once; nothing is called any more. Bursts that are out stay valid. An
 * empty source is fine. */
void tmk_source_amqp_free(tmk_source source);

#endif
