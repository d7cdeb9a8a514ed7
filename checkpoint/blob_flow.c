/* What all operations are made of: requests, ends, pages. */
#include "checkpoint/blob_flow.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/status.h"

enum { STEPS_MAX = 400 };

tmk_status tmk_blob_flow_init(tmk_blob_flow *f, tmk_blob_group *group, tmk_request *request) {
    f->group = group;
    f->request = request;
    return tmk_blob_exchange_init(&f->exchange, group->client);
}

void tmk_blob_flow_clear(tmk_blob_flow *f) {
    tmk_blob_exchange_clear(&f->exchange);
    tmk_reply_clear(&f->reply);
    tmk_reply_clear(&f->side);
    tmk_str_clear(&f->name);
    tmk_str_clear(&f->query);
    tmk_str_clear(&f->marker);
    tmk_blob_meta_clear(&f->meta);
    f->request = tmk_request_free(f->request);
}

/* ---- ends ---- */

void tmk_blob_end(tmk_blob_flow *f, tmk_status status) {
    f->reply.status = status;
    f->done(f);
}

void tmk_blob_end_version(tmk_blob_flow *f, const char *version) {
    tmk_reply_version(&f->reply, version);
    tmk_blob_end(f, TMK_OK);
}

void tmk_blob_end_conflict(tmk_blob_flow *f, const char *format, ...) {
    char why[160];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(why, sizeof why, format, args);
    va_end(args);
    (void)tmk_fail(&f->reply.error, TMK_CONFLICT, "store", "%s of '%s' refused: %s",
                   tmk_store_op_name(f->request->op.kind), f->request->op.id, why);
    tmk_blob_end(f, TMK_CONFLICT);
}

void tmk_blob_end_error(tmk_blob_flow *f) {
    tmk_error why = f->reply.error;
    int64_t retry_after_ms = f->reply.retry_after_ms;

    tmk_reply_clear(&f->reply); /* no half lists */
    f->reply.error = why;
    f->reply.retry_after_ms = retry_after_ms;
    tmk_blob_end(f, why.status);
}

static void end_no_memory(tmk_blob_flow *f) {
    (void)tmk_fail_retry(&f->reply.error, TMK_ENOMEM, "blob", "no memory for a store operation");
    tmk_blob_end_error(f);
}

/* ---- requests ---- */

static void on_answer(tmk_blob_exchange *x, const tmk_blob_answer *a) {
    tmk_blob_flow *f = tmk_container_of(x, tmk_blob_flow, exchange);

    if (a->status < 0) {
        f->reply.error = a->error;
        f->reply.retry_after_ms = a->retry_after_ms;
        tmk_blob_end_error(f);
        return;
    }
    f->next(f, a);
}

static void send(tmk_blob_flow *f, tmk_blob_kind kind, tmk_blob_ask ask, tmk_blob_next next) {
    tmk_str_reset(&f->name);
    tmk_blob_name_add(&f->name, f->group->prefix, kind, f->request->op.id);
    if (!tmk_str_ok(&f->name) || f->query.failed || f->meta.text.failed) {
        end_no_memory(f);
        return;
    }
    if (++f->steps > STEPS_MAX) {
        (void)tmk_fail_retry(&f->reply.error, TMK_EBUSY, "blob", "'%s' changes too fast",
                             tmk_str_text(&f->name));
        tmk_blob_end_error(f);
        return;
    }
    ask.name = tmk_str_text(&f->name);
    ask.urgent = kind >= TMK_BLOB_MEMBER;
    f->next = next;
    f->exchange.answered = on_answer;
    tmk_blob_send(&f->exchange, &ask, f->request->deadline);
}

void tmk_blob_head(tmk_blob_flow *f, tmk_blob_kind kind, const char *lease_id, tmk_blob_next next) {
    send(f, kind, (tmk_blob_ask){.method = "HEAD", .lease_id = lease_id}, next);
}

