/* What a connection may do, by the tokens put on it; and that it ends with them. See conn.h. */
#include "hub/conn.h"

#include "base/alloc.h"

enum { CLAIMS_MAX = 4096 };

static tmk_hub_claim *claim_of(tmk_list *node) {
    return tmk_container_of(node, tmk_hub_claim, node);
}

static void drop(tmk_hub_conn *c, tmk_hub_claim *claim) {
    tmk_list_remove(&claim->node);
    tmk_str_clear(&claim->grant.path);
    tmk_free(claim);
    c->claim_count--;
}

void tmk_hub_claims_clear(tmk_hub_conn *c) {
    tmk_list *node;

    while ((node = tmk_list_first(&c->claims)) != NULL) {
        drop(c, claim_of(node));
    }
}

bool tmk_hub_claims_allow(const tmk_hub_conn *c, tmk_slice path, unsigned right) {
    if (c->trusted && (c->trusted_rights & right) == right) {
        return true;
    }
    for (tmk_list *n = tmk_list_first(&c->claims); n != NULL; n = tmk_list_next(&c->claims, n)) {
        const tmk_hub_grant *g = &claim_of(n)->grant;
        if ((g->rights & right) == right &&
            tmk_hub_audience_covers(tmk_str_slice(&g->path), path)) {
            return true;
        }
    }
    return false;
}

static tmk_hub_claim *claim_for(const tmk_hub_conn *c, tmk_slice path) {
    for (tmk_list *n = tmk_list_first(&c->claims); n != NULL; n = tmk_list_next(&c->claims, n)) {
        if (tmk_slice_eq(tmk_str_slice(&claim_of(n)->grant.path), path)) {
            return claim_of(n);
        }
    }
    return NULL;
}

static void close_unclaimed(tmk_hub_conn *c, tmk_hub_link *l) {
    tmk_hub_fail why = {"", ""};

    if (l == NULL || l->closing || l->right == 0 ||
        tmk_hub_claims_allow(c, tmk_str_slice(&l->path), l->right)) {
        return;
    }
    tmk_hub_fail_set(&why, TMK_HUB_UNAUTHORIZED,
                     "ExpiredToken: The token is expired. Unauthorized access. '%s' claim(s) are "
                     "required to perform this operation. Resource: 'sb://hub/%s'.",
                     l->right == TMK_HUB_SEND ? "Send" : "Listen", tmk_str_text(&l->path));
    tmk_hub_link_close(l, &why);
}

/* When the next one ends; what is further off than a day is looked at again in a day. */
static void set_deadline(tmk_hub_conn *c) {
    const int64_t day_s = INT64_C(24) * 3600;
    int64_t now_s = c->server->wall_ms / 1000;
    int64_t first_s = now_s + day_s;

    for (tmk_list *n = tmk_list_first(&c->claims); n != NULL; n = tmk_list_next(&c->claims, n)) {
        int64_t expires_s = claim_of(n)->grant.expires_s;
        first_s = expires_s < first_s ? expires_s : first_s;
    }
    c->claims_due = c->claim_count == 0
                        ? TMK_NEVER
                        : c->server->now + (first_s * 1000 - c->server->wall_ms) * TMK_MS;
}

static void close_all_unclaimed(tmk_hub_conn *c) {
    for (size_t i = 0; i < c->session_room; i++) {
        tmk_hub_session *s = c->sessions[i];
        for (unsigned h = 0; s != NULL && h <= TMK_HUB_HANDLE_MAX; h++) {
            close_unclaimed(c, s->links[h]);
        }
    }
}

void tmk_hub_claims_check(tmk_hub_conn *c) {
    tmk_list *next = NULL;
    unsigned before = c->claim_count;

    for (tmk_list *n = tmk_list_first(&c->claims); n != NULL; n = next) {
        next = tmk_list_next(&c->claims, n);
        if (claim_of(n)->grant.expires_s * 1000 <= c->server->wall_ms) {
            drop(c, claim_of(n));
        }
    }
    if (c->claim_count < before) {
        close_all_unclaimed(c);
    }
    set_deadline(c);
}

unsigned tmk_hub_claims_expire(tmk_hub_conn *c, const tmk_hub_match *m) {
    tmk_list *next = NULL;
    unsigned before = c->claim_count;

    for (tmk_list *n = tmk_list_first(&c->claims); n != NULL; n = next) {
        tmk_hub_place place = tmk_hub_place_parse(tmk_str_slice(&claim_of(n)->grant.path));
        tmk_hub_subject s = {place.hub, place.partition,  place.group,
                             m->role,   TMK_HUB_WHAT_ANY, c->id};
        next = tmk_list_next(&c->claims, n);
        if (tmk_hub_match_is(m, &s)) {
            drop(c, claim_of(n));
        }
    }
    close_all_unclaimed(c);
    set_deadline(c);
    return before - c->claim_count;
}

tmk_status tmk_hub_claims_put(tmk_hub_conn *c, tmk_hub_grant *grant) {
    tmk_hub_claim *claim = claim_for(c, tmk_str_slice(&grant->path));

    if (claim == NULL) {
        claim = c->claim_count < CLAIMS_MAX ? tmk_new(tmk_hub_claim) : NULL;
        if (claim == NULL) {
            return TMK_ENOMEM;
        }
        tmk_list_push_back(&c->claims, &claim->node);
        c->claim_count++;
    }
    tmk_str_clear(&claim->grant.path);
    claim->grant = *grant;
    grant->path = (tmk_str)TMK_STR_INIT;
    set_deadline(c);
    return TMK_OK;
}
