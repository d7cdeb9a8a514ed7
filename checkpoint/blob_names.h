/*
 * Names of blobs: the layout that the official SDKs and KEDA share, and our own
 * part beside it, where they never look.
 *
 *   <host>/<hub>/<group>/ownership/<partition>      theirs; ours too, in the way "shared"
 *   <host>/<hub>/<group>/checkpoint/<partition>     theirs and ours
 *   <host>/<hub>/<group>/tidemark/members/<id>
 *   <host>/<hub>/<group>/tidemark/calls/<id>
 *
 * Host, hub and group in lower case (but see keep_case), partitions as they are.
 * Pure. Threads: any.
 */
#ifndef TMK_CHECKPOINT_BLOB_NAMES_H
#define TMK_CHECKPOINT_BLOB_NAMES_H

#include "base/str.h"

typedef enum tmk_blob_kind {
    TMK_BLOB_OWNERSHIP,
    TMK_BLOB_CHECKPOINT,
    TMK_BLOB_MEMBER,
    TMK_BLOB_CALL
} tmk_blob_kind;

/* "<host>/<hub>/<group>/", in lower case unless keep_case says otherwise; EINVAL for an empty part
 * or one that would make further parts. */
tmk_status tmk_blob_group_prefix(const char *host, const char *hub, const char *group,
                                 bool keep_case, char **out, tmk_error *err);

/* EINVAL: a partition id that would mean something else to other SDKs, or too long an id. */
tmk_status tmk_blob_id_check(tmk_blob_kind kind, const char *id, tmk_error *err);

void tmk_blob_folder_add(tmk_str *out, const char *group_prefix, tmk_blob_kind kind);
void tmk_blob_name_add(tmk_str *out, const char *group_prefix, tmk_blob_kind kind, const char *id);
/* The id in a name below such a folder; false: it is no record's name. */
bool tmk_blob_name_id(const char *name, const char *group_prefix, tmk_blob_kind kind, tmk_str *id);

/* A name as the path of a URL: every part percent-encoded, slashes kept. */
void tmk_blob_path_add(tmk_str *out, tmk_slice name);

#endif
