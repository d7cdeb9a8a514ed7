/*
 * A look at a storage account: a row of questions, asked one after the other on
 * a loop that this thread turns. See store_blob_inspect.h.
 *
 * Owns: the report, its texts and fleets are one object, freed together.
 */
#include <tidemark/store_blob_inspect.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/list.h"
#include "base/rng.h"
#include "base/status.h"
#include "checkpoint/blob_client.h"
#include "checkpoint/blob_names.h"
#include "checkpoint/blob_record.h"

enum {
    SPELLINGS_MAX = 16, /* of one group; more is nobody's deployment */
    PAGES_MAX = 20,     /* of one list */
    OWNED_FRESH_MS = 120000
};

/* The report with what it points to. */
typedef struct whole {
    tmk_blob_report report;
    char *endpoint, *account_kind;
    tmk_blob_fleet fleets[SPELLINGS_MAX];
} whole;

typedef struct inspection inspection;

struct inspection {
    tmk_loop *loop;
    tmk_blob_client *client;
    tmk_blob_exchange exchange;
    tmk_time deadline;
    whole *w;
    tmk_status broken; /* out of memory: there will be no report */

    bool answered;
    tmk_error error;                                       /* of the question */
    void (*look)(inspection *i, const tmk_blob_answer *a); /* at a good answer; may be NULL */

    /* Lists. */
    tmk_str query, marker;
    const char *wanted; /* names: the part to look for, in any case */
    tmk_str names;      /* names: prefixes found, each with a NUL behind it */
    tmk_blob_fleet *fleet;
    tmk_blob_kind kind;
    tmk_wall date;

    char etag[TMK_STORE_VERSION_MAX + 1]; /* of the trial's blob */
};

tmk_blob_report *tmk_blob_report_free(tmk_blob_report *report) {
    whole *w = (whole *)report;

    if (w == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < report->fleet_count; i++) {
        tmk_free((char *)(uintptr_t)w->fleets[i].prefix);
        tmk_free((char *)(uintptr_t)w->fleets[i].host);
        tmk_free((char *)(uintptr_t)w->fleets[i].hub);
        tmk_free((char *)(uintptr_t)w->fleets[i].group);
        tmk_free((char *)(uintptr_t)w->fleets[i].owner);
    }
    tmk_free(w->endpoint);
    tmk_free(w->account_kind);
    tmk_free(w);
    return NULL;
}

/* ---- one question ---- */

static void on_answer(tmk_blob_exchange *x, const tmk_blob_answer *a) {
    inspection *i = tmk_container_of(x, inspection, exchange);
    tmk_blob_report *r = &i->w->report;

    i->answered = true;
    i->error = a->error;
    if (a->date.us != 0 && !r->date_known) {
        r->date_known = true; /* a Date has whole seconds: half of one is its best guess */
        r->skew_ms = (tmk_wall_now(tmk_loop_clock(i->loop)).us - a->date.us) / 1000 - 500;
    }
    if (a->status == TMK_OK && (a->code == 404 || a->code == 409 || a->code == 412)) {
        char origin[48];
        (void)snprintf(origin, sizeof origin, "http:%d:%.32s", a->code, a->error_code);
        (void)tmk_fail(&i->error, TMK_EREMOTE, origin, "'%s' refused a request (%d %s)",
                       r->endpoint, a->code, a->error_code);
    } else if (a->status == TMK_OK && i->look != NULL) {
        i->look(i, a);
    }
}

/* Asks and waits; i->error tells how it went. */
static bool question(inspection *i, const tmk_blob_ask *ask,
                     void (*look)(inspection *i, const tmk_blob_answer *a)) {
    tmk_error err;

    i->look = look;
    i->answered = false;
    i->exchange.answered = on_answer;
    tmk_blob_send(&i->exchange, ask, i->deadline);
    while (!i->answered) {
        if (tmk_loop_turn(i->loop, TMK_SEC, &err) < 0) {
            i->error = err;
            return false;
        }
    }
    return i->error.status == TMK_OK;
}

/* ---- lists ---- */

