/*
 * An event: what the service delivered, or what is to be sent.
 *
 * A received event is a view of the bytes that came from the network; nothing
 * is decoded before it is asked for, nothing is copied. It and all slices from
 * it live as long as the callback it was handed to says.
 */
#ifndef TIDEMARK_EVENT_H
#define TIDEMARK_EVENT_H

#include <tidemark/status.h>

TMK_BEGIN_C

/** Bytes that somebody else owns; not NUL-terminated. */
typedef struct tmk_slice {
    const uint8_t *bytes;
    size_t size;
} tmk_slice;

typedef struct tmk_event tmk_event; /* a received one */

/** Kinds of AMQP values, as properties and annotations have them. */
typedef enum tmk_value_kind {
    TMK_VALUE_NONE = 0, /* absent, or AMQP null */
    TMK_VALUE_BOOL,
    TMK_VALUE_INT,   /* byte, short, int, long: in i64 */
    TMK_VALUE_UINT,  /* ubyte, ushort, uint, ulong: in u64 */
    TMK_VALUE_FLOAT, /* float, double: in f64 */
    TMK_VALUE_CHAR,  /* in u64 */
    TMK_VALUE_TIME,  /* timestamp: milliseconds since 1970 in i64 */
    TMK_VALUE_UUID,  /* 16 bytes */
    TMK_VALUE_BINARY,
    TMK_VALUE_STRING, /* UTF-8 */
    TMK_VALUE_SYMBOL, /* ASCII */
    TMK_VALUE_LIST,   /* encoded: walk with tmk_value_next() */
    TMK_VALUE_MAP,    /* encoded: keys and values in turn */
    TMK_VALUE_ARRAY,  /* encoded */
    TMK_VALUE_DECIMAL /* the 4, 8 or 16 bytes as received */
} tmk_value_kind;

typedef struct tmk_value {
    tmk_value_kind kind;
    uint8_t width; /* of a number, in bytes: 1, 2, 4 or 8; so that it can be sent again as it was */
    union {
        bool b;
        int64_t i64;
        uint64_t u64;
        double f64;
    };
    tmk_slice bytes;      /* text, binary, uuid, decimals; for containers the encoded items */
    uint32_t count;       /* of items in a container */
    tmk_slice descriptor; /* of a described value: its encoded descriptor; else empty */
} tmk_value;

/** Takes the next item of a list, map or array value; false at the end or where the bytes are bad.
 */
TMK_API bool tmk_value_next(tmk_value *container, tmk_value *item);

/** Its place in the partition: 0, 1, 2 ... */
TMK_API int64_t tmk_event_sequence(const tmk_event *e);
/** The opaque text by which the service finds it again. */
TMK_API tmk_slice tmk_event_offset(const tmk_event *e);
/** When the service took it, in milliseconds since 1970. */
TMK_API int64_t tmk_event_enqueued_ms(const tmk_event *e);
/** The partition key; empty where the sender set none. */
TMK_API tmk_slice tmk_event_key(const tmk_event *e);
/** The partition's id, as NUL-terminated text. */
TMK_API const char *tmk_event_partition(const tmk_event *e);

/**
 * The body when it is one run of bytes: one AMQP data section, or a value that
 * is binary or text. Otherwise (several data sections, a sequence, another
 * value) an empty slice, and tmk_event_body_next() tells the parts.
 */
TMK_API tmk_slice tmk_event_body(const tmk_event *e);

typedef enum tmk_body_kind {
    TMK_BODY_NONE = 0,
    TMK_BODY_DATA,
    TMK_BODY_VALUE,
    TMK_BODY_SEQUENCE
} tmk_body_kind;
TMK_API tmk_body_kind tmk_event_body_kind(const tmk_event *e);
/** Walks the parts of a body; *place starts at 0. A data section comes as TMK_VALUE_BINARY. */
TMK_API bool tmk_event_body_next(const tmk_event *e, size_t *place, tmk_value *part);

/** An application property; kind TMK_VALUE_NONE where there is none of this name. */
TMK_API tmk_value tmk_event_property(const tmk_event *e, const char *name);
/** Walks the application properties; *place starts at 0. */
TMK_API bool tmk_event_property_next(const tmk_event *e, size_t *place, tmk_slice *name,
                                     tmk_value *value);
/** Walks the message annotations ("x-opt-..."); *place starts at 0. */
TMK_API bool tmk_event_annotation_next(const tmk_event *e, size_t *place, tmk_slice *name,
                                       tmk_value *value);

/** The thirteen standard properties of an AMQP message. */
typedef enum tmk_standard {
    TMK_MESSAGE_ID = 0,
    TMK_USER_ID,
    TMK_TO,
    TMK_SUBJECT,
    TMK_REPLY_TO,
    TMK_CORRELATION_ID,
    TMK_CONTENT_TYPE,
    TMK_CONTENT_ENCODING,
    TMK_ABSOLUTE_EXPIRY,
    TMK_CREATION_TIME,
    TMK_GROUP_ID,
    TMK_GROUP_SEQUENCE,
    TMK_REPLY_TO_GROUP_ID
} tmk_standard;
TMK_API tmk_value tmk_event_standard(const tmk_event *e, tmk_standard which);

/** The whole message as it was received. */
TMK_API tmk_slice tmk_event_encoded(const tmk_event *e);

TMK_END_C

#endif
