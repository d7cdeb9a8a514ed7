/*
 * One partition, beside the official processors. See fleet_shared.h.
 *
 *         claim              read: where to start          drained
 *   NONE -------> TAKING -> HELD --------------> open ... ---------> PASSING   -> NONE
 *     |                      |                                \----> RELEASING -> NONE
 *     +-- ask (stays NONE)   +-- renew refused, read: not ours --> STOP, NONE
 *
 * The checkpoint from which reading starts is read after the claim was granted:
 * until then its former owner may write. An official one may even later, until
 * its link is taken; what it has handled then is repeated, nothing is lost.
 *
 * Where an answer is missing, or a write was refused, the record is read before
 * anything is concluded.
 */
#include "core/fleet_inside.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/status.h"

/* A link with level 1 lasts so long. */
#define INSIST (3 * TMK_SEC)

static const tmk_backoff reopen_pause = {200 * TMK_MS, 30 * TMK_SEC, 2.0, 0.5};

/* --- the instance --- */

static void begin(tmk_fleet *f, tmk_time now) {
    tmk_life *l = &f->life;

    l->number++;
    (void)snprintf(l->id, sizeof l->id, "%s~%08x", f->instance, (unsigned)tmk_rng_next(&f->rng));
    l->phase = TMK_LIFE_IN;
    l->active = true;
    l->accepted_sent = l->accepted_at = now;
    f->shared.list_at = now;
    tmk_fleet_news_note(f, TMK_FLEET_JOINED, NULL, 0, l->id);
}

static bool is_done(const tmk_fleet *f) {
    for (size_t i = 0; i < f->holding_count; i++) {
        const tmk_holding *h = f->holdings[i];

        if (h->link != TMK_LINK_CLOSED || h->state != TMK_HOLDING_NONE || h->ticket != 0 ||
            h->shared.asked_at >= 0) {
            return false;
        }
    }
    return true;
}

static void fence_one(tmk_fleet *f, tmk_holding *h, bool on) {
    unsigned done = on ? TMK_ACT_UNFENCE : TMK_ACT_FENCE;

    if (h->fenced != on) {
        h->fenced = on;
        h->acts = (h->acts & ~done) | (on ? TMK_ACT_FENCE : TMK_ACT_UNFENCE);
        f->counts.fences += on;
        tmk_fleet_wake(f, h);
    }
}

/* The fence of a late wake-up ends when each partition was renewed since, or is known to be lost.
 */
static void end_fence(tmk_fleet *f) {
    for (size_t i = 0; i < f->holding_count; i++) {
        const tmk_holding *h = f->holdings[i];

        if (h->state >= TMK_HOLDING_HELD && h->shared.granted < f->life.fenced_at) {
            return;
        }
    }
    f->life.fenced = false;
    f->unfence_act = true;
    tmk_fleet_wake_all(f);
}

void tmk_shared_life_step(tmk_fleet *f, tmk_time now) {
    tmk_life *l = &f->life;

    if (l->phase == TMK_LIFE_OUT) {
        begin(f, now);
    }
    if (l->stopping && l->phase == TMK_LIFE_IN) {
        l->phase = TMK_LIFE_LEAVING;
    }
    if (l->fenced) {
        end_fence(f);
    }
    if (l->phase == TMK_LIFE_LEAVING && (is_done(f) || TMK_MUTANT(RELEASES_NOTHING))) {
        l->phase = TMK_LIFE_GONE;
    }
}

tmk_time tmk_shared_life_deadline(const tmk_fleet *f) {
    bool moves =
        f->life.phase == TMK_LIFE_OUT || (f->life.stopping && f->life.phase == TMK_LIFE_IN);

    return moves ? f->now : TMK_NEVER; /* all else follows from answers */
}

/* Neither the store nor the hub vouches for us any more. */
static void fence_if_over(tmk_fleet *f, tmk_holding *h, tmk_time now) {
    if (h->state >= TMK_HOLDING_HELD && h->link_down &&
        now >= tmk_time_after(h->shared.granted, f->opts.expiry)) {
        fence_one(f, h, true);
    }
}

