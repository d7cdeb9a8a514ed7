/* Names and metadata of blobs, our own and those of every other SDK. */
#include "checkpoint/blob_names.h"
#include "checkpoint/blob_record.h"

#include "base/alloc.h"

#include "support/check.h"
#include "support/failing.h"

static tmk_blob_meta meta_of(const char *const pairs[][2], size_t count) {
    tmk_blob_meta m = {TMK_STR_INIT};

    for (size_t i = 0; i < count; i++) {
        tmk_blob_meta_add(&m, tmk_slice_str(pairs[i][0]), tmk_slice_str(pairs[i][1]));
    }
    return m;
}

/* ---- names ---- */

static void names_are_those_of_the_other_sdks(void) {
    char *prefix = NULL;
    tmk_str name = TMK_STR_INIT;

    CHECK_EQ(TMK_OK, tmk_blob_group_prefix("MyNS.servicebus.windows.net", "My.Hub_1", "$Default",
                                           false, &prefix, NULL));
    CHECK_STR("myns.servicebus.windows.net/my.hub_1/$default/", prefix);
    tmk_blob_name_add(&name, prefix, TMK_BLOB_OWNERSHIP, "7");
    CHECK_STR("myns.servicebus.windows.net/my.hub_1/$default/ownership/7", tmk_str_text(&name));
    tmk_str_reset(&name);
    tmk_blob_name_add(&name, prefix, TMK_BLOB_CHECKPOINT, "7");
    CHECK_STR("myns.servicebus.windows.net/my.hub_1/$default/checkpoint/7", tmk_str_text(&name));
    tmk_str_reset(&name);
    tmk_blob_path_add(&name, TMK_LIT("ns/hub/$default/checkpoint/7"));
    CHECK_STR("ns/hub/%24default/checkpoint/7", tmk_str_text(&name));
    tmk_str_clear(&name);
    tmk_free(prefix);
}

static void our_own_are_where_they_never_look(void) {
    static const char *const ids[] = {"pod-1", "a/b", "..", "A b", "100%", ".x."};
    tmk_str name = TMK_STR_INIT, id = TMK_STR_INIT;

    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        tmk_str_reset(&name);
        tmk_blob_name_add(&name, "h/e/g/", TMK_BLOB_MEMBER, ids[i]);
        CHECK(tmk_slice_starts(tmk_str_slice(&name), TMK_LIT("h/e/g/tidemark/members/")));
        CHECK(strchr(tmk_str_text(&name) + strlen("h/e/g/tidemark/members/"), '/') == NULL);
        CHECK(tmk_blob_name_id(tmk_str_text(&name), "h/e/g/", TMK_BLOB_MEMBER, &id));
        CHECK_STR(ids[i], tmk_str_text(&id));
    }
    tmk_str_clear(&name);
    tmk_str_clear(&id);
}

static void what_is_no_record_is_passed_over(void) {
    static const char *const names[] = {"h/e/g/ownership/",
                                        "h/e/g/ownership",
                                        "h/e/g/ownership/a/b",
                                        "h/e/g2/ownership/0",
                                        "H/e/g/ownership/0",
                                        "h/e/g/checkpoint/0",
                                        "",
                                        "h/e/g/ownership/a b",
                                        "h/e/g/ownership/.",
                                        "h/e/g/ownership/%30",
                                        "ownership/0"};
    tmk_str id = TMK_STR_INIT;

    CHECK(tmk_blob_name_id("h/e/g/ownership/0", "h/e/g/", TMK_BLOB_OWNERSHIP, &id));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        CHECK(!tmk_blob_name_id(names[i], "h/e/g/", TMK_BLOB_OWNERSHIP, &id));
    }
    tmk_str_clear(&id);
}

static void parts_that_would_be_more_parts_are_refused(void) {
    static const char *const bad[] = {"", "a/b", "a\\b", ".", "..", "a.", "a b", "a\n", "\xc3\xa4"};
    char *prefix = NULL;
    tmk_error err;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_EQ(TMK_EINVAL, tmk_blob_group_prefix("h", bad[i], "g", false, &prefix, &err));
        CHECK(strstr(err.text, "'hub'") != NULL);
        CHECK_EQ(TMK_EINVAL, tmk_blob_id_check(TMK_BLOB_CHECKPOINT, bad[i], &err));
    }
    CHECK_EQ(TMK_EINVAL, tmk_blob_group_prefix(NULL, "e", "g", false, &prefix, &err));
    CHECK(prefix == NULL);
}

