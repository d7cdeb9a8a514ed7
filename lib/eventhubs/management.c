/* Facts about hub and partitions: see tidemark/management.h. calls.c asks. */
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "eventhubs/client_parts.h"
#include "eventhubs/source_amqp.h"

enum { PARTITION_MAX = 64 };

/* Copies text with its NUL to *at and moves *at behind it. */
static const char *put_text(char **at, const char *text) {
    size_t size = strlen(text) + 1;
    const char *put = memcpy(*at, text, size);

    *at += size;
    return put;
}

/* A question of the program. It holds the client until it is answered. */
typedef struct question {
    tmk_list node;
    tmk_client *client;
    tmk_core_call call;
    tmk_task task;
    char *partition; /* NULL: the hub */
    tmk_hub_facts_fn on_hub;
    tmk_partition_facts_fn on_partition;
    void *user;
} question;

static void tell(question *q, const tmk_error *why) {
    const tmk_core_call *call = &q->call;
    tmk_client *client = q->client;

    tmk_list_remove(&q->node);
    if (q->on_hub != NULL) {
        q->on_hub(q->user, why, why == NULL ? &call->hub : NULL);
    } else {
        q->on_partition(q->user, why, why == NULL ? &call->facts : NULL);
    }
    tmk_free(q->partition);
    tmk_free(q);
    tmk_client_unref(client);
}

static void on_answer(tmk_core_call *call, const tmk_error *why) {
    tell(tmk_container_of(call, question, call), why);
}

static void cancel(question *q) {
    tmk_error err;

    tmk_core_cancel(&q->call);
    (void)tmk_fail(&err, TMK_ECANCELED, "client", "the client was freed");
    tell(q, &err);
}

void tmk_client_cancel_questions(tmk_client *client) {
    tmk_list *node;

    while ((node = tmk_list_first(tmk_client_questions(client))) != NULL) {
        cancel(tmk_container_of(node, question, node));
    }
}

static void begin(tmk_task *task) {
    question *q = tmk_container_of(task, question, task);

    if (tmk_client_is_silent(q->client)) {
        cancel(q);
        return;
    }
    tmk_list_push_back(tmk_client_questions(q->client), &q->node);
    tmk_core_ask(tmk_client_core(q->client), &q->call, q->partition, 0);
}

static tmk_status ask(tmk_client *client, const char *partition, question model, tmk_error *err) {
    question *q = NULL;

    if (partition != NULL && (partition[0] == '\0' || strlen(partition) > PARTITION_MAX)) {
        return tmk_fail(err, TMK_EINVAL, "client", "that is no id of a partition");
    }
    q = tmk_new(question);
    if (q == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "client", "no memory for a question");
    }
    *q = model;
    if (partition != NULL && (q->partition = tmk_copy_str(partition)) == NULL) {
        tmk_free(q);
        return tmk_fail(err, TMK_ENOMEM, "client", "no memory for a question");
    }
    q->client = client;
    q->call.answered = on_answer;
    q->task.run = begin;
    tmk_client_ref(client);
    tmk_loop_post(tmk_client_loop(client), &q->task);
    return TMK_OK;
}

tmk_status tmk_client_hub_facts(tmk_client *client, tmk_hub_facts_fn answer, void *user,
                                tmk_error *err) {
    return ask(client, NULL, (question){.on_hub = answer, .user = user}, err);
}

tmk_status tmk_client_partition_facts(tmk_client *client, const char *partition,
                                      tmk_partition_facts_fn answer, void *user, tmk_error *err) {
    if (partition == NULL) {
        return tmk_fail(err, TMK_EINVAL, "client", "the partition is missing");
    }
    return ask(client, partition, (question){.on_partition = answer, .user = user}, err);
}

/* ---- waiting ---- */

typedef struct waiting {
    tmk_wait base;
    tmk_hub_facts *hub;
    tmk_partition_facts partition;
} waiting;

/* One block: the struct, the pointers, the text. */
static tmk_hub_facts *copy_facts(const tmk_hub_facts *from) {
    size_t pointers = (from->partition_count + 1) * sizeof(char *);
    size_t text = strlen(from->name) + 1;
    tmk_hub_facts *to;
    const char **ids;
    char *at;

    for (size_t i = 0; i < from->partition_count; i++) {
        text += strlen(from->partitions[i]) + 1;
    }
    to = tmk_alloc_zero(1, sizeof *to + pointers + text);
    if (to == NULL) {
        return NULL;
    }
    ids = (const char **)(to + 1);
    at = (char *)(ids + from->partition_count + 1);
    *to = *from;
    to->partitions = ids;
    to->name = put_text(&at, from->name);
    for (size_t i = 0; i < from->partition_count; i++) {
        ids[i] = put_text(&at, from->partitions[i]);
    }
    return to;
}

static void on_hub(void *user, const tmk_error *err, const tmk_hub_facts *facts) {
    waiting *w = user;
    tmk_error no_memory;

    if (err == NULL) {
        w->hub = copy_facts(facts);
        if (w->hub == NULL) {
            (void)tmk_fail(&no_memory, TMK_ENOMEM, "client", "no memory for the facts of a hub");
            err = &no_memory;
        }
    }
    tmk_wait_done(&w->base, err);
}

static void clear_waiting(tmk_wait *base) {
    waiting *w = (waiting *)base;

    w->hub = tmk_hub_facts_free(w->hub);
}

static tmk_status waiting_new(tmk_client *client, waiting **out, tmk_error *err) {
    tmk_wait *base = NULL;
    tmk_status st = tmk_wait_new(client, sizeof(waiting), &base, err);

    if (base != NULL) {
        base->clear = clear_waiting;
        *out = (waiting *)base;
    }
    return st;
}

static void on_partition(void *user, const tmk_error *err, const tmk_partition_facts *facts) {
    waiting *w = user;

    if (err == NULL) {
        w->partition = *facts;
    }
    tmk_wait_done(&w->base, err);
}

tmk_status tmk_client_hub_facts_wait(tmk_client *client, int64_t timeout_ms, tmk_hub_facts **out,
                                     tmk_error *err) {
    waiting *w = NULL;
    tmk_status st = waiting_new(client, &w, err);

    if (w == NULL) {
        return st;
    }
    st = tmk_client_hub_facts(client, on_hub, w, err);
    if (st < 0) {
        (void)tmk_wait_drop(&w->base); /* the loop's */
    } else {
        st = tmk_wait_for(client, &w->base, timeout_ms, err);
    }
    if (st == TMK_OK) {
        *out = w->hub;
        w->hub = NULL;
    }
    (void)tmk_wait_drop(&w->base);
    return st;
}

tmk_status tmk_client_partition_facts_wait(tmk_client *client, const char *partition,
                                           int64_t timeout_ms, tmk_partition_facts *out,
                                           tmk_error *err) {
    waiting *w = NULL;
    tmk_status st = waiting_new(client, &w, err);

    if (w == NULL) {
        return st;
    }
    st = tmk_client_partition_facts(client, partition, on_partition, w, err);
    if (st < 0) {
        (void)tmk_wait_drop(&w->base); /* the loop's */
    } else {
        st = tmk_wait_for(client, &w->base, timeout_ms, err);
    }
    if (st == TMK_OK) {
        *out = w->partition;
    }
    (void)tmk_wait_drop(&w->base);
    return st;
}

tmk_hub_facts *tmk_hub_facts_free(tmk_hub_facts *facts) {
    tmk_free(facts);
    return NULL;
}
