/*
 * AMQP 1.0 type encoding: reading values out of hostile bytes and writing them.
 *
 * Pure: no I/O, no clock. Reading never allocates and never recurses; every
 * length is checked against the end. Used by the client's frame gate, the
 * message scanner and the local hub.
 */
#ifndef TMK_AMQP_WIRE_H
#define TMK_AMQP_WIRE_H

#include "base/str.h"

/* ---- reading ---- */

/*
 * Takes one value from the front of *in; false (and *in untouched) where the
 * bytes are no whole value. Containers are not walked: out->bytes are their
 * encoded items, out->count how many. A described value comes with its
 * descriptor; it may have at most 4, nested ones counted. An array of items
 * that take no bytes (null, true) may have at most 256 of them.
 */
bool tmk_wire_take(tmk_slice *in, tmk_value *out);
/* Skips one value, however deep it nests; iterative, O(1) for sized containers. */
bool tmk_wire_skip(tmk_slice *in);
/* The descriptor as a number: an ulong one, or the known code of a symbolic one ("amqp:open:list").
 * 0: none. */
uint64_t tmk_wire_descriptor(const tmk_value *v);

/*
 * The fields of a performative, which is a list: field(n) is absent (kind
 * TMK_VALUE_NONE) past its end. Walks forward only; cheap in field order.
 */
typedef struct tmk_wire_list {
    tmk_slice rest;
    uint32_t count, next;
} tmk_wire_list;
bool tmk_wire_list_open(const tmk_value *list, tmk_wire_list *out);
/* false: the encoding is broken. Absent fields are TMK_VALUE_NONE. index grows from call to call.
 */
bool tmk_wire_list_field(tmk_wire_list *l, uint32_t index, tmk_value *out);

/* Looks a text key (string or symbol) up in a map; kind TMK_VALUE_NONE when absent or broken. */
tmk_value tmk_wire_map_get(const tmk_value *map, const char *key);

/* Numbers of any AMQP integer kind, when they fit; `fallback` for anything else. */
int64_t tmk_wire_int(const tmk_value *v, int64_t fallback);
uint64_t tmk_wire_uint(const tmk_value *v, uint64_t fallback);
bool tmk_wire_bool(const tmk_value *v, bool fallback);
/* Text of a string or symbol; empty for anything else. */
tmk_slice tmk_wire_text(const tmk_value *v);

/* ---- writing: appends to a tmk_str, whose failure is sticky ---- */

void tmk_wire_null(tmk_str *s);
void tmk_wire_put_bool(tmk_str *s, bool b);
void tmk_wire_put_ubyte(tmk_str *s, uint8_t v);
void tmk_wire_put_ushort(tmk_str *s, uint16_t v);
void tmk_wire_put_uint(tmk_str *s, uint32_t v);
void tmk_wire_put_ulong(tmk_str *s, uint64_t v);
void tmk_wire_put_byte(tmk_str *s, int8_t v);
void tmk_wire_put_short(tmk_str *s, int16_t v);
void tmk_wire_put_int(tmk_str *s, int32_t v);
void tmk_wire_put_long(tmk_str *s, int64_t v);
void tmk_wire_put_float(tmk_str *s, float v);
void tmk_wire_put_double(tmk_str *s, double v);
void tmk_wire_put_char(tmk_str *s, uint32_t v);
void tmk_wire_put_time(tmk_str *s, int64_t unix_ms);
void tmk_wire_put_uuid(tmk_str *s, const uint8_t uuid[16]);
void tmk_wire_put_binary(tmk_str *s, tmk_slice bytes);
void tmk_wire_put_string(tmk_str *s, tmk_slice utf8);
void tmk_wire_put_symbol(tmk_str *s, tmk_slice ascii);
void tmk_wire_put_descriptor(tmk_str *s, uint64_t code); /* 00, then an ulong; the value follows */
/* Writes a scalar, binary or text value back as it was read (same width and kind); containers too.
 */
void tmk_wire_put_value(tmk_str *s, const tmk_value *v);