/*
 * A link that stands again has taken the partition from whoever had it meanwhile, as all levels
 * are 0. Where that is possible nothing is dispatched before the store has said that it is ours.
 */
void tmk_shared_on_link(tmk_fleet *f, tmk_holding *h, tmk_time now, bool up) {
    h->link_down = !up;
    fence_if_over(f, h, now);
    if (up && h->state >= TMK_HOLDING_HELD) {
        if (now - h->shared.granted > 2 * f->opts.heartbeat) {
            fence_one(f, h, true);
        }
        h->shared.renew_at = now;
    }
    tmk_fleet_wake(f, h);
}

/* --- what to ask next --- */

static tmk_holding_ask begin_claim(tmk_fleet *f, tmk_holding *h) {
    h->state = TMK_HOLDING_TAKING;
    h->tried = false;
    f->recount = true;
    return TMK_ASK_CLAIM;
}

/* We leave, and have asked for it: our name goes out again. What was passed to us is released. */
static tmk_holding_ask withdraw(tmk_fleet *f, tmk_holding *h) {
    if (h->look) {
        return TMK_ASK_READ;
    }
    if (tmk_life_is_self(f, h->record.owner)) {
        return begin_claim(f, h);
    }
    if (!tmk_life_is_self(f, h->record.successor) || TMK_MUTANT(ASK_LEFT_STANDING)) {
        h->shared.asked_at = -1;
        return TMK_ASK_NOTHING;
    }
    return TMK_ASK_REQUEST;
}

static tmk_holding_ask take(tmk_fleet *f, tmk_holding *h) {
    tmk_share_want want = h->shared.want;

    h->shared.want = TMK_SHARE_NOTHING;
    if (f->life.stopping && h->shared.asked_at >= 0) {
        return withdraw(f, h);
    }
    if (want == TMK_SHARE_NOTHING || h->link != TMK_LINK_CLOSED || f->life.stopping) {
        return TMK_ASK_NOTHING;
    }
    return want == TMK_SHARE_ASK ? TMK_ASK_REQUEST : begin_claim(f, h);
}

static tmk_holding_ask drop(tmk_fleet *f, tmk_holding *h) {
    h->state = TMK_HOLDING_NONE;
    h->tried = h->shared.repair = false;
    f->recount = true;
    tmk_shared_list_soon(f, f->now);
    return TMK_ASK_NOTHING;
}

static void begin_drain(tmk_fleet *f, tmk_holding *h) {
    h->link = TMK_LINK_DRAINING;
    h->acts = (h->acts & ~(unsigned)TMK_ACT_OPEN) | TMK_ACT_DRAIN;
    h->reason = f->life.stopping ? TMK_FLEET_BECAUSE_LEAVING : TMK_FLEET_BECAUSE_MOVED;
    f->recount = true;
}

/* Somebody has named itself in our record: it gets the partition, or its name goes out again. */
static void answer_request(tmk_fleet *f, tmk_holding *h, tmk_time now) {
    const char *who = h->record.successor;

    if (who[0] == '\0' || h->shared.giving || f->life.stopping || TMK_MUTANT(GIVES_NOTHING)) {
        return;
    }
    if (tmk_shared_may_give(f, h)) {
        memcpy(h->to, who, strlen(who) + 1);
        h->shared.giving = true;
    } else {
        h->record.successor[0] = '\0';
        h->shared.renew_at = now;
    }
}

static tmk_holding_ask settle_closed(tmk_fleet *f, tmk_holding *h, tmk_time now) {
    if (h->shared.giving || h->shared.surplus || f->life.stopping) {
        if (tmk_holding_dirty(h)) {
            return TMK_ASK_WRITE;
        }
        h->state = h->shared.giving ? TMK_HOLDING_PASSING : TMK_HOLDING_RELEASING;
        return h->shared.giving ? TMK_ASK_PASS : TMK_ASK_RELEASE;
    }
    if (now >= h->shared.open_at && !f->life.fenced) {
        h->link = TMK_LINK_OPENING;
        h->acts |= TMK_ACT_OPEN;
        h->shared.yield_at = TMK_NEVER;
    }
    return TMK_ASK_NOTHING;
}

