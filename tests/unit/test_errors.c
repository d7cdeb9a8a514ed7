/*
 * docs/ERRORS.md says what the tables of the code say: test_errors FILE. Without FILE it prints
 * what belongs between the marks.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "amqp/condition.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/str.h"
#include "support/check.h"

static const char *path;

#define BEGIN_MARK "<!-- made from the tables of the code: build/tests/test_errors -->\n"
#define END_MARK "<!-- end -->\n"

static const char *reaction_words(tmk_reaction r) {
    switch (r) {
    case TMK_REACTION_RETRY:
        return "tries again on the same link";
    case TMK_REACTION_LINK:
        return "attaches the link again";
    case TMK_REACTION_CONNECTION:
        return "connects again";
    case TMK_REACTION_TOKEN:
        return "puts a fresh token and tries once more; then as fatal";
    case TMK_REACTION_POSITION:
        return "ends the reader; a processor follows its position policy";
    case TMK_REACTION_GIVE_UP:
        return "gives the partition up";
    case TMK_REACTION_FATAL:
        return "ends what has never worked; tries rarely what has";
    }
    return NULL;
}

static void add_condition(tmk_str *s, const tmk_condition *c) {
    const char *words = reaction_words(c->reaction);

    CHECK(words != NULL);
    tmk_str_addf(s, "| %s%s%s | %s | %s", c->name[0] == '\0' ? "" : "`",
                 c->name[0] == '\0' ? "anything else" : c->name, c->name[0] == '\0' ? "" : "`",
                 tmk_status_name(c->status), c->means);
    tmk_str_addf(s, " | %s", words);
    if (c->wait > 0) {
        tmk_str_addf(s, ", not before %" PRId64 " s", c->wait / TMK_SEC);
    }
    tmk_str_addf(s, " | %s |\n", c->todo);
}

static void make(tmk_str *s) {
    size_t count = 0;
    const tmk_condition *table = tmk_condition_table(&count);

    tmk_str_add(s, "\n### Statuses\n\n| status | number | means |\n| --- | --- | --- |\n");
#define X(name, value, sentence) \
    tmk_str_addf(s, "| `TMK_%s` | %d | %s |\n", #name, value, tmk_status_text(TMK_##name));
    TMK_STATUS_MAP(X)
#undef X
    tmk_str_add(s, "\n### Conditions of the service\n\n| condition | status | means | the library "
                   "| you |\n| --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < count; i++) {
        add_condition(s, &table[i]);
    }
    tmk_str_add(s, "\n");
    CHECK(tmk_str_ok(s));
}

static void the_page_says_what_the_tables_say(void) {
    tmk_str page = TMK_STR_INIT, made = TMK_STR_INIT;
    const char *from, *to;

    CHECK_EQ(TMK_OK, tmk_file_read(path, 1 << 20, &page, NULL));
    from = strstr(tmk_str_text(&page), BEGIN_MARK);
    CHECK(from != NULL);
    from += strlen(BEGIN_MARK);
    to = strstr(from, END_MARK);
    CHECK(to != NULL);
    make(&made);
    if ((size_t)(to - from) != made.size || memcmp(from, made.text, made.size) != 0) {
        fail_msg("%s is not up to date: put what build/tests/test_errors prints between its marks",
                 path);
    }
    tmk_str_clear(&page);
    tmk_str_clear(&made);
}

/* What a reader of the page can rely on. */
static void every_row_is_whole_and_there_once(void) {
    size_t count = 0;
    const tmk_condition *table = tmk_condition_table(&count);

    for (size_t i = 0; i < count; i++) {
        CHECK(strlen(table[i].means) > 10 && isupper((unsigned char)table[i].means[0]));
        CHECK(strlen(table[i].todo) > 5 && isupper((unsigned char)table[i].todo[0]));
        CHECK_EQ('.', table[i].means[strlen(table[i].means) - 1]);
        CHECK_EQ('.', table[i].todo[strlen(table[i].todo) - 1]);
        for (size_t j = 0; j < i; j++) {
            CHECK(strcmp(table[i].name, table[j].name) != 0);
        }
    }
}

int main(int argc, char **argv) {
    tmk_str made = TMK_STR_INIT;

    if (argc < 2) {
        make(&made);
        (void)fwrite(made.text, 1, made.size, stdout);
        tmk_str_clear(&made);
        return 0;
    }
    path = argv[1];
    return RUN(TEST(the_page_says_what_the_tables_say), TEST(every_row_is_whole_and_there_once));
}
