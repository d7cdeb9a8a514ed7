/* The file store under a clock of the test's choice. */
#ifndef TMK_CHECKPOINT_FILE_H
#define TMK_CHECKPOINT_FILE_H

#include <tidemark/store_file.h>

#include "base/time.h"

/* clock times leases and ages; deadlines of operations go by the system's. */
tmk_status tmk_store_file_new_with(const tmk_store_file_options *opts, tmk_clock clock,
                                   tmk_store *out, tmk_error *err);

#endif