void tmk_blob_head_unless(tmk_blob_flow *f, tmk_blob_kind kind, const char *etag,
                          tmk_blob_next next) {
    send(f, kind, (tmk_blob_ask){.method = "HEAD", .if_none_match = etag}, next);
}

void tmk_blob_get(tmk_blob_flow *f, tmk_blob_kind kind, tmk_blob_next next) {
    send(f, kind, (tmk_blob_ask){.method = "GET"}, next);
}

void tmk_blob_set_meta(tmk_blob_flow *f, tmk_blob_kind kind, const char *if_match,
                       const char *lease_id, tmk_blob_next next) {
    tmk_blob_ask ask = {.method = "PUT",
                        .query = "comp=metadata",
                        .if_match = if_match,
                        .lease_id = lease_id,
                        .meta = &f->meta};

    f->tried = true;
    send(f, kind, ask, next);
}

void tmk_blob_put(tmk_blob_flow *f, tmk_blob_kind kind, const char *if_match, const char *lease_id,
                  tmk_slice body, tmk_blob_next next) {
    tmk_blob_ask ask = {.method = "PUT",
                        .put = true,
                        .if_match = if_match,
                        .lease_id = lease_id,
                        .meta = &f->meta,
                        .body = body};

    f->tried = true;
    send(f, kind, ask, next);
}

void tmk_blob_create(tmk_blob_flow *f, tmk_blob_kind kind, tmk_slice body, tmk_blob_next next) {
    tmk_blob_ask ask = {
        .method = "PUT", .put = true, .if_none_match = "*", .meta = &f->meta, .body = body};

    f->tried = true;
    send(f, kind, ask, next);
}

void tmk_blob_delete(tmk_blob_flow *f, tmk_blob_kind kind, const char *if_match,
                     const char *lease_id, tmk_blob_next next) {
    send(f, kind, (tmk_blob_ask){.method = "DELETE", .if_match = if_match, .lease_id = lease_id},
         next);
}

void tmk_blob_acquire(tmk_blob_flow *f, tmk_blob_kind kind, const char *id, int64_t seconds,
                      const char *if_match, tmk_blob_next next) {
    tmk_blob_ask ask = {.method = "PUT",
                        .query = "comp=lease",
                        .lease_action = "acquire",
                        .lease_duration = f->duration,
                        .proposed_id = id,
                        .if_match = if_match};

    (void)snprintf(f->duration, sizeof f->duration, "%d", (int)seconds);
    send(f, kind, ask, next);
}

void tmk_blob_lease_action(tmk_blob_flow *f, tmk_blob_kind kind, const char *action, const char *id,
                           const char *proposed_id, tmk_blob_next next) {
    tmk_blob_ask ask = {.method = "PUT",
                        .query = "comp=lease",
                        .lease_action = action,
                        .lease_id = id,
                        .proposed_id = proposed_id};

    send(f, kind, ask, next);
}

void tmk_blob_break(tmk_blob_flow *f, tmk_blob_kind kind, const char *if_match,
                    tmk_blob_next next) {
    tmk_blob_ask ask = {.method = "PUT",
                        .query = "comp=lease",
                        .lease_action = "break",
                        .break_period = "0",
                        .if_match = if_match};

    send(f, kind, ask, next);
}

bool tmk_blob_is_done(const tmk_blob_answer *a) {
    return a->code >= 200 && a->code < 300;
}

bool tmk_blob_is_refused(const tmk_blob_answer *a) {
    return a->code == 409 || a->code == 412;
}

void tmk_blob_keep_etag(tmk_blob_flow *f, const tmk_blob_answer *a) {
    (void)snprintf(f->etag, sizeof f->etag, "%s", a->etag);
}

tmk_slice tmk_blob_done_map(const tmk_blob_partition *p, const tmk_blob_answer *a) {
    char mark[TMK_BLOB_MARK_ROOM];

    tmk_blob_done_mark(a->body, mark);
    return p->record.checkpoint.present && mark[0] != '\0' && strcmp(mark, p->done_mark) == 0
               ? a->body
               : (tmk_slice){NULL, 0};
}

