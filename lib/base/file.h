/* Files: whole reads with a limit, atomic replace that survives a power cut. */
#ifndef TMK_BASE_FILE_H
#define TMK_BASE_FILE_H

#include "base/str.h"

/* ABSENT when there is no such file; ELIMIT when it is larger than limit. */
tmk_status tmk_file_read(const char *path, size_t limit, tmk_str *out, tmk_error *err);
/* Temp file in the same folder, fsync, rename, fsync of the folder. */
tmk_status tmk_file_replace(const char *path, tmk_slice body, tmk_error *err);
/*
 * The same in steps, for who must look once more before the new file takes its name. Stages a
 * complete new file beside `path`; *temp is its name, the caller's. Not durable: no fsync.
 */
tmk_status tmk_file_stage(const char *path, tmk_slice body, bool durable, char **temp,
                          tmk_error *err);
tmk_status tmk_file_sync_folder(const char *path, tmk_error *err); /* the folder that path is in */
tmk_status tmk_dir_make(const char *path, tmk_error *err);         /* with parents */
int tmk_fd_close(int fd);                                          /* -1 is fine; returns -1 */

/*
 * Seams for tests: the system calls that can fail go through this table.
 */
typedef struct tmk_file_calls {
    int (*open)(const char *path, int flags, unsigned mode);
    long (*write)(int fd, const void *bytes, size_t size);
    int (*fsync)(int fd);
    int (*rename)(const char *from, const char *to);
} tmk_file_calls;
extern tmk_file_calls tmk_file_os; /* replaced by tests only, before threads start */

#endif
