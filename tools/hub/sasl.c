/*
 * SASL as the service offers it. EXTERNAL is offered and then refused: that is
 * how a client finds out that it must not choose it.
 */
#include "hub/conn.h"

enum { SASL_OK = 0, SASL_AUTH = 1 };

void tmk_hub_sasl_offer(tmk_hub_conn *c) {
    const tmk_slice names[] = {TMK_LIT("MSSBCBS"), TMK_LIT("PLAIN"), TMK_LIT("ANONYMOUS"),
                               TMK_LIT("EXTERNAL")};
    tmk_frame_mark m = tmk_frame_begin(&c->out, 1, 0, TMK_SASL_MECHANISMS);

    tmk_wire_put_symbols(&c->out, names, sizeof names / sizeof *names);
    tmk_frame_end_fields(&c->out, m, 1);
    tmk_frame_end(&c->out, m);
}

static void put_outcome(tmk_hub_conn *c, uint8_t code) {
    tmk_frame_mark m = tmk_frame_begin(&c->out, 1, 0, TMK_SASL_OUTCOME);

    tmk_wire_put_ubyte(&c->out, code);
    if (code == SASL_OK) {
        tmk_wire_put_binary(&c->out, TMK_LIT("Welcome!"));
    }
    tmk_frame_end_fields(&c->out, m, code == SASL_OK ? 2 : 1);
    tmk_frame_end(&c->out, m);
}

/* "[authorize as] NUL name NUL key" */
static bool plain_ok(tmk_hub_conn *c, tmk_slice response) {
    bool first = false, second = false;
    tmk_slice name, key = response;

    (void)tmk_slice_cut(&key, '\0', &first);
    name = tmk_slice_cut(&key, '\0', &second);
    c->trusted_rights = first && second ? tmk_hub_keyring_plain(&c->server->keys, name, key) : 0;
    c->trusted = c->trusted_rights != 0;
    return c->trusted;
}

void tmk_hub_sasl_init(tmk_hub_conn *c, const tmk_frame *f) {
    tmk_wire_list fields;
    tmk_value mechanism = {0}, response = {0};
    bool ok = false;

    if (f->code != TMK_SASL_INIT || !tmk_wire_list_open(&f->performative, &fields) ||
        !tmk_wire_list_field(&fields, 0, &mechanism) ||
        !tmk_wire_list_field(&fields, 1, &response)) {
        c->broken = true;
        return;
    }
    if (tmk_slice_eq(tmk_wire_text(&mechanism), TMK_LIT("PLAIN"))) {
        ok = plain_ok(c, response.kind == TMK_VALUE_BINARY ? response.bytes : (tmk_slice){0});
    } else {
        ok = tmk_slice_eq(tmk_wire_text(&mechanism), TMK_LIT("ANONYMOUS")) ||
             tmk_slice_eq(tmk_wire_text(&mechanism), TMK_LIT("MSSBCBS"));
    }
    put_outcome(c, ok ? SASL_OK : SASL_AUTH);
    c->phase = ok ? TMK_HUB_PHASE_AMQP : TMK_HUB_PHASE_OVER;
}