/* Woken then, and not kept from anything until then. */
static void wake_at(tmk_fleet *f, tmk_holding *h, tmk_time when) {
    tmk_holding_wait(f, h, when);
    h->not_before = 0;
}

static void rest(tmk_fleet *f, tmk_holding *h, tmk_time now) {
    tmk_time until = h->shared.renew_at;

    if (h->link == TMK_LINK_CLOSED && h->shared.open_at > now) {
        until = tmk_time_min(until, h->shared.open_at);
    }
    if (h->link == TMK_LINK_OPEN && h->shared.insist) {
        until = tmk_time_min(until, h->shared.yield_at);
    }
    wake_at(f, h, until > now ? until : tmk_time_after(now, TMK_MS));
}

/* The link is to be closed, with all that was read finished. */
static bool must_drain(const tmk_fleet *f, tmk_holding *h, tmk_time now) {
    tmk_shared_holding *s = &h->shared;

    if (h->link == TMK_LINK_OPEN && s->insist && s->yield_at == TMK_NEVER) {
        s->yield_at = tmk_time_after(now, INSIST);
    }
    if (h->link == TMK_LINK_OPEN && s->insist && now >= s->yield_at) {
        s->insist = false;
        return true;
    }
    return (s->giving || s->surplus || f->life.stopping) &&
           (h->link == TMK_LINK_OPEN || h->link == TMK_LINK_OPENING);
}

static tmk_holding_ask keep(tmk_fleet *f, tmk_holding *h, tmk_time now) {
    tmk_holding_ask ask = TMK_ASK_NOTHING;
    bool unconfirmed = f->life.fenced && h->shared.granted < f->life.fenced_at;
    bool undrained = TMK_MUTANT(GIVEN_UNDRAINED) && h->link == TMK_LINK_OPEN;

    if (h->look || h->shared.starting) {
        return TMK_ASK_READ;
    }
    answer_request(f, h, now);
    if (undrained && h->shared.giving) {
        h->state = TMK_HOLDING_PASSING;
        return TMK_ASK_PASS;
    }
    if (now >= h->shared.renew_at || unconfirmed) {
        return TMK_ASK_RENEW;
    }
    if (h->link == TMK_LINK_CLOSED) {
        ask = settle_closed(f, h, now);
    } else if (must_drain(f, h, now)) {
        begin_drain(f, h);
    } else if (tmk_holding_dirty(h)) {
        ask = TMK_ASK_WRITE;
    }
    if (ask == TMK_ASK_NOTHING) {
        rest(f, h, now);
    }
    return ask;
}

tmk_holding_ask tmk_shared_next_ask(tmk_fleet *f, tmk_holding *h, tmk_time now) {
    if (h->state >= TMK_HOLDING_HELD && !h->look && (h->record.absent || h->shared.repair)) {
        return TMK_ASK_CLAIM; /* once more, and go on */
    }
    switch (h->state) {
    case TMK_HOLDING_NONE:
        return take(f, h);
    case TMK_HOLDING_TAKING: /* unheard we may have it already, or half of it: then once more */
        return h->tried ? TMK_ASK_READ : TMK_ASK_CLAIM;
    case TMK_HOLDING_HELD:
        return keep(f, h, now);
    case TMK_HOLDING_PASSING:
        return h->look ? TMK_ASK_READ : TMK_ASK_PASS;
    default:
        return h->look ? TMK_ASK_READ : tmk_holding_dirty(h) ? TMK_ASK_WRITE : TMK_ASK_RELEASE;
    }
}

/* --- asking --- */

static void compose_record(tmk_fleet *f, tmk_holding *h, const char *owner, const char *successor,
                           int64_t generation) {
    f->op_record = (tmk_partition_record){.id = h->id,
                                          .owner = owner,
                                          .successor = successor,
                                          .generation = generation,
                                          .version = h->record.version,
                                          .checkpoint = tmk_kept_view(&h->final)};
    f->op.record = &f->op_record;
}

