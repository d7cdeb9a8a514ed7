/* Tokens without a network: signatures of our own, of others, and the program's. */
#include "auth/token.h"

#include "support/check.h"
#include "support/failing.h"
#include "support/token_rig.h"

#include "auth/sas.h"
#include "base/thread.h"

static token_rig rig;

static tmk_credential *key_credential(void) {
    tmk_credential *c = NULL;
    tmk_error err;

    return tmk_credential_shared_key("rule", RIG_CANARY "==", &c, &err) == TMK_OK ? c : NULL;
}

/* ---- signatures ---- */

static void a_key_signs_for_the_audience_for_an_hour(void) {
    tmk_sas sas;
    tmk_error err;
    int64_t wall;

    CHECK(rig_open(&rig, key_credential()));
    CHECK(rig_get(&rig, false));
    wall = rig_wall_(&rig).us / 1000000;
    CHECK_EQ(TMK_TOKEN_SAS, rig.first->token.kind);
    CHECK_STR("servicebus.windows.net:sastoken", tmk_token_type(&rig.first->token));
    CHECK_EQ(TMK_OK, tmk_sas_parse(tmk_secret_bytes(rig.first->token.secret), &sas, &err));
    CHECK(tmk_sas_verify(&sas, TMK_LIT(RIG_CANARY "==")));
    CHECK_SLICE("sb%3A%2F%2Fns%2Fhub", sas.resource);
    CHECK(sas.expires >= wall + 3595 && sas.expires <= wall + 3600);
    CHECK(rig.first->token.expires_at - tmk_loop_now(rig.loop) > 3590 * TMK_SEC);
    CHECK(rig.first->token.expires_at - rig.first->token.refresh_at >= 15 * TMK_MIN);
    CHECK(rig.first->token.expires_at - rig.first->token.refresh_at <= 20 * TMK_MIN);
    rig_close(&rig);
}

static tmk_credential *signature_credential(int64_t expires) {
    tmk_credential *c = NULL;
    tmk_error err;
    char text[128];

    (void)snprintf(text, sizeof text, "SharedAccessSignature sr=a&sig=" RIG_CANARY "&se=%lld",
                   (long long)expires);
    return tmk_credential_sas(text, &c, &err) == TMK_OK ? c : NULL;
}

static void a_signature_of_others_is_used_to_its_end(void) {
    token_rig *r = &rig;
    tmk_clock clock = tmk_clock_system();
    int64_t wall = tmk_wall_now(&clock).us / 1000000;

    CHECK(rig_open(r, signature_credential(wall + 600)));
    CHECK(rig_get(r, true));
    CHECK_EQ(TMK_NEVER, r->first->token.refresh_at);
    CHECK(r->first->token.expires_at - tmk_loop_now(r->loop) <= 600 * TMK_SEC);
    r->ahead = 601 * TMK_SEC;
    CHECK(!rig_get(r, false));
    CHECK_EQ(TMK_EAUTH, r->first->why.status);
    CHECK(strstr(r->first->why.text, "ended") != NULL);
    CHECK_EQ(TMK_NEVER, r->first->retry_at);
    rig_close(r);
}

static void a_signature_of_storage_is_none_here(void) {
    tmk_credential *c = NULL;
    tmk_error err;

    CHECK_EQ(TMK_OK, tmk_credential_sas("sv=1&sig=" RIG_CANARY, &c, &err));
    CHECK(rig_open(&rig, c));
    CHECK(!rig_get(&rig, false));
    CHECK_EQ(TMK_EINVAL, rig.first->why.status);
    rig_close(&rig);
}

/* ---- the program's own ---- */

typedef struct program {
    int asked;
    tmk_token_ask *asks[8];
    bool at_once;
    const char *refuse;
    int64_t lives_ms;
    char scope[64], audience[64];
} program;

static program prog;

static void reply(tmk_token_ask *ask, int number, int64_t lives_ms) {
    char text[64];
    tmk_token_reply r = {.size = sizeof r, .token = text, .lives_ms = lives_ms};
    tmk_status st;
    tmk_error err;

    (void)snprintf(text, sizeof text, RIG_CANARY "-%d", number);
    st = tmk_token_ask_answer(ask, &r, &err);
    CHECK_EQ(lives_ms <= 0 ? TMK_EINVAL : failing_hit() ? TMK_ENOMEM : TMK_OK, st);
}

