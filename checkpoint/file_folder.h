/*
 * The folder of a file store on the disk: where it may lie, its parts, its
 * locks.
 */
#ifndef TMK_CHECKPOINT_FILE_FOLDER_H
#define TMK_CHECKPOINT_FILE_FOLDER_H

#include "base/str.h"

/* The id of this boot of the machine. EUNSUPPORTED where the system has none. */
tmk_status tmk_file_boot_id(char out[64], tmk_error *err);

/*
 * This process, so that others can tell when it is gone: the namespace of its number, its number,
 * and when it started (numbers are used again). "" where the system does not say.
 */
enum { TMK_FILE_PROCESS_ROOM = 96 };
void tmk_file_process_self(char out[TMK_FILE_PROCESS_ROOM]);
/* False where that cannot be known, as for a process of another namespace. */
bool tmk_file_process_gone(const char *process);

/* EUNSUPPORTED on a network file system: other machines have other clocks. */
tmk_status tmk_file_folder_is_local(const char *folder, tmk_error *err);

/* Removes what crashed writers have left: staged files older than ten minutes. */
void tmk_file_folder_sweep(const char *folder);

/* AGAIN: somebody else holds it. The lock ends with unlock, close or the process. */
tmk_status tmk_file_lock(int fd, tmk_slice name, tmk_error *err);
void tmk_file_unlock(int fd, tmk_slice name);

#endif
