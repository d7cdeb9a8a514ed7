/* Member records as text; tokens. */
#include "core/member_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/slice.h"
#include "core/mutants.h"

static const struct {
    tmk_fleet_state state;
    const char *word;
} words[] = {{TMK_FLEET_STARTING, "starting"},
             {TMK_FLEET_PROBATION, "probation"},
             {TMK_FLEET_MEMBER, "member"},
             {TMK_FLEET_LEAVING, "leaving"}};

static const char *word_of(tmk_fleet_state state) {
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (words[i].state == state) {
            return words[i].word;
        }
    }
    return "gone";
}

static tmk_fleet_state state_of(tmk_slice word) {
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (tmk_slice_eq(word, tmk_slice_str(words[i].word))) {
            return words[i].state;
        }
    }
    return TMK_FLEET_GONE;
}

void tmk_member_text_write(const tmk_member_text *text, char out[TMK_MEMBER_TEXT_ROOM]) {
    (void)snprintf(out, TMK_MEMBER_TEXT_ROOM,
                   "tidemark=1 state=%s weight=%" PRIu32 " most=%" PRIu32 " load=%" PRIu32
                   " view=%016" PRIx64 " host=%s",
                   word_of(text->state), text->weight, text->most, text->load, text->view,
                   text->host);
    if (text->weighted) {
        size_t size = strlen(out);

        (void)snprintf(
            out + size, TMK_MEMBER_TEXT_ROOM - size, " weighted=1 pair=%016" PRIx64 "%s%s",
            text->pair,
            text->loads == NULL ? "" : " loads=", text->loads == NULL ? "" : text->loads);
    }
}

static uint32_t number_of(tmk_slice digits, uint32_t most) {
    uint64_t number = 0;

    if (!tmk_slice_uint64(digits, &number)) {
        return 0;
    }
    return number > most ? most : (uint32_t)number;
}

static uint64_t hex_of(tmk_slice digits) {
    uint64_t number = 0;

    for (size_t i = 0; i < digits.size && i < 16; i++) {
        uint8_t c = digits.bytes[i];

        if (c >= '0' && c <= '9') {
            number = number << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            number = number << 4 | (uint64_t)(c - 'a' + 10);
        } else {
            return 0;
        }
    }
    return number;
}

static void copy_host(tmk_slice value, char *host) {
    size_t size = value.size > TMK_FLEET_NAME_MAX ? TMK_FLEET_NAME_MAX : value.size;

    for (size_t i = 0; i < size; i++) {
        host[i] = value.bytes[i] > ' ' && value.bytes[i] < 0x7f ? (char)value.bytes[i] : '?';
    }
    host[size] = '\0';
}

void tmk_member_text_read(const char *body, tmk_member_text *out) {
    tmk_slice rest = tmk_slice_str(body);
    bool found = true;

    memset(out, 0, sizeof *out);
    out->state = TMK_FLEET_GONE;
    while (found) {
        tmk_slice value = tmk_slice_cut(&rest, ' ', &found);
        bool has_value = false;
        tmk_slice key = tmk_slice_cut(&value, '=', &has_value);

        if (!has_value) {
            continue;
        }
        if (tmk_slice_eq(key, TMK_LIT("state"))) {
            out->state = state_of(value);
        } else if (tmk_slice_eq(key, TMK_LIT("weight"))) {
            out->weight = number_of(value, TMK_FLEET_WEIGHT_MAX);
        } else if (tmk_slice_eq(key, TMK_LIT("most"))) {
            out->most = number_of(value, UINT32_MAX);
        } else if (tmk_slice_eq(key, TMK_LIT("load"))) {
            out->load = number_of(value, 1000);
        } else if (tmk_slice_eq(key, TMK_LIT("view"))) {
            out->view = hex_of(value);
        } else if (tmk_slice_eq(key, TMK_LIT("weighted"))) {
            out->weighted = tmk_slice_eq(value, TMK_LIT("1"));
        } else if (tmk_slice_eq(key, TMK_LIT("pair"))) {
            out->pair = hex_of(value);
        } else if (tmk_slice_eq(key, TMK_LIT("host"))) {
            copy_host(value, out->host);
        }
    }
}

tmk_slice tmk_member_text_loads(const char *body) {
    tmk_slice rest = tmk_slice_str(body);
    bool found = true;

    while (found) {
        tmk_slice value = tmk_slice_cut(&rest, ' ', &found);
        bool has_value = false;
        tmk_slice key = tmk_slice_cut(&value, '=', &has_value);

        if (has_value && tmk_slice_eq(key, TMK_LIT("loads"))) {
            return value;
        }
    }
    return (tmk_slice){NULL, 0};
}

uint64_t tmk_stir(uint64_t x) {
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t tmk_hash_text(uint64_t h, const char *text) {
    do {
        h = (h ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    } while (*text++ != '\0');
    return h;
}

void tmk_member_token(const char *id, const char *partition, int64_t generation, char out[37]) {
    uint64_t low = tmk_hash_text(tmk_hash_text(TMK_HASH_START, id), partition);
    uint64_t high = tmk_hash_text(tmk_hash_text(~TMK_HASH_START, partition), id);

    if (TMK_MUTANT(TOKEN_FOR_EVER)) {
        generation = 0;
    }
    low = tmk_stir(low ^ tmk_stir((uint64_t)generation));
    high = tmk_stir(high + (uint64_t)generation);
    (void)snprintf(out, 37, "%08x-%04x-8%03x-%04x-%012" PRIx64, (unsigned)(high >> 32),
                   (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xfff),
                   (unsigned)(0x8000 | (low >> 48 & 0x3fff)), low & UINT64_C(0xffffffffffff));
}
