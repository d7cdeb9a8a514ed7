/* Shared Key: see the header. */
#include "auth/storage_key.h"

#include <stdlib.h>

#include "auth/sas.h"
#include "base/alloc.h"
#include "base/status.h"

enum { parts_max = 32 };

/* A header or a parameter, ready to be sorted. */
typedef struct pair {
    tmk_slice name, value;
} pair;

/* ASCII, whatever the locale says. */
static int lower(uint8_t c) {
    return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static int compare_nocase(tmk_slice a, tmk_slice b) {
    size_t size = a.size < b.size ? a.size : b.size;

    for (size_t i = 0; i < size; i++) {
        if (lower(a.bytes[i]) != lower(b.bytes[i])) {
            return lower(a.bytes[i]) - lower(b.bytes[i]);
        }
    }
    return (a.size > b.size) - (a.size < b.size);
}

static int compare_bytes(tmk_slice a, tmk_slice b) {
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size == 0 ? 0 : memcmp(a.bytes, b.bytes, size);

    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_pairs(const void *left, const void *right) {
    const pair *a = left, *b = right;
    int order = compare_nocase(a->name, b->name);

    return order != 0 ? order : compare_bytes(a->value, b->value);
}

static void add_lower(tmk_str *s, tmk_slice text) {
    for (size_t i = 0; i < text.size; i++) {
        tmk_str_add_char(s, (char)lower(text.bytes[i]));
    }
}

static tmk_slice header_value(const tmk_storage_request *r, const char *name) {
    for (size_t i = 0; i < r->header_count; i++) {
        if (tmk_slice_eq_nocase(tmk_slice_str(r->headers[i].name), tmk_slice_str(name))) {
            return tmk_slice_trim(tmk_slice_str(r->headers[i].value));
        }
    }
    return tmk_slice_of(NULL, 0);
}

/* Method and the eleven standard headers, a line each. */
static void add_standard(const tmk_storage_request *r, tmk_str *out) {
    static const char *const names[] = {"Content-Encoding",
                                        "Content-Language",
                                        "Content-Length",
                                        "Content-MD5",
                                        "Content-Type",
                                        "Date",
                                        "If-Modified-Since",
                                        "If-Match",
                                        "If-None-Match",
                                        "If-Unmodified-Since",
                                        "Range"};
    bool dated = header_value(r, "x-ms-date").size > 0;

    tmk_str_add(out, r->method);
    tmk_str_add_char(out, '\n');
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], "Content-Length") == 0) {
            if (r->content_length > 0) {
                tmk_str_addf(out, "%llu", (unsigned long long)r->content_length);
            }
        } else if (!dated || strcmp(names[i], "Date") != 0) {
            tmk_str_add_slice(out, header_value(r, names[i]));
        }
        tmk_str_add_char(out, '\n');
    }
}

static bool is_ms_header(tmk_slice name) {
    return name.size > 5 && tmk_slice_eq_nocase(tmk_slice_of(name.bytes, 5), TMK_LIT("x-ms-"));
}

static tmk_status add_ms_headers(const tmk_storage_request *r, tmk_str *out, tmk_error *err) {
    pair found[parts_max] = {0};
    size_t count = 0;

    for (size_t i = 0; i < r->header_count; i++) {
        if (!is_ms_header(tmk_slice_str(r->headers[i].name))) {
            continue;
        }
        if (count == parts_max) {
            return tmk_fail(err, TMK_ELIMIT, "storage-key", "more than %d headers to sign",
                            parts_max);
        }
        found[count].name = tmk_slice_str(r->headers[i].name);
        found[count++].value = tmk_slice_trim(tmk_slice_str(r->headers[i].value));
    }
    qsort(found, count, sizeof found[0], compare_pairs);
    for (size_t i = 0; i < count; i++) {
        add_lower(out, found[i].name);
        tmk_str_add_char(out, ':');
        tmk_str_add_slice(out, found[i].value);
        tmk_str_add_char(out, '\n');
    }
    return TMK_OK;
}