static void on_ask(void *self, tmk_token_ask *ask) {
    program *p = self;

    (void)snprintf(p->scope, sizeof p->scope, "%s", tmk_token_ask_scope(ask));
    (void)snprintf(p->audience, sizeof p->audience, "%s", tmk_token_ask_audience(ask));
    p->asked++;
    if (p->refuse != NULL) {
        tmk_token_ask_fail(ask, true, p->refuse);
    } else if (p->at_once) {
        reply(ask, p->asked, p->lives_ms);
    } else {
        p->asks[(p->asked - 1) % 8] = ask;
    }
}

static tmk_credential *program_credential(tmk_token_kind kind) {
    tmk_credential *c = NULL;
    tmk_error err;

    prog = (program){.at_once = true, .lives_ms = 3600 * 1000};
    return tmk_credential_callback(kind, on_ask, &prog, NULL, &c, &err) == TMK_OK ? c : NULL;
}

static void the_program_is_asked_once_and_its_token_is_kept(void) {
    CHECK(rig_open(&rig, program_credential(TMK_TOKEN_JWT)));
    CHECK(rig_get(&rig, false));
    CHECK_SLICE(RIG_CANARY "-1", tmk_secret_bytes(rig.first->token.secret));
    CHECK_STR("jwt", tmk_token_type(&rig.first->token));
    CHECK_STR("https://eventhubs.azure.net/.default", prog.scope);
    CHECK_STR("sb://ns/hub", prog.audience);
    rig_ask(&rig, rig.first, "sb://ns/other", true);
    CHECK(rig_wait_for(&rig, rig.first, TMK_SEC));
    CHECK_EQ(1, prog.asked);
    rig_close(&rig);
}

static void signatures_of_the_program_open_one_audience_each(void) {
    CHECK(rig_open(&rig, program_credential(TMK_TOKEN_SAS)));
    CHECK(rig_get(&rig, false));
    CHECK_STR("servicebus.windows.net:sastoken", tmk_token_type(&rig.first->token));
    rig_ask(&rig, rig.first, "sb://ns/other", true);
    CHECK(rig_wait_for(&rig, rig.first, TMK_SEC));
    CHECK_STR("sb://ns/other", prog.audience);
    CHECK_EQ(2, prog.asked);
    CHECK(rig_get(&rig, false));
    CHECK_EQ(2, prog.asked);
    rig_close(&rig);
}

static void all_who_wait_get_the_one_answer(void) {
    CHECK(rig_open(&rig, program_credential(TMK_TOKEN_JWT)));
    prog.at_once = false;
    for (int i = 0; i < rig_calls; i++) {
        rig_ask(&rig, &rig.calls[i], "sb://ns/hub", i % 2 == 0);
    }
    while (prog.asked == 0) {
        rig_turn(&rig);
    }
    tmk_tokens_cancel(rig.tokens, &rig.calls[7].call);
    tmk_tokens_cancel(rig.tokens, &rig.calls[7].call);
    reply(prog.asks[0], 1, 60000);
    for (int i = 0; i < rig_calls; i++) {
        CHECK(i == 7 || rig_wait_for(&rig, &rig.calls[i], TMK_SEC));
    }
    CHECK_EQ(0, rig.calls[7].answers);
    CHECK_EQ(1, prog.asked);
    rig_close(&rig);
}

static void *answer_elsewhere(void *arg) {
    reply(arg, 1, 60000);
    return NULL;
}

static void the_answer_may_come_from_any_thread(void) {
    tmk_thread thread = {0};
    tmk_error err;

    CHECK(rig_open(&rig, program_credential(TMK_TOKEN_JWT)));
    prog.at_once = false;
    rig_ask(&rig, rig.first, "sb://ns/hub", false);
    while (prog.asked == 0) {
        rig_turn(&rig);
    }
    CHECK_EQ(TMK_OK, tmk_thread_start(&thread, "answers", answer_elsewhere, prog.asks[0], &err));
    CHECK(rig_wait_for(&rig, rig.first, 5 * TMK_SEC));
    CHECK(rig.first->token.secret != NULL);
    tmk_thread_join(&thread);
    rig_close(&rig);
}

