/* Links with owner levels, and events as a fluid. */
#include "sim_hub.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"

/* One way between a client and the hub; opening a link takes two of them. */
#define ONE_WAY (75 * TMK_MS)

typedef struct hub_partition {
    char id[24];
    int64_t rate; /* events a second */
    tmk_time rate_from;
    int64_t rate_base; /* events before that */
    sim_link *attached;
} hub_partition;

struct sim_hub {
    sim_kernel *kernel;
    hub_partition *partitions;
    size_t partition_count;
    tmk_list clients;
    sim_hub_watch watch;
    void *watch_user;
    int64_t (*feed)(void *self, size_t partition, tmk_time when); /* NULL: they flow */
    void *feed_self;
};

struct sim_hub_client {
    tmk_list node;
    sim_hub *hub;
    sim_process *process;
    tmk_rng rng;
    bool cut, closed;
    tmk_time cut_at;
    tmk_list links;
};

typedef enum news { NEWS_NONE, NEWS_OPENED, NEWS_ENDED, NEWS_DOWN, NEWS_UP } news;

struct sim_link {
    tmk_list node;
    sim_hub_client *client;
    size_t partition;
    int64_t level;
    const sim_link_events *events;
    void *user;
    bool closed;   /* by its owner */
    bool attached; /* at the hub */
    bool ended;    /* at the hub: another has it */
    bool was_open; /* opened() was called */
    bool said_down;
    tmk_time attached_at, detached_at;
    int64_t seen; /* as far as it had read when it was cut */
    sim_event attach, tell;
    news next_news;
    sim_delivery delivery;
};

/* --- the fluid --- */

sim_hub *sim_hub_new(sim_kernel *k, size_t partitions) {
    sim_hub *h = tmk_new(sim_hub);

    if (h == NULL || (h->partitions = tmk_alloc_zero(partitions, sizeof *h->partitions)) == NULL) {
        tmk_free(h);
        return NULL;
    }
    h->kernel = k;
    h->partition_count = partitions;
    tmk_list_init(&h->clients);
    for (size_t p = 0; p < partitions; p++) {
        (void)snprintf(h->partitions[p].id, sizeof h->partitions[p].id, "%zu", p);
        h->partitions[p].rate = 100;
        h->partitions[p].rate_from = k->now;
    }
    return h;
}

static void free_client(sim_hub_client *c) {
    tmk_list *node = NULL;

    while ((node = tmk_list_pop_front(&c->links)) != NULL) {
        tmk_free(tmk_container_of(node, sim_link, node));
    }
    tmk_free(c);
}

sim_hub *sim_hub_free(sim_hub *h) {
    tmk_list *node = NULL;

    while (h != NULL && (node = tmk_list_pop_front(&h->clients)) != NULL) {
        free_client(tmk_container_of(node, sim_hub_client, node));
    }
    if (h != NULL) {
        tmk_free(h->partitions);
        tmk_free(h);
    }
    return NULL;
}

size_t sim_hub_partitions(const sim_hub *h) {
    return h->partition_count;
}

const char *sim_hub_id(const sim_hub *h, size_t partition) {
    return h->partitions[partition].id;
}

int64_t sim_hub_last(const sim_hub *h, size_t partition, tmk_time when) {
    const hub_partition *p = &h->partitions[partition];

    if (h->feed != NULL) {
        return h->feed(h->feed_self, partition, when);
    }
    tmk_time flowing = when > p->rate_from ? when - p->rate_from : 0;

    return p->rate_base + flowing / TMK_MS * p->rate / 1000 - 1;
}

void sim_hub_feed(sim_hub *h, int64_t (*last)(void *self, size_t partition, tmk_time when),
                  void *self) {
    h->feed = last;
    h->feed_self = self;
}

void sim_hub_rate(sim_hub *h, size_t partition, int64_t events_per_second) {
    hub_partition *p = &h->partitions[partition];

    p->rate_base = sim_hub_last(h, partition, h->kernel->now) + 1;
    p->rate_from = h->kernel->now;
    p->rate = events_per_second;
}

void sim_hub_make_anew(sim_hub *h, size_t partition, tmk_time from) {
    h->partitions[partition].rate_base = 0;
    h->partitions[partition].rate_from = from;
}

void sim_hub_watch_with(sim_hub *h, sim_hub_watch watch, void *user) {
    h->watch = watch;
    h->watch_user = user;
}

/* --- links --- */

static void tell(sim_link *l, news what, tmk_time delay) {
    /* One thing is under way at a time; that it ended outdoes all else. */
    if (l->next_news == NEWS_ENDED) {
        return;
    }
    l->next_news = what;
    sim_at(l->client->hub->kernel, &l->tell, l->client->hub->kernel->now + delay);
}

static void on_tell(sim_event *e) {
    sim_link *l = sim_event_of(e, sim_link, tell);

    if (l->closed || l->client->closed || (l->client->cut && l->next_news != NEWS_DOWN)) {
        return; /* what cannot be told now is found out when the network is back */
    }
    if (tmk_list_linked(&l->delivery.node)) {
        return; /* in the inbox of one that is frozen: it will hear the newest */
    }
    sim_process_deliver(l->client->process, &l->delivery);
}

static void arrive(sim_delivery *d) {
    sim_link *l = sim_event_of(d, sim_link, delivery);
    news what = l->next_news;

    if (l->closed || l->client->closed || what == NEWS_NONE) {
        return;
    }
    l->next_news = NEWS_NONE;
    if (what == NEWS_OPENED && !l->was_open) {
        l->was_open = true;
        l->events->opened(l->user);
    } else if (what == NEWS_ENDED) {
        l->events->ended(l->user);
    } else if (what == NEWS_DOWN && !l->said_down) {
        l->said_down = true;
        l->events->trouble(l->user, false);
    } else if (what != NEWS_DOWN && l->said_down) {
        l->said_down = false;
        l->events->trouble(l->user, true);
    }
}

