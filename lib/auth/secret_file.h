/*
 * Files that hold a secret, read whole into memory that is wiped.
 * Threads: any; blocks as long as the file system does.
 */
#ifndef TMK_AUTH_SECRET_FILE_H
#define TMK_AUTH_SECRET_FILE_H

#include "base/secret.h"

enum { tmk_secret_file_max = 64 * 1024 };

/*
 * ABSENT: there is no such file. ELIMIT: larger than limit (at most tmk_secret_file_max).
 * follow: whether path may be a symbolic link; folders on the way always may.
 */
tmk_status tmk_secret_file_read(const char *path, size_t limit, bool follow, tmk_secret **out,
                                tmk_error *err);

#endif