static void compose_claim(tmk_fleet *f, tmk_holding *h) {
    const char *from = h->record.absent ? "" : h->record.owner;
    bool anew = h->state >= TMK_HOLDING_HELD;

    if (!h->shared.repair) {
        memmove(h->from, from, strlen(from) + 1);
        h->tried_accept = tmk_life_is_self(f, from);
    }
    h->tried = true;
    h->tried_generation = anew ? h->generation : h->generation_known + 1;
    tmk_member_token(f->life.id, h->id, h->tried_generation, f->token);
    f->op.version = h->record.absent ? "" : h->record.version;
    f->op.take_over = !h->record.absent && h->record.held;
    compose_record(f, h, f->life.id, "", h->tried_generation);
}

/* In the name of the owner, whose token follows from its id: it finds our name in its record. */
static void compose_request(tmk_fleet *f, tmk_holding *h) {
    const char *who = f->life.stopping ? "" : f->life.id;

    tmk_member_token(h->record.owner, h->id, h->record.generation, f->token);
    compose_record(f, h, h->record.owner, who, h->record.generation);
}

void tmk_shared_compose(tmk_fleet *f, tmk_holding *h, tmk_holding_ask ask) {
    tmk_member_token(f->life.id, h->id, h->token_generation, f->token);
    f->op = (tmk_store_op){.kind = TMK_STORE_PARTITION_RENEW,
                           .id = h->id,
                           .token = f->token,
                           .version = h->record.version};
    switch (ask) {
    case TMK_ASK_READ:
        f->op.kind = TMK_STORE_PARTITION_READ;
        break;
    case TMK_ASK_CLAIM:
        f->op.kind = TMK_STORE_PARTITION_CLAIM;
        compose_claim(f, h);
        break;
    case TMK_ASK_WRITE:
        f->op.kind = TMK_STORE_PARTITION_WRITE;
        compose_record(f, h, f->life.id, h->record.successor, h->generation);
        h->saving_no = h->final_no;
        h->saving_sequence = h->final.present && h->final.sequence_known ? h->final.sequence : -1;
        break;
    case TMK_ASK_RENEW:
        compose_record(f, h, f->life.id, h->record.successor, h->generation);
        break;
    case TMK_ASK_REQUEST:
        compose_request(f, h);
        break;
    case TMK_ASK_PASS:
        compose_record(f, h, h->to, "", h->generation);
        break;
    default:
        tmk_assert(ask == TMK_ASK_RELEASE);
        f->op.kind = TMK_STORE_PARTITION_RELEASE;
        compose_record(f, h, "", "", h->generation);
        break;
    }
}

/* --- answers --- */

static void granted(tmk_fleet *f, tmk_holding *h, tmk_time now, tmk_time sent) {
    tmk_time from = f->opts.heartbeat * 9 / 10, to = f->opts.heartbeat * 11 / 10;

    h->shared.granted = sent;
    h->shared.renew_at = tmk_time_after(sent, tmk_rng_between(&f->rng, from, to));
    if (TMK_MUTANT(RENEWS_NEVER)) {
        h->shared.renew_at = TMK_NEVER;
    }
    h->touched_at = now;
    fence_one(f, h, false);
    tmk_shared_lease(f, now);
}

static void start(tmk_fleet *f, tmk_holding *h, tmk_time now, tmk_time sent, bool accepted) {
    h->shared = (tmk_shared_holding){
        .asked_at = -1, .free_since = -1, .starting = !TMK_MUTANT(START_BEFORE_READ)};
    tmk_kept_clear(&h->final);
    tmk_holding_taken(f, h, now, h->tried_generation, accepted);
    granted(f, h, now, sent);
}

/* It is not ours any more: nothing of what was going on with it holds. */
static void forget(tmk_holding *h) {
    h->shared = (tmk_shared_holding){.asked_at = -1, .free_since = -1};
}

static void handed(tmk_fleet *f, tmk_holding *h) {
    forget(h);
    tmk_record_set_owner(&h->record, h->to, "");
    h->record.age_ms = 0;
    tmk_holding_handed(f, h);
}

static void released(tmk_fleet *f, tmk_holding *h) {
    forget(h);
    tmk_holding_released(f, h);
}

static void lose(tmk_fleet *f, tmk_holding *h, const char *owner) {
    forget(h);
    tmk_holding_lose(f, h, TMK_FLEET_BECAUSE_TAKEN, owner);
    tmk_shared_list_soon(f, f->now);
}

