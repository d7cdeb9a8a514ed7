/*
 * What the store says about partitions: lists, records, and what became of
 * our own writes.
 *
 * Generations only grow, here too: a list that overtook our own handoff shows
 * an older generation, and is not believed.
 */
#include "core/fleet_inside.h"

#include <string.h>

#include "base/assert.h"
#include "base/status.h"

static const tmk_backoff ask_pause = {150 * TMK_MS, 5 * TMK_SEC, 2.0, 0.5};
/* Between looks whether a partition that names us has been passed to us. */
static const tmk_backoff accept_pause = {100 * TMK_MS, 2 * TMK_SEC, 2.0, 0.5};

static bool copy_text(char *to, size_t room, const char *from) {
    size_t size = from == NULL ? 0 : strlen(from);

    if (size >= room) {
        return false;
    }
    memmove(to, from == NULL ? "" : from, size + 1);
    return true;
}

void tmk_record_set_owner(tmk_record *r, const char *owner, const char *successor) {
    (void)copy_text(r->owner, sizeof r->owner, owner);
    (void)copy_text(r->successor, sizeof r->successor, successor);
}

bool tmk_record_take(tmk_holding *h, tmk_time now, const tmk_partition_record *from) {
    tmk_record *r = &h->record;
    const char *owner = from->owner == NULL ? "" : from->owner;
    const char *successor = from->successor == NULL ? "" : from->successor;

    if (strlen(owner) >= sizeof r->owner || strlen(successor) >= sizeof r->successor ||
        from->version == NULL || strlen(from->version) >= sizeof r->version) {
        return false;
    }
    if (!r->known || strcmp(r->owner, owner) != 0 || strcmp(r->successor, successor) != 0) {
        r->seen_at = now;
    }
    tmk_record_set_owner(r, owner, successor);
    (void)copy_text(r->version, sizeof r->version, from->version);
    r->known = true;
    r->absent = false;
    r->held = from->held;
    r->read_at = now;
    r->generation = from->generation;
    r->age_ms = from->age_ms;
    r->sequence = tmk_checkpoint_sequence(&from->checkpoint);
    if (from->generation > h->generation_known) {
        h->generation_known = from->generation;
    }
    return true;
}

void tmk_record_take_absence(tmk_holding *h, tmk_time now) {
    h->record.known = true;
    h->record.absent = true;
    h->record.held = false;
    h->record.generation = 0;
    h->record.version[0] = '\0';
    h->record.sequence = -1;
    h->record.seen_at = now;
    tmk_record_set_owner(&h->record, "", "");
}

/* --- lists --- */

/* Whether a list asked for at `asked` can tell anything new about h. */
static bool is_news(const tmk_fleet *f, const tmk_holding *h, tmk_time asked, int64_t generation) {
    const tmk_record *r = &h->record;

    if (!r->known || generation > r->generation) {
        return true;
    }
    /* A younger list that still shows an older record: an operator has removed it, and it was made
     * anew by somebody who did not know its generations. */
    return asked > h->touched_at &&
           (generation == r->generation || asked > tmk_time_after(r->read_at, f->opts.expiry));
}

static void take_listed(tmk_fleet *f, tmk_holding *h, tmk_time now, tmk_time asked,
                        const tmk_partition_record *record) {
    if (!is_news(f, h, asked, record->generation)) {
        return;
    }
    if (h->state == TMK_HOLDING_NONE) {
        (void)tmk_record_take(h, now, record);
        if (tmk_life_is_self(f, h->record.successor)) {
            tmk_fleet_wake(f, h); /* what was passed to us waits for no list of members */
        }
        if (TMK_MUTANT(FORMER_CHECKPOINT) &&
            tmk_kept_set(&h->saving_old, &record->checkpoint) < 0) {
            return;
        }
    } else if (h->state >= TMK_HOLDING_HELD && record->generation > h->generation &&
               !(h->state == TMK_HOLDING_NAMING || h->state == TMK_HOLDING_PASSING) &&
               h->ticket == 0 && !TMK_MUTANT(TAKEN_UNNOTICED)) {
        h->look = true; /* somebody may have taken it: see for ourselves */
        tmk_fleet_wake(f, h);
    }
}

