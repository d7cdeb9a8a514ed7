/* The newest of what can be seen. See seen.h. */
#include "seen.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

int64_t cli_monotonic_ms(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void cli_seen_init(cli_seen *s, const tmk_log *inner) {
    memset(s, 0, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    s->inner = *inner;
    s->begun_ms = cli_monotonic_ms();
}

void cli_seen_clear(cli_seen *s) {
    s->last = tmk_stats_free(s->last);
    pthread_mutex_destroy(&s->lock);
}

void cli_seen_put(cli_seen *s, const tmk_stats *stats) {
    tmk_stats *before;

    pthread_mutex_lock(&s->lock);
    before = s->last;
    s->last = tmk_stats_keep(stats);
    s->heard_ms = cli_monotonic_ms();
    pthread_mutex_unlock(&s->lock);
    tmk_stats_free(before);
}

void cli_seen_stopping(cli_seen *s) {
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_mutex_unlock(&s->lock);
}

tmk_stats *cli_seen_take(cli_seen *s, int64_t *age_ms, bool *stopping) {
    tmk_stats *last;

    pthread_mutex_lock(&s->lock);
    last = s->last == NULL ? NULL : tmk_stats_keep(s->last);
    *age_ms = cli_monotonic_ms() - (last == NULL ? s->begun_ms : s->heard_ms);
    *stopping = s->stopping;
    pthread_mutex_unlock(&s->lock);
    return last;
}

static void remember(cli_seen *s, tmk_log_level level, const char *event, const char *fields) {
    struct timespec now;
    cli_recent *r;

    clock_gettime(CLOCK_REALTIME, &now);
    pthread_mutex_lock(&s->lock);
    r = &s->recent[s->recent_count++ % CLI_RECENT_MAX];
    r->t_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    r->level = level;
    (void)snprintf(r->event, sizeof r->event, "%s", event);
    (void)snprintf(r->fields, sizeof r->fields, "%s", fields);
    pthread_mutex_unlock(&s->lock);
}

static void on_line(void *self, tmk_log_level level, const char *event, const char *fields) {
    cli_seen *s = self;

    if (level <= TMK_LOG_INFO) {
        remember(s, level, event, fields);
    }
    if (level <= s->inner.level && s->inner.write != NULL &&
        !(s->problems_elsewhere && strcmp(event, "processor.problem") == 0)) {
        s->inner.write(s->inner.self, level, event, fields);
    }
}

tmk_log cli_seen_log(cli_seen *s) {
    return (tmk_log){.write = on_line,
                     .self = s,
                     .level = s->inner.level > TMK_LOG_INFO ? s->inner.level : TMK_LOG_INFO};
}

size_t cli_seen_recent(cli_seen *s, cli_recent *out, size_t room) {
    size_t count;

    pthread_mutex_lock(&s->lock);
    count = s->recent_count < CLI_RECENT_MAX ? (size_t)s->recent_count : CLI_RECENT_MAX;
    count = count < room ? count : room;
    for (size_t i = 0; i < count; i++) {
        out[i] = s->recent[(s->recent_count - 1 - i) % CLI_RECENT_MAX];
    }
    pthread_mutex_unlock(&s->lock);
    return count;
}
