/*
 * When a key has been used and let go, no copy of it is left in the process:
 * all writable memory is searched for it. The search pattern is kept inverted,
 * so that it does not find itself.
 */
#include <tidemark/credential.h>

#include <sys/mman.h>
#include <unistd.h>

#include "support/check.h"
#include "support/token_rig.h"

#include "auth/connection_string.h"
#include "auth/storage_key.h"
#include "base/rng.h"
#include "base/str.h"

enum { secret_size = 40, text_room = 4096 };

static token_rig rig;
static uint8_t inverted[secret_size];
static char *page; /* where the test itself writes the secret; wiped before the search */

static void make_secret(char out[secret_size]) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    tmk_rng rng;

    tmk_rng_seed_system(&rng);
    for (int i = 0; i < secret_size; i++) {
        out[i] = letters[tmk_rng_below(&rng, sizeof letters - 1)];
        inverted[i] = (uint8_t)~out[i];
    }
}

static bool is_here(const uint8_t *at) {
    for (int i = 0; i < secret_size; i++) {
        if ((at[i] ^ inverted[i]) != 0xff) {
            return false;
        }
    }
    return true;
}

static size_t count_in(const uint8_t *from, const uint8_t *to) {
    size_t found = 0;

    for (const uint8_t *at = from; at + secret_size <= to; at++) {
        found += is_here(at);
    }
    return found;
}

/* Occurrences in all memory of this process that can be written. */
static size_t count_copies(void) {
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    size_t found = 0;

    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL) {
        uintptr_t from, to;
        char rights[8];

        CHECK_EQ(3, sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &from, &to, rights));
        if (rights[0] == 'r' && rights[1] == 'w') {
            found += count_in((const uint8_t *)from, (const uint8_t *)to);
        }
    }
    (void)fclose(maps);
    return found;
}

/* Writes a new secret between the two into `page`. */
static const char *text_with_secret(const char *before, const char *after) {
    char *secret = page + strlen(before);

    memcpy(page, before, strlen(before));
    make_secret(secret);
    strcpy(secret + secret_size, after);
    return page;
}

static void forget(void) {
    tmk_wipe(page, text_room);
}

static void the_search_finds_what_is_there(void) {
    (void)text_with_secret("", "");
    CHECK_EQ(1, count_copies());
    forget();
    CHECK_EQ(0, count_copies());
}

static void a_key_leaves_nothing_behind(void) {
    tmk_credential *c = NULL;
    tmk_error err;

    CHECK_EQ(TMK_OK,
             tmk_credential_connection_string(
                 text_with_secret("Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=", ""),
                 &c, &err));
    forget();
    CHECK_EQ(1, count_copies()); /* the credential's own */
    CHECK(rig_open(&rig, c));
    CHECK(rig_get(&rig, false));
    CHECK_EQ(1, count_copies());
    rig_close(&rig);
    CHECK_EQ(0, count_copies());
}

static void a_refused_string_leaves_nothing_behind(void) {
    tmk_hub_string s;
    tmk_error err;

    CHECK_EQ(TMK_EINVAL, tmk_hub_string_parse(tmk_slice_str(text_with_secret(
                                                  "Endpoint=sb://h/;SharedAccessKey=", "")),
                                              &s, &err));
    forget();
    CHECK_EQ(0, count_copies());
}

/* The signature is a secret of its own while it lives. */
static void a_storage_key_leaves_nothing_behind(void) {
    tmk_storage_request r = {.method = "GET", .path = TMK_LIT("/c")};
    tmk_storage_string s = {NULL};
    tmk_str header = TMK_STR_INIT;
    tmk_error err;

    CHECK_EQ(TMK_OK,
             tmk_storage_string_parse(
                 tmk_slice_str(text_with_secret("AccountName=a;AccountKey=", "")), &s, &err));
    forget();
    CHECK_EQ(TMK_OK, tmk_storage_sign(&r, s.account, s.key, &header, &err));
    CHECK_EQ(0, count_copies()); /* it is kept decoded */
    tmk_str_clear(&header);
    tmk_storage_string_clear(&s);
    CHECK_EQ(0, count_copies());
}

static void on_ask(void *self, tmk_token_ask *ask) {
    tmk_token_reply r = {.size = sizeof r, .token = self, .lives_ms = 60000};
    tmk_error err;

    CHECK_EQ(TMK_OK, tmk_token_ask_answer(ask, &r, &err));
    forget();
}

static void a_token_leaves_nothing_behind(void) {
    tmk_credential *c = NULL;
    tmk_error err;

    (void)text_with_secret("", "");
    CHECK_EQ(TMK_OK, tmk_credential_callback(TMK_TOKEN_JWT, on_ask, page, NULL, &c, &err));
    CHECK(rig_open(&rig, c));
    CHECK(rig_get(&rig, false));
    CHECK_EQ(1, count_copies());
    rig_close(&rig);
    CHECK_EQ(0, count_copies());
}

/* A sanitizer maps terabytes, and does not let its own parts be read. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

int main(void) {
    void *mapped =
        mmap(NULL, text_room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

#ifdef SANITIZED
    puts("1..0 # SKIP memory cannot be searched under a sanitizer");
    return 0;
#endif
    if (mapped == MAP_FAILED) {
        return 99;
    }
    page = mapped;
    return RUN(TEST(the_search_finds_what_is_there), TEST(a_key_leaves_nothing_behind),
               TEST(a_refused_string_leaves_nothing_behind),
               TEST(a_storage_key_leaves_nothing_behind), TEST(a_token_leaves_nothing_behind));
}
