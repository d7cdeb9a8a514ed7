/* Partitions: claims, fences, versions, checkpoints. */
#include "contract/suite.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

#define DELETE TMK_STORE_PARTITION_DELETE

static const tmk_store_result *delete_partition(suite *s, const char *id) {
    tmk_store_op op = partition_op(s, DELETE, id, 0, "", NULL);

    return ask(s, 0, &op);
}

/* The version as it is now, copied: records live until the check ends, so a pointer does. */
static const char *version_of(suite *s, const char *id) {
    return seen_partition(s, id)->version;
}

static void a_partition_that_was_never_there_is_absent(suite *s) {
    const tmk_store_result *r = delete_partition(s, "0");

    (void)expect(s, r->status == TMK_OK || r->status == TMK_ABSENT, "deleting nothing: %s",
                 tmk_status_name(r->status));
    (void)expect(s, seen_partition(s, "0")->id[0] == '\0', "a partition nobody made can be read");
    (void)expect(s, listed_partition(s, "0")->id[0] == '\0', "a partition nobody made is listed");
    (void)expect_status(s, TMK_CONFLICT, write_at(s, "0", 1, "", 1, 5), "writing without a claim");
    if (s->c.claims == TMK_CLAIMS_LEASE) {
        (void)expect_status(s, TMK_CONFLICT, pass(s, "0", 1, 2), "passing what is not there");
    }
    (void)expect_status(s, TMK_CONFLICT, claim(s, "0", 1, "old", 1, true),
                        "claiming a record that has gone");
    (void)expect(s, listed_partition(s, "0")->id[0] == '\0', "a refused operation made a record");
}

static void the_first_claim_makes_the_record(suite *s) {
    const tmk_partition_record *p;
    const tmk_store_result *r = claim(s, "0", 1, "", 1, false);

    (void)expect_status(s, TMK_OK, r, "the first claim");
    p = listed_partition(s, "0");
    (void)expect(s, strcmp(p->id, "0") == 0, "it is not listed");
    (void)expect(s, p->held, "it is not listed as held");
    (void)expect(s, strcmp(p->owner, "owner-1") == 0, "its owner is listed as '%s'", p->owner);
    (void)expect(s, p->generation == 1, "its generation is %lld", (long long)p->generation);
    (void)expect(s, !p->checkpoint.present, "it has a checkpoint");
    (void)expect(s, p->version[0] != '\0' && strcmp(p->version, r->version) == 0,
                 "the claim said version '%s', the list says '%s'", r->version, p->version);
    (void)expect(s, strcmp(version_of(s, "0"), r->version) == 0, "read and list differ");
    (void)expect(s, p->age_ms >= 0 && p->age_ms < 60000, "a fresh record is %lld ms old",
                 (long long)p->age_ms);
    (void)expect_status(s, TMK_CONFLICT, claim(s, "0", 2, "", 2, false), "a second first claim");
    (void)expect_status(s, TMK_CONFLICT, claim(s, "0", 2, "", 2, true),
                        "a second first claim that takes over");
    (void)expect(s, strcmp(seen_partition(s, "0")->owner, "owner-1") == 0,
                 "a refused claim changed the owner");
}

static void what_is_held_is_taken_over_only_on_purpose(suite *s) {
    const char *version;

    (void)expect_status(s, TMK_OK, claim(s, "0", 1, "", 1, false), "claiming");
    (void)expect_status(s, TMK_OK, write_at(s, "0", 1, "", 1, 10), "writing");
    version = version_of(s, "0");
    (void)expect_status(s, TMK_CONFLICT, claim(s, "0", 2, version, 2, false),
                        "claiming what another holds");
    (void)expect(s, seen_partition(s, "0")->held && seen_partition(s, "0")->generation == 1,
                 "a refused claim changed the record");
    (void)expect_status(s, TMK_OK, write_at(s, "0", 1, "", 1, 11), "the holder writes on");
    (void)expect_status(s, TMK_CONFLICT, claim(s, "0", 2, version, 2, true),
                        "taking over by a picture that is no longer true");
    (void)expect_status(s, TMK_OK, write_at(s, "0", 1, "", 1, 12), "the holder still writes");
    (void)expect_status(s, TMK_OK, claim(s, "0", 2, version_of(s, "0"), 2, true), "taking over");
    (void)expect(s,
                 strcmp(seen_partition(s, "0")->owner, "owner-2") == 0 &&
                     seen_partition(s, "0")->generation == 2,
                 "the new owner is not in the record");
}

