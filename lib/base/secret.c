/*
 * Secrets lie in pages of their own: kept out of core dumps, locked where the
 * limit allows, wiped before they are given back.
 */
#include "base/secret.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/alloc.h"
#include "base/assert.h"

struct tmk_secret {
    atomic_uint references;
    size_t size;
    size_t mapped;
    uint8_t *bytes;
};

void tmk_wipe(void *bytes, size_t size) {
    if (bytes != NULL) {
        OPENSSL_cleanse(bytes, size);
    }
}

static uint8_t *map_pages(size_t size, size_t *mapped) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *pages = NULL;

    if (size > SIZE_MAX - page - 1) {
        return NULL;
    }
    *mapped = (size + 1 + page - 1) / page * page;
    pages = mmap(NULL, *mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        return NULL;
    }
    /* Both are a bonus: a low RLIMIT_MEMLOCK or an old kernel is no reason to fail. */
    (void)madvise(pages, *mapped, MADV_DONTDUMP);
    (void)mlock(pages, *mapped);
    return pages;
}

tmk_secret *tmk_secret_new(tmk_slice bytes) {
    tmk_secret *s = tmk_new(tmk_secret);

    if (s == NULL) {
        return NULL;
    }
    s->bytes = map_pages(bytes.size, &s->mapped);
    if (s->bytes == NULL) {
        tmk_free(s);
        return NULL;
    }
    if (bytes.size > 0) {
        memcpy(s->bytes, bytes.bytes, bytes.size);
    }
    s->size = bytes.size;
    atomic_init(&s->references, 1);
    return s;
}

tmk_secret *tmk_secret_ref(tmk_secret *s) {
    if (s != NULL) {
        tmk_assert(atomic_fetch_add(&s->references, 1) > 0);
    }
    return s;
}

tmk_secret *tmk_secret_free(tmk_secret *s) {
    if (s != NULL && atomic_fetch_sub(&s->references, 1) == 1) {
        tmk_wipe(s->bytes, s->mapped);
        (void)munmap(s->bytes, s->mapped);
        tmk_free(s);
    }
    return NULL;
}

tmk_slice tmk_secret_bytes(const tmk_secret *s) {
    return s == NULL ? tmk_slice_of("", 0) : tmk_slice_of(s->bytes, s->size);
}
