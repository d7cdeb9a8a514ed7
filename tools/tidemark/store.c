/* Opening the store that --store names. See common.h. */
#include "common.h"

#include <tidemark/store_file.h>
#include <tidemark/store_memory.h>

#include <string.h>

static int open_file(const cli_common *c, const char *folder, const char *host, const char *hub, const char *group,
                     tmk_store *out) {
    tmk_store_file_options o;
    tmk_error err;

    tmk_store_file_options_init(&o);
    o.folder = folder;
    o.host = host;
    o.hub = hub;
    o.group = group;
    o.log = cli_log(c);
    return tmk_store_file_new(&o, out, &err) < 0 ? cli_error("cannot open the store", &err) : 0;
}

int cli_store(const cli_common *c, const char *host, const char *hub, const char *group, tmk_store *out) {
    const char *store = c->store;
    tmk_error err;

    if (store == NULL) {
        return cli_usage("no store: give --store file:DIR, or blob:CONTAINER, or memory (nothing is kept)");
    }
    if (strcmp(store, "memory") == 0) {
        return tmk_store_memory_new(out, &err) < 0 ? cli_error("cannot make the store", &err) : 0;
    }
    if (strncmp(store, "file:", 5) == 0 && store[5] != '\0') {
        return open_file(c, store + 5, host, hub, group, out);
    }
    return cli_usage("--store takes memory, file:DIR or blob:CONTAINER, not '%s'", store);
}
