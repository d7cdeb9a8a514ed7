/* A folder of a test's own, removed with all it holds. */
#ifndef TMK_TESTS_TEMP_FOLDER_H
#define TMK_TESTS_TEMP_FOLDER_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct temp_folder {
    char path[256];
} temp_folder;

static inline void temp_folder_make(temp_folder *t) {
    const char *base = getenv("TMPDIR");

    (void)snprintf(t->path, sizeof t->path, "%s/tidemark-test-XXXXXX",
                   base == NULL ? "/tmp" : base);
    if (mkdtemp(t->path) == NULL) {
        perror(t->path);
        exit(99);
    }
}

static inline int temp_folder_remove_one(const char *path, const struct stat *facts, int kind,
                                         struct FTW *at) {
    (void)facts;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline void temp_folder_remove(temp_folder *t) {
    (void)nftw(t->path, temp_folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
