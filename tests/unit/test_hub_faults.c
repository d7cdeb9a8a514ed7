/* Faults: each does what docs/HUB.md says, there and nowhere else, so often and no more. */
#include "support/hub_client.h"

#include "hub/faults.h"
#include "support/check.h"

#include <jansson.h>

typedef struct world {
    tmk_hub_server server;
    hub_client c;
} world;

static void world_clear(world *w) {
    hub_client_clear(&w->c);
    tmk_hub_server_clear(&w->server);
}

/* Connected, with a token; session 1 has a sender to partition 0 and readers of 0 and 1. */
static void world_init(world *w) {
    hub_server_init(&w->server);
    hub_client_init(&w->c, &w->server);
    say_hello(&w->c);
    say_cbs(&w->c);
    say_token(&w->c, 0, "all", "sb://ns/hub", 3600);
    say_begin(&w->c, 1, 1000);
    say_sender(&w->c, 1, 0, "hub/Partitions/0");
    say_receiver(&w->c, &(say_link){1, 1, "hub/ConsumerGroups/$Default/Partitions/0", NULL, -1,
                                    false, NULL});
    say_receiver(&w->c,
                 &(say_link){1, 2, "hub/ConsumerGroups/g/Partitions/1", NULL, -1, false, NULL});
    say_flow(&w->c, 1, 1, 1000, 1, 0, 100, false);
    say_flow(&w->c, 1, 1, 1000, 2, 0, 100, false);
    (void)hear(&w->c);
}

static uint64_t met;

/* Sets a fault; its number. */
static uint64_t fault(world *w, const char *json) {
    uint64_t id = 0;
    tmk_error err;

    if (tmk_hub_fault_do(&w->server, tmk_slice_str(json), &id, &met, &err) < 0) {
        fail_msg("%s: %s", json, err.text);
    }
    return id;
}

/* ---- reading ---- */

static void what_is_not_understood_is_refused_with_words(void) {
    static const char *const bad[] = {
        "",
        "[]",
        "7",
        "{",
        "{}",
        "{\"fault\":\"nonsense\"}",
        "{\"fault\":\"stall\",\"cont\":3}",
        "{\"fault\":\"stall\",\"count\":0}",
        "{\"fault\":\"stall\",\"count\":-1}",
        "{\"fault\":\"stall\",\"count\":\"3\"}",
        "{\"fault\":\"stall\",\"condition\":\"amqp:x\"}",
        "{\"fault\":\"stall\",\"role\":\"nobody\"}",
        "{\"fault\":\"stall\",\"hub\":7}",
        "{\"fault\":\"stall\",\"partition\":\"0123456789012\"}",
        "{\"fault\":\"stall\",\"probability\":2}",
        "{\"fault\":\"stall\",\"fault\":\"skip\"}",
        "{\"fault\":\"delay\",\"ms\":5}",
        "{\"fault\":\"delay\",\"what\":\"lunch\",\"ms\":5}",
        "{\"fault\":\"delay\",\"what\":\"cbs\",\"ms\":99999999999}",
        "{\"fault\":\"repeat\"}",
        "{\"fault\":\"drip\"}",
        "{\"fault\":\"geo\",\"on\":1}",
    };
    tmk_hub_server s;
    uint64_t id;

    hub_server_init(&s);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tmk_error err = {0};
        CHECK_EQ(TMK_EINVAL, tmk_hub_fault_do(&s, tmk_slice_str(bad[i]), &id, &met, &err));
        CHECK(err.text[0] != '\0');
    }
    CHECK(tmk_list_empty(&s.rules.items));
    tmk_hub_server_clear(&s);
}

/* ---- at once ---- */

static void connections_are_dropped(void) {
    world w;

    world_init(&w);
    CHECK_EQ(0, fault(&w, "{\"fault\":\"drop_connections\",\"connection\":99}"));
    CHECK_EQ(0, met);
    fault(&w, "{\"fault\":\"drop_connections\"}");
    CHECK_EQ(1, met);
    CHECK(tmk_hub_conn_broken(w.c.conn));
    world_clear(&w);
}

