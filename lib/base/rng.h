/* Seeded randomness (xoshiro256**): the same seed, the same row of numbers. Not for secrets. */
#ifndef TMK_BASE_RNG_H
#define TMK_BASE_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tmk_rng {
    uint64_t s[4];
} tmk_rng;

void tmk_rng_seed(tmk_rng *r, uint64_t seed);
void tmk_rng_seed_system(tmk_rng *r); /* from the OS */
uint64_t tmk_rng_next(tmk_rng *r);
uint64_t tmk_rng_below(tmk_rng *r, uint64_t bound);             /* bound > 0; unbiased */
int64_t tmk_rng_between(tmk_rng *r, int64_t low, int64_t high); /* both included */
double tmk_rng_unit(tmk_rng *r);                                /* [0, 1) */
bool tmk_rng_chance(tmk_rng *r, double probability);
void tmk_rng_bytes(tmk_rng *r, void *out, size_t size);
void tmk_rng_uuid(tmk_rng *r, char out[37]); /* version 4, lower case */

#endif
