/* Big-endian numbers into bytes that are there. */
#ifndef TMK_HUB_BYTES_H
#define TMK_HUB_BYTES_H

#include <stdint.h>
#include <string.h>

static inline void tmk_hub_store32(void *at, uint32_t v) {
    v = __builtin_bswap32(v);
    memcpy(at, &v, sizeof v);
}

static inline void tmk_hub_store64(void *at, uint64_t v) {
    v = __builtin_bswap64(v);
    memcpy(at, &v, sizeof v);
}

static inline uint32_t tmk_hub_load32(const void *at) {
    uint32_t v;

    memcpy(&v, at, sizeof v);
    return __builtin_bswap32(v);
}

static inline uint64_t tmk_hub_load64(const void *at) {
    uint64_t v;

    memcpy(&v, at, sizeof v);
    return __builtin_bswap64(v);
}

#endif