static void a_refusal_of_the_program_is_passed_on_with_a_pause(void) {
    CHECK(rig_open(&rig, program_credential(TMK_TOKEN_JWT)));
    prog.refuse = "the vault is sealed";
    CHECK(!rig_get(&rig, false));
    CHECK_STR("the vault is sealed", rig.first->why.text);
    CHECK(rig.first->why.retryable);
    CHECK(rig_pause(&rig) > 8 * TMK_SEC && rig_pause(&rig) < 12 * TMK_SEC);
    CHECK(!rig_get(&rig, true));
    CHECK_EQ(1, prog.asked);
    prog.refuse = NULL;
    rig.ahead += 12 * TMK_SEC;
    CHECK(rig_get(&rig, true));
    CHECK_EQ(2, prog.asked);
    rig_close(&rig);
}

static void an_answer_without_a_life_is_a_failure(void) {
    CHECK(rig_open(&rig, program_credential(TMK_TOKEN_JWT)));
    prog.lives_ms = 0;
    CHECK(!rig_get(&rig, false));
    CHECK_EQ(TMK_EINVAL, rig.first->why.status);
    rig_close(&rig);
}

static void a_program_that_never_answers_is_given_up(void) {
    CHECK(rig_open(&rig, program_credential(TMK_TOKEN_JWT)));
    prog.at_once = false;
    rig_ask(&rig, rig.first, "sb://ns/hub", false);
    while (prog.asked == 0) {
        rig_turn(&rig);
    }
    rig.ahead += 61 * TMK_SEC;
    CHECK(rig_wait_for(&rig, rig.first, 5 * TMK_SEC));
    CHECK_EQ(TMK_ETIMEOUT, rig.first->why.status);
    reply(prog.asks[0], 1, 60000); /* too late: dropped, and nothing leaks */
    rig_close(&rig);
}

/* Whoever stops must not be held by the program, nor the program fall over it. */
static void tokens_may_go_while_the_program_still_thinks(void) {
    CHECK(rig_open(&rig, program_credential(TMK_TOKEN_JWT)));
    prog.at_once = false;
    rig_ask(&rig, rig.first, "sb://ns/hub", false);
    while (prog.asked == 0) {
        rig_turn(&rig);
    }
    rig_close(&rig);
    reply(prog.asks[0], 1, 60000);
    CHECK_EQ(0, rig.first->answers);
}

static void tokens_may_go_between_an_answer_and_its_arrival(void) {
    CHECK(rig_open(&rig, program_credential(TMK_TOKEN_JWT)));
    prog.at_once = false;
    rig_ask(&rig, rig.first, "sb://ns/hub", false);
    while (prog.asked == 0) {
        rig_turn(&rig);
    }
    reply(prog.asks[0], 1, 60000);
    rig_close(&rig);
    CHECK_EQ(0, rig.first->answers);
}

static void free_from_inside(tmk_token_call *call, const tmk_token *token, const tmk_error *why,
                             tmk_time retry_at) {
    (void)token;
    (void)why;
    (void)retry_at;
    ((rig_call *)call->user)->answers++;
    rig.tokens = tmk_tokens_free(rig.tokens);
}

static void tokens_may_go_from_inside_an_answer(void) {
    CHECK(rig_open(&rig, key_credential()));
    rig.calls[0].call.got = free_from_inside;
    rig_ask(&rig, &rig.calls[0], "sb://ns/hub", false);
    rig_ask(&rig, &rig.calls[1], "sb://ns/hub", false);
    CHECK(rig_wait_for(&rig, rig.first, TMK_SEC));
    CHECK_EQ(0, rig.calls[1].answers);
    rig_close(&rig);
}

/* ---- renewal ---- */

static void a_token_is_renewed_while_the_old_one_serves(void) {
    CHECK(rig_open(&rig, program_credential(TMK_TOKEN_JWT)));
    CHECK(rig_get(&rig, false));
    rig.ahead += 46 * TMK_MIN;
    CHECK(rig_get(&rig, false));
    CHECK_SLICE(RIG_CANARY "-1", tmk_secret_bytes(rig.first->token.secret));
    CHECK(rig_get(&rig, true));
    CHECK_SLICE(RIG_CANARY "-2", tmk_secret_bytes(rig.first->token.secret));
    CHECK_EQ(2, prog.asked);
    rig_close(&rig);
}

