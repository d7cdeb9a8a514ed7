/* Big-endian numbers in bytes, as AMQP has them. The caller has checked that they are there. */
#ifndef TMK_AMQP_BYTES_H
#define TMK_AMQP_BYTES_H

#include <stdint.h>
#include <string.h>

static inline uint16_t tmk_load16(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t tmk_load32(const uint8_t *at) {
    uint32_t v;

    memcpy(&v, at, sizeof v);
    return __builtin_bswap32(v);
}

static inline uint64_t tmk_load64(const uint8_t *at) {
    uint64_t v;

    memcpy(&v, at, sizeof v);
    return __builtin_bswap64(v);
}

static inline void tmk_store16(void *at, uint16_t v) {
    v = __builtin_bswap16(v);
    memcpy(at, &v, sizeof v);
}

static inline void tmk_store32(void *at, uint32_t v) {
    v = __builtin_bswap32(v);
    memcpy(at, &v, sizeof v);
}

static inline void tmk_store64(void *at, uint64_t v) {
    v = __builtin_bswap64(v);
    memcpy(at, &v, sizeof v);
}

#endif
