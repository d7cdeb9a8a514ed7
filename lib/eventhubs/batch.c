/*
 * Batches are encoded as they are filled: the envelope, then a data section an
 * event. So the size is never an estimate. See batch.h.
 */
#include "eventhubs/batch.h"

#include "amqp/bytes.h"
#include "base/alloc.h"
#include "base/status.h"

struct tmk_batch {
    uint64_t size_max;
    tmk_str key;
    tmk_str encoded;
    size_t envelope_size; /* of the encoded bytes, what stands before the first event */
    size_t count;
};

tmk_status tmk_batch_new(uint64_t size_max, const char *key, tmk_batch **out, tmk_error *err) {
    tmk_batch *b = NULL;
    tmk_slice text = tmk_slice_str(key);
    tmk_status st = tmk_compose_check_key(text, err);

    if (st < 0) {
        goto done;
    }
    b = tmk_new(tmk_batch);
    if (b == NULL) {
        st = tmk_fail(err, TMK_ENOMEM, "batch", "no memory for a batch");
        goto done;
    }
    b->size_max = size_max;
    tmk_str_add_slice(&b->key, text);
    tmk_compose_key(text, &b->encoded);
    b->envelope_size = b->encoded.size;
    if (!tmk_str_ok(&b->key) || !tmk_str_ok(&b->encoded)) {
        st = tmk_fail(err, TMK_ENOMEM, "batch", "no memory for a batch");
        goto done;
    }
    if (b->envelope_size >= size_max) {
        st = tmk_fail(err, TMK_EINVAL, "batch", "no event fits into a batch of %llu bytes",
                      (unsigned long long)size_max);
        goto done;
    }
    *out = b;
    b = NULL;
done:
    (void)tmk_batch_free(b);
    return st;
}

tmk_batch *tmk_batch_free(tmk_batch *b) {
    if (b != NULL) {
        tmk_str_clear(&b->key);
        tmk_str_clear(&b->encoded);
        tmk_free(b);
    }
    return NULL;
}

/* Takes back what was encoded past `size`. */
static void cut(tmk_batch *b, size_t size) {
    b->encoded.size = size;
    b->encoded.failed = false;
    if (b->encoded.text != NULL) {
        b->encoded.text[size] = '\0';
    }
}

void tmk_batch_reset(tmk_batch *b) {
    cut(b, b->envelope_size);
    b->count = 0;
}

static tmk_status check_event_key(const tmk_batch *b, const tmk_message *event, tmk_error *err) {
    tmk_slice key = tmk_message_key(event);

    if (key.size > 0 && !tmk_slice_eq(key, tmk_str_slice(&b->key))) {
        return tmk_fail(err, TMK_EINVAL, "batch",
                        "the event's key is not the batch's: a batch goes to one partition");
    }
    return TMK_OK;
}

/*
 * The event stands from `at` + 8 on, behind room for the longer form of a data
 * section's head. Writes the head, and moves a small event to its shorter one.
 */
static void wrap(tmk_batch *b, size_t at) {
    static const uint8_t data[4] = {0, 0x53, TMK_SECTION_DATA, 0xb0};
    char *head = b->encoded.text + at;
    size_t size = b->encoded.size - at - 8;

    memcpy(head, data, sizeof data);
    if (size > UINT8_MAX) {
        tmk_store32(head + 4, (uint32_t)size);
        return;
    }
    head[3] = (char)0xa0;
    head[4] = (char)size;
    memmove(head + 5, head + 8, size);
    cut(b, b->encoded.size - 3);
}

tmk_status tmk_batch_try_add(tmk_batch *b, const tmk_message *event, tmk_error *err) {
    static const uint8_t head[8];
    size_t before = b->encoded.size, size;
    tmk_status st = check_event_key(b, event, err);

    if (st < 0) {
        return st;
    }
    tmk_str_add_slice(&b->encoded, tmk_slice_of(head, sizeof head));
    st = tmk_message_encode(event, tmk_str_slice(&b->key), &b->encoded, err);
    if (st < 0) {
        cut(b, before);
        return st;
    }
    if (b->encoded.size - before <= UINT32_MAX) {
        wrap(b, before);
    }
    size = b->encoded.size - before;
    if (size <= UINT32_MAX && b->encoded.size <= b->size_max) {
        b->count++;
        return TMK_OK;
    }
    cut(b, before);
    if (size > UINT32_MAX || b->envelope_size + size > b->size_max) {
        return tmk_fail(err, TMK_ELIMIT, "batch",
                        "an event of %zu encoded bytes does not even fit alone into %llu", size,
                        (unsigned long long)b->size_max);
    }
    return TMK_AGAIN;
}

size_t tmk_batch_count(const tmk_batch *b) {
    return b->count;
}

uint64_t tmk_batch_size(const tmk_batch *b) {
    return b->encoded.size;
}

tmk_slice tmk_batch_encoded(const tmk_batch *b) {
    return tmk_str_slice(&b->encoded);
}

tmk_slice tmk_batch_key(const tmk_batch *b) {
    return tmk_str_slice(&b->key);
}
