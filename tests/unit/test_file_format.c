/* Records of the file store as text: what was written comes back, nothing else does. */
#include "checkpoint/file_format.h"

#include "base/alloc.h"

#include "support/check.h"

#define TOKEN_A "11111111-1111-4111-8111-111111111111"
#define BOOT_A "5c3b9f1e-0000-4000-8000-000000000001"

static const tmk_file_moment today = {BOOT_A, 5000 * TMK_SEC, {INT64_C(1790000000000000)}};

static tmk_partition_entry a_partition(void) {
    tmk_partition_entry e = {.present = true, .version = {0xfedcba9876543210, 12}};
    tmk_partition_record r = {.owner = "worker \"1\"",
                              .successor = "worker-2",
                              .generation = 7,
                              .checkpoint = {.present = true,
                                             .sequence_known = true,
                                             .sequence = INT64_MAX,
                                             .offset = "1:\\<&>\"",
                                             .done_map = {(const uint8_t *)"\0\xff\x01", 3}}};

    e.written = 4000 * TMK_SEC;
    CHECK_EQ(TMK_OK, tmk_partition_entry_set(&e, TOKEN_A, &r));
    return e;
}

static void partition_text(tmk_str *out) {
    tmk_partition_entry e = a_partition();

    CHECK_EQ(TMK_OK, tmk_file_write_partition(&e, "0", &today, out));
    tmk_partition_entry_clear(&e);
}

static void a_partition_comes_back_as_it_was(void) {
    tmk_partition_entry e = {0};
    tmk_str text = TMK_STR_INIT;

    partition_text(&text);
    CHECK_EQ(TMK_OK, tmk_file_read_partition(tmk_str_slice(&text), "0", &today, &e, NULL));
    CHECK_STR(TOKEN_A, e.token);
    CHECK_STR("worker \"1\"", e.record.owner);
    CHECK_STR("worker-2", e.record.successor);
    CHECK_EQ(7, e.record.generation);
    CHECK_EQ(INT64_MAX, e.record.checkpoint.sequence);
    CHECK_STR("1:\\<&>\"", e.record.checkpoint.offset);
    CHECK_EQ(3, e.record.checkpoint.done_map.size);
    CHECK(memcmp("\0\xff\x01", e.record.checkpoint.done_map.bytes, 3) == 0);
    CHECK(e.version.birth == 0xfedcba9876543210 && e.version.count == 12);
    CHECK_EQ(4000 * TMK_SEC, e.written);
    tmk_partition_entry_clear(&e);
    tmk_str_clear(&text);
}

/* The clock starts anew with each boot, so only the calendar can tell the age. */
static void the_age_survives_a_boot(void) {
    tmk_file_moment tomorrow = {"another boot", 60 * TMK_SEC, {today.wall.us + 86400 * 1000000LL}};
    tmk_partition_entry e = {0};
    tmk_str text = TMK_STR_INIT;

    partition_text(&text);
    CHECK_EQ(TMK_OK, tmk_file_read_partition(tmk_str_slice(&text), "0", &tomorrow, &e, NULL));
    CHECK_EQ((86400 + 1000) * TMK_SEC, tomorrow.now - e.written);
    tmk_partition_entry_clear(&e);
    tmk_str_clear(&text);
}

static void a_member_of_another_boot_is_dead(void) {
    tmk_file_moment reboot = {"another boot", 1 * TMK_SEC, today.wall};
    tmk_member_entry e = {.present = true, .lease_end = 5020 * TMK_SEC, .written = 4990 * TMK_SEC};
    tmk_member_entry back = {0};
    tmk_str text = TMK_STR_INIT;

    CHECK_EQ(TMK_OK, tmk_member_entry_set(&e, TOKEN_A, "body"));
    CHECK_EQ(TMK_OK, tmk_file_write_member(&e, "m", &today, &text));
    CHECK_EQ(TMK_OK, tmk_file_read_member(tmk_str_slice(&text), "m", &today, &back, NULL));
    CHECK(tmk_member_entry_view(&back, "m", today.now).alive);
    CHECK_EQ(10000, tmk_member_entry_view(&back, "m", today.now).age_ms);
    tmk_member_entry_clear(&back);
    CHECK_EQ(TMK_OK, tmk_file_read_member(tmk_str_slice(&text), "m", &reboot, &back, NULL));
    CHECK(!tmk_member_entry_view(&back, "m", reboot.now).alive);
    tmk_member_entry_clear(&back);
    tmk_member_entry_clear(&e);
    tmk_str_clear(&text);
}