void tmk_records_take(tmk_fleet *f, tmk_time now, tmk_time asked,
                      const tmk_partition_record *records, size_t count) {
    for (size_t i = 0; i < f->holding_count; i++) {
        f->holdings[i]->listed = false;
    }
    for (size_t i = 0; i < count; i++) {
        tmk_holding *h =
            records[i].id == NULL ? NULL : tmk_map_get(&f->by_id, tmk_slice_str(records[i].id));

        if (h != NULL && !h->listed) {
            h->listed = true;
            take_listed(f, h, now, asked, &records[i]);
        }
    }
    for (size_t i = 0; i < f->holding_count; i++) {
        tmk_holding *h = f->holdings[i];

        if (!h->listed && h->state == TMK_HOLDING_NONE && asked > h->touched_at &&
            (!h->record.known || !h->record.absent)) {
            tmk_record_take_absence(h, now);
        }
    }
}

/* --- answers --- */

void tmk_holding_failed(tmk_fleet *f, tmk_holding *h, tmk_time now) {
    h->failures++;
    tmk_holding_wait(f, h,
                     tmk_time_after(now, tmk_backoff_delay(&ask_pause, h->failures, &f->rng)));
}

/* Refused: perhaps by our own late write, so the record is read before anything is concluded. */
static void denied(tmk_fleet *f, tmk_holding *h, tmk_time now) {
    h->look = h->denied = true;
    if (++h->denials > 1) {
        tmk_time pause = tmk_backoff_delay(&ask_pause, h->denials, &f->rng);

        tmk_holding_wait(f, h, tmk_time_after(now, pause));
        return;
    }
    tmk_fleet_wake(f, h);
}

void tmk_holding_keep_version(tmk_holding *h, const tmk_store_result *result) {
    if (result->version == NULL || result->version[0] == '\0' ||
        !copy_text(h->record.version, sizeof h->record.version, result->version)) {
        h->look = true; /* a store that does not tell: the record does */
    }
}

void tmk_holding_saved(tmk_fleet *f, tmk_holding *h, uint64_t number, int64_t sequence) {
    h->saved_no = number;
    h->saved_sequence = sequence;
    h->record.sequence = sequence;
    h->acts |= TMK_ACT_WRITTEN;
    f->counts.written++;
    if (h->held_back) {
        h->held_back = false;
        h->acts = (h->acts & ~(unsigned)TMK_ACT_HOLD) | TMK_ACT_RESUME;
    }
}

void tmk_holding_released(tmk_fleet *f, tmk_holding *h) {
    f->counts.released++;
    tmk_fleet_news_note(f, TMK_FLEET_RELEASED, h, h->generation, "");
    tmk_record_set_owner(&h->record, "", "");
    h->record.held = false;
    h->touched_at = f->now;
    tmk_watch_ring(f, tmk_plan_target(f, h));
    tmk_holding_given(f, h);
}

void tmk_holding_handed(tmk_fleet *f, tmk_holding *h) {
    f->counts.handed++;
    tmk_fleet_news_note(f, TMK_FLEET_HANDED, h, h->generation, h->to);
    h->touched_at = f->now;
    tmk_watch_ring(f, h->to);
    tmk_holding_given(f, h);
}

/* The claim that made our record anew holds it under the token of its own generation; a successor's
 * name went with the record. */
static void was_made_anew(tmk_holding *h) {
    h->anew = false;
    h->token_generation = h->tried_generation;
    if (h->state == TMK_HOLDING_NAMING || h->state == TMK_HOLDING_PASSING) {
        h->state = TMK_HOLDING_HELD;
        h->drained_for_to = false;
    }
}

