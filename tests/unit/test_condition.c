/* Every condition of the service has one meaning and one reaction. */
#include "amqp/condition.h"

#include "support/check.h"

static bool is_sentence(const char *text) {
    size_t size = strlen(text);

    return size > 5 && text[0] >= 'A' && text[0] <= 'Z' && text[size - 1] == '.' &&
           strchr(text, '\n') == NULL;
}

static void every_row_is_whole_and_none_comes_twice(void) {
    size_t count;
    const tmk_condition *table = tmk_condition_table(&count);

    CHECK(count > 50);
    CHECK_STR("", table[count - 1].name);
    for (size_t i = 0; i < count; i++) {
        const tmk_condition *c = &table[i];

        CHECK(c->status < 0);
        CHECK(is_sentence(c->means));
        CHECK(is_sentence(c->todo));
        CHECK(c->wait >= 0 && c->wait <= TMK_MIN);
        CHECK(strlen(c->name) < sizeof((tmk_error *)NULL)->origin);
        /* Retryable is what is tried without anybody's help. */
        CHECK_EQ(c->reaction <= TMK_REACTION_CONNECTION, c->retryable);
        CHECK_EQ(c->reaction == TMK_REACTION_GIVE_UP, c->status == TMK_ELOST);
        CHECK_EQ(c->reaction == TMK_REACTION_POSITION, c->status == TMK_EPOSITION);
        for (size_t k = 0; k < i; k++) {
            CHECK(strcmp(table[k].name, c->name) != 0);
        }
    }
}

/* Found under its own name, at a place that leaves the reaction as it is. */
static void every_condition_is_found_by_its_name(void) {
    size_t count;
    const tmk_condition *table = tmk_condition_table(&count);

    for (size_t i = 0; i + 1 < count; i++) {
        tmk_error err;
        tmk_judgement v;

        if (strchr(table[i].name, ' ') != NULL) {
            continue; /* a variant: below */
        }
        v = tmk_condition_judge(TMK_AT_SEND, table[i].name,
                                "The messaging entity 'x' could not be found.", &err);
        CHECK(v.condition == &table[i]);
        CHECK_EQ(table[i].reaction, v.reaction);
        CHECK_EQ(table[i].wait, v.wait);
        CHECK_EQ(table[i].status, err.status);
        CHECK_EQ(table[i].retryable, err.retryable);
        CHECK_STR(table[i].name, err.origin);
        CHECK_STR("The messaging entity 'x' could not be found.", err.text);
    }
}

static tmk_judgement judge(tmk_condition_at at, const char *name, const char *text) {
    return tmk_condition_judge(at, name, text, NULL);
}

static void what_is_gone_is_made_anew_however_mild_the_reason(void) {
    size_t count;
    const tmk_condition *table = tmk_condition_table(&count);

    for (size_t i = 0; i < count; i++) {
        CHECK(judge(TMK_AT_CONNECTION, table[i].name, "").reaction >= TMK_REACTION_CONNECTION);
        CHECK(judge(TMK_AT_LOCAL, table[i].name, "").reaction >= TMK_REACTION_CONNECTION);
        CHECK(judge(TMK_AT_LINK, table[i].name, "").reaction >= TMK_REACTION_LINK);
        CHECK(judge(TMK_AT_SESSION, table[i].name, "").reaction >= TMK_REACTION_LINK);
    }
    CHECK_EQ(TMK_REACTION_RETRY, judge(TMK_AT_SEND, "com.microsoft:server-busy", "").reaction);
    CHECK_EQ(TMK_REACTION_RETRY, judge(TMK_AT_CALL, "com.microsoft:server-busy", "").reaction);
    CHECK_EQ(TMK_REACTION_LINK, judge(TMK_AT_LINK, "com.microsoft:server-busy", "").reaction);
}

/* A restart of the service may detach every link instead of closing the connection. */
static void a_forced_connection_is_lost_wherever_it_is_told(void) {
    for (tmk_condition_at at = TMK_AT_CONNECTION; at <= TMK_AT_LOCAL; at++) {
        CHECK_EQ(TMK_REACTION_CONNECTION, judge(at, "amqp:connection:forced", "").reaction);
    }
}

static void not_found_is_split_by_its_text(void) {
    const char *missing = "The messaging entity 'sb://ns/hub' could not be found. TrackingId:1";

    CHECK_EQ(TMK_REACTION_FATAL, judge(TMK_AT_LINK, "amqp:not-found", missing).reaction);
    CHECK_EQ(TMK_REACTION_FATAL, judge(TMK_AT_LINK, "amqp:not-found", "Status-Code: 404").reaction);
    CHECK_EQ(TMK_REACTION_LINK, judge(TMK_AT_LINK, "amqp:not-found", "try later").reaction);
    CHECK_EQ(TMK_REACTION_LINK, judge(TMK_AT_LINK, "amqp:not-found", NULL).reaction);
    CHECK_EQ(TMK_REACTION_FATAL, judge(TMK_AT_CALL, "amqp:not-found", "").reaction);
}

