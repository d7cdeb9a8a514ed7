/* What consume shows on a terminal. See live.h. */
#include "live.h"

#include "status_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SPAN = 24, TAIL_MIN = 4 };

#define BOLD "\x1b[1m"
#define DIM "\x1b[2m"
#define RED "\x1b[31m"
#define YELLOW "\x1b[33m"
#define GREEN "\x1b[32m"
#define PLAIN "\x1b[0m"

static double seconds_between(const cli_live_input *in) {
    return in->before == NULL ? 0
                              : (double)(tmk_stats_about_get(in->now)->taken_ms -
                                         tmk_stats_about_get(in->before)->taken_ms) /
                                    1e3;
}

/* "-" until there are two looks. */
static const char *rate(uint64_t now, uint64_t before, double seconds, char *out, size_t room) {
    if (seconds <= 0) {
        (void)snprintf(out, room, "-");
    } else {
        double r = now >= before ? (double)(now - before) / seconds : 0;
        (void)snprintf(out, room, r > 0 && r < 10 ? "%.1f" : "%.0f", r);
    }
    return out;
}

static void put_head(const cli_live_input *in, cli_buffer *b) {
    const tmk_stats_about *a = tmk_stats_about_get(in->now);
    const tmk_processor_stats *p = tmk_stats_processor(in->now);
    char up[SPAN];

    cli_add_text(b, BOLD "tidemark consume" PLAIN "  ");
    cli_view_text(b, a->hub, 60);
    cli_add_text(b, " · ");
    cli_view_text(b, a->group, 60);
    cli_add_text(b, "  " DIM);
    cli_view_text(b, a->owner_id, 60);
    cli_addf(b, ", %u instance%s, up %s" PLAIN "  %s\n", p->members, p->members == 1 ? "" : "s",
             cli_span(p->uptime_ms, up, sizeof up),
             in->stopping || p->stopping ? YELLOW "stopping" PLAIN
             : p->breaker                ? YELLOW "intake pauses" PLAIN
             : p->fenced                 ? RED "fenced" PLAIN
             : p->started                ? GREEN "ready" PLAIN
                                         : DIM "starting" PLAIN);
}

typedef struct sums {
    int64_t lag_events, age_ms, to_loss_ms;
} sums;

/* Of what is known; -1: nothing is. */
static sums add_up(const tmk_stats *s) {
    sums all = {-1, -1, -1};

    for (size_t i = 0; i < tmk_stats_partition_count(s); i++) {
        const tmk_lag *l = &tmk_stats_partition(s, i)->lag;

        if (l->events >= 0) {
            all.lag_events = (all.lag_events < 0 ? 0 : all.lag_events) + l->events;
        }
        all.age_ms = l->age_ms > all.age_ms ? l->age_ms : all.age_ms;
        if (l->to_loss_ms >= 0 && (all.to_loss_ms < 0 || l->to_loss_ms < all.to_loss_ms)) {
            all.to_loss_ms = l->to_loss_ms;
        }
    }
    return all;
}

static void put_totals(const cli_live_input *in, cli_buffer *b) {
    const tmk_processor_stats *p = tmk_stats_processor(in->now);
    sums all = add_up(in->now);
    char r[SPAN], age[SPAN], loss[SPAN], lag[SPAN] = "-";

    if (all.lag_events >= 0) {
        (void)snprintf(lag, sizeof lag, "%" PRId64, all.lag_events);
    }
    cli_addf(b, BOLD "%s" PLAIN " events/s   " BOLD "%s" PLAIN " behind   oldest " BOLD "%s" PLAIN,
             rate(p->events, in->before == NULL ? 0 : tmk_stats_processor(in->before)->events,
                  seconds_between(in), r, sizeof r),
             lag, cli_span(all.age_ms, age, sizeof age));
    if (all.to_loss_ms >= 0) {
        cli_addf(b, "   data loss in " BOLD "%s" PLAIN,
                 cli_span(all.to_loss_ms, loss, sizeof loss));
    }
    cli_addf(b,
             "   %u in hand   %u handlers busy   %" PRIu64 " final   %s%" PRIu64 " problem%s" PLAIN
             "\n\n",
             p->held_events, p->handlers_busy, p->events, p->problems > 0 ? YELLOW : "",
             p->problems, p->problems == 1 ? "" : "s");
}

static void put_number(cli_buffer *b, int64_t value, unsigned columns) {
    if (value < 0) {
        cli_addf(b, "%*s", (int)columns, "-");
    } else {
        cli_addf(b, "%*" PRId64, (int)columns, value);
    }
}

