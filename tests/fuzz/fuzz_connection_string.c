/*
 * Connection strings, signatures, Retry-After and the challenge of Azure Arc.
 * Oracle: no error repeats the canary that stands for secrets in the corpus,
 * what was taken is complete, a signature of our own making is verified, and
 * the path of a key lies in its folder.
 */
#include "auth/connection_string.h"

#include "auth/sas.h"
#include "auth/token_request.h"
#include "auth/token_retry.h"
#include "base/assert.h"
#include "fuzz/fuzz.h"

/* As in the corpus. */
static const char marker[] = "c4n4ry";

static void check_words(const tmk_error *err) {
    tmk_assert(err->text[0] != '\0');
    tmk_assert(strstr(err->text, marker) == NULL);
    tmk_assert(strpbrk(err->text, "\r\n") == NULL);
}

static void try_hub(tmk_slice text) {
    tmk_hub_string s = {NULL};
    tmk_error err = {0};
    const char *hub = NULL;

    if (tmk_hub_string_parse(text, &s, &err) == TMK_OK) {
        tmk_assert(s.host != NULL && s.host[0] != '\0');
        tmk_assert((s.key != NULL && s.key_name != NULL) != (s.signature != NULL));
        tmk_assert(tmk_hub_string_choose(&s, "hub", &hub, &err) == TMK_OK || s.hub != NULL);
    } else {
        tmk_assert(s.host == NULL && s.key == NULL);
        check_words(&err);
    }
    tmk_hub_string_clear(&s);
}

static void try_storage(tmk_slice text) {
    tmk_storage_string s = {NULL};
    tmk_error err = {0};

    (void)tmk_storage_string_is(text);
    if (tmk_storage_string_parse(text, &s, &err) == TMK_OK) {
        size_t size = strlen(s.blob_endpoint);

        tmk_assert(strncmp(s.blob_endpoint, "http", 4) == 0 && s.blob_endpoint[size - 1] != '/');
        tmk_assert((s.key != NULL && s.account != NULL) != (s.sas != NULL));
    } else {
        tmk_assert(s.blob_endpoint == NULL && s.key == NULL);
        check_words(&err);
    }
    tmk_storage_string_clear(&s);
}

static void try_sas(tmk_slice text) {
    tmk_secret *key = tmk_secret_new(text);
    tmk_secret *token = NULL;
    tmk_sas sas;
    tmk_error err = {0};

    if (tmk_sas_parse(text, &sas, &err) == TMK_OK) {
        tmk_assert(!tmk_sas_verify(&sas, TMK_LIT("not the key")));
    } else {
        check_words(&err);
    }
    tmk_assert(key != NULL && tmk_sas_make("name", key, text, 1, &token, &err) == TMK_OK);
    if (text.size > 0) {
        tmk_assert(tmk_sas_parse(tmk_secret_bytes(token), &sas, &err) == TMK_OK);
        tmk_assert(tmk_sas_verify(&sas, text));
    }
    tmk_secret_free(token);
    tmk_secret_free(key);
}

static void try_header(tmk_slice text) {
    char *value = tmk_slice_dup(text);
    tmk_str path = TMK_STR_INIT;
    tmk_error err = {0};

    tmk_assert(value != NULL);
    tmk_assert(tmk_retry_after_parse(value, (tmk_wall){0}) >= 0);
    if (tmk_arc_key_path(value, "/keys", &path, &err) == TMK_OK) {
        tmk_assert(strncmp(path.text, "/keys/", 6) == 0 && strchr(path.text + 6, '/') == NULL);
    } else {
        check_words(&err);
    }
    tmk_str_clear(&path);
    tmk_free(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tmk_slice text = tmk_slice_of(data, size);

    try_hub(text);
    try_storage(text);
    try_sas(text);
    try_header(text);
    return 0;
}
