/* The version of the library. */
#ifndef TIDEMARK_VERSION_H
#define TIDEMARK_VERSION_H

#include <tidemark/api.h>

TMK_BEGIN_C

#define TMK_VERSION_MAJOR 0
#define TMK_VERSION_MINOR 1
#define TMK_VERSION_PATCH 0
#define TMK_VERSION_STRING "0.1.0"

/** The version of the library that runs, as text; the macros tell the one that was compiled
 * against. */
TMK_API const char *tmk_version(void);

TMK_END_C

#endif