/* A record that we read while it was, as far as we knew, ours. */
static void look_at_own(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_partition_record *r,
                        bool lost) {
    bool own = tmk_life_is_self(f, r->owner);

    if (own && h->anew) {
        was_made_anew(h);
    }
    bool named = own && r->generation == h->generation + 1 && strcmp(r->successor, h->to) == 0;

    if (h->state == TMK_HOLDING_NAMING && named) { /* our own write, whose answer was lost */
        h->generation = r->generation;
        h->state = TMK_HOLDING_PASSING;
        tmk_holding_saved(f, h, h->saving_no, h->saving_sequence);
        tmk_fleet_wake(f, h);
        return;
    }
    if (h->state == TMK_HOLDING_PASSING && !own) {
        tmk_holding_handed(f, h); /* the successor has it and has written to it already */
        return;
    }
    if (h->state == TMK_HOLDING_RELEASING && r->owner[0] == '\0') {
        tmk_holding_released(f, h);
        return;
    }
    if (!own || r->generation < h->generation || !r->held || lost) {
        tmk_holding_lose(f, h, TMK_FLEET_BECAUSE_TAKEN, r->owner);
        tmk_watch_round(f);
        return;
    }
    if (r->successor != NULL && r->successor[0] != '\0' && h->state == TMK_HOLDING_HELD) {
        h->saved_no = 0; /* a handoff that was called off was written late: write once more */
    }
    h->generation = r->generation;
    /* Ours: go on from what it says. A checkpoint that was written unheard need not be repeated. */
    if (tmk_holding_unheard(h, &r->checkpoint)) {
        tmk_holding_saved(f, h, h->saving_no, h->saving_sequence);
    }
    if (h->doubt) {
        tmk_error err;

        (void)tmk_fail(&err, TMK_ELOST, "amqp:link:stolen",
                       "another reader took partition '%s', which the store says is ours", h->id);
        tmk_fleet_news_report(f, h, &err, "it is opened again after a pause");
        h->doubt = false;
        tmk_holding_wait(f, h, tmk_holding_reopen_at(f, h, now));
    }
    tmk_fleet_wake(f, h);
}

/* What reading will start from, once the claim is granted under the version of the same record. */
static tmk_status keep_checkpoint(tmk_holding *h, const tmk_checkpoint *c) {
    if (TMK_MUTANT(FORMER_CHECKPOINT) && h->saving_old.present) {
        tmk_checkpoint former = tmk_kept_view(&h->saving_old);

        return tmk_kept_set(&h->final, &former);
    }
    return tmk_kept_set(&h->final, c);
}

static void on_read(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_store_result *result) {
    const tmk_partition_record *r = result->partitions;
    bool taking = h->state == TMK_HOLDING_TAKING, lost = false;

    if (result->status < 0 || (result->status == TMK_OK && result->partition_count != 1)) {
        tmk_holding_failed(f, h, now);
        return;
    }
    if (result->status != TMK_OK) { /* there is none, or none any more */
        tmk_record_take_absence(h, now);
        h->look = h->denied = false; /* made anew by whoever holds it */
        if (taking) {
            tmk_kept_clear(&h->final);
            h->fresh = true;
        }
        tmk_fleet_wake(f, h);
        return;
    }
    /* A write was refused, and not for the version: it is another token that holds it. */
    lost = h->denied && r->version != NULL && strcmp(r->version, h->record.version) == 0;
    if ((taking && keep_checkpoint(h, &r->checkpoint) < 0) || !tmk_record_take(h, now, r)) {
        tmk_holding_failed(f, h, now);
        return;
    }
    h->failures = 0;
    if (!taking) {
        h->look = h->denied = false;
        look_at_own(f, h, now, r, lost);
        return;
    }
    h->fresh = true;
    if (h->tried && tmk_life_is_self(f, r->owner) && r->generation == h->tried_generation &&
        r->held) {
        tmk_holding_taken(f, h, now, r->generation, h->tried_accept);
        return;
    }
    tmk_fleet_wake(f, h);
}

/* Our record had been removed, by a tool or with its container; the claim made it again. */
static void on_made_anew(tmk_fleet *f, tmk_holding *h, tmk_time now,
                         const tmk_store_result *result) {
    h->record.absent = false;
    if (result->status == TMK_OK) {
        h->doubt = false;
        h->denials = 0;
        was_made_anew(h);
        tmk_record_set_owner(&h->record, f->life.id, "");
        h->record.generation = h->generation;
        h->record.held = true;
        h->touched_at = now;
        tmk_holding_keep_version(h, result);
        tmk_holding_saved(f, h, h->saving_no, h->saving_sequence);
        tmk_fleet_wake(f, h);
        return;
    }
    h->look = true;
    tmk_holding_failed(f, h, now);
}

static void on_claim(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_store_result *result) {
    if (h->state >= TMK_HOLDING_HELD) {
        on_made_anew(f, h, now, result);
        return;
    }
    if (result->status == TMK_OK || (result->status < 0 && TMK_MUTANT(CLAIM_TIMEOUT_IS_OK))) {
        tmk_holding_taken(f, h, now, h->tried_generation, false);
        tmk_holding_keep_version(h, result);
        return;
    }
    h->fresh = false;
    if (result->status < 0) {
        h->record.absent = false; /* it may exist by now */
        tmk_holding_failed(f, h, now);
        return;
    }
    f->counts.refused++;
    tmk_fleet_news_note(f, TMK_FLEET_CLAIM_REFUSED, h, h->tried_generation, "");
    h->record.absent = false;
    h->fresh = TMK_MUTANT(CLAIM_AGAIN_BLINDLY);
    tmk_holding_failed(f, h, now);
}

