/* See worker.h. */
#include "shell/worker.h"

#include <poll.h>

static tmk_error err;

/* ---- callbacks ---- */

static void note_event(worker *w, const tmk_event *e, const tmk_delivery *d) {
    int partition = atoi(d->partition);
    int64_t sequence = tmk_event_sequence(e);

    (void)pthread_mutex_lock(&w->lock);
    if (partition < WORKER_PARTITIONS && sequence < WORKER_EVENTS) {
        if (w->times[partition][sequence]++ == 0) {
            w->out_of_order += sequence < w->last[partition];
            w->last[partition] = sequence;
        }
    }
    (void)pthread_mutex_unlock(&w->lock);
    atomic_store(&w->handle_seen, d->handle);
}

static tmk_verdict on_event(void *user, const tmk_event *event, tmk_delivery *delivery) {
    worker *w = user;
    unsigned running = atomic_fetch_add(&w->running, 1) + 1;
    unsigned most = atomic_load(&w->running_max);
    tmk_verdict verdict = TMK_DONE;

    while (running > most && !atomic_compare_exchange_weak(&w->running_max, &most, running)) {
    }
    note_event(w, event, delivery);
    if (w->handle != NULL) {
        verdict = w->handle(w, event, delivery);
    }
    atomic_fetch_sub(&w->running, 1);
    atomic_fetch_add(&w->handled, 1);
    return verdict;
}

static void on_error(void *user, const tmk_problem *problem) {
    worker *w = user;
    worker_problem *to = NULL;

    CHECK(problem->error->text[0] != '\0' && problem->reaction[0] != '\0');
    if (getenv("WORKER_TALK") != NULL) {
        (void)fprintf(stderr, "# %s %s '%s': %s; %s\n", problem->operation,
                      problem->partition == NULL ? "-" : problem->partition, problem->error->origin,
                      problem->error->text, problem->reaction);
    }
    (void)pthread_mutex_lock(&w->lock);
    if (w->problem_count < WORKER_PROBLEMS) {
        to = &w->problems[w->problem_count++];
        (void)snprintf(to->operation, sizeof to->operation, "%s", problem->operation);
        (void)snprintf(to->partition, sizeof to->partition, "%s",
                       problem->partition == NULL ? "" : problem->partition);
        (void)snprintf(to->origin, sizeof to->origin, "%s", problem->error->origin);
        (void)snprintf(to->text, sizeof to->text, "%s", problem->error->text);
        (void)snprintf(to->reaction, sizeof to->reaction, "%s", problem->reaction);
        to->sequence = problem->sequence;
    }
    (void)pthread_mutex_unlock(&w->lock);
}

static tmk_status on_open(void *user, const char *partition, int64_t generation, bool checkpointed,
                          tmk_start *start) {
    worker *w = user;
    tmk_status st = TMK_OK;

    CHECK(generation > 0);
    if (w->choose != NULL) {
        st = w->choose(w, partition, checkpointed, start);
    }
    atomic_fetch_add(&w->opened, st == TMK_OK ? 1U : 0U);
    return st;
}

static void on_close(void *user, const char *partition, int64_t generation, tmk_close_reason reason,
                     int64_t final_sequence) {
    worker *w = user;

    CHECK(generation > 0);
    (void)pthread_mutex_lock(&w->lock);
    w->close_reason = reason;
    w->close_sequence = final_sequence;
    (void)snprintf(w->close_partition, sizeof w->close_partition, "%s", partition);
    (void)pthread_mutex_unlock(&w->lock);
    atomic_fetch_add(&w->closed, 1);
}

static void on_lag(void *user, const tmk_lag *lag) {
    worker *w = user;

    (void)pthread_mutex_lock(&w->lock);
    w->lag = *lag;
    (void)pthread_mutex_unlock(&w->lock);
    atomic_fetch_add(&w->lags, 1);
}

/* ---- life ---- */

void worker_init(worker *w, tmk_client *client) {
    memset(w, 0, sizeof *w);
    w->client = client;
    (void)pthread_mutex_init(&w->lock, NULL);
    for (int i = 0; i < WORKER_PARTITIONS; i++) {
        w->last[i] = -1;
    }
    tmk_processor_options_init(&w->options);
    w->options.on_event = on_event;
    w->options.on_open = on_open;
    w->options.on_close = on_close;
    w->options.on_error = on_error;
    w->options.on_lag = on_lag;
    w->options.user = w;
    w->options.threads = 2;
    w->options.retry_delay_ms = 1;
    w->options.retry_delay_max_ms = 5;
    w->options.checkpoint_interval_ms = 100;
    if (getenv("WORKER_TALK") != NULL) {
        w->options.log = tmk_log_stderr(TMK_LOG_INFO);
    }
}

void worker_start(worker *w, tmk_store store) {
    OK(tmk_processor_new(w->client, store, &w->options, &w->processor, &err));
    OK(tmk_processor_start(w->processor, &err));
}

void worker_end(worker *w) {
    if (w->processor != NULL) {
        (void)tmk_processor_stop(w->processor, 5000, NULL, NULL);
        w->processor = tmk_processor_free(w->processor);
    }
    CHECK_EQ(atomic_load(&w->opened), atomic_load(&w->closed));
    (void)pthread_mutex_destroy(&w->lock);
}

