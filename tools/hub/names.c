/* See names.h. */
#include "hub/names.h"

/* ---- addresses ---- */

/* Without "scheme://authority" and the slashes that follow. */
static tmk_slice path_of(tmk_slice address) {
    tmk_slice rest = address;
    bool found = false;

    for (size_t i = 0; i + 2 < rest.size && rest.bytes[i] != '/'; i++) {
        if (memcmp(rest.bytes + i, "://", 3) == 0) {
            rest = tmk_slice_from(rest, i + 3);
            (void)tmk_slice_cut(&rest, '/', &found);
            break;
        }
    }
    while (rest.size > 0 && rest.bytes[0] == '/') {
        rest = tmk_slice_from(rest, 1);
    }
    return rest;
}

static bool is(tmk_slice s, const char *word) {
    return tmk_slice_eq_nocase(s, tmk_slice_str(word));
}

static tmk_hub_place_kind kind_of(tmk_hub_place *p, tmk_slice part[6], size_t count) {
    if (count == 1 && part[0].size == 0) {
        return TMK_HUB_PLACE_NONE;
    }
    if (count == 1 && is(part[0], "$cbs")) {
        return TMK_HUB_PLACE_CBS;
    }
    if (count == 1 && is(part[0], "$management")) {
        return TMK_HUB_PLACE_MANAGEMENT;
    }
    p->hub = part[0];
    if (count == 1) {
        return TMK_HUB_PLACE_HUB;
    }
    if (count == 2 && is(part[1], "$management")) {
        return TMK_HUB_PLACE_MANAGEMENT;
    }
    if (count == 3 && is(part[1], "partitions")) {
        p->partition = part[2];
        return TMK_HUB_PLACE_PARTITION;
    }
    if (count == 3 && is(part[1], "publishers")) {
        p->publisher = part[2];
        return TMK_HUB_PLACE_PUBLISHER;
    }
    if (count == 5 && is(part[1], "consumergroups") && is(part[3], "partitions")) {
        p->group = part[2];
        p->partition = part[4];
        return TMK_HUB_PLACE_READER;
    }
    return TMK_HUB_PLACE_OTHER;
}

tmk_hub_place tmk_hub_place_parse(tmk_slice address) {
    tmk_hub_place p = {.path = path_of(address)};
    tmk_slice part[6] = {{0}};
    tmk_slice rest = p.path;
    size_t count = 0;
    bool more = true;

    while (more && count < 6) {
        part[count++] = tmk_slice_cut(&rest, '/', &more);
    }
    p.kind = kind_of(&p, part, count);
    return p;
}

/* ---- start positions ---- */

static bool take_prefix(tmk_slice *s, const char *prefix) {
    tmk_slice p = tmk_slice_str(prefix);

    if (s->size < p.size || !tmk_slice_eq_nocase(tmk_slice_of(s->bytes, p.size), p)) {
        return false;
    }
    *s = tmk_slice_from(*s, p.size);
    return true;
}

/* The value: in quotes, or bare. */
static bool take_value(tmk_slice s, tmk_slice *out) {
    tmk_slice v = tmk_slice_trim(s);

    if (v.size > 0 && v.bytes[0] == '\'') {
        if (v.size < 2 || v.bytes[v.size - 1] != '\'') {
            return false;
        }
        v = tmk_slice_of(v.bytes + 1, v.size - 2);
    }
    if (v.size == 0 || memchr(v.bytes, '\'', v.size) != NULL) {
        return false;
    }
    *out = v;
    return true;
}

static bool start_of_offset(tmk_slice value, tmk_hub_from *out) {
    if (is(value, "-1")) {
        out->kind = TMK_HUB_FROM_EARLIEST;
    } else if (is(value, "@latest")) {
        out->kind = TMK_HUB_FROM_LATEST;
    } else {
        out->kind = TMK_HUB_FROM_OFFSET;
        out->offset = value;
    }
    return true;
}

