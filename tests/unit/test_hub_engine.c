/* The hub's AMQP engine, frame by frame, on a clock that is a number. */
#include "support/hub_client.h"

#include "amqp/scan.h"
#include "support/check.h"
#include "support/failing.h"

typedef struct world {
    tmk_hub_server server;
    hub_client c;
} world;

static void world_init(world *w) {
    hub_server_init(&w->server);
    hub_client_init(&w->c, &w->server);
}

static void world_clear(world *w) {
    hub_client_clear(&w->c);
    tmk_hub_server_clear(&w->server);
}

/* Connected, with a token for the hub, and an empty session on channel 1. */
static void world_ready(world *w, uint32_t window) {
    world_init(w);
    say_hello(&w->c);
    say_cbs(&w->c);
    say_token(&w->c, 0, "all", "sb://ns/hub", 3600);
    say_begin(&w->c, 1, window);
    (void)hear(&w->c);
}

#define READER "hub/ConsumerGroups/$Default/Partitions/0"
#define EARLIEST "amqp.annotation.x-opt-offset > '-1'"

static const say_link reader = {1, 0, READER, EARLIEST, -1, false, NULL};

/* ---- connecting ---- */

static void a_connection_opens_as_with_the_service(void) {
    world w;

    world_init(&w);
    say_hello(&w.c);
    CHECK_STR("header 3\nmechanisms\noutcome 0\nheader 0\n"
              "open frame 65536 channels 4999 idle 240000\n",
              hear(&w.c));
    say_begin(&w.c, 3, 100);
    CHECK_STR("begin 3 next 1 in 5000 out 5000 handles 255\n", hear(&w.c));
    say_close(&w.c);
    CHECK_STR("close\n", hear(&w.c));
    CHECK(tmk_hub_conn_over(w.c.conn));
    world_clear(&w);
}

/* One SDK begins so when it has nothing but a signature. */
static void the_sasl_layer_may_be_left_out(void) {
    world w;

    world_init(&w);
    say_header(&w.c, 0);
    say_open(&w.c, 65536, 0);
    CHECK_STR("header 0\nopen frame 65536 channels 4999 idle 240000\n", hear(&w.c));
    world_clear(&w);
}

static void check_init(const char *expected, const char *mechanism, tmk_slice response) {
    world w;

    world_init(&w);
    say_header(&w.c, 3);
    say_init(&w.c, mechanism, response);
    CHECK_STR(expected, hear(&w.c));
    world_clear(&w);
}

static void mechanisms_are_taken_or_refused(void) {
    check_init("header 3\nmechanisms\noutcome 0\n", "MSSBCBS", (tmk_slice){0});
    check_init("header 3\nmechanisms\noutcome 0\n", "PLAIN", TMK_LIT("\0all\0secret"));
    check_init("header 3\nmechanisms\noutcome 1\n", "PLAIN", TMK_LIT("\0all\0wrong"));
    check_init("header 3\nmechanisms\noutcome 1\n", "PLAIN", TMK_LIT("all"));
    check_init("header 3\nmechanisms\noutcome 1\n", "EXTERNAL", (tmk_slice){0});
    check_init("header 3\nmechanisms\noutcome 1\n", "CRAM-MD5", (tmk_slice){0});
}

static void plain_makes_tokens_needless_within_its_rights(void) {
    world w;

    world_init(&w);
    say_header(&w.c, 3);
    say_init(&w.c, "PLAIN", TMK_LIT("\0listen\0secret"));
    say_header(&w.c, 0);
    say_open(&w.c, 65536, 0);
    say_begin(&w.c, 1, 100);
    (void)hear(&w.c);
    say_receiver(&w.c, &reader);
    say_sender(&w.c, 1, 1, "hub");
    CHECK_STR("attach 1 0 sends\n"
              "attach 1 1 receives refused\ndetach 1 1 amqp:unauthorized-access\n",
              hear(&w.c));
    world_clear(&w);
}

static void another_protocol_is_answered_with_ours(void) {
    world w;

    world_init(&w);
    say(&w.c, "GET / HTTP/1.1\r\n\r\n", 18);
    CHECK_STR("header 0\n", hear(&w.c));
    CHECK(tmk_hub_conn_over(w.c.conn));
    world_clear(&w);
}

/* ---- tokens ---- */

static void a_token_is_accepted_and_a_bad_one_is_not(void) {
    world w;

    world_init(&w);
    say_hello(&w.c);
    say_cbs(&w.c);
    (void)hear(&w.c);
    say_token(&w.c, 0, "all", "sb://ns/hub", 3600);
    CHECK_STR("accepted 0-0\ntransfer 0 1 #0 status 202\n", hear(&w.c));
    say_token(&w.c, 1, "all", "sb://ns/hub", -1);
    CHECK_STR("accepted 1-1\ntransfer 0 1 #1 status 401\n", hear(&w.c));
    say_token(&w.c, 2, "nobody", "sb://ns/hub", 3600);
    CHECK_STR("accepted 2-2\ntransfer 0 1 #2 status 401\n", hear(&w.c));
    world_clear(&w);
}

