/*
 * An event to be sent: a body, and what goes with it.
 *
 *   tmk_message_new(body, &message, &err);
 *   tmk_message_set_key(message, "device-42", &err);
 *   tmk_message_set_text(message, "unit", "celsius", &err);
 *   tmk_producer_send(producer, message, NULL, sent, user, &err);
 *   message = tmk_message_free(message);
 *
 * Everything given is copied. A message may be sent many times, and be reset
 * and filled again, which costs no memory once it is warm.
 *
 * Threads: one at a time.
 */
#ifndef TIDEMARK_MESSAGE_H
#define TIDEMARK_MESSAGE_H

#include <tidemark/event.h>

TMK_BEGIN_C

typedef struct tmk_message tmk_message;

/** Makes a message with `body` as its one data section; empty is fine. */
TMK_API TMK_CHECKED tmk_status tmk_message_new(tmk_slice body, tmk_message **out, tmk_error *err);

/**
 * Makes a message of what a received event's sender wrote: body of whichever
 * kind, key, standard and application properties, annotations; without what the
 * service added ("x-opt-..."). For passing events on.
 */
TMK_API TMK_CHECKED tmk_status tmk_message_from_event(const tmk_event *event, tmk_message **out,
                                                      tmk_error *err);

/** NULL is fine. Returns NULL. */
TMK_API tmk_message *tmk_message_free(tmk_message *m);

/** As new with this body; keeps the memory. */
TMK_API TMK_CHECKED tmk_status tmk_message_reset(tmk_message *m, tmk_slice body, tmk_error *err);

/** Replaces the body by one AMQP value of any kind; for receivers that want such. */
TMK_API TMK_CHECKED tmk_status tmk_message_set_value(tmk_message *m, const tmk_value *value,
                                                     tmk_error *err);

/**
 * The partition key: events of one key are stored in one partition, in order.
 * NULL or "": none. EINVAL: more than 128 characters, or no UTF-8.
 */
TMK_API TMK_CHECKED tmk_status tmk_message_set_key(tmk_message *m, const char *key, tmk_error *err);

/**
 * Sets an application property of any AMQP kind; one of this name is replaced.
 * Only the members of *value that its kind names are looked at; width 0 is the
 * widest of its kind. EINVAL: the name is empty or no UTF-8; a number does not
 * fit its width; text is no UTF-8, a symbol no ASCII; an encoded container or
 * descriptor is broken.
 */
TMK_API TMK_CHECKED tmk_status tmk_message_set_property(tmk_message *m, const char *name,
                                                        const tmk_value *value, tmk_error *err);
/** The same for the common kinds: string, long, double, boolean. */
TMK_API TMK_CHECKED tmk_status tmk_message_set_text(tmk_message *m, const char *name,
                                                    const char *utf8, tmk_error *err);
TMK_API TMK_CHECKED tmk_status tmk_message_set_int(tmk_message *m, const char *name, int64_t value,
                                                   tmk_error *err);
TMK_API TMK_CHECKED tmk_status tmk_message_set_double(tmk_message *m, const char *name,
                                                      double value, tmk_error *err);
TMK_API TMK_CHECKED tmk_status tmk_message_set_bool(tmk_message *m, const char *name, bool value,
                                                    tmk_error *err);

/**
 * Sets one of the thirteen standard properties. EINVAL, too: it may not have
 * this kind. Ids may be a string, ulong, uuid or binary; times are times, the
 * group sequence an uint, the user id binary, content type and encoding symbols
 * (text is taken as such), all others strings. Kind NONE removes it.
 */
TMK_API TMK_CHECKED tmk_status tmk_message_set_standard(tmk_message *m, tmk_standard which,
                                                        const tmk_value *value, tmk_error *err);
TMK_API TMK_CHECKED tmk_status tmk_message_set_standard_text(tmk_message *m, tmk_standard which,
                                                             const char *utf8, tmk_error *err);

/** Sets a message annotation, whose name is ASCII. EINVAL, too: "x-opt-..." is the service's. */
TMK_API TMK_CHECKED tmk_status tmk_message_set_annotation(tmk_message *m, const char *name,
                                                          const tmk_value *value, tmk_error *err);

TMK_END_C

#endif
