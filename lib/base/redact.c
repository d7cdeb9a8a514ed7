/*
 * The last look at any text that leaves the library. It would rather hide too
 * much than too little; it works in place, since a star is never longer than
 * what it hides.
 */
#include "base/secret.h"

#include <string.h>
#include <strings.h>

/* A name, and where its value ends unless it is quoted. */
typedef struct rule {
    const char *name;
    const char *ends;
} rule;

static const char word_ends[] = "&;, \t\r\n\"'<>{}";
static const char line_ends[] = ";\r\n\"'"; /* the value has blanks, commas and '&' of its own */

static const rule rules[] = {
    {"SharedAccessSignature", line_ends},
    {"Authorization", line_ends},
    {"SharedAccessKey", word_ends},
    {"AccountKey", word_ends},
    {"sig", word_ends},
    {"client_secret", word_ends},
    {"client_assertion", word_ends},
    {"access_token", word_ends},
    {"refresh_token", word_ends},
    {"id_token", word_ends},
    {"password", word_ends},
    {"X-IDENTITY-HEADER", word_ends},
};

static const char *skip(const char *text, const char *chars) {
    return text + strspn(text, chars);
}

/* "name=", "name: ", "\"name\" : \"", "name%3D": where the value begins; NULL: not this name. */
static const char *after_name(const char *text, const char *name) {
    size_t size = strlen(name);

    if (strncasecmp(text, name, size) != 0) {
        return NULL;
    }
    text += size;
    if (strncasecmp(text, "%3D", 3) == 0) {
        return text + 3;
    }
    text = skip(text, "\\\"' \t");
    if (*text != '=' && *text != ':') {
        return NULL;
    }
    return skip(text + 1, " \t");
}

static size_t value_size(const char *value, const char *ends) {
    size_t size = strcspn(value, ends);
    const char *encoded = strstr(value, "%26");

    return encoded != NULL && (size_t)(encoded - value) < size ? (size_t)(encoded - value) : size;
}

/* A value in quotes ends with them, whatever it holds. */
static const char *find_value(const char *value, const char *ends, size_t *size) {
    size_t escaped = strspn(value, "\\");

    if (value[escaped] == '"' || value[escaped] == '\'') {
        const char quotes[] = {value[escaped], '\0'};

        value += escaped + 1;
        *size = strcspn(value, quotes);
    } else {
        *size = value_size(value, ends);
    }
    return value;
}

static const char *find_named(const char *text, size_t *size) {
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const char *value = after_name(text, rules[i].name);

        if (value != NULL) {
            return find_value(value, rules[i].ends, size);
        }
    }
    if (strncasecmp(text, "Bearer ", 7) == 0) {
        return find_value(skip(text + 7, " "), word_ends, size);
    }
    return NULL;
}

/* The password in "scheme://user:password@host". */
static const char *find_url_password(const char *text, size_t *size) {
    const char *colon = NULL;
    const char *at = NULL;

    if (strncmp(text, "://", 3) != 0) {
        return NULL;
    }
    text += 3;
    for (const char *c = text; *c != '\0' && strchr("/ \t\r\n\"'", *c) == NULL; c++) {
        colon = *c == ':' && colon == NULL ? c : colon;
        at = *c == '@' ? c : at;
    }
    if (colon == NULL || at == NULL || at < colon) {
        return NULL;
    }
    *size = (size_t)(at - colon - 1);
    return colon + 1;
}

/* A signed token: its first part is base64url of {"... and more follow after points. */
static const char *find_jwt(const char *text, size_t *size) {
    if (strncmp(text, "eyJ", 3) != 0) {
        return NULL;
    }
    *size = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.");
    return memchr(text, '.', *size) == NULL ? NULL : text;
}

void tmk_redact(char *text) {
    char *to = text;
    const char *from = text;

    while (from != NULL && *from != '\0') {
        size_t size = 0;
        const char *value = find_named(from, &size);

        value = value != NULL ? value : find_url_password(from, &size);
        value = value != NULL ? value : find_jwt(from, &size);
        if (value == NULL) {
            *to++ = *from++;
            continue;
        }
        memmove(to, from, (size_t)(value - from));
        to += value - from;
        for (size_t star = 0; star < 3 && star < size; star++) {
            *to++ = '*';
        }
        from = value + size;
    }
    if (text != NULL) {
        *to = '\0';
    }
}