static void a_second_pair_for_tokens_is_not_allowed(void) {
    world w;

    world_ready(&w, 100);
    say_sender(&w.c, 1, 5, "$cbs");
    CHECK_STR("attach 1 5 receives refused\ndetach 1 5 amqp:not-allowed\n", hear(&w.c));
    say_detach(&w.c, 1, 5);
    say_detach(&w.c, 0, 0);
    CHECK_STR("detach 0 0\n", hear(&w.c));
    say_sender(&w.c, 1, 5, "$cbs"); /* the first is gone: now it may */
    CHECK_STR("attach 1 5 receives\nflow 1 5 count 0 credit 100\n", hear(&w.c));
    world_clear(&w);
}

static void without_a_token_nothing_is_attached(void) {
    world w;

    world_init(&w);
    say_hello(&w.c);
    say_begin(&w.c, 1, 100);
    (void)hear(&w.c);
    say_receiver(&w.c, &reader);
    CHECK_STR("attach 1 0 sends refused\ndetach 1 0 amqp:unauthorized-access\n", hear(&w.c));
    say_sender(&w.c, 1, 1, "hub");
    CHECK_STR("attach 1 1 receives refused\ndetach 1 1 amqp:unauthorized-access\n", hear(&w.c));
    say_sender(&w.c, 1, 2, "$management");
    /* The Java SDK attaches here before any token; each question is checked instead. */
    CHECK_STR("attach 1 2 receives\nflow 1 2 count 0 credit 100\n", hear(&w.c));
    world_clear(&w);
}

static void a_token_speaks_for_its_own_path_and_right(void) {
    world w;

    world_init(&w);
    say_hello(&w.c);
    say_cbs(&w.c);
    say_token(&w.c, 0, "listen", "sb://ns/" READER, 3600);
    say_begin(&w.c, 1, 100);
    (void)hear(&w.c);
    say_receiver(&w.c, &reader);
    CHECK_STR("attach 1 0 sends\n", hear(&w.c));
    say_receiver(&w.c, &(say_link){1, 1, "hub/ConsumerGroups/$Default/Partitions/1", EARLIEST, -1,
                                   false, NULL});
    CHECK_STR("attach 1 1 sends refused\ndetach 1 1 amqp:unauthorized-access\n", hear(&w.c));
    say_sender(&w.c, 1, 2, "hub");
    CHECK_STR("attach 1 2 receives refused\ndetach 1 2 amqp:unauthorized-access\n", hear(&w.c));
    world_clear(&w);
}

static void links_end_with_their_token_and_live_on_with_a_new_one(void) {
    world w;

    world_init(&w);
    say_hello(&w.c);
    say_cbs(&w.c);
    say_token(&w.c, 0, "all", "sb://ns/hub", 100);
    say_begin(&w.c, 1, 100);
    say_receiver(&w.c, &reader);
    (void)hear(&w.c);
    hub_server_pass(&w.server, 60 * TMK_SEC);
    say_token(&w.c, 1, "all", "sb://ns/hub", 100);
    (void)hear(&w.c);
    hub_server_pass(&w.server, 60 * TMK_SEC);
    CHECK_STR("empty\n", hear(&w.c));
    hub_server_pass(&w.server, 60 * TMK_SEC);
    CHECK(strstr(hear(&w.c), "detach 1 0 amqp:unauthorized-access\n") != NULL);
    world_clear(&w);
}

/* ---- receiving ---- */

static void events_come_as_far_as_credit_goes(void) {
    world w;

    world_ready(&w, 100);
    hub_server_add_events(&w.server, "0", 5, 10);
    say_receiver(&w.c, &reader);
    CHECK_STR("attach 1 0 sends\n", hear(&w.c));
    say_flow(&w.c, 1, 1, 100, 0, 0, 2, false);
    CHECK_STR("transfer 1 0 #0\ntransfer 1 0 #1\n", hear(&w.c));
    say_flow(&w.c, 1, 3, 100, 0, 2, 10, false);
    CHECK_STR("transfer 1 0 #2\ntransfer 1 0 #3\ntransfer 1 0 #4\n", hear(&w.c));
    hub_server_add_events(&w.server, "1", 1, 10);
    CHECK_STR("", hear(&w.c));
    hub_server_add_events(&w.server, "0", 1, 10);
    CHECK_STR("transfer 1 0 #5\n", hear(&w.c));
    world_clear(&w);
}

static void draining_gives_what_there_is_and_takes_the_credit_back(void) {
    world w;

    world_ready(&w, 100);
    hub_server_add_events(&w.server, "0", 2, 10);
    say_receiver(&w.c, &reader);
    say_flow(&w.c, 1, 1, 100, 0, 0, 10, true);
    CHECK_STR("attach 1 0 sends\ntransfer 1 0 #0\ntransfer 1 0 #1\n"
              "flow 1 0 count 10 credit 0 drain\n",
              hear(&w.c));
    hub_server_add_events(&w.server, "0", 1, 10);
    CHECK_STR("", hear(&w.c));
    say_flow(&w.c, 1, 3, 100, 0, 10, 1, false);
    CHECK_STR("transfer 1 0 #2\n", hear(&w.c));
    world_clear(&w);
}