bool tmk_hub_from_parse(tmk_slice selector, tmk_hub_from *out) {
    tmk_hub_from start = {TMK_HUB_FROM_EARLIEST, false, 0, {0}};
    tmk_slice rest = tmk_slice_trim(selector);
    tmk_slice value = {0};
    tmk_hub_from_kind kind;
    bool ok;

    if (!take_prefix(&rest, "amqp.annotation.")) {
        return false;
    }
    if (take_prefix(&rest, "x-opt-offset")) {
        kind = TMK_HUB_FROM_OFFSET;
    } else if (take_prefix(&rest, "x-opt-sequence-number")) {
        kind = TMK_HUB_FROM_SEQUENCE;
    } else if (take_prefix(&rest, "x-opt-enqueued-time")) {
        kind = TMK_HUB_FROM_TIME;
    } else {
        return false;
    }
    rest = tmk_slice_trim(rest);
    if (!take_prefix(&rest, ">")) {
        return false;
    }
    start.inclusive = take_prefix(&rest, "=");
    if (!take_value(rest, &value)) {
        return false;
    }
    start.kind = kind;
    ok = kind == TMK_HUB_FROM_OFFSET ? start_of_offset(value, &start)
                                     : tmk_slice_int64(value, &start.number);
    if (ok) {
        *out = start;
    }
    return ok;
}

/* ---- keys: Bob Jenkins' lookup3, as the service is said to use it ---- */

static uint32_t rot(uint32_t x, unsigned k) {
    return (x << k) | (x >> (32 - k));
}

typedef struct jenkins {
    uint32_t a, b, c;
} jenkins;

static void mix(jenkins *j) {
    j->a -= j->c, j->a ^= rot(j->c, 4), j->c += j->b;
    j->b -= j->a, j->b ^= rot(j->a, 6), j->a += j->c;
    j->c -= j->b, j->c ^= rot(j->b, 8), j->b += j->a;
    j->a -= j->c, j->a ^= rot(j->c, 16), j->c += j->b;
    j->b -= j->a, j->b ^= rot(j->a, 19), j->a += j->c;
    j->c -= j->b, j->c ^= rot(j->b, 4), j->b += j->a;
}

static void final(jenkins *j) {
    j->c ^= j->b, j->c -= rot(j->b, 14);
    j->a ^= j->c, j->a -= rot(j->c, 11);
    j->b ^= j->a, j->b -= rot(j->a, 25);
    j->c ^= j->b, j->c -= rot(j->b, 16);
    j->a ^= j->c, j->a -= rot(j->c, 4);
    j->b ^= j->a, j->b -= rot(j->a, 14);
    j->c ^= j->b, j->c -= rot(j->b, 24);
}

static uint32_t word(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void add_block(jenkins *j, const uint8_t *p) {
    j->a += word(p);
    j->b += word(p + 4);
    j->c += word(p + 8);
}

static int16_t hash16(tmk_slice key) {
    uint32_t start = 0xDEADBEEFu + (uint32_t)key.size;
    jenkins j = {start, start, start};
    uint8_t last[12] = {0};
    tmk_slice rest = key;

    while (rest.size > 12) {
        add_block(&j, rest.bytes);
        mix(&j);
        rest = tmk_slice_from(rest, 12);
    }
    if (rest.size > 0) {
        memcpy(last, rest.bytes, rest.size);
        add_block(&j, last);
        final(&j);
    }
    return (int16_t)(uint16_t)((j.c ^ j.b) & 0xFFFFu);
}

uint32_t tmk_hub_key_partition(tmk_slice key, uint32_t count) {
    int h = hash16(key) % (int)count; /* C's remainder has the sign of the dividend */

    return (uint32_t)(h < 0 ? -h : h);
}

/* ---- audiences ---- */

void tmk_hub_audience_add(tmk_str *out, tmk_slice audience) {
    tmk_slice path = path_of(audience);

    while (path.size > 0 && path.bytes[path.size - 1] == '/') {
        path.size--;
    }
    for (size_t i = 0; i < path.size; i++) {
        uint8_t c = path.bytes[i];
        tmk_str_add_char(out, (char)(c >= 'A' && c <= 'Z' ? c + 32 : c));
    }
}

bool tmk_hub_audience_covers(tmk_slice holder, tmk_slice path) {
    if (holder.size == 0) {
        return true;
    }
    return tmk_slice_starts(path, holder) &&
           (path.size == holder.size || path.bytes[holder.size] == '/');
}

bool tmk_hub_name_ok(tmk_slice name) {
    if (name.size == 0 || name.size > 256 || name.bytes[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.bytes[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.') {
            return false;
        }
    }
    return true;
}