/* ---- checkpoints ---- */

static void expect_checkpoint(const char *const pairs[][2], size_t count, bool present,
                              bool sequence_known, int64_t sequence, const char *offset) {
    tmk_blob_meta m = meta_of(pairs, count);
    tmk_blob_partition p = {0};

    CHECK_EQ(TMK_OK, tmk_blob_partition_read(&p, &m));
    CHECK_EQ(present, p.record.checkpoint.present);
    CHECK_EQ(sequence_known, p.record.checkpoint.sequence_known);
    CHECK_EQ(sequence, p.record.checkpoint.sequence);
    CHECK_STR(offset, p.record.checkpoint.offset);
    tmk_blob_partition_clear(&p);
    tmk_blob_meta_clear(&m);
}

#define EXPECT(present, known, sequence, offset, ...)                                          \
    expect_checkpoint((const char *const[][2]){__VA_ARGS__},                                   \
                      sizeof((const char *const[][2]){__VA_ARGS__}) / sizeof(const char *[2]), \
                      present, known, sequence, offset)

static void checkpoints_of_every_sdk_are_read(void) {
    /* .NET, Java, Go, Python, JavaScript */
    EXPECT(true, true, 42, "4096", {"sequencenumber", "42"}, {"offset", "4096"});
    EXPECT(true, true, 42, "4096", {"SequenceNumber", "42"}, {"Offset", "4096"},
           {"ClientIdentifier", "x"});
    /* a geo-replicated namespace: the offset is no number */
    EXPECT(true, true, 42, "3:a:b", {"sequencenumber", "42"}, {"offset", "3:a:b"});
    /* .NET without an offset, in its three spellings */
    EXPECT(true, true, 42, "", {"sequencenumber", "42"}, {"offset", ""});
    EXPECT(true, true, 42, "", {"sequencenumber", "42"}, {"offset", "no offset"});
    EXPECT(true, true, 42, "", {"sequencenumber", "42"}, {"offset", "No Offset"});
    EXPECT(true, true, 42, "", {"sequencenumber", "42"});
    /* Python without a sequence number, Java and Go without one */
    EXPECT(true, false, 0, "4096", {"sequencenumber", "None"}, {"offset", "4096"});
    EXPECT(true, false, 0, "4096", {"sequencenumber", ""}, {"offset", "4096"});
    EXPECT(true, false, 0, "4096", {"offset", "4096"});
    /* nothing that helps */
    EXPECT(false, false, 0, "", {"sequencenumber", ""}, {"offset", ""});
    EXPECT(false, false, 0, "", {"sequencenumber", "seven"}, {"offset", "None"});
    EXPECT(false, false, 0, "", {"ownerid", "x"});
    EXPECT(true, false, 0, "1", {"sequencenumber", "9223372036854775808"}, {"offset", "1"});
    EXPECT(true, false, 0, "1", {"sequencenumber", "-2"}, {"offset", "1"});
    EXPECT(true, true, -1, "", {"sequencenumber", "-1"}, {"offset", "-1"});
}

static const char *written(const tmk_blob_meta *m, const char *name) {
    const char *value = tmk_blob_meta_get(m, name);

    return value == NULL ? "(none)" : value;
}

/* A blob that holds a claim only must not make them stumble, nor be taken for a checkpoint. */
static void a_claim_without_a_checkpoint_has_the_official_keys(void) {
    tmk_partition_record r = {.owner = "w", .generation = 3, .checkpoint = {.offset = ""}};
    tmk_blob_partition p = {0};
    tmk_blob_meta m = {TMK_STR_INIT};

    tmk_blob_partition_write(&m, &r, "", NULL);
    CHECK_STR("-1", written(&m, "sequencenumber"));
    CHECK_STR("-1", written(&m, "offset"));
    CHECK_EQ(TMK_OK, tmk_blob_partition_read(&p, &m));
    CHECK(!p.record.checkpoint.present);
    CHECK_EQ(3, p.record.generation);
    tmk_blob_partition_clear(&p);
    tmk_blob_meta_clear(&m);
}