static void a_closed_window_holds_events_back(void) {
    world w;

    world_ready(&w, 3);
    hub_server_add_events(&w.server, "0", 5, 10);
    say_receiver(&w.c, &reader);
    say_flow(&w.c, 1, 1, 3, 0, 0, 100, false);
    CHECK_STR("attach 1 0 sends\ntransfer 1 0 #0\ntransfer 1 0 #1\ntransfer 1 0 #2\n", hear(&w.c));
    say_flow(&w.c, 1, 4, 1, -1, 0, 0, false);
    CHECK_STR("transfer 1 0 #3\n", hear(&w.c));
    world_clear(&w);
}

/* Some clients never close theirs, and say so by the largest number there is. */
static void a_window_without_end_is_one(void) {
    world w;

    world_ready(&w, UINT32_MAX);
    hub_server_add_events(&w.server, "0", 5, 10);
    say_receiver(&w.c, &reader);
    say_flow(&w.c, 1, 1, UINT32_MAX, 0, 0, UINT32_MAX, false);
    CHECK_STR("attach 1 0 sends\ntransfer 1 0 #0\ntransfer 1 0 #1\ntransfer 1 0 #2\n"
              "transfer 1 0 #3\ntransfer 1 0 #4\n",
              hear(&w.c));
    say_flow(&w.c, 1, 6, UINT32_MAX, 0, 5, UINT32_MAX, false);
    hub_server_add_events(&w.server, "0", 1, 10);
    CHECK_STR("transfer 1 0 #5\n", hear(&w.c));
    world_clear(&w);
}

/* What is under way counts against a window and a credit that were told before it arrived. */
static void what_is_under_way_is_counted(void) {
    world w;

    world_ready(&w, 100);
    hub_server_add_events(&w.server, "0", 9, 10);
    say_receiver(&w.c, &reader);
    say_flow(&w.c, 1, 1, 100, 0, 0, 3, false);
    (void)hear(&w.c); /* three are under way */
    say_flow(&w.c, 1, 1, 100, 0, 0, 4, false);
    CHECK_STR("transfer 1 0 #3\n", hear(&w.c));
    say_flow(&w.c, 1, 1, 100, 0, 0, 2, false); /* less than was sent already */
    CHECK_STR("", hear(&w.c));
    say_flow(&w.c, 1, 1, 3, 0, 4, 4, false); /* a window that is more than used up */
    CHECK_STR("", hear(&w.c));
    say_flow(&w.c, 1, 5, 3, -1, 0, 0, false);
    CHECK_STR("transfer 1 0 #4\ntransfer 1 0 #5\ntransfer 1 0 #6\n", hear(&w.c));
    world_clear(&w);
}

static void an_event_under_way_is_finished_when_the_credit_is_taken_back(void) {
    world w;

    world_init(&w);
    w.c.frame_max = 512;
    say_hello(&w.c);
    say_cbs(&w.c);
    say_token(&w.c, 0, "all", "sb://ns/hub", 3600);
    say_begin(&w.c, 1, 2);
    hub_server_add_events(&w.server, "0", 5, 1000);
    say_receiver(&w.c, &reader);
    say_flow(&w.c, 1, 1, 2, 0, 0, 10, false);
    CHECK(strstr(hear(&w.c), "transfer 1 0 #0 more\ntransfer 1 0 more\n") != NULL);
    say_flow(&w.c, 1, 3, 100, 0, 0, 0, false);
    CHECK_STR("transfer 1 0\n", hear(&w.c));
    say_flow(&w.c, 1, 4, 100, 0, 1, 1, false);
    CHECK_STR("transfer 1 0 #1 more\ntransfer 1 0 more\ntransfer 1 0\n", hear(&w.c));
    world_clear(&w);
}

static void a_large_event_comes_in_many_frames_and_waits_for_the_window(void) {
    world w;

    world_init(&w);
    w.c.frame_max = 512;
    say_hello(&w.c);
    say_cbs(&w.c);
    say_token(&w.c, 0, "all", "sb://ns/hub", 3600);
    say_begin(&w.c, 1, 2);
    hub_server_add_events(&w.server, "0", 1, 1000);
    say_receiver(&w.c, &reader);
    say_flow(&w.c, 1, 1, 2, 0, 0, 10, false);
    CHECK(strstr(hear(&w.c), "transfer 1 0 #0 more\ntransfer 1 0 more\n") != NULL);
    tmk_hub_log_cut(&tmk_hub_core_find(&w.server.core, TMK_LIT("hub"))->parts[0].log, 1);
    say_flow(&w.c, 1, 3, 2, -1, 0, 0, false);
    CHECK_STR("transfer 1 0\n", hear(&w.c)); /* also when retention has taken it meanwhile */
    world_clear(&w);
}

static void the_event_is_whole(void) {
    world w;
    tmk_slice in;
    tmk_frame f;
    tmk_error err;
    size_t size = 0;
    tmk_sections s;
    tmk_event_marks marks;
    tmk_last_enqueued last;

    world_ready(&w, 100);
    hub_server_add_events(&w.server, "0", 3, 26);
    say_receiver(&w.c, &(say_link){1, 0, READER, EARLIEST, -1, true, NULL});
    (void)hear(&w.c);
    say_flow(&w.c, 1, 1, 100, 0, 0, 1, false);
    exchange(&w.c);
    in = tmk_str_slice(&w.c.heard);
    CHECK_EQ(TMK_OK, tmk_frame_take(in, 65536, &size, &f, &err));
    CHECK_EQ(in.size, size);
    CHECK(tmk_scan_message(f.payload, &s));
    CHECK_SLICE("abcdefghijklmnopqrstuvwxyz", s.data);
    CHECK(tmk_scan_marks(s.message_annotations, &marks));
    CHECK_EQ(0, marks.sequence);
    CHECK_EQ(w.server.wall_ms, marks.enqueued_ms);
    CHECK(tmk_scan_last_enqueued(s.delivery_annotations, &last));
    CHECK_EQ(2, last.sequence);
    CHECK_EQ(w.server.wall_ms, last.retrieved_ms);
    world_clear(&w);
}