/* A paused or cut-off owner wakes up: nothing it does may be granted. */
static void a_former_holder_is_fenced(suite *s) {
    tmk_partition_record r;
    tmk_store_op op;

    (void)expect_status(s, TMK_OK, claim(s, "0", 1, "", 1, false), "claiming");
    (void)expect_status(s, TMK_OK, write_at(s, "0", 1, "", 1, 10), "writing");
    (void)expect_status(s, TMK_OK, claim(s, "0", 2, version_of(s, "0"), 2, true), "taking over");
    (void)expect_status(s, TMK_CONFLICT, write_at(s, "0", 1, "", 1, 11),
                        "the former holder writes before the new one has");
    (void)expect_status(s, TMK_OK, write_at(s, "0", 2, "", 2, 20), "the new holder writes");
    (void)expect_status(s, TMK_CONFLICT, write_at(s, "0", 1, "", 1, 11),
                        "the former holder writes");
    (void)expect_status(s, TMK_CONFLICT, write_at(s, "0", 1, version_of(s, "0"), 1, 11),
                        "the former holder writes with the newest version");
    (void)expect_status(s, TMK_CONFLICT, release(s, "0", 1), "the former holder releases");
    r = record_of("owner-1", 1, 0, NULL);
    op = partition_op(
        s, s->c.claims == TMK_CLAIMS_SHARED ? TMK_STORE_PARTITION_RENEW : TMK_STORE_PARTITION_WRITE,
        "0", 1, "old", &r);
    (void)expect_status(s, TMK_CONFLICT, ask(s, 0, &op), "the former holder renews");
    if (s->c.claims == TMK_CLAIMS_LEASE) {
        (void)expect_status(s, TMK_CONFLICT, pass(s, "0", 1, 3), "the former holder passes it on");
    }
    (void)expect(s, seen_partition(s, "0")->checkpoint.sequence == 20,
                 "the checkpoint went back to %lld",
                 (long long)seen_partition(s, "0")->checkpoint.sequence);
    (void)expect_status(s, TMK_OK, write_at(s, "0", 2, "", 2, 21), "the new holder writes again");
}

static void versions_guard_writes(suite *s) {
    const tmk_store_result *first, *second;

    (void)expect_status(s, TMK_OK, claim(s, "0", 1, "", 1, false), "claiming");
    first = write_at(s, "0", 1, version_of(s, "0"), 1, 1);
    (void)expect_status(s, TMK_OK, first, "writing with the right version");
    second = write_at(s, "0", 1, first->version, 1, 2);
    (void)expect_status(s, TMK_OK, second, "writing with the version of the write before");
    (void)expect(s, strcmp(first->version, second->version) != 0, "a write kept the version");
    (void)expect(s, strcmp(version_of(s, "0"), second->version) == 0,
                 "the write said version '%s', the record has '%s'", second->version,
                 version_of(s, "0"));
    (void)expect_status(s, TMK_CONFLICT, write_at(s, "0", 1, first->version, 1, 3),
                        "writing with a version that has passed");
    (void)expect(s, seen_partition(s, "0")->checkpoint.sequence == 2, "a refused write was done");
    (void)expect_status(s, TMK_OK, write_at(s, "0", 1, "", 1, 4), "writing without a version");
    (void)expect(s, strcmp(version_of(s, "0"), second->version) != 0,
                 "a write without a version kept it");
    (void)expect_status(s, TMK_OK, write_at(s, "0", 1, "", 1, 4), "writing the same again");
}

