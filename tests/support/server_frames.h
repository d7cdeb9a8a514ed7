/* What a server of AMQP sends, frame by frame, for tests of the client's side. */
#ifndef TMK_TESTS_SERVER_FRAMES_H
#define TMK_TESTS_SERVER_FRAMES_H

#include "amqp/wire.h"

static inline void server_header(tmk_str *s, uint8_t layer) {
    const uint8_t header[] = {'A', 'M', 'Q', 'P', layer, 1, 0, 0};

    tmk_str_add_slice(s, tmk_slice_of(header, sizeof header));
}

/* Any performative, its fields given as encoded bytes. */
static inline void server_frame(tmk_str *s, uint8_t type, uint16_t channel, uint8_t code,
                                tmk_slice fields, uint32_t count, tmk_slice payload) {
    tmk_frame_mark m = tmk_frame_begin(s, type, channel, code);

    tmk_str_add_slice(s, fields);
    tmk_frame_end_fields(s, m, count);
    tmk_str_add_slice(s, payload);
    tmk_frame_end(s, m);
}

static inline void server_mechanisms(tmk_str *s) {
    const tmk_slice mechanisms[] = {TMK_LIT("MSSBCBS"), TMK_LIT("ANONYMOUS"), TMK_LIT("EXTERNAL")};
    tmk_frame_mark m;

    server_header(s, 3);
    m = tmk_frame_begin(s, 1, 0, TMK_SASL_MECHANISMS);
    tmk_wire_put_symbols(s, mechanisms, 3);
    tmk_frame_end_fields(s, m, 1);
    tmk_frame_end(s, m);
}

static inline void server_outcome(tmk_str *s, uint8_t code) {
    tmk_frame_mark m = tmk_frame_begin(s, 1, 0, TMK_SASL_OUTCOME);

    tmk_wire_put_ubyte(s, code);
    tmk_wire_put_binary(s, TMK_LIT("Welcome!"));
    tmk_frame_end_fields(s, m, 2);
    tmk_frame_end(s, m);
}

static inline void server_open(tmk_str *s, uint32_t frame_max, uint16_t channel_max,
                               uint32_t idle_ms) {
    tmk_frame_mark m = tmk_frame_begin(s, 0, 0, TMK_AMQP_OPEN);

    tmk_wire_put_string(s, TMK_LIT("0123456789abcdef_G0"));
    tmk_wire_null(s);
    tmk_wire_put_uint(s, frame_max);
    tmk_wire_put_ushort(s, channel_max);
    tmk_wire_put_uint(s, idle_ms);
    tmk_frame_end_fields(s, m, 5);
    tmk_frame_end(s, m);
}

static inline void server_begin(tmk_str *s, uint16_t channel, uint16_t clients) {
    tmk_frame_mark m = tmk_frame_begin(s, 0, channel, TMK_AMQP_BEGIN);

    tmk_wire_put_ushort(s, clients);
    tmk_wire_put_uint(s, 1);
    tmk_wire_put_uint(s, 5000);
    tmk_wire_put_uint(s, 5000);
    tmk_wire_put_uint(s, 255);
    tmk_frame_end_fields(s, m, 5);
    tmk_frame_end(s, m);
}

/* receives: the role of the server. `offered` may be NULL. */
static inline void server_attach(tmk_str *s, uint16_t channel, const char *name, uint32_t handle,
                                 bool receives, const char *offered) {
    tmk_frame_mark m = tmk_frame_begin(s, 0, channel, TMK_AMQP_ATTACH);
    tmk_slice capability = tmk_slice_str(offered);

    tmk_wire_put_string(s, tmk_slice_str(name));
    tmk_wire_put_uint(s, handle);
    tmk_wire_put_bool(s, receives);
    tmk_wire_null(s);
    tmk_wire_null(s);
    for (unsigned code = TMK_AMQP_SOURCE; code <= TMK_AMQP_TARGET; code++) {
        tmk_wire_mark list;

        tmk_wire_put_descriptor(s, code);
        list = tmk_wire_begin_list(s);
        tmk_wire_put_string(s, TMK_LIT("hub"));
        tmk_wire_end_list(s, list, 1);
    }
    tmk_wire_null(s);
    tmk_wire_null(s);
    if (receives) {
        tmk_wire_null(s);
    } else {
        tmk_wire_put_uint(s, 0);
    }
    tmk_wire_put_ulong(s, 1048576);
    if (offered != NULL) {
        tmk_wire_put_symbols(s, &capability, 1);
    }
    tmk_frame_end_fields(s, m, offered == NULL ? 11 : 12);
    tmk_frame_end(s, m);
}