static void unsettled_deliveries_are_settled_when_asked(void) {
    world w;
    tmk_frame_mark m;

    world_ready(&w, 100);
    w.server.unsettled = true;
    hub_server_add_events(&w.server, "0", 1, 10);
    say_receiver(&w.c, &reader);
    say_flow(&w.c, 1, 1, 100, 0, 0, 1, false);
    CHECK_STR("attach 1 0 sends\ntransfer 1 0 #0 unsettled\n", hear(&w.c));
    m = tmk_frame_begin(&w.c.said, 0, 1, TMK_AMQP_DISPOSITION);
    tmk_wire_put_bool(&w.c.said, true);
    tmk_wire_put_uint(&w.c.said, 0);
    tmk_wire_null(&w.c.said);
    tmk_wire_put_bool(&w.c.said, false);
    tmk_wire_put_descriptor(&w.c.said, TMK_AMQP_ACCEPTED);
    tmk_str_add_char(&w.c.said, 0x45);
    tmk_frame_end_fields(&w.c.said, m, 5);
    tmk_frame_end(&w.c.said, m);
    CHECK_STR("accepted 0-0\n", hear(&w.c));
    world_clear(&w);
}

static void check_refusal(const char *address, const char *selector, const char *condition) {
    world w;
    char expected[200];

    world_ready(&w, 100);
    say_token(&w.c, 1, "all", "sb://ns/", 3600);
    (void)hear(&w.c);
    say_receiver(&w.c, &(say_link){1, 0, address, selector, -1, false, NULL});
    (void)snprintf(expected, sizeof expected, "attach 1 0 sends refused\ndetach 1 0 %s\n",
                   condition);
    CHECK_STR(expected, hear(&w.c));
    world_clear(&w);
}

static void what_is_not_there_is_refused_as_by_the_service(void) {
    check_refusal("other/ConsumerGroups/$Default/Partitions/0", EARLIEST, "amqp:not-found");
    check_refusal("hub/ConsumerGroups/other/Partitions/0", EARLIEST, "amqp:not-found");
    check_refusal("hub/ConsumerGroups/$Default/Partitions/4", EARLIEST,
                  "com.microsoft:argument-out-of-range");
    check_refusal("hub", EARLIEST, "amqp:not-found");
    check_refusal("", EARLIEST, "amqp:not-found");
    check_refusal(READER, "nonsense", "amqp:not-allowed");
    check_refusal(READER, "amqp.annotation.x-opt-offset > '5'", "com.microsoft:argument-error");
}

static void no_filter_is_the_earliest_event(void) {
    world w;

    world_ready(&w, 100);
    hub_server_add_events(&w.server, "0", 1, 10);
    say_receiver(&w.c, &(say_link){1, 0, READER, NULL, -1, false, NULL});
    say_flow(&w.c, 1, 1, 100, 0, 0, 5, false);
    CHECK_STR("attach 1 0 sends\ntransfer 1 0 #0\n", hear(&w.c));
    world_clear(&w);
}

static void a_higher_level_on_another_connection_takes_the_partition(void) {
    world w;
    hub_client other;

    world_ready(&w, 100);
    say_receiver(&w.c, &(say_link){1, 0, READER, EARLIEST, 1, false, NULL});
    CHECK_STR("attach 1 0 sends\n", hear(&w.c));
    hub_client_init(&other, &w.server);
    say_hello(&other);
    say_cbs(&other);
    say_token(&other, 0, "all", "sb://ns/hub", 3600);
    say_begin(&other, 1, 100);
    (void)hear(&other);
    say_receiver(&other, &(say_link){1, 7, READER, EARLIEST, 1, false, NULL});
    CHECK_STR("attach 1 7 sends\n", hear(&other));
    CHECK_STR("detach 1 0 amqp:link:stolen\n", hear(&w.c));
    say_flow(&w.c, 1, 1, 100, 0, 0, 5, false); /* was under way; not an error */
    say_detach(&w.c, 1, 0);
    CHECK_STR("", hear(&w.c));
    say_receiver(&w.c, &reader);
    CHECK_STR("attach 1 0 sends refused\ndetach 1 0 amqp:link:stolen\n", hear(&w.c));
    hub_client_clear(&other);
    say_detach(&w.c, 1, 0);
    say_receiver(&w.c, &reader); /* its connection is gone, and so is its place */
    CHECK_STR("attach 1 0 sends\n", hear(&w.c));
    world_clear(&w);
}

/* ---- sending ---- */

static int64_t last(world *w, int partition) {
    tmk_hub_entity *e = tmk_hub_core_find(&w->server.core, TMK_LIT("hub"));

    return tmk_hub_part_last_sequence(&e->parts[partition]);
}