static void lost(sim_delivery *d) {
    (void)d; /* the link lives as long as the hub */
}

static void detach(sim_link *l, bool by_other) {
    l->attached = false;
    l->detached_at = l->client->hub->kernel->now;
    if (by_other) {
        l->ended = true;
        tell(l, NEWS_ENDED, ONE_WAY);
    }
}

static void on_attach(sim_event *e) {
    sim_link *l = sim_event_of(e, sim_link, attach);
    sim_hub *h = l->client->hub;
    hub_partition *p = &h->partitions[l->partition];

    if (l->closed || l->client->closed || l->ended) {
        return;
    }
    if (l->client->cut) {
        sim_at(h->kernel, e, h->kernel->now + TMK_SEC);
        return;
    }
    if (p->attached != NULL && p->attached != l && p->attached->level > l->level) {
        l->ended = true;
        tell(l, NEWS_ENDED, ONE_WAY);
        return;
    }
    if (p->attached != NULL && p->attached != l) {
        detach(p->attached, true);
    }
    p->attached = l;
    l->attached = true;
    l->attached_at = h->kernel->now;
    if (h->watch != NULL) {
        h->watch(h->watch_user, l->partition, l->level, l->user);
    }
    tell(l, l->was_open ? NEWS_UP : NEWS_OPENED, ONE_WAY);
}

void sim_hub_steal(sim_hub *h, size_t partition) {
    hub_partition *p = &h->partitions[partition];

    if (p->attached != NULL) {
        detach(p->attached, true);
        p->attached = NULL;
    }
}

sim_link *sim_hub_open(sim_hub_client *c, size_t partition, int64_t level,
                       const sim_link_events *events, void *user) {
    sim_link *l = tmk_new(sim_link);

    if (l == NULL) {
        return NULL;
    }
    l->client = c;
    l->partition = partition;
    l->level = level;
    l->events = events;
    l->user = user;
    l->seen = -1;
    l->attach.fire = on_attach;
    l->tell.fire = on_tell;
    l->delivery.arrive = arrive;
    l->delivery.lost = lost;
    tmk_list_push_back(&c->links, &l->node);
    sim_at(c->hub->kernel, &l->attach, c->hub->kernel->now + sim_latency(&c->rng, ONE_WAY * 2) / 2);
    return l;
}

void sim_hub_close(sim_link *l) {
    hub_partition *p = &l->client->hub->partitions[l->partition];

    l->closed = true;
    l->attached = false;
    if (p->attached == l) {
        p->attached = NULL;
    }
    sim_cancel(l->client->hub->kernel, &l->attach);
    sim_cancel(l->client->hub->kernel, &l->tell);
    if (!tmk_list_linked(&l->delivery.node)) {
        tmk_list_remove(&l->node);
        tmk_free(l);
    }
}

int64_t sim_link_readable(const sim_link *l) {
    sim_hub *h = l->client->hub;
    tmk_time until = h->kernel->now;

    if (l->ended) {
        until = l->detached_at;
    }
    if (l->client->cut && l->client->cut_at < until) {
        until = l->client->cut_at;
    }
    return sim_hub_last(h, l->partition, until - ONE_WAY);
}

bool sim_link_attached(const sim_link *l) {
    return l->attached;
}

/* --- clients --- */

sim_hub_client *sim_hub_connect(sim_hub *h, sim_process *process, uint64_t number) {
    sim_hub_client *c = tmk_new(sim_hub_client);

    if (c == NULL) {
        return NULL;
    }
    c->hub = h;
    c->process = process;
    c->rng = sim_rng(h->kernel, "hub client", number);
    tmk_list_init(&c->links);
    tmk_list_push_back(&h->clients, &c->node);
    return c;
}

void sim_hub_disconnect(sim_hub_client *c) {
    tmk_list *node = NULL;

    c->closed = true;
    for (node = tmk_list_first(&c->links); node != NULL; node = tmk_list_next(&c->links, node)) {
        sim_link *l = tmk_container_of(node, sim_link, node);
        hub_partition *p = &c->hub->partitions[l->partition];

        l->attached = false;
        if (p->attached == l) {
            p->attached = NULL;
        }
        sim_cancel(c->hub->kernel, &l->attach);
        sim_cancel(c->hub->kernel, &l->tell);
    }
}

bool sim_hub_is_cut(const sim_hub_client *c) {
    return c->cut;
}

/* A cut is noticed after some seconds of silence; afterwards each link attaches again. */
void sim_hub_cut(sim_hub_client *c, bool cut) {
    sim_kernel *k = c->hub->kernel;
    tmk_list *node = NULL;

    if (c->cut == cut) {
        return;
    }
    c->cut = cut;
    c->cut_at = k->now;
    for (node = tmk_list_first(&c->links); node != NULL; node = tmk_list_next(&c->links, node)) {
        sim_link *l = tmk_container_of(node, sim_link, node);

        if (cut && l->was_open) {
            tell(l, NEWS_DOWN, tmk_rng_between(&c->rng, TMK_SEC, 10 * TMK_SEC));
        } else if (!cut && l->ended) {
            l->next_news = NEWS_NONE;
            tell(l, NEWS_ENDED, ONE_WAY);
        } else if (!cut) {
            sim_at(k, &l->attach, k->now + sim_latency(&c->rng, 300 * TMK_MS));
        }
    }
}