static void ask_list(inspection *i, const char *prefix, bool names,
                     void (*look)(inspection *i, const tmk_blob_answer *a)) {
    tmk_blob_ask ask = {.method = "GET"};

    tmk_str_reset(&i->marker);
    for (int page = 0; page == 0 || i->marker.size > 0; page++) {
        if (page == PAGES_MAX) {
            i->w->report.cut = true;
            return;
        }
        tmk_str_reset(&i->query);
        tmk_str_add(&i->query, "restype=container&comp=list&prefix=");
        tmk_str_add_percent(&i->query, tmk_slice_str(prefix));
        tmk_str_add(&i->query, names ? "&delimiter=%2F" : "&include=metadata");
        if (i->marker.size > 0) {
            tmk_str_add(&i->query, "&marker=");
            tmk_str_add_percent(&i->query, tmk_str_slice(&i->marker));
        }
        if (!tmk_str_ok(&i->query)) {
            i->broken = TMK_ENOMEM;
            return;
        }
        ask.query = tmk_str_text(&i->query);
        if (!question(i, &ask, look)) {
            return;
        }
    }
}

static void take_page(inspection *i, const tmk_blob_answer *a, tmk_blob_item_fn take) {
    tmk_status st;

    i->date = a->date;
    st = tmk_blob_list_parse(a->body, take, i, &i->marker, &i->error);
    if (st == TMK_ENOMEM) {
        i->broken = st;
    }
}

/* A prefix whose last part is the wanted one in some case. */
static tmk_status take_name(void *self, const tmk_blob_item *item) {
    inspection *i = self;
    tmk_slice name = tmk_slice_str(item->name);
    tmk_slice part = name;
    bool more = true;

    if (!item->folder || name.size == 0 || name.bytes[name.size - 1] != '/') {
        return TMK_OK;
    }
    name.size--;
    for (tmk_slice rest = name; more;) {
        part = tmk_slice_cut(&rest, '/', &more);
    }
    if (tmk_slice_eq_nocase(part, tmk_slice_str(i->wanted))) {
        tmk_str_add(&i->names, item->name);
        tmk_str_add_char(&i->names, '\0');
    }
    return tmk_str_ok(&i->names) ? TMK_OK : TMK_ENOMEM;
}

static void take_names(inspection *i, const tmk_blob_answer *a) {
    take_page(i, a, take_name);
}

/* All spellings of one more part below each of the prefixes so far. */
static bool descend(inspection *i, const char *part) {
    tmk_str before = i->names;
    int found = 0;

    i->names = (tmk_str)TMK_STR_INIT;
    i->wanted = part;
    for (size_t at = 0; at < before.size && i->broken == TMK_OK && found < SPELLINGS_MAX; found++) {
        const char *prefix = tmk_str_text(&before) + at;
        ask_list(i, prefix, true, take_names);
        if (i->error.status < 0) {
            break;
        }
        at += strlen(prefix) + 1;
    }
    tmk_str_clear(&before);
    return i->error.status == TMK_OK && i->broken == TMK_OK;
}

/* ---- what is below a spelling ---- */

static void note_owner(inspection *i, const tmk_blob_item *item) {
    tmk_blob_fleet *f = i->fleet;
    const char *owner = tmk_blob_meta_get(&item->meta, "ownerid");
    int64_t age_ms = tmk_blob_age_ms(item->last_modified, i->date);
    char *copy;

    f->ownerships++;
    if (owner == NULL || owner[0] == '\0') {
        return;
    }
    f->owned++;
    if (age_ms < OWNED_FRESH_MS) {
        f->owned_fresh++;
        f->slowest_age_ms = age_ms > f->slowest_age_ms ? age_ms : f->slowest_age_ms;
    }
    if (f->owner_age_ms >= 0 && f->owner_age_ms <= age_ms) {
        return;
    }
    copy = tmk_copy_str(owner);
    i->broken = copy == NULL ? TMK_ENOMEM : i->broken;
    if (copy != NULL) {
        tmk_free((char *)(uintptr_t)f->owner);
        f->owner = copy;
        f->owner_age_ms = age_ms;
    }
}

static tmk_status note_member(inspection *i, const tmk_blob_item *item) {
    tmk_blob_member m = {0};
    tmk_status st = tmk_blob_member_read(&m, &item->meta);

    i->fleet->members++;
    i->fleet->members_alive += !m.evicted && item->lease.held;
    tmk_blob_member_clear(&m);
    return st;
}