static void events_are_stored_and_accepted_together(void) {
    world w;

    world_ready(&w, 100);
    say_sender(&w.c, 1, 0, "hub/Partitions/2");
    CHECK_STR("attach 1 0 receives\nflow 1 0 count 0 credit 1000\n", hear(&w.c));
    for (uint32_t i = 0; i < 3; i++) {
        say_event(&w.c, 1, 0, i, "body");
    }
    CHECK_STR("accepted 0-2\n", hear(&w.c));
    CHECK_EQ(2, last(&w, 2));
    world_clear(&w);
}

static void a_batch_is_stored_as_its_events(void) {
    world w;
    tmk_str inner = TMK_STR_INIT, outer = TMK_STR_INIT;
    say_delivery d = {.channel = 1, .format = 0x80013700u};

    world_ready(&w, 100);
    say_sender(&w.c, 1, 0, "hub/Partitions/0");
    (void)hear(&w.c);
    tmk_hub_plain_message_add(&inner, TMK_LIT("x"), (tmk_slice){0}, false);
    for (int i = 0; i < 3; i++) {
        tmk_hub_plain_message_add(&outer, tmk_str_slice(&inner), (tmk_slice){0}, false);
    }
    d.payload = tmk_str_slice(&outer);
    say_transfer(&w.c, &d);
    CHECK_STR("accepted 0-0\n", hear(&w.c));
    CHECK_EQ(2, last(&w, 0));
    /* One inner message is broken: nothing of the batch is stored. */
    tmk_hub_plain_message_add(&outer, TMK_LIT("no message"), (tmk_slice){0}, false);
    d.id = 1;
    d.payload = tmk_str_slice(&outer);
    say_transfer(&w.c, &d);
    CHECK_STR("rejected 1-1 amqp:decode-error\n", hear(&w.c));
    CHECK_EQ(2, last(&w, 0));
    tmk_str_clear(&inner);
    tmk_str_clear(&outer);
    world_clear(&w);
}

static void a_delivery_in_pieces_is_put_together(void) {
    world w;
    tmk_str text = TMK_STR_INIT;
    say_delivery d = {.channel = 1, .more = true};

    world_ready(&w, 100);
    say_sender(&w.c, 1, 0, "hub/Partitions/0");
    (void)hear(&w.c);
    tmk_hub_plain_message_add(&text, TMK_LIT("0123456789"), (tmk_slice){0}, false);
    for (size_t i = 0; i < text.size; i++) {
        d.payload = tmk_slice_of(text.text + i, 1);
        d.more = i + 1 < text.size;
        say_transfer(&w.c, &d);
        d.next = true;
    }
    CHECK_STR("accepted 0-0\n", hear(&w.c));
    CHECK_EQ(0, last(&w, 0));
    d = (say_delivery){.channel = 1, .id = 1, .more = true, .payload = tmk_str_slice(&text)};
    say_transfer(&w.c, &d);
    d.next = d.aborted = true;
    say_transfer(&w.c, &d);
    CHECK_STR("", hear(&w.c));
    CHECK_EQ(0, last(&w, 0)); /* aborted: it never was */
    say_event(&w.c, 1, 0, 2, "next");
    CHECK_STR("accepted 2-2\n", hear(&w.c));
    tmk_str_clear(&text);
    world_clear(&w);
}

static void what_is_too_large_is_rejected_and_the_link_stays(void) {
    world w;
    say_delivery d = {.channel = 1, .more = true};
    char piece[1000];

    world_ready(&w, 100);
    w.server.core.message_max = 4096;
    memset(piece, 0, sizeof piece);
    d.payload = tmk_slice_of(piece, sizeof piece);
    say_sender(&w.c, 1, 0, "hub/Partitions/0");
    (void)hear(&w.c);
    for (int i = 0; i < 10; i++) {
        say_transfer(&w.c, &d);
        d.next = true;
        d.more = i < 8;
    }
    CHECK_STR("rejected 0-0 amqp:link:message-size-exceeded\n", hear(&w.c));
    say_event(&w.c, 1, 0, 1, "next");
    CHECK_STR("accepted 1-1\n", hear(&w.c));
    world_clear(&w);
}

static void rubbish_is_rejected_and_settled_rubbish_is_dropped(void) {
    world w;
    say_delivery d = {.channel = 1, .payload = TMK_LIT("rubbish")};

    world_ready(&w, 100);
    say_sender(&w.c, 1, 0, "hub");
    (void)hear(&w.c);
    say_transfer(&w.c, &d);
    CHECK_STR("rejected 0-0 amqp:decode-error\n", hear(&w.c));
    d.settled = true;
    d.id = 1;
    say_transfer(&w.c, &d);
    CHECK_STR("", hear(&w.c));
    world_clear(&w);
}

static void credit_is_given_again_when_half_is_used(void) {
    world w;

    world_ready(&w, 100);
    say_sender(&w.c, 1, 0, "hub");
    (void)hear(&w.c);
    for (uint32_t i = 0; i < 499; i++) {
        say_event(&w.c, 1, 0, i, "x");
    }
    CHECK_STR("accepted 0-498\n", hear(&w.c));
    say_event(&w.c, 1, 0, 499, "x");
    CHECK_STR("flow 1 0 count 500 credit 1000\naccepted 499-499\n", hear(&w.c));
    world_clear(&w);
}

