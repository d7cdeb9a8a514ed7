/* Secrets are wiped and never shown; log lines cannot be forged. */
#include "base/secret.h"

#include <unistd.h>

#include "base/log.h"
#include "support/check.h"
#include "support/failing_alloc.h"

static void a_secret_is_a_counted_copy(void) {
    char key[] = "key";
    tmk_secret *s = tmk_secret_new(tmk_slice_str(key));
    tmk_secret *again = tmk_secret_ref(s);

    key[0] = 'K';
    CHECK(tmk_secret_free(s) == NULL);
    CHECK_SLICE("key", tmk_secret_bytes(again));
    CHECK_EQ('\0', tmk_secret_bytes(again).bytes[3]);
    again = tmk_secret_free(again);
    CHECK(tmk_secret_free(NULL) == NULL && tmk_secret_ref(NULL) == NULL);
    CHECK_EQ(0, tmk_secret_bytes(NULL).size);
}

static void a_secret_may_be_empty_or_fill_pages(void) {
    static uint8_t large[100000];
    tmk_secret *empty = tmk_secret_new(tmk_slice_of(NULL, 0));
    tmk_secret *full = tmk_secret_new(tmk_slice_of(large, 4096));
    tmk_secret *many = tmk_secret_new(tmk_slice_of(large, sizeof large));

    CHECK_STR("", (const char *)tmk_secret_bytes(empty).bytes);
    CHECK_EQ('\0', tmk_secret_bytes(full).bytes[4096]);
    CHECK_EQ(sizeof large, tmk_secret_bytes(many).size);
    CHECK(tmk_secret_new(tmk_slice_of(large, SIZE_MAX)) == NULL);
    empty = tmk_secret_free(empty);
    full = tmk_secret_free(full);
    many = tmk_secret_free(many);
}

static void a_secret_without_memory_is_null(void) {
    for (failing_begin(FAILING_ONCE); failing_next();) {
        tmk_secret *s = tmk_secret_new(TMK_LIT("key"));

        CHECK_EQ(!failing_hit(), s != NULL);
        s = tmk_secret_free(s);
        CHECK_EQ(0, failing_live());
    }
}

static void wiping_clears(void) {
    char bytes[4] = "abc";

    tmk_wipe(bytes, sizeof bytes);
    CHECK_EQ(0, bytes[0] | bytes[1] | bytes[2]);
    tmk_wipe(NULL, 0);
}

static void secrets_of_every_shape_are_hidden(void) {
    static const struct {
        const char *text, *expected;
    } rows[] = {
        {"", ""},
        {"nothing to hide, significant=1", "nothing to hide, significant=1"},
        {"sr=x&sig=abc%2Bdef%3D&se=1", "sr=x&sig=***&se=1"},
        {"Endpoint=sb://h/;SharedAccessKeyName=root;SharedAccessKey=abc+/def=;EntityPath=e",
         "Endpoint=sb://h/;SharedAccessKeyName=root;SharedAccessKey=***;EntityPath=e"},
        {"AccountName=a;accountkey = abcd==;x", "AccountName=a;accountkey = ***;x"},
        {"SharedAccessSignature=SharedAccessSignature sr=a&sig=b&se=1&skn=n;EntityPath=e",
         "SharedAccessSignature=***;EntityPath=e"},
        {"token SharedAccessSignature sr=a&sig=bcdefg&se=1",
         "token SharedAccessSignature sr=a&sig=***&se=1"},
        {"Authorization: Bearer abc.def, and\r\nDate: x", "Authorization: ***\r\nDate: x"},
        {"Authorization: SharedKey account:abcdef=\nx", "Authorization: ***\nx"},
        {"proxy-authorization:Basic abcd==", "proxy-authorization:***"},
        {"{\"access_token\":\"abc def\",\"expires_in\":1}",
         "{\"access_token\":\"***\",\"expires_in\":1}"},
        {"{\\\"access_token\\\": \\\"abcdef\\\"}", "{\\\"access_token\\\": \\\"***\"}"},
        {"client_secret=abcd&grant_type=x", "client_secret=***&grant_type=x"},
        {"client_assertion=abcd.ef", "client_assertion=***"},
        {"got Bearer abcdef here", "got Bearer *** here"},
        {"eyJhbGciOi.eyJzdWIi.c2ln_-x end", "*** end"},
        {"eyJust a word", "eyJust a word"},
        {"via http://user:pa@ss@proxy:3128/ ok", "via http://user:***@proxy:3128/ ok"},
        {"http://proxy:3128/a@b", "http://proxy:3128/a@b"},
        {"url=https%3A%2F%2Fx%3Fsig%3Dabcd%26se%3D1", "url=https%3A%2F%2Fx%3Fsig%3D***%26se%3D1"},
        {"sig=", "sig="},
        {"sig=a", "sig=*"},
        {"sig='a b'c", "sig='***'c"},
        {"password: hunter2 sig=abcd", "password: *** sig=***"},
    };

    for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        char text[256];

        (void)snprintf(text, sizeof text, "%s", rows[n].text);
        tmk_redact(text);
        CHECK_STR(rows[n].expected, text);
    }
    tmk_redact(NULL);
}