static bool is_gone(const char *process) {
    return strcmp(process, "1:42:7") == 0;
}

/* A killed process leaves its lease behind; on one machine nobody needs to wait for that. */
static void a_member_whose_process_is_gone_is_dead(void) {
    tmk_file_moment writer = {BOOT_A, 5000 * TMK_SEC, today.wall, "1:42:7", NULL};
    tmk_file_moment other = {BOOT_A, 5000 * TMK_SEC, today.wall, "1:43:7", NULL};
    tmk_file_moment reader = {BOOT_A, 5000 * TMK_SEC, today.wall, "1:44:7", is_gone};
    const tmk_file_moment *writers[] = {&writer, &other, &today};
    tmk_member_entry e = {.present = true, .lease_end = 5020 * TMK_SEC, .written = 4990 * TMK_SEC};

    CHECK_EQ(TMK_OK, tmk_member_entry_set(&e, TOKEN_A, "body"));
    for (int i = 0; i < 3; i++) {
        tmk_member_entry back = {0};
        tmk_str text = TMK_STR_INIT;
        CHECK_EQ(TMK_OK, tmk_file_write_member(&e, "m", writers[i], &text));
        CHECK_EQ(TMK_OK, tmk_file_read_member(tmk_str_slice(&text), "m", &reader, &back, NULL));
        CHECK_EQ(i != 0, tmk_member_entry_view(&back, "m", reader.now).alive);
        CHECK_EQ(i == 0, tmk_member_entry_view(&back, "m", reader.now).gone);
        tmk_member_entry_clear(&back);
        tmk_str_clear(&text);
    }
    tmk_member_entry_clear(&e);
}

/* A torn file is refused wherever it was torn. */
static void no_part_of_a_record_is_a_record(void) {
    tmk_str text = TMK_STR_INIT;

    partition_text(&text);
    for (size_t size = 0; size + 2 < text.size; size++) {
        tmk_partition_entry e = {0};
        tmk_slice part = tmk_slice_of(text.text, size);
        CHECK_EQ(TMK_EPROTO, tmk_file_read_partition(part, "0", &today, &e, NULL));
        CHECK(!e.present && e.token == NULL && e.texts == NULL);
    }
    tmk_str_clear(&text);
}

static void every_changed_byte_is_refused_or_harmless(void) {
    tmk_str text = TMK_STR_INIT;

    partition_text(&text);
    for (size_t i = 0; i < text.size; i++) {
        char before = text.text[i];
        for (int change = 1; change < 256; change <<= 1) {
            tmk_partition_entry e = {0};
            text.text[i] = (char)(before ^ change);
            if (tmk_file_read_partition(tmk_str_slice(&text), "0", &today, &e, NULL) == TMK_OK) {
                CHECK(e.record.generation >= 0 && e.record.checkpoint.sequence >= -1);
                CHECK(e.written <= today.now);
            }
            tmk_partition_entry_clear(&e);
        }
        text.text[i] = before;
    }
    tmk_str_clear(&text);
}

#define HEAD "{\"kind\":\"partition\",\"id\":\"0\","
#define TAIL                                                            \
    ",\"token\":\"" TOKEN_A "\",\"version\":\"a.1\",\"boot\":\"" BOOT_A \
    "\",\"written_ms\":1,\"written\":\"2026-11-20T21:15:39Z\"}"
#define OWNER "\"owner\":\"o\",\"successor\":\"\",\"generation\":1,"