static void our_own_idle_timeout_is_no_quota(void) {
    const char *text = "local-idle-timeout expired";
    tmk_error err;

    CHECK_EQ(
        TMK_REACTION_CONNECTION,
        tmk_condition_judge(TMK_AT_LOCAL, "amqp:resource-limit-exceeded", text, &err).reaction);
    CHECK_EQ(TMK_ETIMEOUT, err.status);
    CHECK(err.retryable);
    CHECK_EQ(TMK_REACTION_FATAL, judge(TMK_AT_LINK, "amqp:resource-limit-exceeded", text).reaction);
    CHECK_EQ(TMK_REACTION_FATAL,
             judge(TMK_AT_LOCAL, "amqp:resource-limit-exceeded", "other").reaction);
}

static void a_wrong_argument_is_a_lost_position_only_for_a_link(void) {
    CHECK_EQ(TMK_EPOSITION,
             judge(TMK_AT_LINK, "com.microsoft:argument-error", "").condition->status);
    CHECK_EQ(TMK_EINVAL, judge(TMK_AT_SEND, "com.microsoft:argument-error", "").condition->status);
    CHECK_EQ(TMK_EINVAL, judge(TMK_AT_CALL, "com.microsoft:argument-error", "").condition->status);
}

static void a_stale_token_in_a_call_is_renewed(void) {
    CHECK_EQ(TMK_REACTION_TOKEN, judge(TMK_AT_CALL, "amqp:not-allowed", "").reaction);
    CHECK_EQ(TMK_REACTION_FATAL, judge(TMK_AT_LINK, "amqp:not-allowed", "").reaction);
}

static void what_is_not_listed_is_tried_on_a_new_connection(void) {
    tmk_error err;
    tmk_judgement v = tmk_condition_judge(TMK_AT_LINK, "com.example:new", "", &err);

    CHECK_EQ(TMK_REACTION_CONNECTION, v.reaction);
    CHECK_EQ(TMK_EREMOTE, err.status);
    CHECK_STR("com.example:new", err.origin);
    CHECK_STR(v.condition->means, err.text); /* better than nothing */
    CHECK_EQ(TMK_REACTION_CONNECTION, tmk_condition_judge(TMK_AT_LINK, NULL, NULL, &err).reaction);
    CHECK_STR("amqp", err.origin);
    /* The names of variants are ours, not the service's. */
    CHECK_STR("", judge(TMK_AT_LINK, "local idle-timeout", "").condition->name);
    CHECK_EQ(TMK_REACTION_CONNECTION, judge(TMK_AT_LINK, "", "").reaction);
}

static void codes_of_answers_stand_for_conditions(void) {
    static const int codes[] = {400, 401, 403, 404, 408, 410, 429, 500, 501, 503};
    static const tmk_status expected[] = {TMK_EINVAL,       TMK_EAUTH, TMK_ELIMIT, TMK_ENOTFOUND,
                                          TMK_ETIMEOUT,     TMK_ELOST, TMK_EBUSY,  TMK_EREMOTE,
                                          TMK_EUNSUPPORTED, TMK_EBUSY};

    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        const char *name = tmk_condition_of_code(codes[i]);

        CHECK_EQ(expected[i], judge(TMK_AT_CALL, name, "").condition->status);
        CHECK(strlen(judge(TMK_AT_CALL, name, "").condition->name) > 0);
    }
    CHECK(tmk_condition_of_code(200) == NULL);
    CHECK(tmk_condition_of_code(202) == NULL);
    CHECK_STR("", tmk_condition_of_code(418));
    CHECK_STR("", tmk_condition_of_code(-1));
    CHECK_STR("", tmk_condition_of_code(INT64_MAX));
}

static void reactions_have_names(void) {
    CHECK_STR("retry", tmk_reaction_name(TMK_REACTION_RETRY));
    CHECK_STR("fatal", tmk_reaction_name(TMK_REACTION_FATAL));
    CHECK_STR("?", tmk_reaction_name((tmk_reaction)99));
}

int main(void) {
    return RUN(TEST(every_row_is_whole_and_none_comes_twice),
               TEST(every_condition_is_found_by_its_name),
               TEST(what_is_gone_is_made_anew_however_mild_the_reason),
               TEST(a_forced_connection_is_lost_wherever_it_is_told),
               TEST(not_found_is_split_by_its_text), TEST(our_own_idle_timeout_is_no_quota),
               TEST(a_wrong_argument_is_a_lost_position_only_for_a_link),
               TEST(a_stale_token_in_a_call_is_renewed),
               TEST(what_is_not_listed_is_tried_on_a_new_connection),
               TEST(codes_of_answers_stand_for_conditions), TEST(reactions_have_names));
}