static void on_accept(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_store_result *result) {
    if (result->status == TMK_OK) {
        tmk_holding_taken(f, h, now, h->tried_generation, true);
        tmk_holding_keep_version(h, result);
        return;
    }
    h->fresh = false;
    if (result->status < 0) {
        tmk_holding_failed(f, h, now);
        return;
    }
    h->refusals++; /* not passed to us yet */
    tmk_holding_wait(f, h,
                     tmk_time_after(now, tmk_backoff_delay(&accept_pause, h->refusals, &f->rng)));
}

void tmk_holding_written(tmk_fleet *f, tmk_holding *h, tmk_time now,
                         const tmk_store_result *result) {
    h->failures = h->denials = 0;
    h->touched_at = now;
    tmk_holding_keep_version(h, result);
    tmk_holding_saved(f, h, h->saving_no, h->saving_sequence);
    tmk_fleet_wake(f, h);
}

static void on_write(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_store_result *result) {
    if (result->status == TMK_OK) {
        tmk_holding_written(f, h, now, result);
        return;
    }
    if (result->status > 0) {
        denied(f, h, now);
        h->look = !TMK_MUTANT(TAKEN_UNNOTICED);
        return;
    }
    h->look = !TMK_MUTANT(NO_ANSWER_IS_REFUSAL) && !TMK_MUTANT(CHECKPOINT_RETRY_OLD);
    tmk_holding_failed(f, h, now);
}

static void on_name(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_store_result *result) {
    if (result->status == TMK_OK) {
        h->failures = 0;
        h->touched_at = now;
        h->generation += TMK_MUTANT(GENERATION_KEPT_AT_HANDOFF) ? 0 : 1;
        h->record.generation = h->generation;
        h->generation_known = h->generation;
        tmk_record_set_owner(&h->record, f->life.id, h->to);
        tmk_holding_keep_version(h, result);
        tmk_holding_saved(f, h, h->saving_no, h->saving_sequence);
        h->look = false; /* passing needs no version */
        h->state = TMK_HOLDING_PASSING;
        tmk_fleet_wake(f, h);
        return;
    }
    if (result->status > 0) {
        denied(f, h, now);
        return;
    }
    h->look = true;
    tmk_holding_failed(f, h, now);
}

static void on_pass(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_store_result *result) {
    if (result->status == TMK_OK) {
        tmk_holding_handed(f, h);
    } else if (result->status < 0) {
        tmk_holding_failed(f, h, now); /* passing twice is as good as once */
    } else {
        denied(f, h, now); /* passing knows no version: it is the token */
    }
}

static void on_release(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_store_result *result) {
    if (result->status == TMK_OK) {
        tmk_holding_released(f, h);
    } else if (result->status < 0) {
        tmk_holding_failed(f, h, now);
    } else {
        denied(f, h, now);
    }
}

void tmk_holding_answered(tmk_fleet *f, tmk_time now, const tmk_asked *asked,
                          const tmk_store_result *result) {
    tmk_holding *h = asked->holding;

    if (h->ticket != asked->ticket) {
        return; /* given up since: lost, say */
    }
    h->ticket = 0;
    if (tmk_fleet_is_shared(f)) {
        tmk_shared_answered(f, h, now, asked, result);
        return;
    }
    switch (h->ask) {
    case TMK_ASK_READ:
        if (h->doubt && asked->sent < h->stolen_at) {
            h->look = true; /* asked before the link was taken: that is no answer */
            tmk_fleet_wake(f, h);
            break;
        }
        on_read(f, h, now, result);
        break;
    case TMK_ASK_CLAIM:
        on_claim(f, h, now, result);
        break;
    case TMK_ASK_ACCEPT:
        on_accept(f, h, now, result);
        break;
    case TMK_ASK_WRITE:
        on_write(f, h, now, result);
        break;
    case TMK_ASK_NAME:
        on_name(f, h, now, result);
        break;
    case TMK_ASK_PASS:
        on_pass(f, h, now, result);
        break;
    case TMK_ASK_RELEASE:
        on_release(f, h, now, result);
        break;
    default:
        break;
    }
}