static void on_claim(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_asked *asked,
                     const tmk_store_result *result) {
    if (result->status == TMK_OK && h->state >= TMK_HOLDING_HELD) {
        h->record.absent = h->shared.repair = false;
        h->denials = 0;
        h->tried = false;
        h->saved_no = 0;
        tmk_record_set_owner(&h->record, f->life.id, "");
        h->record.held = true;
        granted(f, h, now, asked->sent);
        tmk_holding_keep_version(h, result);
        tmk_fleet_wake(f, h);
        return;
    }
    if (result->status == TMK_OK) {
        start(f, h, now, asked->sent, h->tried_accept);
        tmk_holding_keep_version(h, result);
        return;
    }
    h->record.absent = false; /* it may exist by now */
    if (h->state >= TMK_HOLDING_HELD) {
        h->look = true;
        tmk_holding_failed(f, h, now);
    } else if (result->status < 0) {
        tmk_holding_failed(f, h, now);
    } else { /* the store has looked before it said so */
        f->counts.refused++;
        tmk_fleet_news_note(f, TMK_FLEET_CLAIM_REFUSED, h, h->tried_generation, "");
        (void)drop(f, h);
    }
}

static void report_doubt(tmk_fleet *f, tmk_holding *h, tmk_time now) {
    tmk_error err;

    (void)tmk_fail(&err, TMK_ELOST, "amqp:link:stolen",
                   "another reader took partition '%s', which the store says is ours", h->id);
    tmk_fleet_news_report(f, h, &err, "it is opened again after a pause");
    h->doubt = false;
    h->shared.insist = !TMK_MUTANT(INSIST_NEVER);
    h->shared.open_at = tmk_time_after(now, tmk_backoff_delay(&reopen_pause, h->stolen, &f->rng));
}

/* Whoever asked has taken its name back: it leaves. */
static void call_off(tmk_holding *h) {
    bool passing = h->state == TMK_HOLDING_PASSING;

    if ((h->shared.giving || passing) && strcmp(h->record.successor, h->to) != 0) {
        h->shared.giving = false;
        h->state = passing ? TMK_HOLDING_HELD : h->state;
    }
}

/* Ours. Where nothing was read of it yet, this is where reading begins. */
static void go_on(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_checkpoint *c) {
    call_off(h);
    if (h->shared.starting) {
        if (tmk_kept_set(&h->final, c) < 0) {
            tmk_holding_failed(f, h, now);
            return;
        }
        h->shared.starting = false;
        h->saved_no = ++h->final_no;
        h->saved_sequence = h->base_sequence = tmk_checkpoint_sequence(c);
    } else if (tmk_holding_unheard(h, c)) {
        tmk_holding_saved(f, h, h->saving_no, h->saving_sequence); /* written unheard */
    }
    if (h->doubt) {
        report_doubt(f, h, now);
    }
    tmk_fleet_wake(f, h);
}

static void look_at_own(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_partition_record *r,
                        bool refused_again) {
    bool own = tmk_life_is_self(f, r->owner) && r->held && r->generation >= h->generation;

    own = own || TMK_MUTANT(LOSS_UNSEEN);

    if (!own && h->state == TMK_HOLDING_PASSING && strcmp(r->owner, h->to) == 0) {
        handed(f, h);
    } else if (!own && h->state == TMK_HOLDING_RELEASING && r->owner[0] == '\0') {
        released(f, h);
    } else if (!own) {
        lose(f, h, r->owner);
    } else {
        h->shared.repair = refused_again;
        go_on(f, h, now, &r->checkpoint);
    }
}

static void on_read_taking(tmk_fleet *f, tmk_holding *h, const tmk_partition_record *r) {
    if (r == NULL || !tmk_life_is_self(f, r->owner)) {
        (void)drop(f, h);
        return;
    }
    h->tried = false;
    h->shared.repair = true; /* the checkpoint may not have our token yet */
    tmk_fleet_wake(f, h);
}