/* ---- management ---- */

static void say_read(hub_client *c, uint32_t id, const char *type, const char *partition) {
    tmk_str text = TMK_STR_INIT;
    tmk_str token = make_sas("all", "sb://ns/hub", c->server->wall_ms / 1000 + 10);
    say_delivery d = {.channel = 1, .handle = 0, .id = id};
    const char *const pairs[] = {"operation",
                                 "READ",
                                 type == NULL ? "x" : "type",
                                 type == NULL ? "y" : type,
                                 "name",
                                 "hub",
                                 "security_token",
                                 tmk_str_text(&token),
                                 "partition",
                                 partition};
    tmk_wire_mark m;

    tmk_wire_put_descriptor(&text, TMK_SECTION_APPLICATION_PROPERTIES);
    m = tmk_wire_begin_map(&text);
    for (int i = 0; i < 10; i++) {
        tmk_wire_put_string(&text, tmk_slice_str(pairs[i]));
    }
    tmk_wire_end_map(&text, m, 10);
    d.payload = tmk_str_slice(&text);
    say_transfer(c, &d);
    tmk_str_clear(&text);
    tmk_str_clear(&token);
}

static void properties_are_told(void) {
    world w;

    world_ready(&w, 100);
    say_sender(&w.c, 1, 0, "$management");
    say_receiver(&w.c, &(say_link){1, 1, "$management", NULL, -1, false, "replies"});
    say_flow(&w.c, 1, 1, 100, 1, 0, 100, false);
    (void)hear(&w.c);
    say_read(&w.c, 0, "com.microsoft:eventhub", "");
    CHECK_STR("accepted 0-0\ntransfer 1 1 #0 status 200\n", hear(&w.c));
    say_read(&w.c, 1, "com.microsoft:partition", "3");
    CHECK_STR("accepted 1-1\ntransfer 1 1 #1 status 200\n", hear(&w.c));
    say_read(&w.c, 2, "com.microsoft:partition", "4");
    CHECK_STR("accepted 2-2\ntransfer 1 1 #2 status 400\n", hear(&w.c));
    say_read(&w.c, 3, NULL, "");
    CHECK_STR("accepted 3-3\ntransfer 1 1 #3 status 400\n", hear(&w.c));
    world_clear(&w);
}

static void a_stale_security_token_is_not_allowed(void) {
    world w;

    world_ready(&w, 100);
    say_sender(&w.c, 1, 0, "$management");
    say_receiver(&w.c, &(say_link){1, 1, "$management", NULL, -1, false, "replies"});
    say_flow(&w.c, 1, 1, 100, 1, 0, 100, false);
    (void)hear(&w.c);
    say_read(&w.c, 0, "com.microsoft:eventhub", "");
    w.server.wall_ms += 11000; /* it was on its way for too long */
    CHECK_STR("accepted 0-0\ntransfer 1 1 #0 status 500\n", hear(&w.c));
    world_clear(&w);
}

/* ---- idle ---- */

static void a_silent_hub_gives_signs_of_life(void) {
    world w;

    world_ready(&w, 100);
    hub_server_pass(&w.server, 29 * TMK_SEC);
    CHECK_STR("", hear(&w.c));
    hub_server_pass(&w.server, 2 * TMK_SEC);
    CHECK_STR("empty\n", hear(&w.c));
    hub_server_pass(&w.server, 29 * TMK_SEC);
    CHECK_STR("", hear(&w.c));
    hub_server_pass(&w.server, 2 * TMK_SEC);
    CHECK_STR("empty\n", hear(&w.c));
    world_clear(&w);
}

static void a_silent_peer_is_dropped(void) {
    world w;

    world_ready(&w, 100);
    hub_server_pass(&w.server, 479 * TMK_SEC);
    CHECK(!tmk_hub_conn_broken(w.c.conn));
    hub_server_pass(&w.server, 2 * TMK_SEC);
    CHECK(tmk_hub_conn_broken(w.c.conn));
    world_clear(&w);
}

/* Signs of life in both directions, every minute. */
static void stay_alive(world *w, int minutes, char *told, size_t room) {
    told[0] = '\0';
    for (int i = 0; i < minutes; i++) {
        hub_server_pass(&w->server, TMK_MIN);
        tmk_frame_put_empty(&w->c.said);
        (void)strncat(told, hear(&w->c), room - strlen(told) - 1);
    }
}

static void a_connection_without_links_is_closed(void) {
    world w;
    char told[4096];

    world_init(&w);
    say_hello(&w.c);
    say_begin(&w.c, 0, 100);
    (void)hear(&w.c);
    stay_alive(&w, 1, told, sizeof told);
    CHECK(strstr(told, "close amqp:connection:forced\n") != NULL);
    world_clear(&w);
}

static void an_idle_link_is_detached_after_half_an_hour(void) {
    world w;
    char told[8192];

    world_init(&w);
    say_hello(&w.c);
    say_cbs(&w.c);
    say_token(&w.c, 0, "all", "sb://ns/hub", 7200);
    say_begin(&w.c, 1, 100);
    say_receiver(&w.c, &reader);
    say_flow(&w.c, 1, 1, 100, 0, 0, 100, false);
    (void)hear(&w.c);
    stay_alive(&w, 29, told, sizeof told);
    CHECK(strstr(told, "detach") == NULL);
    stay_alive(&w, 6, told, sizeof told);
    CHECK(strstr(told, "detach 1 0 amqp:link:detach-forced\n") != NULL);
    world_clear(&w);
}