static void a_claim_keeps_the_checkpoint(suite *s) {
    tmk_partition_record r = record_of("owner-1", 1, 77, "opaque");
    tmk_store_op op = partition_op(s, TMK_STORE_PARTITION_WRITE, "0", 1, "", &r);
    const tmk_partition_record *p;

    r.checkpoint.done_map = (tmk_slice){(const uint8_t *)"\0map\xff", 5};
    (void)expect_status(s, TMK_OK, claim(s, "0", 1, "", 1, false), "claiming");
    (void)expect_status(s, TMK_OK, ask(s, 0, &op), "writing a checkpoint");
    (void)expect_status(s, TMK_OK, claim(s, "0", 2, version_of(s, "0"), 2, true), "taking over");
    (void)expect_status(s, TMK_OK, release(s, "0", 2), "releasing");
    (void)expect_status(s, TMK_OK, claim(s, "0", 3, version_of(s, "0"), 3, false), "claiming");
    p = seen_partition(s, "0");
    (void)expect(s,
                 p->checkpoint.present && p->checkpoint.sequence_known &&
                     p->checkpoint.sequence == 77 && strcmp(p->checkpoint.offset, "opaque") == 0,
                 "a take-over, a release and a claim changed the checkpoint");
    (void)expect(s,
                 p->checkpoint.done_map.size == 5 &&
                     memcmp(p->checkpoint.done_map.bytes, "\0map\xff", 5) == 0,
                 "they lost the done-map");
}

/* Its answer was lost, so it is made again; or its copy comes late. */
static void a_repeated_claim_changes_nothing(suite *s) {
    (void)expect_status(s, TMK_OK, claim(s, "0", 1, "", 1, false), "claiming");
    (void)expect_status(s, TMK_OK, claim(s, "0", 1, "", 1, false), "claiming again");
    (void)expect_status(s, TMK_OK, write_at(s, "0", 1, "", 1, 10), "writing");
    (void)expect_status(s, TMK_OK, claim(s, "0", 1, "", 1, false), "claiming after a write");
    (void)expect(s,
                 seen_partition(s, "0")->checkpoint.sequence == 10 &&
                     seen_partition(s, "0")->checkpoint.present,
                 "a repeated claim undid the checkpoint");
    (void)expect_status(s, TMK_OK, claim(s, "0", 2, version_of(s, "0"), 2, true), "taking over");
    (void)expect_status(s, TMK_CONFLICT, claim(s, "0", 1, "", 1, true),
                        "a late copy of the first claim");
    (void)expect_status(s, TMK_OK, write_at(s, "0", 2, "", 2, 20), "the holder writes");
}

static void expect_checkpoint(suite *s, bool sequence_known, int64_t sequence, const char *offset) {
    tmk_partition_record r = record_of("owner-1", 1, sequence, offset);
    tmk_store_op op = partition_op(s, TMK_STORE_PARTITION_WRITE, "0", 1, "", &r);
    const tmk_checkpoint *c;

    r.checkpoint.sequence_known = sequence_known;
    (void)expect_status(s, TMK_OK, ask(s, 0, &op), "writing a checkpoint");
    for (int listed = 0; listed < 2; listed++) {
        c = listed ? &listed_partition(s, "0")->checkpoint : &seen_partition(s, "0")->checkpoint;
        (void)expect(s,
                     c->present && c->sequence_known == sequence_known &&
                         (!sequence_known || c->sequence == sequence),
                     "sequence %lld came back as %lld", (long long)sequence,
                     (long long)c->sequence);
        (void)expect(s, strcmp(c->offset, offset) == 0, "offset '%s' came back as '%s'", offset,
                     c->offset);
    }
}