static void connections_are_closed_with_any_condition(void) {
    world w;

    world_init(&w);
    fault(&w, "{\"fault\":\"close_connections\",\"condition\":\"amqp:internal-error\"}");
    CHECK_STR("close amqp:internal-error\n", hear(&w.c));
    CHECK(!tmk_hub_conn_over(w.c.conn));
    say_close(&w.c);
    CHECK_STR("", hear(&w.c));
    CHECK(tmk_hub_conn_over(w.c.conn));
    world_clear(&w);
}

static void a_peer_that_never_closes_is_dropped(void) {
    world w;

    world_init(&w);
    fault(&w, "{\"fault\":\"close_connections\"}");
    CHECK_STR("close amqp:connection:forced\n", hear(&w.c));
    hub_server_pass(&w.server, 6 * TMK_SEC);
    CHECK(tmk_hub_conn_broken(w.c.conn));
    world_clear(&w);
}

static void sessions_are_ended(void) {
    world w;

    world_init(&w);
    fault(&w, "{\"fault\":\"end_sessions\",\"hub\":\"hub\"}");
    CHECK_EQ(1, met);
    CHECK_STR("end amqp:internal-error\n", hear(&w.c));
    world_clear(&w);
}

static void links_are_detached_where_they_are_meant(void) {
    world w;

    world_init(&w);
    fault(&w, "{\"fault\":\"detach\",\"partition\":1}");
    CHECK_STR("detach 1 2 amqp:link:detach-forced\n", hear(&w.c));
    fault(&w, "{\"fault\":\"detach\",\"role\":\"sender\",\"condition\":\"com.microsoft:timeout\"}");
    CHECK_STR("detach 1 0 com.microsoft:timeout\n", hear(&w.c));
    fault(&w, "{\"fault\":\"detach\",\"group\":\"G\"}");
    CHECK_EQ(0, met);
    world_clear(&w);
}

static void not_more_links_are_detached_than_said(void) {
    world w;

    world_init(&w);
    fault(&w, "{\"fault\":\"detach\",\"hub\":\"hub\",\"count\":2}");
    CHECK_EQ(2, met);
    fault(&w, "{\"fault\":\"detach\",\"condition\":\"amqp:connection:forced\"}");
    CHECK_EQ(3, met); /* what is left, $cbs included */
    world_clear(&w);
}

static void tokens_expire_before_their_time(void) {
    world w;

    world_init(&w);
    fault(&w, "{\"fault\":\"expire_tokens\",\"hub\":\"other\"}");
    CHECK_EQ(0, met);
    fault(&w, "{\"fault\":\"expire_tokens\"}");
    CHECK_EQ(1, met);
    CHECK_STR("detach 1 0 amqp:unauthorized-access\ndetach 1 1 amqp:unauthorized-access\n"
              "detach 1 2 amqp:unauthorized-access\n",
              hear(&w.c));
    world_clear(&w);
}

static void the_log_is_cut(void) {
    world w;

    world_init(&w);
    fault(&w, "{\"fault\":\"stall\"}");
    hub_server_add_events(&w.server, "0", 10, 10);
    fault(&w, "{\"fault\":\"truncate\",\"before\":7}");
    CHECK_EQ(4, met);
    CHECK_EQ(1, tmk_hub_fault_undo(&w.server, 0));
    CHECK_STR("transfer 1 1 #0\ntransfer 1 1 #1\ntransfer 1 1 #2\n", hear(&w.c));
    world_clear(&w);
}

static void a_hub_is_made_anew(void) {
    world w;

    world_init(&w);
    hub_server_add_events(&w.server, "0", 3, 10);
    (void)hear(&w.c);
    fault(&w, "{\"fault\":\"recreate\"}");
    CHECK_STR("detach 1 0 amqp:not-found\ndetach 1 1 amqp:not-found\ndetach 1 2 amqp:not-found\n",
              hear(&w.c));
    CHECK_EQ(0, tmk_hub_core_find(&w.server.core, TMK_LIT("hub"))->parts[0].log.end);
    world_clear(&w);
}

