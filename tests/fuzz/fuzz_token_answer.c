/*
 * What an authority, an identity endpoint or the Azure CLI may answer, and PEM
 * files. Oracle: a token that is taken can stand in a header and does not live
 * for ever; no error repeats the canary that stands for secrets in the corpus;
 * texts for people are one line.
 */
#include "auth/answer.h"

#include "auth/assertion.h"
#include "base/assert.h"
#include "fuzz/fuzz.h"

/* As in the corpus. */
static const char marker[] = "c4n4ry";

static void check_answer(tmk_status st, tmk_token_answer *a, const tmk_error *err) {
    tmk_slice token = tmk_secret_bytes(a->token);

    if (st == TMK_OK) {
        tmk_assert(a->token != NULL && token.size > 0);
        tmk_assert(a->life >= 0 && a->life <= 30 * 24 * 60 * TMK_MIN);
        tmk_assert(a->refresh_in >= 0 && a->refresh_in <= 30 * 24 * 60 * TMK_MIN);
        for (size_t i = 0; i < token.size; i++) {
            tmk_assert(token.bytes[i] > ' ' && token.bytes[i] <= '~');
        }
    } else {
        tmk_assert(a->token == NULL && err->text[0] != '\0');
        tmk_assert(strstr(err->text, marker) == NULL);
    }
    a->token = tmk_secret_free(a->token);
}

static void try_error(tmk_slice body) {
    tmk_error_answer e;

    tmk_error_answer_parse(body, &e);
    tmk_assert(strpbrk(e.text, "\r\n\t") == NULL && strpbrk(e.error, "\r\n\t") == NULL);
}

static void try_pem(tmk_slice pem) {
    tmk_assertion_facts facts = {.client_id = "c", .audience = "a"};
    tmk_secret *token = NULL;
    tmk_error err = {0};
    tmk_rng rng;

    if (memmem(pem.bytes, pem.size, "-----BEGIN", 10) == NULL) {
        return; /* OpenSSL takes its time to find nothing */
    }
    tmk_rng_seed(&rng, 1);
    if (tmk_assertion_make(pem, &facts, &rng, &token, &err) != TMK_OK) {
        tmk_assert(token == NULL && strstr(err.text, marker) == NULL);
    }
    tmk_secret_free(token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const tmk_wall now = {INT64_C(1700000000) * 1000000};
    tmk_slice body = tmk_slice_of(data, size);
    tmk_token_answer answer = {NULL};
    tmk_error err = {0};
    tmk_status st = tmk_token_answer_parse(body, now, &answer, &err);

    check_answer(st, &answer, &err);
    st = tmk_cli_answer_parse(body, now, &answer, &err);
    check_answer(st, &answer, &err);
    try_error(body);
    try_pem(body);
    return 0;
}