/* ---- what a peer should not do ---- */

static void check_fatal(void (*offend)(hub_client *c), const char *expected) {
    world w;

    world_ready(&w, 100);
    offend(&w.c);
    CHECK_STR(expected, hear(&w.c));
    world_clear(&w);
}

static void unknown_session(hub_client *c) {
    say_sender(c, 9, 0, "hub");
}

static void session_twice(hub_client *c) {
    say_begin(c, 1, 100);
}

static void channel_too_high(hub_client *c) {
    say_begin(c, 5000, 100);
}

static void open_twice(hub_client *c) {
    say_open(c, 65536, 0);
}

static void no_frame(hub_client *c) {
    say(c, "\0\0\0\3xxxxx", 9);
}

static void frame_too_large(hub_client *c) {
    say(c, "\x7f\xff\xff\xff\2\0\0\0", 8);
}

static void handle_too_high(hub_client *c) {
    say_sender(c, 1, 256, "hub");
}

static void handle_twice(hub_client *c) {
    say_sender(c, 0, 0, "hub");
}

static void sessions_without_end(hub_client *c) {
    for (uint16_t i = 2; i < 50; i++) {
        say_begin(c, i, 1);
    }
}

static void transfer_the_wrong_way(hub_client *c) {
    say_event(c, 0, 1, 0, "x");
}

static void breaking_the_protocol_ends_the_connection_or_the_session(void) {
    check_fatal(unknown_session, "close amqp:not-allowed\n");
    check_fatal(session_twice, "close amqp:not-allowed\n");
    check_fatal(channel_too_high, "close amqp:connection:framing-error\n");
    check_fatal(open_twice, "close amqp:not-allowed\n");
    check_fatal(no_frame, "close amqp:connection:framing-error\n");
    check_fatal(frame_too_large, "close amqp:connection:framing-error\n");
    check_fatal(handle_too_high, "close amqp:connection:framing-error\n");
    check_fatal(handle_twice, "end amqp:session:handle-in-use\n");
    check_fatal(transfer_the_wrong_way, "end amqp:session:errant-link\n");
}

/* What all connections together may have is bounded too. */
static void sessions_are_counted_over_all_connections(void) {
    world w;

    world_ready(&w, 100);
    w.server.sessions_max = 10;
    sessions_without_end(&w.c);
    CHECK(strstr(hear(&w.c), "close amqp:resource-limit-exceeded\n") != NULL);
    CHECK_EQ(10, w.server.session_count);
    hub_client_clear(&w.c);
    CHECK_EQ(0, w.server.session_count);
    hub_client_init(&w.c, &w.server);
    world_clear(&w);
}

/* Its traffic comes once an hour, and it must be there then. */
static void the_links_for_tokens_are_never_idle(void) {
    world w;
    char told[8192];

    world_init(&w);
    say_hello(&w.c);
    say_cbs(&w.c);
    (void)hear(&w.c);
    stay_alive(&w, 40, told, sizeof told);
    CHECK(strstr(told, "detach") == NULL);
    world_clear(&w);
}

static void an_ended_session_takes_nothing_and_can_begin_again(void) {
    world w;

    world_ready(&w, 100);
    handle_twice(&w.c);
    CHECK_STR("end amqp:session:handle-in-use\n", hear(&w.c));
    say_sender(&w.c, 0, 4, "hub");
    CHECK_STR("", hear(&w.c));
    say_end(&w.c, 0);
    say_begin(&w.c, 0, 10);
    CHECK_STR("begin 0 next 1 in 5000 out 5000 handles 255\n", hear(&w.c));
    world_clear(&w);
}

/* ---- bytes ---- */

/* A whole life of a connection, in two rows of bytes. */
static void live(hub_client *c) {
    say_hello(c);
    say_cbs(c);
    say_token(c, 0, "all", "sb://ns/hub", 3600);
    say_begin(c, 1, 50);
    say_sender(c, 1, 0, "hub/Partitions/0");
    for (uint32_t i = 0; i < 20; i++) {
        say_event(c, 1, 0, i, "the body of an event");
    }
    say_receiver(c, &(say_link){1, 1, READER, EARLIEST, 1, true, NULL});
    say_flow(c, 1, 1, 50, 1, 0, 100, true);
}

static void die(hub_client *c) {
    say_detach(c, 1, 1);
    say_end(c, 1);
    say_close(c);
}

static void cutting_the_bytes_anywhere_changes_nothing(void) {
    tmk_str whole = TMK_STR_INIT;

    for (size_t piece = 0; piece < 70; piece++) {
        world w;
        tmk_str told = TMK_STR_INIT;
        world_init(&w);
        w.c.piece = piece;
        live(&w.c);
        tmk_str_add(&told, hear(&w.c));
        die(&w.c);
        tmk_str_add(&told, hear(&w.c));
        CHECK(tmk_hub_conn_over(w.c.conn));
        if (piece == 0) {
            CHECK(strstr(tmk_str_text(&told), "transfer 1 1 #19\n") != NULL);
            tmk_str_add(&whole, tmk_str_text(&told));
        }
        CHECK_STR(tmk_str_text(&whole), tmk_str_text(&told));
        tmk_str_clear(&told);
        world_clear(&w);
    }
    tmk_str_clear(&whole);
}

