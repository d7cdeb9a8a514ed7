/* Trace context in events and messages. See tidemark/trace.h. */
#include "eventhubs/trace.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"

enum { PARENT_SIZE = 55 };

/* `count` lower-case hex digits, not all of them '0' where that is forbidden. */
static bool is_hex(const uint8_t *at, size_t count, bool zero_ok) {
    bool zero = true;

    for (size_t i = 0; i < count; i++) {
        if (!((at[i] >= '0' && at[i] <= '9') || (at[i] >= 'a' && at[i] <= 'f'))) {
            return false;
        }
        zero = zero && at[i] == '0';
    }
    return zero_ok || !zero;
}

/* Versions to come may say more behind the four fields; of these we take the four. */
static bool is_parent(tmk_slice s) {
    bool first_version;

    if (s.size < PARENT_SIZE || !is_hex(s.bytes, 2, true) || memcmp(s.bytes, "ff", 2) == 0) {
        return false;
    }
    first_version = memcmp(s.bytes, "00", 2) == 0;
    if (s.size > PARENT_SIZE && (first_version || s.bytes[PARENT_SIZE] != '-')) {
        return false;
    }
    return s.bytes[2] == '-' && is_hex(s.bytes + 3, 32, false) && s.bytes[35] == '-' &&
           is_hex(s.bytes + 36, 16, false) && s.bytes[52] == '-' && is_hex(s.bytes + 53, 2, true);
}

bool tmk_trace_is_parent(const char *text) {
    return text != NULL && is_parent(tmk_slice_str(text));
}

static bool is_text(const tmk_value *v) {
    return v->kind == TMK_VALUE_STRING || v->kind == TMK_VALUE_SYMBOL;
}

static bool is_printable(tmk_slice s) {
    for (size_t i = 0; i < s.size; i++) {
        if (s.bytes[i] < ' ' || s.bytes[i] > '~') {
            return false;
        }
    }
    return true;
}

tmk_status tmk_event_trace(const tmk_event *e, tmk_trace *out) {
    static const char *const names[] = {"traceparent", "Diagnostic-Id"};
    tmk_value state = tmk_event_property(e, "tracestate");

    out->parent[0] = out->state[0] = '\0';
    for (size_t i = 0; i < 2 && out->parent[0] == '\0'; i++) {
        tmk_value v = tmk_event_property(e, names[i]);
        if (is_text(&v) && is_parent(v.bytes)) {
            memcpy(out->parent, v.bytes.bytes, PARENT_SIZE);
            out->parent[PARENT_SIZE] = '\0';
        }
    }
    if (out->parent[0] == '\0') {
        return TMK_ABSENT;
    }
    if (is_text(&state) && state.bytes.size <= TMK_TRACE_STATE_MAX && is_printable(state.bytes)) {
        (void)snprintf(out->state, sizeof out->state, "%.*s", (int)state.bytes.size,
                       (const char *)state.bytes.bytes);
    }
    return TMK_OK;
}

tmk_status tmk_message_set_trace(tmk_message *m, const tmk_trace *trace, tmk_error *err) {
    tmk_status st = TMK_OK;

    if (trace->parent[0] == '\0') {
        return TMK_OK;
    }
    if (!tmk_trace_is_parent(trace->parent)) {
        return tmk_fail(err, TMK_EINVAL, "trace", "this is no traceparent: '%.55s'", trace->parent);
    }
    st = tmk_message_set_text(m, "traceparent", trace->parent, err);
    if (st == TMK_OK) {
        st = tmk_message_set_text(m, "Diagnostic-Id", trace->parent, err);
    }
    if (st == TMK_OK && trace->state[0] != '\0') {
        st = tmk_message_set_text(m, "tracestate", trace->state, err);
    }
    return st;
}

size_t tmk_trace_extras(const tmk_trace *trace, tmk_compose_extra out[3]) {
    size_t count = 0;

    if (!tmk_trace_is_parent(trace->parent)) {
        return 0; /* a broken trace must not keep an event from being sent */
    }
    out[count++] = (tmk_compose_extra){"traceparent", trace->parent};
    out[count++] = (tmk_compose_extra){"Diagnostic-Id", trace->parent};
    if (trace->state[0] != '\0') {
        out[count++] = (tmk_compose_extra){"tracestate", trace->state};
    }
    return count;
}