static void offsets_become_opaque_and_old_clients_are_refused_when_asked(void) {
    world w;
    const say_link l = {1, 9, "hub/ConsumerGroups/g/Partitions/3", NULL, -1, false, NULL};
    const say_link number = {
        1,     10,  "hub/ConsumerGroups/g/Partitions/3", "amqp.annotation.x-opt-offset > '0'", -1,
        false, NULL};

    world_init(&w);
    hub_server_add_events(&w.server, "3", 1, 10);
    fault(&w, "{\"fault\":\"geo\"}");
    say_receiver(&w.c, &l);
    say_receiver(&w.c, &number);
    CHECK_STR("attach 1 9 sends\nattach 1 10 sends refused\n"
              "detach 1 10 com.microsoft:georeplication:invalid-offset\n",
              hear(&w.c));
    say_detach(&w.c, 1, 9);
    (void)hear(&w.c);
    fault(&w, "{\"fault\":\"geo\",\"strict\":true}");
    say_receiver(&w.c, &l);
    CHECK_STR("attach 1 9 sends refused\ndetach 1 9 amqp:not-allowed\n", hear(&w.c));
    world_clear(&w);
}

static void idle_times_are_changed(void) {
    world w;

    world_init(&w);
    fault(&w, "{\"fault\":\"idle\",\"link_ms\":1000}");
    say_flow(&w.c, 1, 1, 1000, 1, 0, 100, false);
    (void)hear(&w.c);
    hub_server_pass(&w.server, 5 * TMK_SEC);
    CHECK(strstr(hear(&w.c), "detach 1 1 amqp:link:detach-forced\n") != NULL);
    world_clear(&w);
}

/* ---- standing ---- */

static void sends_are_rejected_so_often(void) {
    world w;

    world_init(&w);
    fault(&w, "{\"fault\":\"reject_sends\",\"count\":2,\"partition\":\"0\"}");
    for (uint32_t i = 0; i < 3; i++) {
        say_event(&w.c, 1, 0, i, "x");
    }
    CHECK_STR("rejected 0-0 com.microsoft:server-busy\nrejected 1-1 com.microsoft:server-busy\n"
              "accepted 2-2\ntransfer 1 1 #0\n",
              hear(&w.c));
    world_clear(&w);
}

static void sends_to_elsewhere_are_not_rejected(void) {
    world w;

    world_init(&w);
    fault(&w, "{\"fault\":\"reject_sends\",\"partition\":\"1\"}");
    say_event(&w.c, 1, 0, 0, "x");
    CHECK_STR("accepted 0-0\ntransfer 1 1 #0\n", hear(&w.c));
    world_clear(&w);
}

static void a_rule_ends_with_its_time(void) {
    world w;

    world_init(&w);
    fault(&w, "{\"fault\":\"reject_sends\",\"duration_ms\":100}");
    say_event(&w.c, 1, 0, 0, "x");
    CHECK_STR("rejected 0-0 com.microsoft:server-busy\n", hear(&w.c));
    CHECK_EQ(w.server.now + 100 * TMK_MS, tmk_hub_rules_deadline(&w.server.rules));
    hub_server_pass(&w.server, 100 * TMK_MS);
    say_event(&w.c, 1, 0, 1, "x");
    CHECK_STR("accepted 1-1\ntransfer 1 1 #0\n", hear(&w.c));
    CHECK(tmk_hub_rules_expire(&w.server.rules, w.server.now));
    CHECK(tmk_list_empty(&w.server.rules.items));
    world_clear(&w);
}