static tmk_status take_record(void *self, const tmk_blob_item *item) {
    inspection *i = self;
    tmk_str id = TMK_STR_INIT;
    bool record = !item->folder && tmk_blob_name_id(item->name, i->fleet->prefix, i->kind, &id);
    tmk_status st = id.failed ? TMK_ENOMEM : TMK_OK;

    tmk_str_clear(&id);
    if (!record || st < 0) {
        return st;
    }
    if (i->kind == TMK_BLOB_OWNERSHIP) {
        note_owner(i, item);
    } else if (i->kind == TMK_BLOB_CHECKPOINT) {
        i->fleet->checkpoints++;
        i->fleet->leased += item->lease.endless;
    } else {
        st = note_member(i, item);
    }
    return i->broken < 0 ? i->broken : st;
}

static void take_records(inspection *i, const tmk_blob_answer *a) {
    take_page(i, a, take_record);
}

static void count_records(inspection *i, tmk_blob_kind kind) {
    tmk_str folder = TMK_STR_INIT;

    i->kind = kind;
    tmk_blob_folder_add(&folder, i->fleet->prefix, kind);
    if (tmk_str_ok(&folder)) {
        ask_list(i, tmk_str_text(&folder), false, take_records);
    } else {
        i->broken = TMK_ENOMEM;
    }
    tmk_str_clear(&folder);
}

static bool is_lower(tmk_slice text) {
    for (size_t at = 0; at < text.size; at++) {
        if (text.bytes[at] >= 'A' && text.bytes[at] <= 'Z') {
            return false;
        }
    }
    return true;
}

static bool add_fleet(inspection *i, const char *prefix) {
    tmk_blob_report *r = &i->w->report;
    tmk_slice rest = tmk_slice_str(prefix);
    tmk_blob_fleet *f = &i->w->fleets[r->fleet_count];
    bool found;

    *f = (tmk_blob_fleet){.prefix = tmk_copy_str(prefix),
                          .host = tmk_slice_dup(tmk_slice_cut(&rest, '/', &found)),
                          .hub = tmk_slice_dup(tmk_slice_cut(&rest, '/', &found)),
                          .group = tmk_slice_dup(tmk_slice_cut(&rest, '/', &found)),
                          .lower = is_lower(tmk_slice_str(prefix)),
                          .owner = tmk_copy_str(""),
                          .owner_age_ms = -1,
                          .slowest_age_ms = -1};
    r->fleet_count++; /* freed as a whole whatever it lacks */
    i->fleet = f;
    return f->prefix != NULL && f->host != NULL && f->hub != NULL && f->group != NULL &&
           f->owner != NULL;
}

static void look_at_fleets(inspection *i) {
    for (size_t at = 0; at < i->names.size && i->w->report.fleet_count < SPELLINGS_MAX;) {
        const char *prefix = tmk_str_text(&i->names) + at;
        at += strlen(prefix) + 1;
        if (!add_fleet(i, prefix)) {
            i->broken = TMK_ENOMEM;
            return;
        }
        count_records(i, TMK_BLOB_OWNERSHIP);
        count_records(i, TMK_BLOB_CHECKPOINT);
        count_records(i, TMK_BLOB_MEMBER);
        if (i->error.status < 0 || i->broken < 0) {
            return;
        }
    }
}

static void look_at_group(inspection *i, const tmk_store_blob_options *o) {
    tmk_str_add_char(&i->names, '\0'); /* one prefix: "" */
    if (descend(i, o->host) && descend(i, o->hub) && descend(i, o->group)) {
        look_at_fleets(i);
    }
    i->w->report.list = i->error;
}

/* ---- the account and the container ---- */

static tmk_blob_known yes_or_no(const tmk_blob_answer *a, const char *header) {
    const char *value = tmk_http_header_get(a->response, header);

    return value == NULL                                                ? TMK_BLOB_UNKNOWN
           : tmk_slice_eq_nocase(tmk_slice_str(value), TMK_LIT("true")) ? TMK_BLOB_YES
                                                                        : TMK_BLOB_NO;
}

static void take_account(inspection *i, const tmk_blob_answer *a) {
    const char *kind = tmk_http_header_get(a->response, "x-ms-account-kind");
    char *copy = tmk_copy_str(kind == NULL ? "" : kind);

    if (copy == NULL) {
        i->broken = TMK_ENOMEM;
        return;
    }
    tmk_free(i->w->account_kind);
    i->w->account_kind = copy;
    i->w->report.hierarchical = yes_or_no(a, "x-ms-is-hns-enabled");
}