/*
 * Containers: begin, write items, end with the number of items. Sizes are
 * patched in at the end (always the 32-bit forms, so that nothing moves);
 * an empty list becomes list0. May nest.
 */
typedef struct tmk_wire_mark {
    size_t at;
} tmk_wire_mark;
tmk_wire_mark tmk_wire_begin_list(tmk_str *s);
void tmk_wire_end_list(tmk_str *s, tmk_wire_mark m, uint32_t count);
tmk_wire_mark tmk_wire_begin_map(tmk_str *s);
void tmk_wire_end_map(tmk_str *s, tmk_wire_mark m,
                      uint32_t count); /* keys and values counted both */
/* An array of symbols or of strings, the two the service uses. */
void tmk_wire_put_symbols(tmk_str *s, const tmk_slice *items, size_t count);
void tmk_wire_put_strings(tmk_str *s, const tmk_slice *items, size_t count);

/* ---- frames ---- */

enum {
    TMK_AMQP_OPEN = 0x10,
    TMK_AMQP_BEGIN = 0x11,
    TMK_AMQP_ATTACH = 0x12,
    TMK_AMQP_FLOW = 0x13,
    TMK_AMQP_TRANSFER = 0x14,
    TMK_AMQP_DISPOSITION = 0x15,
    TMK_AMQP_DETACH = 0x16,
    TMK_AMQP_END = 0x17,
    TMK_AMQP_CLOSE = 0x18,
    TMK_AMQP_ERROR = 0x1d,
    TMK_AMQP_RECEIVED = 0x23,
    TMK_AMQP_ACCEPTED = 0x24,
    TMK_AMQP_REJECTED = 0x25,
    TMK_AMQP_RELEASED = 0x26,
    TMK_AMQP_MODIFIED = 0x27,
    TMK_AMQP_SOURCE = 0x28,
    TMK_AMQP_TARGET = 0x29,
    TMK_SASL_MECHANISMS = 0x40,
    TMK_SASL_INIT = 0x41,
    TMK_SASL_CHALLENGE = 0x42,
    TMK_SASL_RESPONSE = 0x43,
    TMK_SASL_OUTCOME = 0x44,
    TMK_SECTION_HEADER = 0x70,
    TMK_SECTION_DELIVERY_ANNOTATIONS = 0x71,
    TMK_SECTION_MESSAGE_ANNOTATIONS = 0x72,
    TMK_SECTION_PROPERTIES = 0x73,
    TMK_SECTION_APPLICATION_PROPERTIES = 0x74,
    TMK_SECTION_DATA = 0x75,
    TMK_SECTION_SEQUENCE = 0x76,
    TMK_SECTION_VALUE = 0x77,
    TMK_SECTION_FOOTER = 0x78
};

typedef struct tmk_frame {
    uint8_t type; /* 0 AMQP, 1 SASL */
    uint16_t channel;
    uint8_t code;           /* performative, 0x10..0x18 or 0x40..0x44; 0: an empty frame */
    tmk_value performative; /* a list */
    tmk_slice payload;      /* what follows the performative */
} tmk_frame;

/*
 * Looks at the frame at the front of `bytes`. OK: *size is its whole length
 * (header included) and *out its parts. AGAIN: more bytes are needed (*size is
 * then how many in all, or 0). EPROTO: no frame, or larger than `limit`.
 */
tmk_status tmk_frame_take(tmk_slice bytes, uint32_t limit, size_t *size, tmk_frame *out,
                          tmk_error *err);
/* Begins a frame of performative `code` in *s (fields follow as a list), and ends it: patches
 * sizes. */
typedef struct tmk_frame_mark {
    size_t at;
    tmk_wire_mark fields;
} tmk_frame_mark;
tmk_frame_mark tmk_frame_begin(tmk_str *s, uint8_t type, uint16_t channel, uint8_t code);
void tmk_frame_end_fields(tmk_str *s, tmk_frame_mark m, uint32_t count); /* payload may follow */
void tmk_frame_end(tmk_str *s, tmk_frame_mark m);
void tmk_frame_put_empty(tmk_str *s); /* a whole one: the sign of life of an idle connection */

#endif