static void attaching_is_refused(void) {
    world w;
    const say_link l = {1, 9, "hub/ConsumerGroups/g/Partitions/3", NULL, -1, false, NULL};

    world_init(&w);
    fault(&w, "{\"fault\":\"refuse_attach\",\"group\":\"g\",\"role\":\"receiver\",\"count\":1,"
              "\"condition\":\"com.microsoft:entity-disabled\"}");
    say_receiver(&w.c, &l);
    CHECK_STR("attach 1 9 sends refused\ndetach 1 9 com.microsoft:entity-disabled\n", hear(&w.c));
    say_detach(&w.c, 1, 9);
    say_receiver(&w.c, &l);
    CHECK_STR("attach 1 9 sends\n", hear(&w.c));
    world_clear(&w);
}

static void tokens_are_refused_with_any_status(void) {
    world w;

    world_init(&w);
    fault(&w, "{\"fault\":\"refuse_tokens\",\"count\":1,\"status\":503}");
    say_token(&w.c, 1, "all", "sb://ns/hub", 3600);
    CHECK_STR("accepted 1-1\ntransfer 0 1 #1 status 503\n", hear(&w.c));
    say_token(&w.c, 2, "all", "sb://ns/hub", 3600);
    CHECK_STR("accepted 2-2\ntransfer 0 1 #2 status 202\n", hear(&w.c));
    world_clear(&w);
}

static void an_answer_comes_late(void) {
    world w;

    world_init(&w);
    fault(&w, "{\"fault\":\"delay\",\"what\":\"cbs\",\"ms\":500,\"count\":1}");
    say_token(&w.c, 1, "all", "sb://ns/hub", 3600);
    CHECK_STR("accepted 1-1\n", hear(&w.c));
    hub_server_pass(&w.server, 499 * TMK_MS);
    CHECK_STR("", hear(&w.c));
    hub_server_pass(&w.server, 1 * TMK_MS);
    CHECK_STR("transfer 0 1 #1 status 202\n", hear(&w.c));
    world_clear(&w);
}

static void an_outcome_comes_late_and_the_event_does_not(void) {
    world w;

    world_init(&w);
    fault(&w, "{\"fault\":\"delay\",\"what\":\"send\",\"ms\":500,\"count\":1}");
    say_event(&w.c, 1, 0, 0, "x");
    say_event(&w.c, 1, 0, 1, "x");
    CHECK_STR("accepted 1-1\ntransfer 1 1 #0\ntransfer 1 1 #1\n", hear(&w.c));
    hub_server_pass(&w.server, 500 * TMK_MS);
    CHECK_STR("accepted 0-0\n", hear(&w.c));
    world_clear(&w);
}

static void events_come_late(void) {
    world w;

    world_init(&w);
    fault(&w, "{\"fault\":\"delay\",\"what\":\"delivery\",\"ms\":500}");
    hub_server_add_events(&w.server, "0", 2, 10);
    CHECK_STR("", hear(&w.c));
    hub_server_pass(&w.server, 300 * TMK_MS);
    hub_server_add_events(&w.server, "0", 1, 10);
    CHECK_STR("", hear(&w.c));
    hub_server_pass(&w.server, 200 * TMK_MS);
    CHECK_STR("transfer 1 1 #0\ntransfer 1 1 #1\n", hear(&w.c));
    hub_server_pass(&w.server, 300 * TMK_MS);
    CHECK_STR("transfer 1 1 #2\n", hear(&w.c));
    world_clear(&w);
}

static void a_slow_attach_holds_up_what_is_behind_it(void) {
    world w;

    world_init(&w);
    fault(&w, "{\"fault\":\"delay\",\"what\":\"attach\",\"ms\":500,\"count\":1}");
    say_sender(&w.c, 1, 8, "hub");
    say_begin(&w.c, 2, 100);
    CHECK_STR("", hear(&w.c));
    CHECK(!tmk_hub_conn_reads(w.c.conn));
    hub_server_pass(&w.server, 500 * TMK_MS);
    CHECK_STR("attach 1 8 receives\nflow 1 8 count 0 credit 1000\n"
              "begin 2 next 1 in 5000 out 5000 handles 255\n",
              hear(&w.c));
    world_clear(&w);
}