/* Sorted by name; values of one name sorted and joined by commas. */
static void add_pairs(pair *pairs, size_t count, tmk_str *out) {
    qsort(pairs, count, sizeof pairs[0], compare_pairs);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && compare_nocase(pairs[i].name, pairs[i - 1].name) == 0) {
            tmk_str_add_char(out, ',');
        } else {
            tmk_str_add_char(out, '\n');
            add_lower(out, pairs[i].name);
            tmk_str_add_char(out, ':');
        }
        tmk_str_add_slice(out, pairs[i].value);
    }
}

/* *text has room for the whole query, so it does not move under the pairs. */
static bool decode(tmk_slice encoded, tmk_str *text, tmk_slice *out) {
    size_t at = text->size;

    if (!tmk_str_add_unpercent(text, encoded)) {
        return false;
    }
    *out = tmk_slice_of(tmk_str_text(text) + at, text->size - at);
    return true;
}

static tmk_status decode_query(tmk_slice query, tmk_str *text, pair *pairs, size_t *count,
                               tmk_error *err) {
    bool more = query.size > 0;

    while (more) {
        tmk_slice value = tmk_slice_cut(&query, '&', &more);
        bool found = false;
        tmk_slice name = tmk_slice_cut(&value, '=', &found);

        if (name.size == 0) {
            continue;
        }
        if (*count == parts_max) {
            return tmk_fail(err, TMK_ELIMIT, "storage-key", "more than %d parameters to sign",
                            parts_max);
        }
        if (!decode(name, text, &pairs[*count].name) ||
            !decode(value, text, &pairs[*count].value)) {
            return tmk_fail(err, TMK_EINVAL, "storage-key", "a bad escape in a query");
        }
        (*count)++;
    }
    return TMK_OK;
}

static tmk_status add_query(tmk_slice query, tmk_str *out, tmk_error *err) {
    tmk_str text = TMK_STR_INIT;
    pair pairs[parts_max] = {0};
    size_t count = 0;
    tmk_status st;

    if (!tmk_str_reserve(&text, query.size)) {
        return tmk_fail(err, TMK_ENOMEM, "storage-key", "no memory for a query");
    }
    st = decode_query(query, &text, pairs, &count, err);
    if (st == TMK_OK) {
        add_pairs(pairs, count, out);
    }
    tmk_str_clear(&text);
    return st;
}

tmk_status tmk_storage_text_to_sign(const tmk_storage_request *r, const char *account, tmk_str *out,
                                    tmk_error *err) {
    tmk_status st;

    add_standard(r, out);
    st = add_ms_headers(r, out, err);
    if (st != TMK_OK) {
        return st;
    }
    tmk_str_add_char(out, '/');
    tmk_str_add(out, account);
    tmk_str_add_slice(out, r->path.size > 0 ? r->path : TMK_LIT("/"));
    st = add_query(r->query, out, err);
    if (st == TMK_OK && !tmk_str_ok(out)) {
        st = tmk_fail(err, TMK_ENOMEM, "storage-key", "no memory for a text to sign");
    }
    return st;
}

tmk_status tmk_storage_sign(const tmk_storage_request *r, const char *account,
                            const tmk_secret *key, tmk_str *out, tmk_error *err) {
    tmk_str text = TMK_STR_INIT;
    char mac[tmk_mac_base64_room] = "";
    tmk_status st = tmk_storage_text_to_sign(r, account, &text, err);

    if (st == TMK_OK && !tmk_mac_base64(tmk_secret_bytes(key), tmk_str_slice(&text), mac)) {
        st = tmk_fail(err, TMK_ENOMEM, "storage-key", "cannot sign a request");
    }
    if (st == TMK_OK) {
        tmk_str_addf(out, "SharedKey %s:%s", account, mac);
        if (!tmk_str_ok(out)) {
            st = tmk_fail(err, TMK_ENOMEM, "storage-key", "no memory for a signature");
        }
    }
    tmk_wipe(mac, sizeof mac);
    tmk_str_clear(&text);
    return st;
}
