/* xoshiro256**, seeded through splitmix64 so that near seeds give far rows. */
#include "base/rng.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/assert.h"

static uint64_t splitmix(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void tmk_rng_seed(tmk_rng *r, uint64_t seed) {
    for (size_t i = 0; i < 4; i++) {
        r->s[i] = splitmix(&seed);
    }
}

void tmk_rng_seed_system(tmk_rng *r) {
    uint64_t seed = 0;

    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) {
        struct timespec now = {0};

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        seed = (uint64_t)now.tv_sec * UINT64_C(1000000007) ^ (uint64_t)now.tv_nsec ^ (uintptr_t)r;
    }
    tmk_rng_seed(r, seed);
}

static uint64_t rotate(uint64_t x, int by) {
    return x << by | x >> (64 - by);
}

uint64_t tmk_rng_next(tmk_rng *r) {
    uint64_t *s = r->s;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t tmk_rng_below(tmk_rng *r, uint64_t bound) {
    uint64_t uneven = 0;
    uint64_t x = 0;

    tmk_assert(bound > 0);
    uneven = (0 - bound) % bound; /* 2^64 mod bound: that many numbers are one too often there */
    do {
        x = tmk_rng_next(r);
    } while (x < uneven);
    return x % bound;
}

int64_t tmk_rng_between(tmk_rng *r, int64_t low, int64_t high) {
    uint64_t span = (uint64_t)high - (uint64_t)low + 1;

    tmk_assert(low <= high);
    return (int64_t)((uint64_t)low + (span == 0 ? tmk_rng_next(r) : tmk_rng_below(r, span)));
}

double tmk_rng_unit(tmk_rng *r) {
    return (double)(tmk_rng_next(r) >> 11) * 0x1.0p-53;
}

bool tmk_rng_chance(tmk_rng *r, double probability) {
    return tmk_rng_unit(r) < probability;
}

void tmk_rng_bytes(tmk_rng *r, void *out, size_t size) {
    uint8_t *to = out;

    while (size > 0) {
        uint64_t x = tmk_rng_next(r);
        size_t part = size < sizeof x ? size : sizeof x;

        memcpy(to, &x, part);
        to += part;
        size -= part;
    }
}

void tmk_rng_uuid(tmk_rng *r, char out[37]) {
    uint64_t a = tmk_rng_next(r);
    uint64_t b = tmk_rng_next(r);

    (void)snprintf(out, 37, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(a >> 32),
                   (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xfff),
                   (unsigned)(0x8000 | (b >> 48 & 0x3fff)),
                   (unsigned long long)(b & UINT64_C(0xffffffffffff)));
}
