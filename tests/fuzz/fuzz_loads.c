/*
 * The table of loads in a member's record, as whoever can write to the store may
 * have left it. Oracles: no partition beyond the known ones; a table that was
 * read is written as one that reads the same; a record with any table fits a
 * store and keeps what else it says.
 */
#include "fuzz/fuzz.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "core/member_text.h"

#include <stdlib.h>
#include <string.h>

enum { PARTITIONS = 40, GUARD = 8 };

static void check_table(tmk_slice text) {
    uint32_t loads[PARTITIONS + GUARD], again[PARTITIONS];
    char table[TMK_LOADS_ROOM];

    for (size_t count = 1; count <= PARTITIONS; count += 13) {
        memset(loads, 0x5a, sizeof loads);
        if (tmk_loads_read(text, loads, count)) {
            for (size_t p = 0; p < count; p++) {
                tmk_assert(loads[p] == TMK_LOAD_NONE || loads[p] <= TMK_LOAD_MAX);
            }
            tmk_assert(tmk_loads_write(loads, count, table));
            tmk_assert(tmk_loads_read(tmk_slice_str(table), again, count));
            tmk_assert(memcmp(loads, again, count * sizeof *again) == 0);
        }
        for (size_t p = count; p < PARTITIONS + GUARD; p++) {
            tmk_assert(loads[p] == 0x5a5a5a5a);
        }
    }
}

static void check_record(const char *body) {
    char text[TMK_MEMBER_TEXT_ROOM], table[TMK_LOADS_ROOM];
    tmk_member_text record, again;
    tmk_slice loads = tmk_member_text_loads(body);

    tmk_member_text_read(body, &record);
    if (loads.bytes != NULL && loads.size < sizeof table) {
        memcpy(table, loads.bytes, loads.size);
        table[loads.size] = '\0';
        record.loads = table;
    }
    tmk_member_text_write(&record, text);
    tmk_assert(strlen(text) <= TMK_STORE_BODY_MAX);
    tmk_member_text_read(text, &again);
    tmk_assert(again.state == record.state && again.view == record.view &&
               again.weighted == record.weighted &&
               (!record.weighted || again.pair == record.pair) &&
               strcmp(again.host, record.host) == 0);
    check_table(loads);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *body = tmk_alloc(size + 1);

    if (body == NULL) {
        return 0;
    }
    memcpy(body, data, size);
    body[size] = '\0';
    check_table(tmk_slice_of(data, size));
    check_record(body);
    tmk_free(body);
    return 0;
}