/* A peer that asks and asks and never reads is not read any further. */
static void a_peer_that_does_not_read_is_not_read(void) {
    world w;
    tmk_str echo = TMK_STR_INIT;
    tmk_frame_mark m;

    world_ready(&w, 100);
    m = tmk_frame_begin(&echo, 0, 1, TMK_AMQP_FLOW);
    for (int i = 0; i < 9; i++) {
        tmk_wire_null(&echo);
    }
    tmk_wire_put_bool(&echo, true);
    tmk_frame_end_fields(&echo, m, 10);
    tmk_frame_end(&echo, m);
    for (int i = 0; i < 1000000 && tmk_hub_conn_reads(w.c.conn); i++) {
        tmk_hub_conn_input(w.c.conn, tmk_str_slice(&echo));
    }
    CHECK(!tmk_hub_conn_reads(w.c.conn));
    tmk_hub_conn_sent(w.c.conn, tmk_hub_conn_output(w.c.conn).size);
    CHECK(tmk_hub_conn_reads(w.c.conn));
    tmk_str_clear(&echo);
    world_clear(&w);
}

static bool life_scenario(void) {
    static const char *const groups[] = {"g"};
    tmk_hub_server server;
    tmk_hub_conn *c = NULL;
    hub_client writer = {.server = &server, .frame_max = 65536};
    bool ok = false;

    tmk_hub_server_init(&server, 1, 0, 1000 * TMK_SEC);
    server.wall_ms = INT64_C(1700000000000);
    live(&writer);
    die(&writer);
    if (tmk_str_ok(&writer.said) &&
        tmk_hub_core_add(&server.core, "hub", 1, groups, 1, false, 0, 0, NULL) == TMK_OK &&
        tmk_hub_keyring_add(&server.keys, "all", TMK_LIT("secret"), TMK_HUB_ALL) == TMK_OK) {
        c = tmk_hub_conn_new(&server, NULL);
    }
    if (c != NULL) {
        tmk_hub_conn_input(c, tmk_str_slice(&writer.said));
        for (int i = 0; i < 10; i++) {
            tmk_hub_conn_pump(c);
            tmk_hub_conn_sent(c, tmk_hub_conn_output(c).size);
        }
        ok = tmk_hub_conn_over(c) && !tmk_hub_conn_broken(c);
    }
    tmk_hub_conn_free(c);
    tmk_str_clear(&writer.said);
    tmk_hub_server_clear(&server);
    return ok;
}

static void running_out_of_memory_ends_a_connection_and_no_more(void) {
    failing_each(life_scenario);
}

int main(void) {
    return RUN(
        TEST(a_connection_opens_as_with_the_service), TEST(the_sasl_layer_may_be_left_out),
        TEST(mechanisms_are_taken_or_refused), TEST(plain_makes_tokens_needless_within_its_rights),
        TEST(another_protocol_is_answered_with_ours),
        TEST(a_token_is_accepted_and_a_bad_one_is_not),
        TEST(a_second_pair_for_tokens_is_not_allowed), TEST(without_a_token_nothing_is_attached),
        TEST(a_token_speaks_for_its_own_path_and_right),
        TEST(links_end_with_their_token_and_live_on_with_a_new_one),
        TEST(events_come_as_far_as_credit_goes),
        TEST(draining_gives_what_there_is_and_takes_the_credit_back),
        TEST(a_closed_window_holds_events_back), TEST(a_window_without_end_is_one),
        TEST(what_is_under_way_is_counted),
        TEST(an_event_under_way_is_finished_when_the_credit_is_taken_back),
        TEST(a_large_event_comes_in_many_frames_and_waits_for_the_window), TEST(the_event_is_whole),
        TEST(unsettled_deliveries_are_settled_when_asked),
        TEST(what_is_not_there_is_refused_as_by_the_service), TEST(no_filter_is_the_earliest_event),
        TEST(a_higher_level_on_another_connection_takes_the_partition),
        TEST(events_are_stored_and_accepted_together), TEST(a_batch_is_stored_as_its_events),
        TEST(a_delivery_in_pieces_is_put_together),
        TEST(what_is_too_large_is_rejected_and_the_link_stays),
        TEST(rubbish_is_rejected_and_settled_rubbish_is_dropped),
        TEST(credit_is_given_again_when_half_is_used), TEST(properties_are_told),
        TEST(a_stale_security_token_is_not_allowed), TEST(a_silent_hub_gives_signs_of_life),
        TEST(a_silent_peer_is_dropped), TEST(a_connection_without_links_is_closed),
        TEST(an_idle_link_is_detached_after_half_an_hour),
        TEST(breaking_the_protocol_ends_the_connection_or_the_session),
        TEST(sessions_are_counted_over_all_connections), TEST(the_links_for_tokens_are_never_idle),
        TEST(an_ended_session_takes_nothing_and_can_begin_again),
        TEST(cutting_the_bytes_anywhere_changes_nothing),
        TEST(a_peer_that_does_not_read_is_not_read),
        TEST(running_out_of_memory_ends_a_connection_and_no_more));
}
