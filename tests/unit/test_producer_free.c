/* A producer that is freed while its work is still on the way to the client's thread. */
#include <tidemark/message.h>
#include <tidemark/producer.h>

#include "support/check.h"

static int fates; /* written on the client's thread, read when the producer is gone */

static void on_fate(void *user, const tmk_fate *fate) {
    (void)user;
    CHECK(fate->status < 0);
    fates++;
}

/* The bell that a send has rung used to end the producer a second time. */
static void a_free_right_after_a_send_reports_its_fate_and_ends_once(void) {
    tmk_client_options o;
    tmk_client *client = NULL;
    tmk_message *m = NULL;

    tmk_client_options_init(&o);
    o.connection_string = "Endpoint=sb://localhost:1;SharedAccessKeyName=n;SharedAccessKey=k;"
                          "EntityPath=h;UseDevelopmentEmulator=true";
    CHECK_EQ(TMK_OK, tmk_client_new(&o, &client, NULL));
    CHECK_EQ(TMK_OK, tmk_message_new((tmk_slice){(const uint8_t *)"x", 1}, &m, NULL));
    for (int i = 1; i <= 300; i++) {
        tmk_producer *p = NULL;
        CHECK_EQ(TMK_OK, tmk_producer_new(client, NULL, &p, NULL));
        CHECK_EQ(TMK_OK, tmk_producer_send(p, m, NULL, on_fate, NULL, NULL));
        p = tmk_producer_free(p);
        CHECK_EQ(i, fates);
    }
    tmk_message_free(m);
    tmk_client_free(client);
}

int main(void) {
    return RUN(TEST(a_free_right_after_a_send_reports_its_fate_and_ends_once));
}
