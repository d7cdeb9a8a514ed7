/*
 * Records of the file store as text: JSON, one object a file.
 *
 * Pure. What cannot be read as a whole is refused as a whole: nothing is
 * guessed, nothing invented.
 */
#ifndef TMK_CHECKPOINT_FILE_FORMAT_H
#define TMK_CHECKPOINT_FILE_FORMAT_H

#include "checkpoint/rules.h"

#include "base/str.h"

enum { TMK_FILE_RECORD_MAX = 512 * 1024 };

/* The moment, in the terms of this machine since its boot, and of calendars. */
typedef struct tmk_file_moment {
    const char *boot; /* the id of this boot: the clock starts anew with each */
    tmk_time now;
    tmk_wall wall;
    const char *process;               /* who writes: see tmk_file_process_self(); NULL: not told */
    bool (*gone)(const char *process); /* does that process live no more? NULL: nobody knows */
} tmk_file_moment;

/*
 * EPROTO: damaged, or not the record of this id. The entry must be empty; it is on failure.
 * Members of an earlier boot are dead, and those whose process is gone: nobody waits for their
 * lease. Ages across boots are those of the calendar.
 */
tmk_status tmk_file_read_member(tmk_slice text, const char *id, const tmk_file_moment *at,
                                tmk_member_entry *out, tmk_error *err);
tmk_status tmk_file_read_call(tmk_slice text, const char *id, tmk_call_entry *out, tmk_error *err);
tmk_status tmk_file_read_partition(tmk_slice text, const char *id, const tmk_file_moment *at,
                                   tmk_partition_entry *out, tmk_error *err);

/* Appends; ENOMEM. */
tmk_status tmk_file_write_member(const tmk_member_entry *e, const char *id,
                                 const tmk_file_moment *at, tmk_str *out);
tmk_status tmk_file_write_call(const tmk_call_entry *e, const char *id, tmk_str *out);
tmk_status tmk_file_write_partition(const tmk_partition_entry *e, const char *id,
                                    const tmk_file_moment *at, tmk_str *out);

/* "<id>.json", percent-encoded so that no id leaves its folder, and back (false: no such name). */
void tmk_file_name_add(tmk_str *out, const char *id);
bool tmk_file_name_id(const char *name, tmk_str *id);
/* A folder's name made of a text: percent-encoded, lower case. */
void tmk_file_folder_add(tmk_str *out, const char *text);

#endif
