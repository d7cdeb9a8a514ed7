/* The live view's picture: cut to its window, and nothing in it that a terminal would obey. */
#include "support/check.h"

#include "run/stats.h"
#include "tools/tidemark/live.h"

static cli_buffer picture, out;

static void begin(const char *text) {
    picture.size = out.size = 0;
    cli_add_text(&picture, text);
}

static const char *composed(unsigned rows, unsigned columns) {
    cli_view_compose(&picture, (cli_window){rows, columns}, &out);
    cli_add(&out, "", 1);
    CHECK(!out.failed);
    return out.text;
}

static void lines_are_cut_at_the_window(void) {
    begin("abcdef\nghijkl\nmnopqr\n");
    CHECK_STR("\x1b[?2026h\x1b[Habc\x1b[0m\x1b[K\r\nghi\x1b[0m\x1b[K\x1b[J\x1b[?2026l",
              composed(2, 3));
    begin("ab\n");
    CHECK_STR("\x1b[?2026h\x1b[Hab\x1b[0m\x1b[K\x1b[J\x1b[?2026l", composed(24, 80));
    begin("");
    CHECK_STR("\x1b[?2026h\x1b[H\x1b[J\x1b[?2026l", composed(24, 80));
}

static void styles_take_no_columns_and_characters_take_one(void) {
    begin("\x1b[1ma\x1b[0mäöü\n");
    CHECK_STR("\x1b[?2026h\x1b[H\x1b[1ma\x1b[0mä\x1b[0m\x1b[K\x1b[J\x1b[?2026l", composed(1, 2));
}

/* Names, keys and bodies come from others. */
static void foreign_text_cannot_command_the_terminal(void) {
    cli_buffer b = {NULL, 0, 0, false};

    cli_view_text(&b,
                  "a\x1b[2Jb\rc\nd\x7f\x01\xc2\x9b"
                  "e\xff\xe2\x80\xae"
                  "f",
                  100);
    cli_add(&b, "", 1);
    for (const char *c = b.text; *c != '\0'; c++) {
        CHECK((unsigned char)*c >= ' ' && *c != 0x7f);
    }
    CHECK(strstr(b.text, "\xc2\x9b") == NULL && strstr(b.text, "\xe2\x80\xae") == NULL);
    CHECK(strncmp(b.text, "a.[2Jb.c.d", 10) == 0);
    cli_free(&b);
    begin("x\x1b]0;title\x07y\x1b[2Jz\n"); /* even where a picture holds such a thing */
    CHECK(strstr(composed(1, 80), "\x1b]") == NULL);
    CHECK(strstr(out.text, "\x1b[2J") == NULL);
}

static void cells_have_their_width(void) {
    cli_buffer b = {NULL, 0, 0, false};

    cli_view_cell(&b, "ä", 3);
    cli_view_cell(&b, "abcdef", 3);
    cli_add(&b, "", 1);
    CHECK_STR("ä  abc", b.text);
    cli_free(&b);
}

static void spans_are_told_in_fitting_units(void) {
    char text[24];

    CHECK_STR("-", cli_span(-1, text, sizeof text));
    CHECK_STR("0.0 s", cli_span(0, text, sizeof text));
    CHECK_STR("119.9 s", cli_span(119900, text, sizeof text));
    CHECK_STR("2 min", cli_span(120000, text, sizeof text));
    CHECK_STR("47.5 h", cli_span(171000000, text, sizeof text));
    CHECK_STR("7.0 d", cli_span(INT64_C(604800000), text, sizeof text));
}

/* Every window, also absurd ones, gets a picture that fits and is safe to make. */
static void every_window_gets_its_picture(void) {
    static tmk_partition_state partitions[40];
    static tmk_stats now, before;
    static cli_recent recent[CLI_RECENT_MAX];
    const char *events[] = {"{\"partition\":\"0\"}", "\x1b[2J"};
    char names[40][4];

    for (int i = 0; i < 40; i++) {
        (void)snprintf(names[i], sizeof names[i], "%d", i);
        partitions[i] = (tmk_partition_state){
            .partition = names[i], .owner = i % 3 == 0 ? "" : "worker", .own = i % 3 == 1};
    }
    now.partitions = before.partitions = partitions;
    now.partition_count = 40;
    before.partition_count = 3;
    now.about = (tmk_stats_about){"host", "hub\x1b[2J", "group", "owner", 2000, 0, 0};
    before.about = (tmk_stats_about){"host", "hub", "group", "owner", 1000, 0, 0};
    for (int i = 0; i < CLI_RECENT_MAX; i++) {
        recent[i] = (cli_recent){.level = TMK_LOG_WARN, .event = "an.event", .fields = "a='b'"};
    }
    for (unsigned rows = 1; rows < 70; rows++) {
        cli_live_input in = {.now = &now,
                             .before = rows % 2 == 0 ? &before : NULL,
                             .recent = recent,
                             .recent_count = rows % 5 == 0 ? 0 : CLI_RECENT_MAX,
                             .events = events,
                             .event_count = rows % 3 == 0 ? 2 : 0,
                             .window = {rows, 1 + rows * 3}};
        unsigned lines = 0;
        begin("");
        cli_live_picture(&in, &picture);
        CHECK(!picture.failed);
        for (size_t i = 0; i < picture.size; i++) {
            lines += picture.text[i] == '\n';
        }
        CHECK(rows < 8 || lines <= rows);
        CHECK(strstr(composed(rows, 1 + rows * 3), "\x1b[2J") == NULL);
    }
    cli_live_input none = {.window = {24, 80}};
    begin("");
    cli_live_picture(&none, &picture);
    CHECK(strstr(composed(24, 80), "connecting") != NULL);
}

int main(void) {
    return RUN(TEST(lines_are_cut_at_the_window),
               TEST(styles_take_no_columns_and_characters_take_one),
               TEST(foreign_text_cannot_command_the_terminal), TEST(cells_have_their_width),
               TEST(spans_are_told_in_fitting_units), TEST(every_window_gets_its_picture));
}
