/* Trace context, for the producer: see tidemark/trace.h. Pure. */
#ifndef TMK_EVENTHUBS_TRACE_H
#define TMK_EVENTHUBS_TRACE_H

#include <tidemark/trace.h>

#include "amqp/compose.h"

/* The properties that a trace makes; 0 where there is none, or it is not well-formed. */
size_t tmk_trace_extras(const tmk_trace *trace, tmk_compose_extra out[3]);

#endif