static void hostile_fields_are_refused_by_name(void) {
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"[]", "no JSON object"},
        {"", "no JSON object"},
        {"{}", "\"kind\""},
        {"{\"kind\":\"member\",\"id\":\"0\"}", "\"kind\""},
        {"{\"kind\":\"partition\",\"id\":\"1\"}", "\"id\""},
        {HEAD "\"owner\":\"o\",\"successor\":\"\",\"generation\":-1,\"checkpoint\":null" TAIL,
         "\"generation\""},
        {HEAD "\"owner\":\"o\",\"successor\":\"\",\"generation\":1.5,\"checkpoint\":null" TAIL,
         "\"generation\""},
        {HEAD "\"owner\":\"o\\n\",\"successor\":\"\",\"generation\":1,\"checkpoint\":null" TAIL,
         "\"owner\""},
        {HEAD OWNER "\"checkpoint\":{}" TAIL, "\"offset\""},
        {HEAD OWNER "\"checkpoint\":7" TAIL, "\"offset\""},
        {HEAD OWNER "\"checkpoint\":{\"offset\":\"1\",\"sequence\":-2,\"done_map\":\"\"}" TAIL,
         "\"sequence\""},
        {HEAD OWNER "\"checkpoint\":{\"offset\":\"1\",\"sequence\":2,\"done_map\":\"!\"}" TAIL,
         "\"done_map\""},
        {HEAD OWNER "\"checkpoint\":null,\"checkpoint\":null" TAIL, "no JSON object"},
        {HEAD OWNER "\"checkpoint\":null,\"token\":\"x\",\"version\":\"a.1\"}", "\"token\""},
        {HEAD OWNER "\"checkpoint\":null,\"token\":\"\",\"version\":\"a\"}", "\"version\""},
        {HEAD OWNER "\"checkpoint\":null,\"token\":\"\",\"version\":\"a.99999999999999999999\"}",
         "\"version\""},
        {HEAD OWNER "\"checkpoint\":null,\"token\":\"\",\"version\":\"a.1\",\"boot\":\"other\","
                    "\"written_ms\":1,\"written\":\"yesterday\"}",
         "\"written\""},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tmk_partition_entry e = {0};
        tmk_error err = {0};
        CHECK_EQ(TMK_EPROTO,
                 tmk_file_read_partition(tmk_slice_str(bad[i].text), "0", &today, &e, &err));
        if (strstr(err.text, bad[i].words) == NULL) {
            fail_msg("%s: '%s' does not name %s", bad[i].text, err.text, bad[i].words);
        }
    }
}

/* A file can say anything: a lease that never ends must end within a day. */
static void a_lease_from_a_hostile_file_has_an_end(void) {
    static const char text[] =
        "{\"kind\":\"member\",\"id\":\"m\",\"token\":\"" TOKEN_A "\",\"body\":\"\","
        "\"evicted\":false,\"lease_end_ms\":9223372036854775807,\"boot\":\"" BOOT_A "\","
        "\"written_ms\":9223372036854775807,\"written\":\"2026-11-20T21:15:39Z\"}";
    tmk_member_entry e = {0};

    CHECK_EQ(TMK_OK, tmk_file_read_member(tmk_slice_str(text), "m", &today, &e, NULL));
    CHECK(!tmk_member_entry_view(&e, "m", today.now + 86401 * TMK_SEC).alive);
    CHECK_EQ(0, tmk_member_entry_view(&e, "m", today.now).age_ms);
    tmk_member_entry_clear(&e);
}

static void a_bell_comes_back_as_it_was(void) {
    tmk_call_entry e = {true, {0xabc, 3}}, back = {0};
    tmk_str text = TMK_STR_INIT;

    CHECK_EQ(TMK_OK, tmk_file_write_call(&e, "m", &text));
    CHECK_EQ(TMK_OK, tmk_file_read_call(tmk_str_slice(&text), "m", &back, NULL));
    CHECK(back.present && back.version.birth == 0xabc && back.version.count == 3);
    CHECK_EQ(TMK_EPROTO, tmk_file_read_call(tmk_str_slice(&text), "n", &back, NULL));
    tmk_str_clear(&text);
}

