/*
 * Asks the store and brings the answers to the control thread.
 *
 * A store answers on whichever thread it likes, and its result lives only
 * during the answer: here it is copied, in one piece, and posted to the loop.
 *
 * Threads: the loop's; answers of the store come from any.
 */
#ifndef TMK_RUN_ASKER_H
#define TMK_RUN_ASKER_H

#include <tidemark/store.h>

#include "net/loop.h"

typedef struct tmk_asker tmk_asker;

typedef void (*tmk_asker_fn)(void *user, uint64_t ticket, const tmk_store_result *result);

/* `answered` comes on the loop's thread, once for each submit. */
tmk_status tmk_asker_new(tmk_loop *loop, tmk_store store, tmk_asker_fn answered, void *user,
                         tmk_asker **out, tmk_error *err);
/*
 * No answer comes any more. Frees it when the store has answered what is under
 * way, now or later; then idle(user) is called, once, on the loop's thread. The
 * loop must live until then.
 */
void tmk_asker_close(tmk_asker *a, void (*idle)(void *user));

/* Never answers before it returns. For lack of memory there may be no answer: whoever asks has a
 * deadline of its own. */
void tmk_asker_submit(tmk_asker *a, uint64_t ticket, const tmk_store_op *op);

#endif
