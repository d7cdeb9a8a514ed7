/* Retry arithmetic. Pure. */
#include "base/backoff.h"

/* factor^exponent in a few steps, whatever the exponent; may become infinite. */
static double power(double factor, unsigned exponent) {
    double result = 1.0;

    for (double square = factor; exponent > 0; exponent >>= 1, square *= square) {
        if ((exponent & 1U) != 0) {
            result *= square;
        }
    }
    return result;
}

tmk_time tmk_backoff_delay(const tmk_backoff *b, unsigned attempt, tmk_rng *rng) {
    double factor = b->factor > 1.0 ? b->factor : 1.0;
    double jitter = b->jitter > 1.0 ? 1.0 : b->jitter > 0.0 ? b->jitter : 0.0;
    double limit = (double)b->delay_max;
    double delay = (double)b->delay;

    if (attempt > 1 && delay > 0.0) {
        delay *= power(factor, attempt - 1);
    }
    if (delay > limit) {
        delay = limit;
    }
    if (jitter > 0.0) {
        delay *= 1.0 - jitter + 2.0 * jitter * tmk_rng_unit(rng);
    }
    return delay >= limit ? b->delay_max : (tmk_time)delay;
}