static void no_id_leaves_its_folder(void) {
    static const char *const ids[] = {"0", "..", ".", "../x", "a/b", "a b", "%2F", ".hidden", "~"};

    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        tmk_str name = TMK_STR_INIT, id = TMK_STR_INIT;
        tmk_file_name_add(&name, ids[i]);
        CHECK(strchr(tmk_str_text(&name), '/') == NULL && name.text[0] != '.');
        CHECK(tmk_file_name_id(tmk_str_text(&name), &id));
        CHECK_STR(ids[i], tmk_str_text(&id));
        tmk_str_clear(&name);
        tmk_str_clear(&id);
    }
}

static void a_name_that_is_no_records_is_passed_over(void) {
    static const char *const names[] = {".json",      "0",          "0.json.abc.tmp", "%zz.json",
                                        "%30.json",   "a%2fb.json", "..json",         "a b.json",
                                        "0.json.bak", "lock",       "%.json"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        tmk_str id = TMK_STR_INIT;
        CHECK(!tmk_file_name_id(names[i], &id));
        tmk_str_clear(&id);
    }
}

static void folders_are_lower_case_and_stay_inside(void) {
    tmk_str name = TMK_STR_INIT;

    tmk_file_folder_add(&name, "$Default");
    tmk_str_add_char(&name, ' ');
    tmk_file_folder_add(&name, "..");
    tmk_str_add_char(&name, ' ');
    tmk_file_folder_add(&name, "a/../B");
    CHECK_STR("%24default %2E%2E a%2F..%2Fb", tmk_str_text(&name));
    tmk_str_clear(&name);
}

static int64_t allocations_left;
static void *failing_alloc(void *self, size_t size) {
    (void)self;
    return allocations_left-- > 0 ? malloc(size) : NULL;
}
static void *failing_resize(void *self, void *old, size_t size) {
    (void)self;
    return allocations_left-- > 0 ? realloc(old, size) : NULL;
}
static void release(void *self, void *old) {
    (void)self;
    free(old);
}

static void without_memory_nothing_is_read_or_written_by_half(void) {
    static const tmk_allocator failing = {failing_alloc, failing_resize, release, NULL};
    tmk_status read = TMK_ENOMEM, written = TMK_ENOMEM;

    tmk_allocator_set(&failing);
    for (int n = 0; n < 100 && (read == TMK_ENOMEM || written == TMK_ENOMEM); n++) {
        tmk_partition_entry e, back = {0};
        tmk_str text = TMK_STR_INIT, again = TMK_STR_INIT;

        allocations_left = 1000;
        e = a_partition();
        partition_text(&text);
        allocations_left = n;
        read = tmk_file_read_partition(tmk_str_slice(&text), "0", &today, &back, NULL);
        CHECK(read == TMK_OK || (read == TMK_ENOMEM && back.texts == NULL));
        allocations_left = n;
        written = tmk_file_write_partition(&e, "0", &today, &again);
        CHECK(written == TMK_OK || written == TMK_ENOMEM);
        CHECK(n > 0 || (read == TMK_ENOMEM && written == TMK_ENOMEM));
        tmk_partition_entry_clear(&back);
        tmk_partition_entry_clear(&e);
        tmk_str_clear(&text);
        tmk_str_clear(&again);
    }
    tmk_allocator_set(NULL);
    CHECK_EQ(TMK_OK, read);
    CHECK_EQ(TMK_OK, written);
}

int main(void) {
    return RUN(TEST(a_partition_comes_back_as_it_was), TEST(the_age_survives_a_boot),
               TEST(a_member_of_another_boot_is_dead), TEST(a_member_whose_process_is_gone_is_dead),
               TEST(no_part_of_a_record_is_a_record),
               TEST(every_changed_byte_is_refused_or_harmless),
               TEST(hostile_fields_are_refused_by_name),
               TEST(a_lease_from_a_hostile_file_has_an_end), TEST(a_bell_comes_back_as_it_was),
               TEST(no_id_leaves_its_folder), TEST(a_name_that_is_no_records_is_passed_over),
               TEST(folders_are_lower_case_and_stay_inside),
               TEST(without_memory_nothing_is_read_or_written_by_half));
}