static void checkpoints_come_back_as_they_were(suite *s) {
    char offset[TMK_STORE_OFFSET_MAX + 1];

    memset(offset, '7', sizeof offset - 1);
    offset[sizeof offset - 1] = '\0';
    (void)expect_status(s, TMK_OK, claim(s, "0", 1, "", 1, false), "claiming");
    expect_checkpoint(s, true, -1, "");
    expect_checkpoint(s, true, 0, "0");
    expect_checkpoint(s, true, INT64_MAX, "9223372036854775807");
    expect_checkpoint(s, true, 42, "1:2;<&>\"'%41\\+/={}[]|^`~#?!*,");
    expect_checkpoint(s, false, 0, "only:an:offset");
    expect_checkpoint(s, true, 42, offset);
}

static void done_maps_are_bytes(suite *s) {
    enum { SIZE = 60000 };
    uint8_t *map = tmk_alloc(SIZE);
    tmk_partition_record r = record_of("owner-1", 1, 5, "4096");
    tmk_store_op op = partition_op(s, TMK_STORE_PARTITION_WRITE, "0", 1, "", &r);
    const tmk_partition_record *p;

    if (!expect(s, map != NULL, "no memory for a done-map")) {
        return;
    }
    for (size_t i = 0; i < SIZE; i++) {
        map[i] = (uint8_t)(i * 7 + i / 256);
    }
    (void)expect_status(s, TMK_OK, claim(s, "0", 1, "", 1, false), "claiming");
    for (size_t size = 1; size <= SIZE; size = size * 3 + 255) {
        r.checkpoint.done_map = (tmk_slice){map, size};
        (void)expect_status(s, TMK_OK, ask(s, 0, &op), "writing a done-map");
        p = seen_partition(s, "0");
        (void)expect(s,
                     p->checkpoint.done_map.size == size &&
                         memcmp(p->checkpoint.done_map.bytes, map, size) == 0,
                     "a done-map of %zu bytes came back with %zu, or changed", size,
                     p->checkpoint.done_map.size);
    }
    (void)expect(s, listed_partition(s, "0")->checkpoint.done_map.size == 0,
                 "a list carries done-maps");
    r.checkpoint.done_map.size = 0;
    (void)expect_status(s, TMK_OK, ask(s, 0, &op), "writing without a done-map");
    (void)expect(s, seen_partition(s, "0")->checkpoint.done_map.size == 0,
                 "the done-map before is still there");
    tmk_free(map);
}

static void a_pass_moves_the_claim_and_nothing_else(suite *s) {
    const char *version;

    (void)expect_status(s, TMK_OK, claim(s, "0", 1, "", 1, false), "claiming");
    (void)expect_status(s, TMK_OK, write_at(s, "0", 1, "", 1, 10), "writing");
    version = version_of(s, "0");
    (void)expect_status(s, TMK_CONFLICT, pass(s, "0", 2, 3), "passing what another holds");
    (void)expect_status(s, TMK_OK, pass(s, "0", 1, 2), "passing");
    (void)expect(s, strcmp(version_of(s, "0"), version) == 0, "the pass changed the record");
    (void)expect(s, seen_partition(s, "0")->held, "after the pass nobody holds it");
    (void)expect_status(s, TMK_OK, pass(s, "0", 1, 2), "passing again");
    (void)expect_status(s, TMK_CONFLICT, write_at(s, "0", 1, "", 1, 11),
                        "the former holder writes after the pass");
    (void)expect_status(s, TMK_CONFLICT, pass(s, "0", 1, 3), "the former holder passes elsewhere");
    (void)expect_status(s, TMK_OK, write_at(s, "0", 2, version, 2, 11), "the successor writes");
    (void)expect_status(s, TMK_OK, pass(s, "0", 2, 3), "the successor passes it on");
    (void)expect_status(s, TMK_CONFLICT, pass(s, "0", 1, 2), "a late copy of the first pass");
    (void)expect_status(s, TMK_OK, write_at(s, "0", 3, "", 3, 12), "the third holder writes");
}

