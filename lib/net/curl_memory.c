/* Memory for curl that is overwritten when it is given back. See curl_common.h. */
#include "net/curl_common.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

static void give_back(void *old) {
    if (old != NULL) {
        tmk_wipe(old, malloc_usable_size(old));
        free(old);
    }
}

static void *resize(void *old, size_t size) {
    size_t had = old == NULL ? 0 : malloc_usable_size(old);
    void *block;

    if (old != NULL && size > 0 && size <= had && size >= had / 2) {
        return old;
    }
    block = malloc(size > 0 ? size : 1);
    if (block != NULL && old != NULL) {
        memcpy(block, old, had < size ? had : size);
        give_back(old);
    }
    return block;
}

bool tmk_curl_begin(void) {
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, give_back, resize, strdup, calloc) ==
           CURLE_OK;
}
