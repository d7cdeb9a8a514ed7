/*
 * The inside of tidemark/batch.h, for the producer.
 *
 * A batch is a message of the format 0x80013700 whose data sections are whole
 * encoded events. The service splits it again.
 */
#ifndef TMK_EVENTHUBS_BATCH_H
#define TMK_EVENTHUBS_BATCH_H

#include <tidemark/batch.h>

#include "amqp/compose.h"

#define TMK_BATCH_FORMAT UINT32_C(0x80013700)

tmk_slice tmk_batch_encoded(const tmk_batch *b); /* the whole message; until the batch changes */
tmk_slice tmk_batch_key(const tmk_batch *b);     /* empty: none */

#endif