/* Whoever was passed a claim has its token on it already: that is no claim that it made. */
static void what_was_passed_is_not_claimed_by_an_older_picture(suite *s) {
    tmk_partition_record r = record_of("owner-1", 2, 10, "4096");
    tmk_store_op op = partition_op(s, TMK_STORE_PARTITION_WRITE, "0", 1, "", &r);
    const char *version;

    (void)expect_status(s, TMK_OK, claim(s, "0", 1, "", 1, false), "claiming");
    version = version_of(s, "0");
    r.successor = "owner-2";
    (void)expect_status(s, TMK_OK, ask(s, 0, &op), "naming a successor");
    (void)expect_status(s, TMK_OK, pass(s, "0", 1, 2), "passing");
    (void)expect_status(s, TMK_CONFLICT, claim(s, "0", 2, "", 2, false),
                        "the successor claims what it thinks is not there");
    (void)expect_status(s, TMK_CONFLICT, claim(s, "0", 2, version, 2, true),
                        "the successor takes over by the picture before");
    (void)expect(s, strcmp(seen_partition(s, "0")->owner, "owner-1") == 0,
                 "a refused claim changed the owner");
    (void)expect_status(s, TMK_OK, write_at(s, "0", 2, version_of(s, "0"), 2, 11),
                        "the successor accepts");
}

static void what_is_released_is_free_and_keeps_its_checkpoint(suite *s) {
    const tmk_partition_record *p;

    (void)expect_status(s, TMK_OK, claim(s, "0", 1, "", 1, false), "claiming");
    (void)expect_status(s, TMK_OK, write_at(s, "0", 1, "", 1, 10), "writing");
    (void)expect_status(s, TMK_CONFLICT, release(s, "0", 2), "another releases");
    (void)expect_status(s, TMK_OK, release(s, "0", 1), "releasing");
    p = listed_partition(s, "0");
    (void)expect(s, !p->held && p->owner[0] == '\0', "it is still held, or owned by '%s'",
                 p->owner);
    (void)expect(s, p->checkpoint.sequence == 10, "the checkpoint has changed");
    (void)expect_status(s, TMK_OK, release(s, "0", 1), "releasing again");
    (void)expect_status(s, TMK_CONFLICT, write_at(s, "0", 1, "", 1, 11), "writing afterwards");
    (void)expect_status(s, TMK_OK, claim(s, "0", 2, version_of(s, "0"), 2, false),
                        "claiming what is free");
    (void)expect_status(s, TMK_CONFLICT, release(s, "0", 1), "a late copy of the release");
    (void)expect(s, seen_partition(s, "0")->held, "the late copy freed it");
}

static void who_renews_keeps_what_it_holds(suite *s) {
    tmk_partition_record r = record_of("owner-1", 1, 0, NULL);
    tmk_store_op op = partition_op(s, TMK_STORE_PARTITION_RENEW, "0", 1, "", &r);
    const tmk_store_result *renewed;

    renewed = claim(s, "0", 1, "", 1, false);
    (void)expect_status(s, TMK_OK, renewed, "claiming");
    (void)expect_status(s, TMK_OK, write_at(s, "0", 1, "", 1, 10), "writing");
    op.version = version_of(s, "0");
    renewed = ask(s, 0, &op);
    (void)expect_status(s, TMK_OK, renewed, "renewing");
    (void)expect(s, strcmp(version_of(s, "0"), renewed->version) == 0,
                 "the renewal said version '%s', the record has '%s'", renewed->version,
                 version_of(s, "0"));
    (void)expect(s, strcmp(op.version, renewed->version) != 0, "a renewal kept the version");
    (void)expect(s, seen_partition(s, "0")->checkpoint.sequence == 10,
                 "a renewal changed the checkpoint");
    (void)expect_status(s, TMK_OK, write_at(s, "0", 1, "", 1, 11), "writing after the renewal");
    (void)expect_status(s, TMK_OK, claim(s, "0", 2, version_of(s, "0"), 2, true), "taking over");
    op.version = renewed->version;
    (void)expect_status(s, TMK_CONFLICT, ask(s, 0, &op), "the former holder renews");
    (void)expect(s, strcmp(seen_partition(s, "0")->owner, "owner-2") == 0, "it got it back");
}

