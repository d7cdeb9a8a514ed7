/*
 * A fuzz target as a plain program: runs each file of the folders and files
 * named on the command line once, and every prefix of the small ones. Prints
 * TAP. What a fuzzer has found is kept in the corpus and stays found.
 */
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/slice.h"

enum { FILE_MAX = 1 << 20, PREFIXES_OF = 512 };

static int runs;

static void run_bytes(tmk_slice bytes) {
    /* A copy of exactly this size, so that a sanitizer sees the first byte beyond. */
    uint8_t *copy = tmk_copy(bytes.bytes, bytes.size);

    if (copy != NULL) {
        (void)LLVMFuzzerTestOneInput(copy, bytes.size);
        runs++;
    }
    tmk_free(copy);
}

static int run_file(const char *path) {
    tmk_str content = TMK_STR_INIT;
    tmk_slice bytes = {NULL, 0};

    if (tmk_file_read(path, FILE_MAX, &content, NULL) != TMK_OK) {
        return 0;
    }
    bytes = tmk_str_slice(&content);
    run_bytes(bytes);
    for (size_t size = 0; bytes.size <= PREFIXES_OF && size < bytes.size; size++) {
        run_bytes(tmk_slice_of(bytes.bytes, size));
    }
    tmk_str_clear(&content);
    return 1;
}

static int run_folder(const char *path) {
    DIR *folder = opendir(path);
    int files = 0;

    if (folder == NULL) {
        return run_file(path);
    }
    for (struct dirent *e = readdir(folder); e != NULL; e = readdir(folder)) {
        char *file = tmk_str_format("%s/%s", path, e->d_name);

        files += file == NULL ? 0 : run_file(file);
        tmk_free(file);
    }
    (void)closedir(folder);
    return files;
}

int main(int argc, char **argv) {
    int files = 0;

    for (int i = 1; i < argc; i++) {
        files += run_folder(argv[i]);
    }
    printf("1..1\n%s 1 - corpus of %d files, %d runs\n", files > 0 ? "ok" : "not ok", files, runs);
    return files > 0 ? 0 : 1;
}
