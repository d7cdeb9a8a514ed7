/* Finding a condition's row, and what the place makes of it. See condition.h. */
#include "amqp/condition.h"

#include <string.h>

#include "base/status.h"

static const tmk_condition table[] = {
#define X(name, reaction, status, retryable, wait, means, todo) \
    {name, TMK_REACTION_##reaction, TMK_##status, retryable, wait, means, todo},
    TMK_CONDITION_MAP(X)
#undef X
};

enum { COUNT = sizeof table / sizeof *table };

const tmk_condition *tmk_condition_table(size_t *count) {
    *count = COUNT;
    return table;
}

static const tmk_condition *row(const char *name) {
    for (size_t i = 0; i + 1 < COUNT; i++) {
        if (strcmp(table[i].name, name) == 0) {
            return &table[i];
        }
    }
    return &table[COUNT - 1];
}

static bool contains(const char *text, const char *fragment) {
    return strcasestr(text, fragment) != NULL;
}

/* The service says not-found for what does not exist, and now and then for what it cannot find just
 * now; only the words differ. */
static bool says_missing(const char *text) {
    return (contains(text, "messaging entity") && contains(text, "could not be found")) ||
           contains(text, "status-code: 404");
}

/* Few conditions mean different things by place or text. */
static const char *variant(tmk_condition_at at, const char *name, const char *text) {
    if (at == TMK_AT_LOCAL && strcmp(name, "amqp:resource-limit-exceeded") == 0 &&
        contains(text, "local-idle-timeout")) {
        return "local idle-timeout";
    }
    if (strcmp(name, "amqp:not-found") == 0 && at != TMK_AT_CALL && !says_missing(text)) {
        return "amqp:not-found (passing)";
    }
    if (strcmp(name, "com.microsoft:argument-error") == 0 && at == TMK_AT_LINK) {
        return "com.microsoft:argument-error (attach)";
    }
    if (strcmp(name, "amqp:not-allowed") == 0 && at == TMK_AT_CALL) {
        return "amqp:not-allowed (call)";
    }
    return name;
}

/* What has been closed must be made anew, however mild the reason. */
static tmk_reaction at_least(tmk_reaction reaction, tmk_condition_at at) {
    tmk_reaction least = TMK_REACTION_RETRY;

    if (at == TMK_AT_CONNECTION || at == TMK_AT_LOCAL) {
        least = TMK_REACTION_CONNECTION;
    } else if (at == TMK_AT_LINK || at == TMK_AT_SESSION) {
        least = TMK_REACTION_LINK;
    }
    return reaction < least ? least : reaction;
}

tmk_judgement tmk_condition_judge(tmk_condition_at at, const char *name, const char *description,
                                  tmk_error *out) {
    const char *text = description == NULL ? "" : description;
    bool known = name != NULL && strchr(name, ' ') == NULL; /* the names of variants are ours */
    const tmk_condition *c = row(known ? variant(at, name, text) : "");
    tmk_judgement v = {c, at_least(c->reaction, at), c->wait};
    const char *origin = name == NULL || *name == '\0' ? "amqp" : name;

    (void)(c->retryable ? tmk_fail_retry : tmk_fail)(out, c->status, origin, "%s",
                                                     *text == '\0' ? c->means : text);
    return v;
}

const char *tmk_condition_of_code(int64_t code) {
    static const struct {
        int code;
        const char *name;
    } codes[] = {
        {400, "com.microsoft:argument-error"}, {401, "amqp:unauthorized-access"},
        {403, "amqp:resource-limit-exceeded"}, {404, "amqp:not-found"},
        {408, "com.microsoft:timeout"},        {410, "amqp:link:stolen"},
        {429, "com.microsoft:server-busy"},    {500, "amqp:internal-error"},
        {501, "amqp:not-implemented"},         {503, "com.microsoft:server-busy"},
    };

    if (code >= 200 && code < 300) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (codes[i].code == code) {
            return codes[i].name;
        }
    }
    return "";
}

const char *tmk_reaction_name(tmk_reaction reaction) {
    static const char *const names[] = {
        "retry", "new link", "new connection", "new token", "position policy", "give up", "fatal"};

    return (unsigned)reaction < sizeof names / sizeof *names ? names[reaction] : "?";
}
