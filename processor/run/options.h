/* The options of a processor: checked, and turned into those of its parts. */
#ifndef TMK_RUN_OPTIONS_H
#define TMK_RUN_OPTIONS_H

#include "run/control.h"

/* EINVAL says which option is wrong and what it must be. */
tmk_status tmk_processor_options_check(const tmk_processor_options *o, tmk_error *err);

/* "host-pid". */
void tmk_processor_options_own_id(char *out, size_t room);

/* What the parts are told, but the journal. `o` is borrowed by the result. */
void tmk_processor_options_control(const tmk_processor_options *o, const char *owner_id,
                                   tmk_processor *p, tmk_control_options *out);

#endif