/* A line cut short in the middle of a secret still hides what is left of it. */
static void every_prefix_of_a_secret_text_is_hidden(void) {
    static const char whole[] = "x SharedAccessKey=CANARY Authorization: CANARY eyJCANARY.CANARY "
                                "http://u:CANARY@h sig=CANARY";

    for (size_t size = 0; size < sizeof whole; size++) {
        char text[sizeof whole];
        char *found = NULL;

        memcpy(text, whole, size);
        text[size] = '\0';
        tmk_redact(text);
        found = strstr(text, "CANARY");
        /* A token without its point, a password without its '@': nothing tells them from words. */
        CHECK(found == NULL || strncmp(found - 3, "eyJ", 3) == 0 ||
              strncmp(found - 2, "u:", 2) == 0);
    }
}

static char last[4096];
static tmk_log_level last_level;
static int lines;

static void keep(void *self, tmk_log_level level, const char *event, const char *fields) {
    (void)self;
    last_level = level;
    lines++;
    (void)snprintf(last, sizeof last, "%s %s", event, fields);
}

static void a_line_is_redacted_and_stays_one_line(void) {
    const tmk_log log = {keep, NULL, TMK_LOG_INFO};

    tmk_warn(&log, "auth.failed", "reason='%s'", "bad\nsig=abcdef\x1b[31m");
    CHECK_STR("auth.failed reason='bad sig=***'", last);
    CHECK_EQ(TMK_LOG_WARN, last_level);
}

static int evaluated;
static int evaluate(void) {
    return ++evaluated;
}

static void a_line_above_the_level_is_not_made(void) {
    const tmk_log log = {keep, NULL, TMK_LOG_WARN};
    const tmk_log silent = {NULL, NULL, TMK_LOG_TRACE};
    const tmk_log *none = NULL;

    lines = 0;
    tmk_info(&log, "x", "%d", evaluate());
    tmk_log_error(&silent, "x", "%d", evaluate());
    tmk_log_error(none, "x", "%d", evaluate());
    CHECK_EQ(0, lines);
    CHECK_EQ(0, evaluated);
}

static void a_long_line_is_cut(void) {
    const tmk_log log = {keep, NULL, TMK_LOG_TRACE};
    char text[5000];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    tmk_trace(&log, "long", "%s", text);
    CHECK(strlen(last) > 1000 && strlen(last) < 3000);
}

static void standard_error_gets_whole_lines(void) {
    const tmk_log log = tmk_log_stderr(TMK_LOG_INFO);
    char line[256] = {0};
    int before = dup(STDERR_FILENO);
    int ends[2];
    ssize_t got = 0;

    CHECK_EQ(0, pipe(ends));
    (void)dup2(ends[1], STDERR_FILENO);
    tmk_info(&log, "test.event", "a=%d", 1);
    (void)dup2(before, STDERR_FILENO);
    got = read(ends[0], line, sizeof line - 1);
    CHECK(got > 30 && line[got - 1] == '\n');
    CHECK_STR("Z info  test.event a=1\n", line + 26);
    (void)close(before);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void) {
    return RUN(
        TEST(a_secret_is_a_counted_copy), TEST(a_secret_may_be_empty_or_fill_pages),
        TEST(a_secret_without_memory_is_null), TEST(wiping_clears),
        TEST(secrets_of_every_shape_are_hidden), TEST(every_prefix_of_a_secret_text_is_hidden),
        TEST(a_line_is_redacted_and_stays_one_line), TEST(a_line_above_the_level_is_not_made),
        TEST(a_long_line_is_cut), TEST(standard_error_gets_whole_lines));
}
