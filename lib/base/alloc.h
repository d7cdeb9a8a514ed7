/* Memory from the host's allocator; failing is a status, never an abort. */
#ifndef TMK_BASE_ALLOC_H
#define TMK_BASE_ALLOC_H

#include <tidemark/alloc.h>

void *tmk_alloc(size_t size);                           /* not cleared */
void *tmk_alloc_zero(size_t count, size_t size);        /* cleared; NULL on overflow too */
void *tmk_resize(void *old, size_t count, size_t size); /* old stays valid on NULL */
void tmk_free(void *old);                               /* NULL is fine */
void *tmk_copy(const void *bytes, size_t size);         /* a copy, or NULL */
char *tmk_copy_str(const char *text);                   /* NULL for NULL */

#define tmk_new(type) ((type *)tmk_alloc_zero(1, sizeof(type)))

#endif