/* ---- lists ---- */

typedef struct page {
    tmk_blob_flow *f;
    tmk_wall date;
    tmk_str id;
} page;

static tmk_status take_item(void *self, const tmk_blob_item *item) {
    page *p = self;
    tmk_blob_flow *f = p->f;
    tmk_status st = TMK_OK;

    if (!item->folder && tmk_blob_name_id(item->name, f->group->prefix, f->list_kind, &p->id)) {
        st = f->list_take(f, item, tmk_str_text(&p->id), p->date);
    }
    return p->id.failed ? TMK_ENOMEM : st;
}

static void ask_page(tmk_blob_flow *f);

static void on_page(tmk_blob_flow *f, const tmk_blob_answer *a) {
    page p = {f, a->date, TMK_STR_INIT};
    tmk_str marker = TMK_STR_INIT;
    tmk_status st;

    if (!tmk_blob_is_done(a)) {
        st = tmk_fail_retry(&f->reply.error, TMK_EREMOTE, "blob:list",
                            "the service refused a list (%d %s)", a->code, a->error_code);
    } else {
        tmk_error_clear(&f->reply.error);
        st = tmk_blob_list_parse(a->body, take_item, &p, &marker, &f->reply.error);
    }
    tmk_str_clear(&p.id);
    if (st == TMK_OK && tmk_slice_eq(tmk_str_slice(&marker), tmk_str_slice(&f->marker)) &&
        marker.size > 0) {
        st = tmk_fail_retry(&f->reply.error, TMK_EPROTO, "blob:list",
                            "the service's list goes in circles");
    }
    tmk_str_clear(&f->marker);
    f->marker = marker;
    if (st < 0) {
        tmk_blob_end_error(f);
    } else if (f->marker.size > 0) {
        ask_page(f);
    } else {
        f->list_end(f);
    }
}

static void ask_page(tmk_blob_flow *f) {
    tmk_blob_ask ask = {.method = "GET"};
    tmk_str prefix = TMK_STR_INIT;

    tmk_blob_folder_add(&prefix, f->group->prefix, f->list_kind);
    tmk_str_reset(&f->query);
    tmk_str_add(&f->query, "restype=container&comp=list&include=metadata&maxresults=1000&prefix=");
    tmk_str_add_percent(&f->query, tmk_str_slice(&prefix));
    if (f->marker.size > 0) {
        tmk_str_add(&f->query, "&marker=");
        tmk_str_add_percent(&f->query, tmk_str_slice(&f->marker));
    }
    f->query.failed = f->query.failed || prefix.failed;
    tmk_str_clear(&prefix);
    if (!tmk_str_ok(&f->query) || ++f->steps > STEPS_MAX) {
        end_no_memory(f);
        return;
    }
    ask.query = tmk_str_text(&f->query);
    f->next = on_page;
    f->exchange.answered = on_answer;
    tmk_blob_send(&f->exchange, &ask, f->request->deadline);
}

void tmk_blob_list(tmk_blob_flow *f, tmk_blob_kind kind, tmk_blob_take take,
                   void (*end)(tmk_blob_flow *f)) {
    f->list_kind = kind;
    f->list_take = take;
    f->list_end = end;
    tmk_str_clear(&f->marker);
    ask_page(f);
}

/* ---- the start ---- */

void tmk_blob_flow_start(tmk_blob_flow *f) {
    bool known =
        tmk_blob_member_start(f) ||
        (f->group->claims == TMK_CLAIMS_LEASE ? tmk_blob_lease_start(f) : tmk_blob_shared_start(f));

    if (!known) {
        (void)tmk_fail(&f->reply.error, TMK_EUNSUPPORTED, "blob",
                       "%s does not belong to the way of claiming '%s'",
                       tmk_store_op_name(f->request->op.kind),
                       f->group->claims == TMK_CLAIMS_LEASE ? "lease" : "shared");
        tmk_blob_end_error(f);
    }
}
