/*
 * Encoding outgoing messages (tidemark/message.h), for the client's own
 * requests too. Pure: no I/O.
 */
#ifndef TMK_AMQP_COMPOSE_H
#define TMK_AMQP_COMPOSE_H

#include <tidemark/message.h>

#include "amqp/wire.h"

enum { TMK_KEY_CHARACTERS_MAX = 128 };

/*
 * Appends the whole encoded message to *out. `key` is the partition key that it
 * gets; usually tmk_message_key(), in a batch the batch's. ENOMEM: what was
 * appended is to be thrown away.
 */
tmk_status tmk_message_encode(const tmk_message *m, tmk_slice key, tmk_str *out, tmk_error *err);

/* A text property that a message gets on its way, unless it has one of that name. */
typedef struct tmk_compose_extra {
    const char *name, *text;
} tmk_compose_extra;
tmk_status tmk_message_encode_with(const tmk_message *m, tmk_slice key,
                                   const tmk_compose_extra *extras, size_t extra_count,
                                   tmk_str *out, tmk_error *err);
/* Has the message an application property of this name? */
bool tmk_message_has(const tmk_message *m, const char *name);

/* Appends what makes a message a keyed one: header and annotation. Nothing for an empty key. */
void tmk_compose_key(tmk_slice key, tmk_str *out);

/* EINVAL: the key is too long or no UTF-8. */
tmk_status tmk_compose_check_key(tmk_slice key, tmk_error *err);

tmk_slice tmk_message_key(const tmk_message *m);

/*
 * Parts as they were received: values are encoded, and nothing is checked but
 * that there is memory. Names are not looked up: each call adds one.
 */
tmk_status tmk_message_put_key(tmk_message *m, tmk_slice key, tmk_error *err);
tmk_status tmk_message_put_sections(tmk_message *m, tmk_slice body, tmk_error *err);
tmk_status tmk_message_put_standard(tmk_message *m, tmk_standard which, tmk_slice value,
                                    tmk_error *err);
tmk_status tmk_message_put_property(tmk_message *m, tmk_slice name, tmk_slice value,
                                    tmk_error *err);
tmk_status tmk_message_put_annotation(tmk_message *m, tmk_slice name, tmk_slice value,
                                      tmk_error *err);

#endif
