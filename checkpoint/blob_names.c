/* The layout of blobs. */
#include "checkpoint/blob_names.h"

#include <string.h>

#include "base/status.h"
#include "checkpoint/names.h"

enum { NAME_MAX_BYTES = 1024 };

static const char *const folders[] = {"ownership/", "checkpoint/", "tidemark/members/",
                                      "tidemark/calls/"};

static bool is_part(const char *text) {
    if (text == NULL || text[0] == '\0' || text[0] == '.' || strlen(text) > 260) {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~' || *text == '/' || *text == '\\') {
            return false;
        }
    }
    return text[-1] != '.';
}

tmk_status tmk_blob_group_prefix(const char *host, const char *hub, const char *group,
                                 bool keep_case, char **out, tmk_error *err) {
    const char *const parts[] = {host, hub, group};
    static const char *const names[] = {"host", "hub", "group"};
    tmk_str prefix = TMK_STR_INIT;
    char *text;

    for (size_t i = 0; i < 3; i++) {
        if (!is_part(parts[i])) {
            tmk_str_clear(&prefix);
            return tmk_fail(err, TMK_EINVAL, "blob",
                            "a blob store needs the option '%s': printable, without blanks and "
                            "slashes, no dot at an end",
                            names[i]);
        }
        if (keep_case) {
            tmk_str_add(&prefix, parts[i]);
        } else {
            tmk_lower_add(&prefix, tmk_slice_str(parts[i]));
        }
        tmk_str_add_char(&prefix, '/');
    }
    text = tmk_str_take(&prefix);
    if (text == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "blob", "no memory for a name");
    }
    *out = text;
    return TMK_OK;
}

static bool is_partition(const char *id) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-_.";

    return is_part(id) && id[strspn(id, allowed)] == '\0';
}

tmk_status tmk_blob_id_check(tmk_blob_kind kind, const char *id, tmk_error *err) {
    if (kind <= TMK_BLOB_CHECKPOINT && !is_partition(id)) {
        return tmk_fail(err, TMK_EINVAL, "blob",
                        "a partition's id must be letters, digits, '-', '_' and '.': that is how "
                        "the blobs of all SDKs are named");
    }
    return TMK_OK;
}

void tmk_blob_folder_add(tmk_str *out, const char *group_prefix, tmk_blob_kind kind) {
    tmk_str_add(out, group_prefix);
    tmk_str_add(out, folders[kind]);
}

void tmk_blob_name_add(tmk_str *out, const char *group_prefix, tmk_blob_kind kind, const char *id) {
    tmk_blob_folder_add(out, group_prefix, kind);
    if (kind <= TMK_BLOB_CHECKPOINT) {
        tmk_str_add(out, id);
    } else {
        tmk_name_add(out, tmk_slice_str(id));
    }
}

bool tmk_blob_name_id(const char *name, const char *group_prefix, tmk_blob_kind kind, tmk_str *id) {
    size_t prefix_size = strlen(group_prefix), folder_size = strlen(folders[kind]);

    tmk_str_reset(id);
    if (strlen(name) > NAME_MAX_BYTES || strncmp(name, group_prefix, prefix_size) != 0 ||
        strncmp(name + prefix_size, folders[kind], folder_size) != 0) {
        return false;
    }
    name += prefix_size + folder_size;
    if (kind > TMK_BLOB_CHECKPOINT) {
        return strchr(name, '/') == NULL && tmk_name_text(tmk_slice_str(name), id);
    }
    tmk_str_add(id, name);
    return is_partition(name) && tmk_str_ok(id);
}

void tmk_blob_path_add(tmk_str *out, tmk_slice name) {
    bool more = true;

    while (more) {
        tmk_slice part = tmk_slice_cut(&name, '/', &more);
        tmk_str_add_percent(out, part);
        if (more) {
            tmk_str_add_char(out, '/');
        }
    }
}