static void nothing_is_answered(void) {
    world w;

    world_init(&w);
    fault(&w, "{\"fault\":\"mute\",\"what\":\"send\",\"count\":1}");
    say_event(&w.c, 1, 0, 0, "x");
    CHECK_STR("transfer 1 1 #0\n", hear(&w.c));
    fault(&w, "{\"fault\":\"mute\",\"what\":\"cbs\",\"count\":1}");
    say_token(&w.c, 1, "all", "sb://ns/hub", 3600);
    CHECK_STR("accepted 1-1\n", hear(&w.c));
    fault(&w, "{\"fault\":\"mute\",\"what\":\"attach\",\"count\":1}");
    say_sender(&w.c, 1, 8, "hub");
    CHECK_STR("", hear(&w.c));
    fault(&w, "{\"fault\":\"mute\",\"what\":\"begin\",\"count\":1}");
    say_begin(&w.c, 7, 100);
    CHECK_STR("", hear(&w.c));
    fault(&w, "{\"fault\":\"mute\",\"what\":\"detach\",\"count\":1}");
    say_detach(&w.c, 1, 2);
    CHECK_STR("", hear(&w.c));
    world_clear(&w);
}

static void an_open_is_not_answered(void) {
    world w;
    hub_client other;

    world_init(&w);
    fault(&w, "{\"fault\":\"mute\",\"what\":\"open\"}");
    hub_client_init(&other, &w.server);
    say_hello(&other);
    CHECK_STR("header 3\nmechanisms\noutcome 0\nheader 0\n", hear(&other));
    hub_client_clear(&other);
    world_clear(&w);
}

static void delivery_stalls_where_it_was_said(void) {
    world w;
    uint64_t id;

    world_init(&w);
    id = fault(&w, "{\"fault\":\"stall\",\"partition\":\"0\"}");
    hub_server_add_events(&w.server, "0", 2, 10);
    hub_server_add_events(&w.server, "1", 1, 10);
    CHECK_STR("transfer 1 2 #0\n", hear(&w.c));
    CHECK_EQ(1, tmk_hub_fault_undo(&w.server, id));
    CHECK_STR("transfer 1 1 #1\ntransfer 1 1 #2\n", hear(&w.c));
    CHECK_EQ(0, tmk_hub_fault_undo(&w.server, id));
    world_clear(&w);
}

static int64_t next_of(world *w) {
    tmk_str text = TMK_STR_INIT;
    json_t *root, *reader;
    int64_t next;

    tmk_hub_server_state(&w->server, &text);
    root = json_loads(tmk_str_text(&text), 0, NULL);
    reader = json_array_get(
        json_object_get(
            json_array_get(
                json_object_get(json_array_get(json_object_get(root, "hubs"), 0), "partitions"), 0),
            "readers"),
        0);
    CHECK(reader != NULL);
    next = json_integer_value(json_object_get(reader, "next"));
    json_decref(root);
    tmk_str_clear(&text);
    return next;
}

static void events_come_again_and_are_left_out(void) {
    world w;

    world_init(&w);
    hub_server_add_events(&w.server, "0", 4, 10);
    (void)hear(&w.c);
    CHECK_EQ(4, next_of(&w));
    fault(&w, "{\"fault\":\"repeat\",\"events\":3,\"count\":1}");
    hub_server_add_events(&w.server, "0", 1, 10);
    CHECK_STR("transfer 1 1 #4\ntransfer 1 1 #5\ntransfer 1 1 #6\ntransfer 1 1 #7\n", hear(&w.c));
    CHECK_EQ(5, next_of(&w));
    fault(&w, "{\"fault\":\"skip\",\"events\":2,\"count\":1}");
    hub_server_add_events(&w.server, "0", 3, 10);
    CHECK_STR("transfer 1 1 #8\n", hear(&w.c));
    CHECK_EQ(8, next_of(&w));
    world_clear(&w);
}

