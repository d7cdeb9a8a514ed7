/* Virtual time. */
#include "kernel.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/assert.h"

/* A life that does more than this is caught in a loop. */
#define STEPS_MAX UINT64_C(50000000)

void sim_kernel_init(sim_kernel *k, uint64_t seed, FILE *trace) {
    *k = (sim_kernel){.now = 1000 * TMK_SEC, .seed = seed, .trace = trace};
}

void sim_kernel_clear(sim_kernel *k) {
    tmk_heap_clear(&k->heap);
}

void sim_at(sim_kernel *k, sim_event *e, tmk_time when) {
    if (tmk_heap_push(&k->heap, &e->node, when < k->now ? k->now : when) < 0) {
        sim_no_memory(k);
    }
}

tmk_time sim_next(const sim_kernel *k) {
    const tmk_heap_node *first = tmk_heap_first(&k->heap);

    return first == NULL ? TMK_NEVER : first->due;
}

void sim_cancel(sim_kernel *k, sim_event *e) {
    tmk_heap_remove(&k->heap, &e->node);
}

bool sim_run_one(sim_kernel *k, tmk_time until) {
    tmk_heap_node *first = tmk_heap_first(&k->heap);

    if (k->failed || first == NULL || first->due > until) {
        return false;
    }
    sim_event *e = sim_event_of(first, sim_event, node);
    tmk_heap_remove(&k->heap, first);
    k->now = first->due;
    e->fire(e);
    if (++k->steps > STEPS_MAX) {
        sim_violation(k, "loop", "more than %" PRIu64 " steps", STEPS_MAX);
    }
    return true;
}

void sim_run(sim_kernel *k, tmk_time until) {
    while (sim_run_one(k, until)) {
    }
    if (!k->failed && k->now < until) {
        k->now = until;
    }
}

tmk_rng sim_rng(const sim_kernel *k, const char *what, uint64_t number) {
    uint64_t h = k->seed;
    tmk_rng rng;

    for (; *what != '\0'; what++) {
        h = (h ^ (uint8_t)*what) * UINT64_C(0x100000001b3);
    }
    tmk_rng_seed(&rng, h * UINT64_C(0x9e3779b97f4a7c15) + number);
    return rng;
}

tmk_time sim_latency(tmk_rng *rng, tmk_time median) {
    uint64_t dice = tmk_rng_below(rng, 1000);
    tmk_time low = median / 2, high = median * 3 / 2;

    if (dice >= 998) {
        low = median * 10;
        high = median * 40;
    } else if (dice >= 980) {
        low = median * 4;
        high = median * 10;
    } else if (dice >= 900) {
        low = median * 3 / 2;
        high = median * 4;
    }
    return tmk_rng_between(rng, low, high);
}

void sim_trace(sim_kernel *k, const char *ev, const char *format, ...) {
    char line[1024]; /* longer ones lose their end */
    const tmk_time at = k->now - k->zero;
    va_list args;
    int head = 0, rest = 0;

    if (!sim_tracing(k)) {
        return;
    }
    head = snprintf(line, sizeof line, "{\"t\":%" PRId64 ".%06" PRId64 ",\"ev\":\"%s\"",
                    at / TMK_SEC, at % TMK_SEC / TMK_US, ev);
    va_start(args, format);
    rest = vsnprintf(line + head, sizeof line - (size_t)head - 2, format, args);
    va_end(args);
    const size_t size = strnlen(line, sizeof line - 3);
    memcpy(line + size, rest < 0 ? "\n" : "}\n", 3);
    if (k->trace != NULL) {
        fputs(line, k->trace);
    }
    if (k->line != NULL) {
        k->line(k->line_self, line, size + 2);
    }
}

void sim_violation(sim_kernel *k, const char *rule, const char *format, ...) {
    va_list args;

    if (k->failed) {
        return;
    }
    k->failed = true;
    (void)snprintf(k->rule, sizeof k->rule, "%s", rule);
    va_start(args, format);
    (void)vsnprintf(k->what, sizeof k->what, format, args);
    va_end(args);
    sim_trace(k, "fault", ",\"condition\":\"violation\",\"rule\":\"%s\",\"text\":\"%s\"", rule,
              k->what);
}

void sim_no_memory(sim_kernel *k) {
    sim_violation(k, "memory", "out of memory");
}

/* --- processes --- */

/* Connections are read by different threads: what has come meanwhile arrives in any order. */
static void on_unpack(sim_event *e) {
    sim_process *p = sim_event_of(e, sim_process, unpack);
    tmk_list *node = tmk_list_first(&p->inbox);
    size_t skip = 0;

    if (p->frozen || p->dead || node == NULL) {
        return;
    }
    for (skip = tmk_rng_below(&p->rng, p->inbox_count); skip > 0; skip--) {
        node = tmk_list_next(&p->inbox, node);
        tmk_assert(node != NULL);
    }
    tmk_list_remove(node);
    p->inbox_count--;
    if (p->inbox_count > 0) {
        sim_at(p->kernel, e, p->kernel->now + tmk_rng_between(&p->rng, 0, 20) * TMK_MS);
    }
    tmk_container_of(node, sim_delivery, node)->arrive(tmk_container_of(node, sim_delivery, node));
}

void sim_process_init(sim_process *p, sim_kernel *k, uint64_t number) {
    *p = (sim_process){.kernel = k, .woken_at = k->now, .rng = sim_rng(k, "process", number)};
    p->unpack.fire = on_unpack;
    tmk_list_init(&p->inbox);
}

void sim_process_deliver(sim_process *p, sim_delivery *d) {
    if (p->dead) {
        d->lost(d);
    } else if (p->frozen) {
        tmk_list_push_back(&p->inbox, &d->node);
        p->inbox_count++;
    } else {
        d->arrive(d);
    }
}

void sim_process_freeze(sim_process *p) {
    p->frozen = true;
    sim_cancel(p->kernel, &p->unpack);
}

void sim_process_wake(sim_process *p) {
    p->frozen = false;
    p->woken_at = p->kernel->now;
    if (p->inbox_count > 0) {
        sim_at(p->kernel, &p->unpack, p->kernel->now + tmk_rng_between(&p->rng, 0, 20) * TMK_MS);
    }
}

void sim_process_kill(sim_process *p) {
    tmk_list *node = NULL;

    p->dead = true;
    sim_cancel(p->kernel, &p->unpack);
    while ((node = tmk_list_pop_front(&p->inbox)) != NULL) {
        sim_delivery *d = tmk_container_of(node, sim_delivery, node);

        d->lost(d);
    }
    p->inbox_count = 0;
}

/* --- marks --- */

static sim_mark *marks;

void sim_mark_hit(sim_mark *mark) {
    if (mark->hits++ == 0) {
        mark->next = marks;
        marks = mark;
    }
}

void sim_marks_print(FILE *to) {
    for (const sim_mark *m = marks; m != NULL; m = m->next) {
        fprintf(to, "# mark %-40s %" PRIu64 "\n", m->name, m->hits);
    }
}
