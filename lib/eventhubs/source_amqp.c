/* The source over AMQP: see source_amqp.h. Links are in link.c. */
#include "eventhubs/source_amqp.h"

#include "base/alloc.h"
#include "base/status.h"
#include "eventhubs/link.h"

enum { KEEP_BYTES = 16 * 1024 * 1024, MESSAGE_MAX = 32 * 1024 * 1024 };

/* A question of the source's owner, under way. */
typedef struct ask {
    tmk_core_call call;
    tmk_list node;
    char *partition;
    void (*on_ids)(void *user, const tmk_error *err, const char *const *ids, size_t count);
    void (*on_facts)(void *user, const tmk_error *err, const tmk_partition_facts *facts);
    void *user;
    tmk_task task; /* no memory: told from the loop */
} ask;

static tmk_link *source_open(void *self, const char *partition, int64_t owner_level,
                             const tmk_start *start, const tmk_link_events *events, void *user) {
    return tmk_link_open(self, partition, owner_level, start, events, user);
}

static void source_credit(void *self, tmk_link *link, uint32_t count) {
    (void)self;
    tmk_link_credit(link, count);
}

static void source_close(void *self, tmk_link *link, void (*closed)(void *user)) {
    (void)self;
    tmk_link_close(link, closed);
}

/* ---- questions ---- */

static void ask_free(ask *q) {
    tmk_core_cancel(&q->call);
    tmk_list_remove(&q->node);
    tmk_free(q->partition);
    tmk_free(q);
}

static void on_answer(tmk_core_call *call, const tmk_error *why) {
    ask *q = tmk_container_of(call, ask, call);
    ask copy = *q;

    tmk_list_remove(&q->node);
    tmk_free(q->partition);
    if (copy.on_ids != NULL) {
        copy.on_ids(copy.user, why, why != NULL ? NULL : call->hub.partitions,
                    why != NULL ? 0 : call->hub.partition_count);
    } else {
        copy.on_facts(copy.user, why, why != NULL ? NULL : &call->facts);
    }
    tmk_free(q);
}

static ask *ask_new(tmk_source_amqp *s, const char *partition, void *user) {
    ask *q = tmk_new(ask);

    if (q == NULL) {
        return NULL;
    }
    if (partition != NULL && (q->partition = tmk_copy_str(partition)) == NULL) {
        tmk_free(q);
        return NULL;
    }
    q->user = user;
    q->call.answered = on_answer;
    tmk_list_push_back(&s->asks, &q->node);
    return q;
}

static void source_list(void *self,
                        void (*answer)(void *user, const tmk_error *err, const char *const *ids,
                                       size_t count),
                        void *user) {
    tmk_source_amqp *s = self;
    ask *q = ask_new(s, NULL, user);
    tmk_error err;

    if (q == NULL) {
        (void)tmk_fail_retry(&err, TMK_ENOMEM, "client", "no memory for a question");
        answer(user, &err, NULL, 0);
        return;
    }
    q->on_ids = answer;
    tmk_core_ask(s->core, &q->call, NULL, 0);
}

static void source_facts(void *self, const char *partition,
                         void (*answer)(void *user, const tmk_error *err,
                                        const tmk_partition_facts *facts),
                         void *user) {
    tmk_source_amqp *s = self;
    ask *q = ask_new(s, partition, user);
    tmk_error err;

    if (q == NULL) {
        (void)tmk_fail_retry(&err, TMK_ENOMEM, "client", "no memory for a question");
        answer(user, &err, NULL);
        return;
    }
    q->on_facts = answer;
    tmk_core_ask(s->core, &q->call, q->partition, 0);
}

/* ---- life ---- */

static const tmk_source_ops source_ops = {
    .open = source_open,
    .credit = source_credit,
    .close = source_close,
    .list = source_list,
    .facts = source_facts,
};

void tmk_source_amqp_free(tmk_source source) {
    tmk_source_amqp *s = source.self;
    tmk_list *node;

    if (s == NULL) {
        return;
    }
    while ((node = tmk_list_first(&s->asks)) != NULL) {
        ask_free(tmk_container_of(node, ask, node));
    }
    while ((node = tmk_list_first(&s->links)) != NULL) {
        tmk_link_drop(tmk_container_of(node, tmk_link, node));
    }
    s->pool = tmk_burst_pool_free(s->pool);
    tmk_free(s->group);
    tmk_free(s->name);
    tmk_free(s);
}

/* The service cuts receiver names at 64 characters in some versions. */
static char *make_name(tmk_core *core, const char *name) {
    tmk_rng rng;
    char uuid[37];

    if (name != NULL) {
        return tmk_copy_str(name);
    }
    tmk_rng_seed(&rng, tmk_core_seed(core));
    tmk_rng_uuid(&rng, uuid);
    return tmk_copy_str(uuid);
}

tmk_status tmk_source_amqp_make(tmk_core *core, const tmk_source_amqp_options *options,
                                tmk_source *out, tmk_error *err) {
    tmk_source_amqp *s = tmk_new(tmk_source_amqp);
    tmk_status st = TMK_OK;

    if (s == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "client", "no memory for a source of events");
    }
    s->core = core;
    s->track_last = options->track_last;
    s->message_max = options->message_max == 0 ? MESSAGE_MAX : options->message_max;
    tmk_list_init(&s->links);
    tmk_list_init(&s->asks);
    s->group = tmk_copy_str(options->group);
    s->name = make_name(core, options->name);
    if (s->group == NULL || s->name == NULL) {
        st = tmk_fail(err, TMK_ENOMEM, "client", "no memory for a source of events");
    } else {
        st = tmk_burst_pool_new(options->keep_bytes == 0 ? KEEP_BYTES : options->keep_bytes,
                                &s->pool, err);
    }
    if (st < 0) {
        tmk_source_amqp_free((tmk_source){&source_ops, s});
        return st;
    }
    *out = (tmk_source){&source_ops, s};
    return TMK_OK;
}

tmk_status tmk_source_amqp_new(tmk_client *client, const char *group, const char *name,
                               tmk_source *out, tmk_error *err) {
    tmk_source_amqp_options o = {.group = group, .name = name};

    return tmk_source_amqp_make(tmk_client_core(client), &o, out, err);
}