static void freezing_and_dripping_mean_connections(void) {
    world w;
    tmk_hub_rule rule;

    world_init(&w);
    CHECK(!tmk_hub_conn_ruled(w.c.conn, TMK_HUB_RULE_FREEZE, &rule));
    fault(&w, "{\"fault\":\"freeze\",\"partition\":\"3\"}");
    CHECK(!tmk_hub_conn_ruled(w.c.conn, TMK_HUB_RULE_FREEZE, &rule));
    fault(&w, "{\"fault\":\"freeze\",\"partition\":\"1\"}");
    CHECK(tmk_hub_conn_ruled(w.c.conn, TMK_HUB_RULE_FREEZE, &rule));
    fault(&w, "{\"fault\":\"drip\",\"bytes\":3,\"ms\":2}");
    CHECK(tmk_hub_conn_ruled(w.c.conn, TMK_HUB_RULE_DRIP, &rule));
    CHECK_EQ(3, rule.bytes);
    world_clear(&w);
}

static void chance_is_what_it_says(void) {
    world w;
    unsigned rejected = 0;

    world_init(&w);
    fault(&w, "{\"fault\":\"stall\"}");
    fault(&w, "{\"fault\":\"reject_sends\",\"probability\":0.25}");
    for (uint32_t i = 0; i < 400; i++) {
        say_event(&w.c, 1, 0, i, "x");
        rejected += strncmp(hear(&w.c), "rejected", 8) == 0;
    }
    CHECK(rejected > 60 && rejected < 140);
    world_clear(&w);
}

static void the_state_is_json_and_the_metrics_are_text(void) {
    world w;
    tmk_str text = TMK_STR_INIT;
    json_t *root;

    world_init(&w);
    fault(&w, "{\"fault\":\"stall\",\"count\":3,\"duration_ms\":1000}");
    hub_server_add_events(&w.server, "0", 2, 10);
    tmk_hub_server_state(&w.server, &text);
    root = json_loads(tmk_str_text(&text), 0, NULL);
    CHECK(json_is_object(root));
    CHECK_EQ(1, json_array_size(json_object_get(root, "faults")));
    CHECK_EQ(1, json_array_size(json_object_get(root, "connections")));
    json_decref(root);
    tmk_str_reset(&text);
    tmk_hub_server_metrics(&w.server, &text);
    CHECK(strstr(tmk_str_text(&text),
                 "\ntidemark_hub_last_sequence{hub=\"hub\",partition=\"0\"} 1\n") != NULL);
    CHECK(strstr(tmk_str_text(&text), "\ntidemark_hub_connections_open 1\n") != NULL);
    tmk_str_clear(&text);
    world_clear(&w);
}

int main(void) {
    return RUN(TEST(what_is_not_understood_is_refused_with_words), TEST(connections_are_dropped),
               TEST(connections_are_closed_with_any_condition),
               TEST(a_peer_that_never_closes_is_dropped), TEST(sessions_are_ended),
               TEST(links_are_detached_where_they_are_meant),
               TEST(not_more_links_are_detached_than_said), TEST(tokens_expire_before_their_time),
               TEST(the_log_is_cut), TEST(a_hub_is_made_anew),
               TEST(offsets_become_opaque_and_old_clients_are_refused_when_asked),
               TEST(idle_times_are_changed), TEST(sends_are_rejected_so_often),
               TEST(sends_to_elsewhere_are_not_rejected), TEST(a_rule_ends_with_its_time),
               TEST(attaching_is_refused), TEST(tokens_are_refused_with_any_status),
               TEST(an_answer_comes_late), TEST(an_outcome_comes_late_and_the_event_does_not),
               TEST(events_come_late), TEST(a_slow_attach_holds_up_what_is_behind_it),
               TEST(nothing_is_answered), TEST(an_open_is_not_answered),
               TEST(delivery_stalls_where_it_was_said), TEST(events_come_again_and_are_left_out),
               TEST(freezing_and_dripping_mean_connections), TEST(chance_is_what_it_says),
               TEST(the_state_is_json_and_the_metrics_are_text));
}
