/* Handlers with a journal around them: a line when an event is handed over, one for its verdict; or
 * with a span of the user's. */
#include "run/processor.h"

static const char *verdict_name(tmk_verdict verdict) {
    static const char *const names[] = {"done", "retry", "dead_letter", "skip", "later", "stop"};

    return (unsigned)verdict < sizeof names / sizeof names[0] ? names[verdict] : "?";
}

static void write_event(tmk_processor *p, const tmk_event *e) {
    tmk_journal_write(&p->journal, "event", "partition", 's', tmk_event_partition(e), "sequence",
                      'i', tmk_event_sequence(e), NULL);
}

static void write_verdict(tmk_processor *p, const tmk_event *e, tmk_verdict verdict,
                          uint32_t attempt) {
    tmk_journal_write(&p->journal, "verdict", "partition", 's', tmk_event_partition(e), "sequence",
                      'i', tmk_event_sequence(e), "verdict", 's', verdict_name(verdict), "attempt",
                      'i', (int64_t)attempt, NULL);
}

tmk_verdict tmk_journaled_event(void *user, const tmk_event *event, tmk_delivery *delivery) {
    tmk_processor *p = user;
    tmk_verdict verdict;

    write_event(p, event);
    verdict = p->options.on_event(p->options.user, event, delivery);
    if (verdict != TMK_LATER) { /* it may be completed, and gone, by now */
        write_verdict(p, event, verdict, delivery->attempt);
    }
    return verdict;
}

tmk_verdict tmk_traced_event(void *user, const tmk_event *event, tmk_delivery *delivery) {
    tmk_processor *p = user;
    tmk_trace trace;
    bool known = tmk_event_trace(event, &trace) == TMK_OK;
    void *span = p->options.on_span_begin(p->options.user, event, delivery, known ? &trace : NULL);
    tmk_verdict verdict = tmk_journal_on(&p->journal)
                              ? tmk_journaled_event(p, event, delivery)
                              : p->options.on_event(p->options.user, event, delivery);

    p->options.on_span_end(p->options.user, span, verdict);
    return verdict;
}

void tmk_journaled_batch(void *user, const tmk_event *const *events, size_t count,
                         tmk_verdict *verdicts, tmk_delivery *delivery) {
    tmk_processor *p = user;

    for (size_t i = 0; i < count; i++) {
        write_event(p, events[i]);
    }
    p->options.on_batch(p->options.user, events, count, verdicts, delivery);
    for (size_t i = 0; i < count; i++) {
        if (verdicts[i] != TMK_LATER) {
            write_verdict(p, events[i], verdicts[i], delivery->attempt);
        }
    }
}

void tmk_journaled_thread(void *user, uint32_t index) {
    tmk_processor *p = user;

    if (p->options.on_thread != NULL) {
        p->options.on_thread(p->options.user, index);
    }
}