static void a_partition_comes_back_as_it_was(void) {
    static const char *const owners[] = {"worker-1", " two blanks ", "100%", "%20", "a=b;c,d\"e'"};

    for (size_t i = 0; i < sizeof owners / sizeof *owners; i++) {
        tmk_partition_record r = {.owner = owners[i],
                                  .successor = owners[4 - i],
                                  .generation = INT64_MAX,
                                  .checkpoint = {true, true, INT64_MAX, "7:x", {NULL, 0}}};
        tmk_blob_partition p = {0};
        tmk_blob_meta m = {TMK_STR_INIT};

        tmk_blob_partition_write(&m, &r, "5-abc", "token");
        CHECK_STR("9223372036854775807", written(&m, "sequencenumber"));
        CHECK_STR("7:x", written(&m, "offset"));
        CHECK_EQ(TMK_OK, tmk_blob_partition_read(&p, &m));
        CHECK_STR(owners[i], p.record.owner);
        CHECK_STR(owners[4 - i], p.record.successor);
        CHECK_EQ(INT64_MAX, p.record.generation);
        CHECK_EQ(INT64_MAX, p.record.checkpoint.sequence);
        CHECK_STR("5-abc", p.done_mark);
        CHECK_STR("token", p.token);
        tmk_blob_partition_clear(&p);
        tmk_blob_meta_clear(&m);
    }
}

static void hostile_metadata_is_harmless(void) {
    static const char *const pairs[][2] = {{"tidemarkgeneration", "-5"},
                                           {"tidemarkowner", "%zz%"},
                                           {"tidemarksuccessor", "%"},
                                           {"sequencenumber", "1e9"},
                                           {"sequencenumber", "7"}};
    tmk_blob_meta m = meta_of(pairs, 5);
    tmk_blob_partition p = {0};

    CHECK_EQ(TMK_OK, tmk_blob_partition_read(&p, &m));
    CHECK_EQ(0, p.record.generation);
    CHECK_STR("%zz%", p.record.owner);
    CHECK(!p.record.checkpoint.present);
    tmk_blob_partition_clear(&p);
    tmk_blob_meta_clear(&m);
}

static void a_done_map_belongs_to_its_mark(void) {
    char a[TMK_BLOB_MARK_ROOM], b[TMK_BLOB_MARK_ROOM], none[TMK_BLOB_MARK_ROOM];

    tmk_blob_done_mark(TMK_LIT("abc"), a);
    tmk_blob_done_mark(TMK_LIT("abd"), b);
    tmk_blob_done_mark(TMK_LIT(""), none);
    CHECK(strcmp(a, b) != 0);
    CHECK_STR("", none);
    CHECK(strncmp(a, "3-", 2) == 0);
}

/* ---- ownership ---- */

static void ownerships_of_every_sdk_are_read(void) {
    static const char *const owners[][2] = {
        {"ownerid", "0f3c"}, {"ownerId", "0f3c"}, {"OWNERID", "0f3c"}};
    static const char *const free[][2] = {{"ownerid", ""}, {"other", "x"}};

    for (size_t i = 0; i < 5; i++) {
        tmk_blob_meta m = meta_of(i < 3 ? &owners[i] : &free[i - 3], 1);
        tmk_blob_ownership o = {0};
        CHECK_EQ(TMK_OK, tmk_blob_ownership_read(&o, &m));
        CHECK_STR(i < 3 ? "0f3c" : "", tmk_str_text(&o.owner));
        CHECK_STR("", o.token);
        tmk_blob_ownership_clear(&o);
        tmk_blob_meta_clear(&m);
    }
}

static void an_ownership_comes_back_and_free_ones_keep_their_key(void) {
    tmk_partition_record r = {.owner = "w 1", .successor = "w2", .generation = 4};
    tmk_blob_meta m = {TMK_STR_INIT};
    tmk_blob_ownership o = {0};

    tmk_blob_ownership_write(&m, &r, "token");
    CHECK_STR("w 1", written(&m, "ownerid"));
    CHECK_EQ(TMK_OK, tmk_blob_ownership_read(&o, &m));
    CHECK_STR("w 1", tmk_str_text(&o.owner));
    CHECK_STR("w2", tmk_str_text(&o.successor));
    CHECK_EQ(4, o.generation);
    r.owner = "";
    tmk_blob_ownership_write(&m, &r, "");
    CHECK_STR("", written(&m, "ownerid"));
    tmk_blob_ownership_clear(&o);
    tmk_blob_meta_clear(&m);
}

