/* Whether and when something that failed is tried again. Pure. */
#ifndef TMK_EVENTHUBS_RESEND_H
#define TMK_EVENTHUBS_RESEND_H

#include <tidemark/client.h>

#include "base/rng.h"
#include "base/time.h"

/* EINVAL names the member that is wrong. */
tmk_status tmk_retry_options_check(const tmk_retry_options *o, tmk_error *err);

/*
 * After `tries` tries, the last of which failed for `why`: true when there is to be another, after
 * *delay. A service that says it is busy gets 4 s more than the options say.
 */
bool tmk_resend_after(const tmk_retry_options *o, uint32_t tries, const tmk_error *why,
                      tmk_rng *rng, tmk_time *delay);

#endif