static const char *state_of(const tmk_partition_state *p, const char **colour) {
    *colour = "";
    if (!p->own) {
        *colour = p->owner[0] == '\0' ? YELLOW : DIM;
        return p->owner[0] == '\0' ? "nobody's" : "elsewhere";
    }
    if (p->paused) {
        *colour = YELLOW;
        return "paused";
    }
    *colour = p->progress == TMK_PROGRESS_OK                                               ? GREEN
              : p->progress == TMK_PROGRESS_STALLED || p->progress == TMK_PROGRESS_STOPPED ? RED
              : p->progress == TMK_PROGRESS_STARTING                                       ? DIM
                                                                                           : YELLOW;
    return cli_progress_name(p->progress);
}

static const tmk_partition_state *same(const tmk_stats *s, const char *partition) {
    for (size_t i = 0; s != NULL && i < tmk_stats_partition_count(s); i++) {
        if (strcmp(tmk_stats_partition(s, i)->partition, partition) == 0) {
            return tmk_stats_partition(s, i);
        }
    }
    return NULL;
}

/* In a narrow window what is least wanted goes: sequence numbers, then the ends of owners. */
typedef struct widths {
    unsigned owner;
    bool sequences;
} widths;

static widths widths_for(cli_window window) {
    return window.columns >= 114  ? (widths){26, true}
           : window.columns >= 88 ? (widths){26, false}
                                  : (widths){18, false};
}

static void put_partition(const cli_live_input *in, const tmk_partition_state *p, cli_buffer *b) {
    const tmk_partition_state *before = same(in->before, p->partition);
    widths w = widths_for(in->window);
    const char *colour;
    const char *state = state_of(p, &colour);
    char r[SPAN] = "-", age[SPAN], loss[SPAN];

    if (p->own && before != NULL) {
        (void)rate(p->total_events, before->total_events, seconds_between(in), r, sizeof r);
    }
    cli_add_text(b, p->own ? BOLD : DIM);
    cli_view_cell(b, p->partition, 10);
    cli_add_text(b, p->own ? PLAIN : "");
    cli_view_cell(b, p->owner[0] == '\0' ? "-" : p->owner, w.owner);
    cli_addf(b, " %s%-10s" PLAIN "%s%9s", colour, state, p->own ? "" : DIM, r);
    if (w.sequences) {
        put_number(b, p->checkpoint_sequence, 13);
        put_number(b, p->lag.last_sequence, 13);
    }
    put_number(b, p->lag.events, 10);
    cli_addf(b, "%10s%12s" PLAIN "\n", cli_span(p->lag.age_ms, age, sizeof age),
             cli_span(p->lag.to_loss_ms, loss, sizeof loss));
}

/* Own partitions first, as many as there are rows for. */
static void put_partitions(const cli_live_input *in, unsigned rows, cli_buffer *b) {
    size_t count = tmk_stats_partition_count(in->now), shown = 0;
    widths w = widths_for(in->window);

    cli_addf(b, DIM "%-10s%-*s %-10s%9s", "partition", (int)w.owner, "owner", "state", "rate");
    if (w.sequences) {
        cli_addf(b, "%13s%13s", "checkpoint", "newest");
    }
    cli_addf(b, "%10s%10s%12s" PLAIN "\n", "behind", "lag time", "time to loss");
    rows -= count > rows;
    for (int own = 1; own >= 0; own--) {
        for (size_t i = 0; i < count && shown < rows; i++) {
            if (tmk_stats_partition(in->now, i)->own == own) {
                put_partition(in, tmk_stats_partition(in->now, i), b);
                shown++;
            }
        }
    }
    if (shown < count) {
        cli_addf(b, DIM "and %zu more" PLAIN "\n", count - shown);
    }
}

static void put_recent(const cli_live_input *in, unsigned rows, cli_buffer *b) {
    for (unsigned i = rows < in->recent_count ? rows : (unsigned)in->recent_count; i-- > 0;) {
        const cli_recent *r = &in->recent[i];
        time_t at = (time_t)(r->t_ms / 1000);
        struct tm t = {0};
        char clock[16];

        (void)localtime_r(&at, &t);
        (void)strftime(clock, sizeof clock, "%H:%M:%S", &t);
        cli_addf(b, DIM "%s" PLAIN " %s", clock, r->level <= TMK_LOG_WARN ? YELLOW : "");
        cli_view_text(b, r->event, 40);
        cli_add_text(b, PLAIN " " DIM);
        cli_view_text(b, r->fields, in->window.columns);
        cli_add_text(b, PLAIN "\n");
    }
}

