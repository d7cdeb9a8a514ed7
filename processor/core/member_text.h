/*
 * What a member says about itself in its record, and the tokens under which it
 * holds things. The text is blank-separated key=value; unknown keys are ignored,
 * so that later versions may say more.
 */
#ifndef TMK_CORE_MEMBER_TEXT_H
#define TMK_CORE_MEMBER_TEXT_H

#include "core/fleet.h"
#include "core/weigh.h"

#define TMK_MEMBER_TEXT_ROOM (TMK_LOADS_ROOM + 450) /* what a store takes is 4096 */

typedef struct tmk_member_text {
    tmk_fleet_state state; /* GONE: the text could not be read */
    uint32_t weight, most, load;
    uint64_t view;     /* of the plan it follows; 0: none yet */
    bool weighted;     /* it asks for balance by load */
    uint64_t pair;     /* of the round in which it gets partitions for their load; 0: none */
    const char *loads; /* to be written: its table; NULL: none. Not read, see below */
    char host[TMK_FLEET_NAME_MAX + 1];
} tmk_member_text;

void tmk_member_text_write(const tmk_member_text *text, char out[TMK_MEMBER_TEXT_ROOM]);
/* Takes any text; whoever can write to the store may have written it. */
void tmk_member_text_read(const char *body, tmk_member_text *out);
/* Its table of loads, for tmk_loads_read(); NULL bytes: it has none. */
tmk_slice tmk_member_text_loads(const char *body);

/*
 * The token under which life `id` holds `partition` in `generation` ("" and 0:
 * its own membership). Known to all, so that an owner can pass a partition on
 * to a successor. Each generation has its own: a pass that was given up and
 * arrives late finds another token, and takes nothing from one who holds the
 * partition again.
 */
void tmk_member_token(const char *id, const char *partition, int64_t generation, char out[37]);

/* A stir of 64 bits: each bit of the outcome depends on each of x. */
uint64_t tmk_stir(uint64_t x);
/* FNV-1a of a text and its NUL, continued from h. */
uint64_t tmk_hash_text(uint64_t h, const char *text);
#define TMK_HASH_START UINT64_C(0xcbf29ce484222325)

#endif
