/*
 * Trace context: which trace an event belongs to, in W3C's words (traceparent,
 * tracestate), as the official SDKs carry it: in the application properties
 * `traceparent`, `Diagnostic-Id` and `tracestate`.
 *
 * In:  tmk_event_trace() in a handler; or on_span_begin and on_span_end of the
 *      processor's options, around each call of the handler.
 * Out: on_trace of the producer's options gives it for each event that is sent
 *      alone; tmk_message_set_trace() sets it on a message, for batches.
 */
#ifndef TIDEMARK_TRACE_H
#define TIDEMARK_TRACE_H

#include <tidemark/message.h>

TMK_BEGIN_C

enum { TMK_TRACE_STATE_MAX = 512 };

typedef struct tmk_trace {
    char parent[56];                     /* "00-<32 hex digits>-<16>-<2>"; "" for none */
    char state[TMK_TRACE_STATE_MAX + 1]; /* tracestate; "" for none */
} tmk_trace;

/**
 * What the sender of an event said. ABSENT, with *out empty: nothing, or nothing well-formed (then
 * a new trace begins, as W3C demands).
 */
TMK_API tmk_status tmk_event_trace(const tmk_event *e, tmk_trace *out);

/**
 * Sets the three properties, or removes none of them: an empty parent changes nothing. EINVAL: the
 * parent is not well-formed.
 */
TMK_API TMK_CHECKED tmk_status tmk_message_set_trace(tmk_message *m, const tmk_trace *trace,
                                                     tmk_error *err);

/** Is this a traceparent as W3C has it? */
TMK_API bool tmk_trace_is_parent(const char *text);

TMK_END_C

#endif
