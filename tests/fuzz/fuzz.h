/* What every fuzz target includes: libFuzzer's entry point, and memory. */
#ifndef TMK_TESTS_FUZZ_H
#define TMK_TESTS_FUZZ_H

#include "base/alloc.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
