/*
 * What a performative must look like: which fields, of which types, how deep
 * and how many values. One table for all of them; see shape.c.
 *
 * Pure: no I/O, no allocation, no recursion.
 */
#ifndef TMK_AMQP_SHAPE_H
#define TMK_AMQP_SHAPE_H

#include "amqp/wire.h"

enum {
    TMK_SHAPE_FIELDS = 14,   /* as many as the longest performative has (attach) */
    TMK_SHAPE_DEPTH_MAX = 8, /* containers inside of each other */
    TMK_SHAPE_VALUES_MAX = 2048
};

/*
 * Checks a frame's performative and takes it apart: fields[n] is absent (kind
 * TMK_VALUE_NONE) where it is null or past the end. EPROTO: it is not as the
 * AMQP standard says, or unreasonably deep or long.
 */
tmk_status tmk_shape_check(const tmk_frame *f, tmk_value fields[TMK_SHAPE_FIELDS], tmk_error *err);

/* Whether one encoded value is whole down to its leaves, within the limits above. */
bool tmk_shape_is_sound(tmk_slice encoded);

#endif
