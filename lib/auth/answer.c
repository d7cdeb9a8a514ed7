/* Token answers: see the header. */
#include "auth/answer.h"

#include <time.h>

#include <jansson.h>

#include "base/status.h"

enum { depth_max = 16, token_max = 64 * 1024 };

static const int64_t life_max_s = INT64_C(30) * 24 * 3600;

/* ---- JSON with limits ---- */

/* jansson goes down by recursion, so what is too deep never reaches it. */
static bool is_flat(tmk_slice body) {
    bool quoted = false;
    unsigned depth = 0;

    for (size_t i = 0; i < body.size; i++) {
        uint8_t c = body.bytes[i];

        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if ((c == '{' || c == '[') && ++depth > depth_max) {
            return false;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

/* An object, or NULL: too large, too deep, not JSON, something else than an object. */
static json_t *load_object(tmk_slice body) {
    json_error_t ignored;
    json_t *root;

    if (body.size == 0 || body.size > tmk_answer_max || !is_flat(body)) {
        return NULL;
    }
    root = json_loadb((const char *)body.bytes, body.size, JSON_REJECT_DUPLICATES, &ignored);
    if (!json_is_object(root)) {
        json_decref(root);
        return NULL;
    }
    return root;
}

static tmk_slice text_of(const json_t *root, const char *key) {
    const json_t *value = json_object_get(root, key);

    return tmk_slice_of(json_string_value(value), json_string_length(value));
}

/* The tree goes; the text of the token in it is overwritten first. */
static void drop(json_t *root, const char *key) {
    tmk_slice text = text_of(root, key);

    if (text.size > 0) {
        tmk_wipe((void *)(uintptr_t)text.bytes, text.size);
    }
    json_decref(root);
}

/* ---- a token ---- */

static tmk_status not_understood(tmk_error *err, const char *what) {
    return tmk_fail_retry(err, TMK_EPROTO, "token", "the answer to a token request %s", what);
}

/* An integer, a real, or either as text. */
static bool number_of(const json_t *value, int64_t *out) {
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return true;
    }
    if (json_is_real(value) && json_real_value(value) > -9e15 && json_real_value(value) < 9e15) {
        *out = (int64_t)json_real_value(value);
        return true;
    }
    return json_is_string(value) &&
           tmk_slice_int64(
               tmk_slice_trim(tmk_slice_of(json_string_value(value), json_string_length(value))),
               out);
}

/* Seconds since 1970, from a number or ISO 8601. */
static bool moment_of(const json_t *value, int64_t *out) {
    tmk_wall wall;

    if (number_of(value, out)) {
        return true;
    }
    if (json_is_string(value) &&
        tmk_iso_parse(tmk_slice_of(json_string_value(value), json_string_length(value)), &wall,
                      NULL) == TMK_OK) {
        *out = wall.us / 1000000;
        return true;
    }
    return false;
}

/* "2023-10-31 21:59:10.000000": local time without a zone. */
static bool local_moment_of(const json_t *value, int64_t *out) {
    struct tm parts = {0};
    const char *text = json_string_value(value);

    if (text == NULL || strptime(text, "%Y-%m-%d %H:%M:%S", &parts) == NULL) {
        return false;
    }
    parts.tm_isdst = -1;
    *out = (int64_t)mktime(&parts);
    return *out >= 0;
}

static int64_t clamp(int64_t seconds) {
    return seconds < 0 ? 0 : seconds > life_max_s ? life_max_s : seconds;
}

static int64_t until(int64_t moment, tmk_wall now) {
    int64_t now_s = now.us / 1000000;

    return moment < now_s ? 0 : clamp(moment - now_s);
}

static bool is_token(tmk_slice text) {
    for (size_t i = 0; i < text.size; i++) {
        if (text.bytes[i] <= ' ' || text.bytes[i] > '~') {
            return false;
        }
    }
    return text.size > 0 && text.size <= token_max;
}

/* Takes the token out of the tree. */
static tmk_status keep(const json_t *root, const char *key, int64_t life, int64_t refresh_in,
                       tmk_token_answer *out, tmk_error *err) {
    tmk_slice text = text_of(root, key);
    tmk_secret *token;

    if (!is_token(text)) {
        return not_understood(err, "holds no usable token");
    }
    token = tmk_secret_new(text);
    if (token == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "token", "no memory for a token");
    }
    out->token = token;
    out->life = life * TMK_SEC;
    out->refresh_in = refresh_in * TMK_SEC;
    return TMK_OK;
}

static bool is_bearer(const json_t *root) {
    tmk_slice type = text_of(root, "token_type");

    return type.size == 0 || tmk_slice_eq_nocase(type, TMK_LIT("Bearer"));
}

static bool life_of(const json_t *root, tmk_wall now, int64_t *life) {
    int64_t number;

    if (number_of(json_object_get(root, "expires_in"), &number)) {
        *life = clamp(number);
        return true;
    }
    if (moment_of(json_object_get(root, "expires_on"), &number)) {
        *life = until(number, now);
        return true;
    }
    return false;
}

tmk_status tmk_token_answer_parse(tmk_slice body, tmk_wall now, tmk_token_answer *out,
                                  tmk_error *err) {
    json_t *root = load_object(body);
    int64_t life = 0;
    int64_t refresh_in = 0;
    tmk_status st;

    if (root == NULL) {
        return not_understood(err, "is not a JSON object");
    }
    (void)number_of(json_object_get(root, "refresh_in"), &refresh_in);
    if (!is_bearer(root)) {
        st = not_understood(err, "holds a token that is not of type Bearer");
    } else if (!life_of(root, now, &life)) {
        st = not_understood(err, "does not say when the token ends");
    } else {
        st = keep(root, "access_token", life, clamp(refresh_in), out, err);
    }
    drop(root, "access_token");
    return st;
}

tmk_status tmk_cli_answer_parse(tmk_slice body, tmk_wall now, tmk_token_answer *out,
                                tmk_error *err) {
    json_t *root = load_object(body);
    int64_t moment = 0;
    tmk_status st;

    if (root == NULL) {
        return not_understood(err, "by the Azure CLI is not a JSON object");
    }
    if (!number_of(json_object_get(root, "expires_on"), &moment) &&
        !local_moment_of(json_object_get(root, "expiresOn"), &moment)) {
        st = not_understood(err, "by the Azure CLI does not say when the token ends");
    } else {
        st = keep(root, "accessToken", until(moment, now), 0, out, err);
    }
    drop(root, "accessToken");
    return st;
}

/* ---- an error ---- */

/* One printable line: the text up to its first line break. */
static void copy_line(char *to, size_t room, tmk_slice text) {
    size_t size = 0;

    while (size < text.size && size < room - 1 && text.bytes[size] != '\r' &&
           text.bytes[size] != '\n') {
        uint8_t c = text.bytes[size];

        to[size++] = (char)(c < ' ' || c == 0x7f ? ' ' : c);
    }
    to[size] = '\0';
}

static int64_t find_code(const json_t *root, const char *text) {
    const json_t *first = json_array_get(json_object_get(root, "error_codes"), 0);
    const char *found;

    if (json_is_integer(first)) {
        return json_integer_value(first);
    }
    found = strstr(text, "AADSTS");
    return found == NULL ? 0 : strtoll(found + 6, NULL, 10);
}

void tmk_error_answer_parse(tmk_slice body, tmk_error_answer *out) {
    json_t *root = load_object(body);
    const json_t *error = json_object_get(root, "error");

    memset(out, 0, sizeof *out);
    if (json_is_object(error)) {
        copy_line(out->error, sizeof out->error, text_of(error, "code"));
        copy_line(out->text, sizeof out->text, text_of(error, "message"));
    } else {
        copy_line(out->error, sizeof out->error, text_of(root, "error"));
        copy_line(out->text, sizeof out->text, text_of(root, "error_description"));
        if (out->text[0] == '\0') {
            copy_line(out->text, sizeof out->text, text_of(root, "message"));
        }
    }
    out->code = find_code(root, out->text);
    json_decref(root);
}