static void put_events(const cli_live_input *in, unsigned rows, cli_buffer *b) {
    for (unsigned i = rows < in->event_count ? rows : (unsigned)in->event_count; i-- > 0;) {
        cli_view_text(b, in->events[i], in->window.columns);
        cli_add_text(b, "\n");
    }
}

void cli_live_picture(const cli_live_input *in, cli_buffer *out) {
    unsigned left = in->window.rows > 4 ? in->window.rows - 4 : 0; /* head, totals, blank, titles */
    unsigned partitions, tail;

    if (in->now == NULL) {
        cli_add_text(out, BOLD "tidemark consume" PLAIN "  " DIM "connecting" PLAIN "\n");
        return;
    }
    partitions = (unsigned)tmk_stats_partition_count(in->now);
    if (partitions + 2 * TAIL_MIN > left) { /* what happened keeps some lines when there is room */
        partitions = left > 2 * TAIL_MIN + 2 ? left - 2 * TAIL_MIN : left;
    }
    left -= partitions < left ? partitions : left;
    tail = in->event_count > 0 ? left / 2 : 0;
    put_head(in, out);
    put_totals(in, out);
    put_partitions(in, partitions, out);
    if (left - tail > 2) {
        cli_add_text(out, "\n");
        put_recent(in, left - tail - 1, out);
    }
    if (tail > 2) {
        cli_add_text(out, "\n");
        put_events(in, tail - 1, out);
    }
}

/* ---- the view ---- */

enum { DRAW_EVERY_MS = 1000 };

cli_live *cli_live_begin(cli_seen *seen, int wake_fd) {
    cli_live *l = calloc(1, sizeof *l);

    if (l != NULL) {
        l->seen = seen;
        pthread_mutex_init(&l->lock, NULL);
        cli_view_begin(wake_fd);
    }
    return l;
}

cli_live *cli_live_end(cli_live *l) {
    if (l != NULL) {
        cli_view_restore();
        tmk_stats_free(l->now);
        tmk_stats_free(l->before);
        pthread_mutex_destroy(&l->lock);
        free(l);
    }
    return NULL;
}

void cli_live_event(cli_live *l, const char *line, size_t size) {
    pthread_mutex_lock(&l->lock);
    (void)snprintf(l->tail[l->tail_count++ % CLI_TAIL_MAX], CLI_TAIL_TEXT, "%.*s",
                   (int)strcspn(line, "\n") < (int)size ? (int)strcspn(line, "\n") : (int)size,
                   line);
    pthread_mutex_unlock(&l->lock);
}

/* Keeps the look before the newest, for rates. */
static bool look(cli_live *l) {
    int64_t age_ms;
    bool stopping;
    tmk_stats *newest = cli_seen_take(l->seen, &age_ms, &stopping);

    if (newest == NULL || newest == l->now) {
        tmk_stats_free(newest);
        return stopping;
    }
    tmk_stats_free(l->before);
    l->before = l->now;
    l->now = newest;
    return stopping;
}

static void draw(cli_live *l) {
    cli_recent recent[CLI_RECENT_MAX];
    char tail[CLI_TAIL_MAX][CLI_TAIL_TEXT];
    const char *events[CLI_TAIL_MAX];
    cli_live_input in = {.window = cli_view_window(), .recent = recent, .events = events};
    cli_buffer picture = {NULL, 0, 0, false};

    in.stopping = look(l);
    in.now = l->now;
    in.before = l->before;
    in.recent_count = cli_seen_recent(l->seen, recent, CLI_RECENT_MAX);
    pthread_mutex_lock(&l->lock);
    in.event_count = l->tail_count < CLI_TAIL_MAX ? (size_t)l->tail_count : CLI_TAIL_MAX;
    for (size_t i = 0; i < in.event_count; i++) {
        memcpy(tail[i], l->tail[(l->tail_count - 1 - i) % CLI_TAIL_MAX], CLI_TAIL_TEXT);
        events[i] = tail[i];
    }
    pthread_mutex_unlock(&l->lock);
    cli_live_picture(&in, &picture);
    if (!picture.failed) {
        cli_view_draw(&picture, in.window);
    }
    cli_free(&picture);
}

int64_t cli_live_draw(cli_live *l, bool at_once) {
    int64_t now_ms = cli_monotonic_ms();

    if (at_once || now_ms >= l->draw_at_ms) {
        draw(l);
        l->draw_at_ms = now_ms + DRAW_EVERY_MS;
    }
    return l->draw_at_ms - now_ms;
}