/* <DeleteRetentionPolicy><Enabled>true</Enabled><Days>7</Days>...; XML of two levels, no list. */
static void take_service(inspection *i, const tmk_blob_answer *a) {
    static const char begin[] = "<DeleteRetentionPolicy>", end[] = "</DeleteRetentionPolicy>";
    const char *text = (const char *)a->body.bytes;
    const char *from = memmem(text, a->body.size, begin, sizeof begin - 1);
    const char *to = from == NULL
                         ? NULL
                         : memmem(from, a->body.size - (size_t)(from - text), end, sizeof end - 1);

    if (to != NULL) {
        i->w->report.soft_delete = memmem(from, (size_t)(to - from), "<Enabled>true<", 14) != NULL
                                       ? TMK_BLOB_YES
                                       : TMK_BLOB_NO;
    }
}

static void take_container(inspection *i, const tmk_blob_answer *a) {
    tmk_blob_known policy = yes_or_no(a, "x-ms-has-immutability-policy");
    tmk_blob_known hold = yes_or_no(a, "x-ms-has-legal-hold");

    i->w->report.immutable = hold == TMK_BLOB_YES ? hold : policy;
}

/* Whatever of it is refused stays unknown. */
static void look_at_account(inspection *i) {
    static const tmk_blob_ask account = {.method = "GET",
                                         .query = "restype=account&comp=properties"};
    static const tmk_blob_ask service = {
        .method = "GET", .query = "restype=service&comp=properties", .account = true};
    static const tmk_blob_ask container = {.method = "HEAD", .query = "restype=container"};

    (void)question(i, &account, take_account);
    (void)question(i, &service, take_service);
    (void)question(i, &container, take_container);
}

/* ---- the trial ---- */

static void take_made(inspection *i, const tmk_blob_answer *a) {
    (void)snprintf(i->etag, sizeof i->etag, "%s", a->etag);
    i->w->report.versioning =
        tmk_http_header_get(a->response, "x-ms-version-id") != NULL ? TMK_BLOB_YES : TMK_BLOB_NO;
}

static void take_etag(inspection *i, const tmk_blob_answer *a) {
    (void)snprintf(i->etag, sizeof i->etag, "%s", a->etag);
}

static void try_lease(inspection *i, const char *name, const char *id) {
    static const char seconds[] = "15";
    tmk_blob_ask acquire = {.method = "PUT",
                            .name = name,
                            .query = "comp=lease",
                            .lease_action = "acquire",
                            .lease_duration = seconds,
                            .proposed_id = id};
    tmk_blob_ask release = {.method = "PUT",
                            .name = name,
                            .query = "comp=lease",
                            .lease_action = "release",
                            .lease_id = id};

    if (question(i, &acquire, NULL)) {
        question(i, &release, NULL);
    }
}

/* What the store needs, on a blob of its own which is gone afterwards. */
static void try_writing(inspection *i, const char *name, const char *id) {
    tmk_blob_meta meta = {TMK_STR_INIT};
    tmk_blob_ask make = {
        .method = "PUT", .name = name, .if_none_match = "*", .meta = &meta, .put = true};
    tmk_blob_ask rewrite = {.method = "PUT",
                            .name = name,
                            .query = "comp=metadata",
                            .if_match = i->etag,
                            .meta = &meta};
    tmk_blob_ask erase = {.method = "DELETE", .name = name};
    tmk_error first = {0};

    tmk_blob_meta_add(&meta, TMK_LIT("tidemarktrial"), TMK_LIT("1"));
    if (meta.text.failed) {
        i->broken = TMK_ENOMEM;
        return;
    }
    if (question(i, &make, take_made)) {
        if (question(i, &rewrite, take_etag)) {
            try_lease(i, name, id);
        }
        first = i->error;
        question(i, &erase, NULL);
    }
    i->w->report.write_tried = true;
    i->w->report.write = first.status < 0 ? first : i->error;
    tmk_blob_meta_clear(&meta);
}