/* For the server's receiver: credit. */
static inline void server_flow(tmk_str *s, uint16_t channel, uint32_t handle, uint32_t count,
                               uint32_t credit) {
    tmk_frame_mark m = tmk_frame_begin(s, 0, channel, TMK_AMQP_FLOW);

    tmk_wire_put_uint(s, 0);
    tmk_wire_put_uint(s, 5000);
    tmk_wire_put_uint(s, 1);
    tmk_wire_put_uint(s, 5000);
    tmk_wire_put_uint(s, handle);
    tmk_wire_put_uint(s, count);
    tmk_wire_put_uint(s, credit);
    tmk_frame_end_fields(s, m, 7);
    tmk_frame_end(s, m);
}

/* The first frame of a delivery, settled. */
static inline void server_transfer(tmk_str *s, uint16_t channel, uint32_t handle, uint32_t id,
                                   bool more, tmk_slice payload) {
    tmk_frame_mark m = tmk_frame_begin(s, 0, channel, TMK_AMQP_TRANSFER);
    uint8_t tag[4] = {(uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};

    tmk_wire_put_uint(s, handle);
    tmk_wire_put_uint(s, id);
    tmk_wire_put_binary(s, tmk_slice_of(tag, sizeof tag));
    tmk_wire_put_uint(s, 0);
    tmk_wire_put_bool(s, true);
    tmk_wire_put_bool(s, more);
    tmk_frame_end_fields(s, m, 6);
    tmk_str_add_slice(s, payload);
    tmk_frame_end(s, m);
}

/* A later one. */
static inline void server_more(tmk_str *s, uint16_t channel, uint32_t handle, bool more,
                               tmk_slice payload) {
    tmk_frame_mark m = tmk_frame_begin(s, 0, channel, TMK_AMQP_TRANSFER);

    tmk_wire_put_uint(s, handle);
    for (int i = 0; i < 4; i++) {
        tmk_wire_null(s);
    }
    tmk_wire_put_bool(s, more);
    tmk_frame_end_fields(s, m, 6);
    tmk_str_add_slice(s, payload);
    tmk_frame_end(s, m);
}

/* The server's outcome of what the client sent. */
static inline void server_accept(tmk_str *s, uint16_t channel, uint32_t first, uint32_t last) {
    tmk_frame_mark m = tmk_frame_begin(s, 0, channel, TMK_AMQP_DISPOSITION);

    tmk_wire_put_bool(s, true);
    tmk_wire_put_uint(s, first);
    tmk_wire_put_uint(s, last);
    tmk_wire_put_bool(s, true);
    tmk_wire_put_descriptor(s, TMK_AMQP_ACCEPTED);
    tmk_wire_end_list(s, tmk_wire_begin_list(s), 0);
    tmk_frame_end_fields(s, m, 5);
    tmk_frame_end(s, m);
}

static inline void server_put_error(tmk_str *s, const char *condition) {
    tmk_wire_mark list;

    tmk_wire_put_descriptor(s, TMK_AMQP_ERROR);
    list = tmk_wire_begin_list(s);
    tmk_wire_put_symbol(s, tmk_slice_str(condition));
    tmk_wire_put_string(s, TMK_LIT("said the server"));
    tmk_wire_end_list(s, list, 2);
}

static inline void server_detach(tmk_str *s, uint16_t channel, uint32_t handle,
                                 const char *condition) {
    tmk_frame_mark m = tmk_frame_begin(s, 0, channel, TMK_AMQP_DETACH);

    tmk_wire_put_uint(s, handle);
    tmk_wire_put_bool(s, true);
    if (condition != NULL) {
        server_put_error(s, condition);
    }
    tmk_frame_end_fields(s, m, condition == NULL ? 2 : 3);
    tmk_frame_end(s, m);
}

static inline void server_end(tmk_str *s, uint16_t channel) {
    server_frame(s, 0, channel, TMK_AMQP_END, TMK_LIT(""), 0, TMK_LIT(""));
}

static inline void server_close(tmk_str *s, const char *condition) {
    tmk_frame_mark m = tmk_frame_begin(s, 0, 0, TMK_AMQP_CLOSE);

    if (condition != NULL) {
        server_put_error(s, condition);
    }
    tmk_frame_end_fields(s, m, condition == NULL ? 0 : 1);
    tmk_frame_end(s, m);
}

#endif