static void on_read(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_store_result *result) {
    const tmk_partition_record *r = result->partitions;
    bool refused_again = false;

    if (result->status < 0 || (result->status == TMK_OK && result->partition_count != 1)) {
        tmk_holding_failed(f, h, now);
        return;
    }
    if (result->status == TMK_OK) {
        refused_again = h->denied && strcmp(r->version, h->record.version) == 0;
        if (!tmk_record_take(h, now, r)) {
            tmk_holding_failed(f, h, now);
            return;
        }
    } else {
        tmk_record_take_absence(h, now);
        r = NULL;
    }
    h->failures = 0;
    h->look = h->denied = false;
    if (h->state == TMK_HOLDING_TAKING) {
        on_read_taking(f, h, r);
    } else if (h->state == TMK_HOLDING_NONE) {
        tmk_fleet_wake(f, h);
    } else if (r != NULL) {
        look_at_own(f, h, now, r, refused_again);
    } else {
        h->shared.starting = false; /* claimed anew, with what we know */
        tmk_fleet_wake(f, h);
    }
}

static void refused(tmk_fleet *f, tmk_holding *h, tmk_time now) {
    h->look = h->denied = true;
    if (++h->denials > 1) {
        tmk_holding_failed(f, h, now);
    } else {
        tmk_fleet_wake(f, h);
    }
}

static void on_renew(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_asked *asked,
                     const tmk_store_result *result) {
    if (result->status > 0 && TMK_MUTANT(REFUSED_RENEWAL_IS_OK)) {
        granted(f, h, now, asked->sent);
        return;
    }
    if (result->status == TMK_OK) {
        h->failures = 0;
        granted(f, h, now, asked->sent);
        tmk_holding_keep_version(h, result);
        tmk_fleet_wake(f, h);
    } else if (result->status < 0) {
        tmk_holding_failed(f, h, now);
        fence_if_over(f, h, now);
    } else {
        h->look = true; /* taken, or asked for */
        tmk_fleet_wake(f, h);
    }
}

static void on_request(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_store_result *result) {
    h->touched_at = now;
    if (f->life.stopping) {
        h->look = true; /* until it says that our name is not there */
        tmk_holding_failed(f, h, now);
        return;
    }
    if (result->status == TMK_OK || result->status < 0) { /* without an answer it may have come */
        h->shared.asked_at = now;
        (void)snprintf(h->record.successor, sizeof h->record.successor, "%s", f->life.id);
    }
    tmk_shared_list_soon(f, now);
}

static void on_pass(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_store_result *result) {
    if (result->status < 0) {
        h->look = true;
        tmk_holding_failed(f, h, now);
    } else if (result->status != TMK_OK) {
        refused(f, h, now);
    } else {
        tmk_holding_keep_version(h, result);
        handed(f, h);
    }
}

static void on_write(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_store_result *result) {
    if (result->status == TMK_OK) {
        tmk_holding_written(f, h, now, result);
    } else if (result->status < 0) {
        h->look = true;
        tmk_holding_failed(f, h, now);
    } else {
        refused(f, h, now);
    }
}

static void on_release(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_store_result *result) {
    if (result->status == TMK_OK) {
        tmk_holding_keep_version(h, result);
        released(f, h);
    } else if (result->status < 0) {
        tmk_holding_failed(f, h, now);
    } else {
        refused(f, h, now);
    }
}

void tmk_shared_answered(tmk_fleet *f, tmk_holding *h, tmk_time now, const tmk_asked *asked,
                         const tmk_store_result *result) {
    switch (h->ask) {
    case TMK_ASK_READ:
        if (h->doubt && asked->sent < h->stolen_at) {
            tmk_fleet_wake(f, h); /* asked before the link was taken: that is no answer */
            break;
        }
        on_read(f, h, now, result);
        break;
    case TMK_ASK_CLAIM:
        on_claim(f, h, now, asked, result);
        break;
    case TMK_ASK_RENEW:
        on_renew(f, h, now, asked, result);
        break;
    case TMK_ASK_REQUEST:
        on_request(f, h, now, result);
        break;
    case TMK_ASK_PASS:
        on_pass(f, h, now, result);
        break;
    case TMK_ASK_WRITE:
        on_write(f, h, now, result);
        break;
    default:
        on_release(f, h, now, result);
        break;
    }
}