/* ---- members ---- */

static void a_member_comes_back_as_it_was(void) {
    char body[4097], all[96];
    const char *const bodies[] = {"", " x ", "{\"a\": 1}", all, body};

    memset(body, 'x', 4096);
    body[4096] = '\0';
    for (int i = 0; i < 95; i++) {
        all[i] = (char)(' ' + i);
    }
    all[95] = '\0';
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        tmk_blob_meta m = {TMK_STR_INIT};
        tmk_blob_member b = {0};
        CHECK_EQ(TMK_OK, tmk_blob_member_write(&m, "token", bodies[i], i == 0, NULL));
        CHECK_EQ(TMK_OK, tmk_blob_member_read(&b, &m));
        CHECK_STR(bodies[i], tmk_str_text(&b.body));
        CHECK_STR("token", b.token);
        CHECK_EQ(i == 0, b.evicted);
        tmk_blob_member_clear(&b);
        tmk_blob_meta_clear(&m);
    }
}

static void a_body_that_cannot_be_stored_is_refused(void) {
    char body[4097];
    tmk_blob_meta m = {TMK_STR_INIT};
    tmk_error err;

    memset(body, '%', 4096);
    body[4096] = '\0';
    CHECK_EQ(TMK_ELIMIT, tmk_blob_member_write(&m, "token", body, false, &err));
    CHECK(strstr(err.text, "4096") != NULL);
    tmk_blob_meta_clear(&m);
}

static void ages_are_by_the_services_clock(void) {
    CHECK_EQ(5000, tmk_blob_age_ms((tmk_wall){1000000}, (tmk_wall){6000000}));
    CHECK_EQ(0, tmk_blob_age_ms((tmk_wall){7000000}, (tmk_wall){6000000}));
    CHECK_EQ(0, tmk_blob_age_ms((tmk_wall){0}, (tmk_wall){6000000}));
}

static bool all_records(void) {
    tmk_partition_record r = {
        .owner = "w", .successor = "v", .checkpoint = {true, true, 1, "2", {NULL, 0}}};
    tmk_blob_meta m = {TMK_STR_INIT};
    tmk_blob_partition p = {0};
    tmk_blob_member b = {0};
    bool good;

    tmk_blob_partition_write(&m, &r, "1-a", "t");
    good = tmk_str_ok(&m.text) && tmk_blob_partition_read(&p, &m) == TMK_OK &&
           strcmp(p.record.owner, "w") == 0;
    tmk_blob_partition_clear(&p);
    tmk_blob_meta_clear(&m);
    good = good && tmk_blob_member_write(&m, "t", "body", false, NULL) == TMK_OK &&
           tmk_blob_member_read(&b, &m) == TMK_OK;
    tmk_blob_member_clear(&b);
    tmk_blob_meta_clear(&m);
    return good;
}

static void without_memory_nothing_is_half_written(void) {
    failing_each(all_records);
}

int main(void) {
    return RUN(TEST(names_are_those_of_the_other_sdks), TEST(our_own_are_where_they_never_look),
               TEST(what_is_no_record_is_passed_over),
               TEST(parts_that_would_be_more_parts_are_refused),
               TEST(checkpoints_of_every_sdk_are_read),
               TEST(a_claim_without_a_checkpoint_has_the_official_keys),
               TEST(a_partition_comes_back_as_it_was), TEST(hostile_metadata_is_harmless),
               TEST(a_done_map_belongs_to_its_mark), TEST(ownerships_of_every_sdk_are_read),
               TEST(an_ownership_comes_back_and_free_ones_keep_their_key),
               TEST(a_member_comes_back_as_it_was), TEST(a_body_that_cannot_be_stored_is_refused),
               TEST(ages_are_by_the_services_clock), TEST(without_memory_nothing_is_half_written));
}