static void try_it(inspection *i, const tmk_store_blob_options *o) {
    tmk_str name = TMK_STR_INIT;
    char *prefix = NULL;
    char id[37];
    tmk_rng rng;
    tmk_error err;

    if (tmk_blob_group_prefix(o->host, o->hub, o->group, o->keep_case, &prefix, &err) < 0) {
        i->broken = err.status;
        return;
    }
    tmk_rng_seed_system(&rng);
    tmk_rng_uuid(&rng, id);
    tmk_str_addf(&name, "%stidemark/trial/%s", prefix, id);
    if (tmk_str_ok(&name)) {
        try_writing(i, tmk_str_text(&name), id);
    } else {
        i->broken = TMK_ENOMEM;
    }
    tmk_str_clear(&name);
    tmk_free(prefix);
}

/* ---- all of it ---- */

static void look(inspection *i, const tmk_store_blob_options *o, bool write) {
    static const tmk_blob_ask make = {.method = "PUT", .query = "restype=container"};

    if (write && o->create_container) {
        (void)question(i, &make, NULL); /* that it exists is no failure; the list tells others */
        tmk_error_clear(&i->error);
    }
    look_at_group(i, o);
    if (i->w->report.list.status < 0 || i->broken < 0) {
        return;
    }
    look_at_account(i);
    if (write && i->broken == TMK_OK) {
        try_it(i, o);
    }
}

static tmk_status begin(inspection *i, const tmk_store_blob_options *o, int64_t timeout_ms,
                        tmk_error *err) {
    tmk_blob_client_options client = {.connection_string = o->connection_string,
                                      .account_url = o->account_url,
                                      .credential = o->credential,
                                      .container = o->container,
                                      .tls_ca_file = o->tls_ca_file,
                                      .proxy = o->proxy,
                                      .api_version = o->api_version,
                                      .log = o->log};
    char *prefix = NULL;
    tmk_status st = tmk_blob_group_prefix(o->host, o->hub, o->group, o->keep_case, &prefix, err);

    tmk_free(prefix);
    if (st == TMK_OK) {
        st = tmk_loop_new(tmk_clock_system(), &i->loop, err);
    }
    if (st == TMK_OK) {
        st = tmk_blob_client_new(i->loop, &client, &i->client, err);
    }
    if (st == TMK_OK && tmk_blob_exchange_init(&i->exchange, i->client) < 0) {
        st = tmk_fail_retry(err, TMK_ENOMEM, "blob", "no memory for an inspection");
    }
    if (st == TMK_OK) {
        i->deadline = tmk_time_after(tmk_loop_now(i->loop), timeout_ms * TMK_MS);
        i->w->endpoint = tmk_copy_str(tmk_blob_client_origin(i->client));
        i->w->account_kind = tmk_copy_str("");
    }
    return st;
}

static void end(inspection *i) {
    tmk_blob_exchange_clear(&i->exchange);
    i->client = tmk_blob_client_free(i->client);
    i->loop = tmk_loop_free(i->loop);
    tmk_str_clear(&i->query);
    tmk_str_clear(&i->marker);
    tmk_str_clear(&i->names);
}

tmk_status tmk_store_blob_inspect(const tmk_store_blob_options *opts, bool write,
                                  int64_t timeout_ms, tmk_blob_report **out, tmk_error *err) {
    inspection i = {.query = TMK_STR_INIT, .marker = TMK_STR_INIT, .names = TMK_STR_INIT};
    tmk_store_blob_options o;
    tmk_status st;

    tmk_store_blob_options_init(&o);
    memcpy(&o, opts, opts->size < sizeof o ? opts->size : sizeof o);
    i.w = tmk_new(whole);
    if (i.w == NULL) {
        return tmk_fail_retry(err, TMK_ENOMEM, "blob", "no memory for an inspection");
    }
    i.w->report.hierarchical = i.w->report.soft_delete = i.w->report.versioning =
        i.w->report.immutable = TMK_BLOB_UNKNOWN;
    i.w->report.fleets = i.w->fleets;
    st = begin(&i, &o, timeout_ms, err);
    if (st == TMK_OK && i.w->endpoint != NULL && i.w->account_kind != NULL) {
        i.w->report.endpoint = i.w->endpoint;
        look(&i, &o, write);
        i.w->report.account_kind = i.w->account_kind;
    } else if (st == TMK_OK) {
        i.broken = TMK_ENOMEM;
    }
    if (i.broken < 0) {
        st = tmk_fail_retry(err, i.broken, "blob", "no memory for an inspection");
    }
    end(&i);
    if (st < 0) {
        (void)tmk_blob_report_free(&i.w->report);
    } else {
        *out = &i.w->report;
    }
    return st;
}
