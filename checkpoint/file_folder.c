/* What the operating system says about the folder, and locks in it. */
#include "checkpoint/file_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/status.h"

enum { STALE_S = 600 };

tmk_status tmk_file_boot_id(char out[64], tmk_error *err) {
    tmk_str text = TMK_STR_INIT;
    tmk_status st = tmk_file_read("/proc/sys/kernel/random/boot_id", 63, &text, err);
    tmk_slice id = tmk_slice_trim(tmk_str_slice(&text));

    if (st == TMK_OK && id.size > 0) {
        (void)snprintf(out, 64, "%.*s", (int)id.size, (const char *)id.bytes);
    } else {
        st = tmk_fail(err, TMK_EUNSUPPORTED, "file",
                      "the system does not tell the id of its boot "
                      "(/proc/sys/kernel/random/boot_id), so leases could outlive a restart");
    }
    tmk_str_clear(&text);
    return st;
}

/* State and start of a process: fields 3 and 22 of its stat; its name, field 2, may hold anything.
 */
static bool process_facts(long pid, char *state, unsigned long long *start) {
    tmk_str text = TMK_STR_INIT;
    char path[48];
    const char *rest = NULL;
    bool good;

    (void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    good = tmk_file_read(path, 4096, &text, NULL) == TMK_OK &&
           (rest = strrchr(tmk_str_text(&text), ')')) != NULL;
    good = good && sscanf(rest,
                          ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                          "%*d %*d %llu",
                          state, start) == 2;
    tmk_str_clear(&text);
    return good;
}

/* The namespace of process numbers; 0 where the system does not say. */
static unsigned long long process_space(void) {
    struct stat facts;

    return stat("/proc/self/ns/pid", &facts) == 0 ? (unsigned long long)facts.st_ino : 0;
}

void tmk_file_process_self(char out[TMK_FILE_PROCESS_ROOM]) {
    unsigned long long space = process_space(), start = 0;
    char state;

    out[0] = '\0';
    if (space != 0 && process_facts((long)getpid(), &state, &start)) {
        (void)snprintf(out, TMK_FILE_PROCESS_ROOM, "%llu:%ld:%llu", space, (long)getpid(), start);
    }
}

bool tmk_file_process_gone(const char *process) {
    unsigned long long space, start, now_start;
    char state;
    long pid;

    if (sscanf(process, "%llu:%ld:%llu", &space, &pid, &start) != 3 || space == 0 ||
        space != process_space()) {
        return false;
    }
    if (!process_facts(pid, &state, &now_start)) {
        return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
    }
    return now_start != start || state == 'Z' || state == 'X';
}

tmk_status tmk_file_folder_is_local(const char *folder, tmk_error *err) {
    static const struct {
        unsigned long magic;
        const char *name;
    } remote[] = {{0x6969, "NFS"},        {0xff534d42, "CIFS"}, {0xfe534d42, "SMB"},
                  {0x517b, "SMB"},        {0x00c36400, "Ceph"}, {0x5346414f, "AFS"},
                  {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"}};
    struct statfs facts;

    if (statfs(folder, &facts) != 0) {
        return tmk_fail_errno(err, errno, "look at", folder);
    }
    for (size_t i = 0; i < sizeof remote / sizeof *remote; i++) {
        if (((unsigned long)facts.f_type & 0xffffffff) == remote[i].magic) {
            return tmk_fail(
                err, TMK_EUNSUPPORTED, "file",
                "'%s' is on %s: a file store is for the processes of one machine; use a "
                "local folder, or the blob store for several machines",
                folder, remote[i].name);
        }
    }
    return TMK_OK;
}

void tmk_file_folder_sweep(const char *folder) {
    DIR *dir = opendir(folder);
    struct timespec now = {0};
    const struct dirent *entry;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct stat facts;
        if (tmk_slice_ends(tmk_slice_str(entry->d_name), TMK_LIT(".tmp")) &&
            fstatat(dirfd(dir), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(facts.st_mode) && now.tv_sec - facts.st_mtime > STALE_S) {
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
}

/* A place in the lock file for each name: FNV-1a. Two names with one place only wait in vain. */
static off_t place_of(tmk_slice name) {
    uint64_t hash = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < name.size; i++) {
        hash = (hash ^ name.bytes[i]) * UINT64_C(1099511628211);
    }
    return (off_t)(hash >> 2);
}

tmk_status tmk_file_lock(int fd, tmk_slice name, tmk_error *err) {
    struct flock lock = {.l_type = F_WRLCK, .l_start = place_of(name), .l_len = 1};

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
        return TMK_OK;
    }
    return errno == EAGAIN || errno == EACCES || errno == EINTR
               ? TMK_AGAIN
               : tmk_fail_errno(err, errno, "lock", "a record");
}

void tmk_file_unlock(int fd, tmk_slice name) {
    struct flock lock = {.l_type = F_UNLCK, .l_start = place_of(name), .l_len = 1};

    (void)fcntl(fd, F_OFD_SETLK, &lock);
}