static void what_is_deleted_is_gone(suite *s) {
    const char *version;

    (void)expect_status(s, TMK_OK, claim(s, "0", 1, "", 1, false), "claiming");
    (void)expect_status(s, TMK_OK, claim(s, "1", 1, "", 1, false), "claiming another");
    version = version_of(s, "0");
    (void)expect_status(s, TMK_OK, delete_partition(s, "0"), "deleting what is held");
    (void)expect(s, seen_partition(s, "0")->id[0] == '\0', "it can still be read");
    (void)expect(s, listed_partition(s, "0")->id[0] == '\0', "it is still listed");
    (void)expect(s, listed_partition(s, "1")->held, "the other one went with it");
    (void)expect_status(s, TMK_CONFLICT, write_at(s, "0", 1, "", 1, 11), "its holder writes");
    (void)expect_status(s, TMK_OK, claim(s, "0", 2, "", 1, false), "claiming anew");
    (void)expect_status(s, TMK_CONFLICT, claim(s, "0", 3, version, 2, true),
                        "a version from before the deletion");
}

static void long_lists_are_whole(suite *s) {
    tmk_store_op list = partition_op(s, TMK_STORE_PARTITION_LIST, "", 0, "", NULL);
    char id[16];
    const tmk_store_result *r;
    int64_t sum = 0, expected = 0;

    for (uint32_t i = 0; i < s->c.many; i++) {
        (void)snprintf(id, sizeof id, "%u", i);
        (void)expect_status(s, TMK_OK, claim(s, id, 1, "", (int64_t)i, false), "claiming");
        expected += i;
    }
    r = ask(s, 1, &list);
    (void)expect_status(s, TMK_OK, r, "listing");
    for (size_t i = 0; i < r->partition_count; i++) {
        (void)snprintf(id, sizeof id, "%lld", (long long)r->partitions[i].generation);
        (void)expect(s, strcmp(id, r->partitions[i].id) == 0, "'%s' has the record of '%s'",
                     r->partitions[i].id, id);
        sum += r->partitions[i].generation;
    }
    (void)expect(s, r->partition_count == s->c.many && sum == expected,
                 "of %u partitions %zu are listed", s->c.many, r->partition_count);
}

const suite_check suite_checks_partition[] = {
    {"a partition that was never there is absent", a_partition_that_was_never_there_is_absent, true,
     true},
    {"the first claim makes the record", the_first_claim_makes_the_record, true, true},
    {"what is held is taken over only on purpose", what_is_held_is_taken_over_only_on_purpose, true,
     false},
    {"a former holder is fenced", a_former_holder_is_fenced, true, true},
    {"versions guard writes", versions_guard_writes, true, false},
    {"a claim keeps the checkpoint", a_claim_keeps_the_checkpoint, true, true},
    {"a repeated claim changes nothing", a_repeated_claim_changes_nothing, true, true},
    {"checkpoints come back as they were", checkpoints_come_back_as_they_were, true, true},
    {"done-maps are bytes", done_maps_are_bytes, true, true},
    {"a pass moves the claim and nothing else", a_pass_moves_the_claim_and_nothing_else, true,
     false},
    {"what was passed is not claimed by an older picture",
     what_was_passed_is_not_claimed_by_an_older_picture, true, false},
    {"what is released is free and keeps its checkpoint",
     what_is_released_is_free_and_keeps_its_checkpoint, true, true},
    {"who renews keeps what it holds", who_renews_keeps_what_it_holds, false, true},
    {"what is deleted is gone", what_is_deleted_is_gone, true, true},
    {"long lists are whole", long_lists_are_whole, true, true},
    {NULL, NULL, false, false}};