static void a_failed_renewal_takes_nothing_away(void) {
    CHECK(rig_open(&rig, program_credential(TMK_TOKEN_JWT)));
    CHECK(rig_get(&rig, false));
    prog.refuse = "not now";
    rig.ahead += 50 * TMK_MIN;
    CHECK(!rig_get(&rig, true));
    CHECK_STR("not now", rig.first->why.text);
    CHECK(rig_get(&rig, false));
    rig.ahead += 9 * TMK_MIN + 30 * TMK_SEC; /* half a minute is left */
    CHECK(rig_get(&rig, false));
    CHECK_SLICE(RIG_CANARY "-1", tmk_secret_bytes(rig.first->token.secret));
    rig.ahead += TMK_MIN;
    CHECK(!rig_get(&rig, false));
    rig_close(&rig);
}

static void a_token_that_the_service_refused_is_not_used_again(void) {
    tmk_token_target target = {.audience = "sb://ns/hub"};
    tmk_token old = TMK_TOKEN_INIT;

    CHECK(rig_open(&rig, program_credential(TMK_TOKEN_JWT)));
    CHECK(rig_get(&rig, false));
    tmk_token_set(&old, &rig.first->token);
    tmk_tokens_refused(rig.tokens, &target, &old);
    CHECK(rig_get(&rig, false));
    CHECK_SLICE(RIG_CANARY "-2", tmk_secret_bytes(rig.first->token.secret));
    tmk_tokens_refused(rig.tokens, &target, &old); /* again, of another link: says nothing new */
    CHECK(rig_get(&rig, false));
    CHECK_SLICE(RIG_CANARY "-2", tmk_secret_bytes(rig.first->token.secret));
    tmk_tokens_refused(rig.tokens, &target, &rig.first->token);
    CHECK(!rig_get(&rig, false));
    CHECK(strstr(rig.first->why.text, "role") != NULL);
    CHECK(rig_pause(&rig) > 8 * TMK_SEC);
    CHECK_EQ(2, prog.asked);
    tmk_token_clear(&old);
    rig_close(&rig);
}

/* ---- memory ---- */

static bool scenario(void) {
    bool good = false;
    tmk_credential *c = program_credential(TMK_TOKEN_JWT);

    if (c != NULL && rig_open(&rig, c)) {
        rig_ask(&rig, rig.first, "sb://ns/hub", false);
        good = rig_wait_for(&rig, rig.first, TMK_SEC) && rig.first->token.secret != NULL;
    }
    rig_close(&rig);
    c = key_credential();
    if (c != NULL && rig_open(&rig, c)) {
        rig_ask(&rig, rig.first, "sb://ns/hub", false);
        good &= rig_wait_for(&rig, rig.first, TMK_SEC) && rig.first->token.secret != NULL;
    }
    rig_close(&rig);
    return good;
}

static void a_failed_allocation_is_a_failure_and_no_leak(void) {
    failing_each(scenario);
}

int main(void) {
    return RUN(
        TEST(a_key_signs_for_the_audience_for_an_hour),
        TEST(a_signature_of_others_is_used_to_its_end), TEST(a_signature_of_storage_is_none_here),
        TEST(the_program_is_asked_once_and_its_token_is_kept),
        TEST(signatures_of_the_program_open_one_audience_each),
        TEST(all_who_wait_get_the_one_answer), TEST(the_answer_may_come_from_any_thread),
        TEST(a_refusal_of_the_program_is_passed_on_with_a_pause),
        TEST(an_answer_without_a_life_is_a_failure), TEST(a_program_that_never_answers_is_given_up),
        TEST(tokens_may_go_while_the_program_still_thinks),
        TEST(tokens_may_go_between_an_answer_and_its_arrival),
        TEST(tokens_may_go_from_inside_an_answer),
        TEST(a_token_is_renewed_while_the_old_one_serves),
        TEST(a_failed_renewal_takes_nothing_away),
        TEST(a_token_that_the_service_refused_is_not_used_again),
        TEST(a_failed_allocation_is_a_failure_and_no_leak));
}
