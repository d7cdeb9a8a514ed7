/* A walk over the elements of a list; only the places that matter are looked at. */
#include "checkpoint/blob_xml.h"

#include <stdio.h>

#include <expat.h>

#include "base/alloc.h"
#include "base/status.h"

enum { DEPTH_MAX = 16, TEXT_MAX = 16 * 1024, ITEMS_MAX = 5000 };

typedef struct walk {
    XML_Parser parser;
    unsigned depth;
    char path[DEPTH_MAX][64]; /* names of the open elements, cut */
    tmk_str text;             /* of the innermost element */
    bool name_encoded;

    tmk_str name, etag, lease_state, lease_duration;
    tmk_blob_item item;
    size_t items;

    tmk_blob_item_fn take;
    void *self;
    tmk_str *next; /* NULL: an error is parsed, not a list */
    char *code;
    tmk_status status; /* why the walk was ended */
} walk;

static void end_walk(walk *w, tmk_status status) {
    if (w->status == TMK_OK) {
        w->status = status;
        (void)XML_StopParser(w->parser, XML_FALSE);
    }
}

static bool is_at(const walk *w, unsigned depth, const char *name) {
    return w->depth > depth && strcmp(w->path[depth], name) == 0;
}

static bool in_blob(const walk *w) {
    return is_at(w, 0, "EnumerationResults") && is_at(w, 1, "Blobs") && is_at(w, 2, "Blob");
}

/* With a delimiter, what lies below it comes as one entry with a name alone. */
static bool in_prefix(const walk *w) {
    return is_at(w, 0, "EnumerationResults") && is_at(w, 1, "Blobs") && is_at(w, 2, "BlobPrefix");
}

static void reset_item(walk *w) {
    tmk_str_reset(&w->name);
    tmk_str_reset(&w->etag);
    tmk_str_reset(&w->lease_state);
    tmk_str_reset(&w->lease_duration);
    tmk_blob_meta_reset(&w->item.meta);
    w->item.last_modified = (tmk_wall){0};
    w->item.folder = false;
    w->name_encoded = false;
}

static void on_begin(void *user, const char *name, const char **attributes) {
    walk *w = user;

    if (w->depth >= DEPTH_MAX) {
        end_walk(w, TMK_EPROTO);
        return;
    }
    (void)snprintf(w->path[w->depth], sizeof w->path[0], "%s", name);
    w->depth++;
    tmk_str_reset(&w->text);
    if (w->depth == 3 && (in_blob(w) || in_prefix(w))) {
        reset_item(w);
        w->item.folder = in_prefix(w);
    }
    if (w->depth == 4 && (in_blob(w) || in_prefix(w)) && is_at(w, 3, "Name")) {
        w->name_encoded = attributes[0] != NULL && strcmp(attributes[0], "Encoded") == 0 &&
                          strcmp(attributes[1], "true") == 0;
    }
}

static void on_text(void *user, const char *bytes, int size) {
    walk *w = user;

    if (w->text.size + (size_t)size > TEXT_MAX) {
        end_walk(w, TMK_EPROTO);
        return;
    }
    tmk_str_add_slice(&w->text, tmk_slice_of(bytes, (size_t)size));
}

static void keep(tmk_str *to, const tmk_str *text) {
    tmk_str_reset(to);
    tmk_str_add_slice(to, tmk_slice_trim(tmk_str_slice(text)));
}

static void keep_name(walk *w) {
    tmk_str_reset(&w->name);
    if (!w->name_encoded) {
        tmk_str_add_slice(&w->name, tmk_str_slice(&w->text));
    } else if (!tmk_str_add_unpercent(&w->name, tmk_str_slice(&w->text))) {
        end_walk(w, TMK_EPROTO);
    }
}

static void keep_property(walk *w) {
    if (is_at(w, 4, "Etag")) {
        keep(&w->etag, &w->text);
    } else if (is_at(w, 4, "Last-Modified")) {
        (void)tmk_http_date_parse(tmk_slice_trim(tmk_str_slice(&w->text)), &w->item.last_modified,
                                  NULL);
    } else if (is_at(w, 4, "LeaseState")) {
        keep(&w->lease_state, &w->text);
    } else if (is_at(w, 4, "LeaseDuration")) {
        keep(&w->lease_duration, &w->text);
    } else if (is_at(w, 4, "ResourceType")) {
        w->item.folder = w->item.folder || strcmp(tmk_str_text(&w->text), "directory") == 0;
    }
}

static void keep_meta(walk *w) {
    if (strcmp(w->path[4], "hdi_isfolder") == 0 && strcmp(tmk_str_text(&w->text), "true") == 0) {
        w->item.folder = true;
    }
    tmk_blob_meta_add(&w->item.meta, tmk_slice_str(w->path[4]),
                      tmk_slice_trim(tmk_str_slice(&w->text)));
}

static tmk_slice without_quotes(const tmk_str *etag) {
    tmk_slice s = tmk_str_slice(etag);

    if (s.size >= 2 && s.bytes[0] == '"' && s.bytes[s.size - 1] == '"') {
        s = tmk_slice_of(s.bytes + 1, s.size - 2);
    }
    return s;
}