void worker_wait_a_little(worker *w) {
    if (w->processor != NULL && w->options.caller_driven) {
        OK(tmk_processor_poll(w->processor, 1, 0, &err));
    } else {
        (void)poll(NULL, 0, 1);
    }
}

/* ---- looking ---- */

unsigned worker_times(worker *w, const char *partition, int64_t sequence) {
    (void)pthread_mutex_lock(&w->lock);
    unsigned times = w->times[atoi(partition)][sequence];
    (void)pthread_mutex_unlock(&w->lock);
    return times;
}

static void count(worker *w, unsigned *distinct, unsigned *repeats) {
    *distinct = *repeats = 0;
    (void)pthread_mutex_lock(&w->lock);
    for (int p = 0; p < WORKER_PARTITIONS; p++) {
        for (int s = 0; s < WORKER_EVENTS; s++) {
            *distinct += w->times[p][s] > 0;
            *repeats += w->times[p][s] > 1 ? w->times[p][s] - 1U : 0;
        }
    }
    (void)pthread_mutex_unlock(&w->lock);
}

unsigned worker_distinct(worker *w) {
    unsigned distinct, repeats;

    count(w, &distinct, &repeats);
    return distinct;
}

unsigned worker_repeats(worker *w) {
    unsigned distinct, repeats;

    count(w, &distinct, &repeats);
    return repeats;
}

bool worker_in_order(worker *w) {
    (void)pthread_mutex_lock(&w->lock);
    bool in_order = w->out_of_order == 0;
    (void)pthread_mutex_unlock(&w->lock);
    return in_order;
}

static bool fits(const worker_problem *p, const char *operation, const char *word) {
    return (operation == NULL || strcmp(p->operation, operation) == 0) &&
           (word == NULL || strstr(p->text, word) != NULL || strstr(p->reaction, word) != NULL);
}

bool worker_told(worker *w, const char *operation, const char *word, worker_problem *out) {
    bool found = false;

    (void)pthread_mutex_lock(&w->lock);
    for (unsigned i = 0; i < w->problem_count && !found; i++) {
        found = fits(&w->problems[i], operation, word);
        if (found && out != NULL) {
            *out = w->problems[i];
        }
    }
    (void)pthread_mutex_unlock(&w->lock);
    return found;
}

unsigned worker_tellings(worker *w, const char *operation, const char *word) {
    unsigned n = 0;

    (void)pthread_mutex_lock(&w->lock);
    for (unsigned i = 0; i < w->problem_count; i++) {
        n += fits(&w->problems[i], operation, word);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return n;
}

const char *worker_last_problem(worker *w) {
    static char text[sizeof w->problems[0].text];

    (void)pthread_mutex_lock(&w->lock);
    (void)snprintf(text, sizeof text, "%s",
                   w->problem_count == 0 ? "none" : w->problems[w->problem_count - 1].text);
    (void)pthread_mutex_unlock(&w->lock);
    return text;
}

tmk_partition_state worker_state(worker *w, const char *partition) {
    tmk_partition_state *states = NULL;
    tmk_partition_state found = {.partition = partition};
    size_t states_count = 0;

    OK(tmk_processor_partitions(w->processor, &states, &states_count, &err));
    for (size_t i = 0; i < states_count; i++) {
        if (strcmp(states[i].partition, partition) == 0) {
            found = states[i];
        }
    }
    found.partition = found.owner = found.lag.partition = NULL; /* they go with the snapshot */
    states = tmk_partition_states_free(states);
    return found;
}

tmk_processor_stats worker_stats(worker *w) {
    tmk_processor_stats s = {.size = sizeof s};

    tmk_processor_stats_get(w->processor, &s);
    return s;
}

/* ---- around it ---- */

tmk_hub *hub_begin(uint32_t partitions) {
    static const char *const groups[] = {"other"};
    tmk_hub_spec spec = {"hub", partitions};
    tmk_hub_options o;
    tmk_hub *hub = NULL;

    tmk_hub_options_init(&o);
    o.hubs = &spec;
    o.hub_count = 1;
    o.groups = groups;
    o.group_count = 1;
    OK(tmk_hub_start(&o, &hub, &err));
    return hub;
}

tmk_client *client_of(tmk_hub *hub, bool caller_driven) {
    tmk_client_options o;
    tmk_client *client = NULL;

    tmk_client_options_init(&o);
    o.connection_string = tmk_hub_connection_string(hub);
    o.hub = "hub";
    o.caller_driven = caller_driven;
    OK(tmk_client_new(&o, &client, &err));
    return client;
}

void hub_put(tmk_hub *hub, const char *partition, const char *key, unsigned count_put) {
    tmk_hub_event e = {.body = "event", .body_size = 5, .partition = partition, .key = key};

    for (unsigned i = 0; i < count_put; i++) {
        OK(tmk_hub_put(hub, "hub", &e, NULL, &err));
    }
}

tmk_store memory_begin(void) {
    tmk_store store = {NULL, NULL};

    OK(tmk_store_memory_new(&store, &err));
    return store;
}