static void hand_over(walk *w) {
    tmk_slice etag = without_quotes(&w->etag);
    char *etag_text = tmk_slice_dup(etag);
    tmk_status st;

    if (etag_text == NULL || w->name.failed || w->lease_state.failed || w->lease_duration.failed ||
        w->item.meta.text.failed || w->text.failed || w->etag.failed) {
        st = TMK_ENOMEM;
    } else if (w->name.size == 0 || ++w->items > ITEMS_MAX) {
        st = TMK_EPROTO;
    } else {
        w->item.name = tmk_str_text(&w->name);
        w->item.etag = etag_text;
        w->item.lease =
            tmk_blob_lease_of(tmk_str_text(&w->lease_state), tmk_str_text(&w->lease_duration));
        st = w->take(w->self, &w->item);
    }
    tmk_free(etag_text);
    if (st != TMK_OK) {
        end_walk(w, st);
    }
}

static void end_in_list(walk *w) {
    if (w->depth == 2 && is_at(w, 0, "EnumerationResults") && is_at(w, 1, "NextMarker")) {
        keep(w->next, &w->text);
    } else if (w->depth == 4 && (in_blob(w) || in_prefix(w)) && is_at(w, 3, "Name")) {
        keep_name(w);
    } else if (w->depth == 5 && in_blob(w) && is_at(w, 3, "Properties")) {
        keep_property(w);
    } else if (w->depth == 5 && in_blob(w) && is_at(w, 3, "Metadata")) {
        keep_meta(w);
    } else if (w->depth == 3 && (in_blob(w) || in_prefix(w))) {
        hand_over(w);
    }
}

static void on_end(void *user, const char *name) {
    walk *w = user;

    (void)name;
    if (w->status != TMK_OK) {
        return;
    }
    if (w->next != NULL) {
        end_in_list(w);
    } else if (w->depth == 2 && is_at(w, 0, "Error") && is_at(w, 1, "Code")) {
        (void)snprintf(w->code, 64, "%s", tmk_str_text(&w->text));
    }
    w->depth--;
    tmk_str_reset(&w->text);
}

/* Nothing that the service sends has a document type; what could expand begins with one. */
static void on_doctype(void *user, const char *name, const char *system, const char *public,
                       int subset) {
    (void)name;
    (void)system;
    (void)public;
    (void)subset;
    end_walk(user, TMK_EPROTO);
}

static tmk_status run(walk *w, tmk_slice xml) {
    enum XML_Status parsed;

    w->parser = XML_ParserCreate(NULL);
    if (w->parser == NULL) {
        return TMK_ENOMEM;
    }
    XML_SetUserData(w->parser, w);
    XML_SetElementHandler(w->parser, on_begin, on_end);
    XML_SetCharacterDataHandler(w->parser, on_text);
    XML_SetStartDoctypeDeclHandler(w->parser, on_doctype);
    parsed = xml.size > INT32_MAX / 2
                 ? XML_STATUS_ERROR
                 : XML_Parse(w->parser, (const char *)xml.bytes, (int)xml.size, XML_TRUE);
    if (parsed != XML_STATUS_OK && w->status == TMK_OK) {
        w->status = XML_GetErrorCode(w->parser) == XML_ERROR_NO_MEMORY ? TMK_ENOMEM : TMK_EPROTO;
    }
    XML_ParserFree(w->parser);
    return w->status;
}

static void clear(walk *w) {
    tmk_str_clear(&w->text);
    tmk_str_clear(&w->name);
    tmk_str_clear(&w->etag);
    tmk_str_clear(&w->lease_state);
    tmk_str_clear(&w->lease_duration);
    tmk_blob_meta_clear(&w->item.meta);
    tmk_free(w);
}

tmk_status tmk_blob_list_parse(tmk_slice xml, tmk_blob_item_fn take, void *self, tmk_str *next,
                               tmk_error *err) {
    walk *w = tmk_new(walk);
    tmk_status st = TMK_ENOMEM;

    tmk_str_reset(next);
    if (w != NULL) {
        w->take = take;
        w->self = self;
        w->next = next;
        st = run(w, xml);
        if (st == TMK_OK && strcmp(w->path[0], "EnumerationResults") != 0) {
            st = TMK_EPROTO;
        }
        st = st == TMK_OK && (w->text.failed || next->failed) ? TMK_ENOMEM : st;
        clear(w);
    }
    if (st == TMK_ENOMEM) {
        return tmk_fail_retry(err, st, "blob", "no memory for a list of blobs");
    }
    if (st == TMK_EPROTO) {
        return tmk_fail_retry(err, st, "blob:list",
                              "the service's list of blobs is damaged or cut off");
    }
    return st; /* of whoever took the items */
}

void tmk_blob_error_parse(tmk_slice xml, char out[64]) {
    walk *w = tmk_new(walk);

    out[0] = '\0';
    if (w != NULL) {
        w->code = out;
        (void)run(w, xml);
        clear(w);
    }
}

tmk_blob_lease tmk_blob_lease_of(const char *state, const char *duration) {
    tmk_blob_lease l = {0};

    state = state == NULL ? "" : state;
    l.held = strcmp(state, "leased") == 0 || strcmp(state, "breaking") == 0;
    l.endless = l.held && duration != NULL && strcmp(duration, "infinite") == 0;
    l.fresh = strcmp(state, "available") == 0;
    return l;
}
