/* Drawing on a terminal. See view.h. */
#include "view.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Second screen, cursor hidden; and back. */
static const char enter[] = "\x1b[?1049h\x1b[?25l\x1b[2J";
static const char leave[] = "\x1b[?25h\x1b[?1049l";

static volatile sig_atomic_t standing;
static int wake_fd = -1;

/* ---- text ---- */

/* The bytes of the UTF-8 character at `at`; 0: none, or a control character. */
static size_t character(const char *at) {
    const unsigned char *c = (const unsigned char *)at;
    size_t size = c[0] < 0x80 ? 1 : (c[0] & 0xe0) == 0xc0 ? 2 : (c[0] & 0xf0) == 0xe0 ? 3 : 4;

    if (c[0] < ' ' || c[0] == 0x7f || (c[0] >= 0x80 && c[0] < 0xc2) || c[0] > 0xf4) {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        if ((c[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if (size == 2 && c[0] == 0xc2 && c[1] < 0xa0) {
        return 0; /* the second set of control characters */
    }
    /* Marks that change the direction of writing would let a name rearrange its line. */
    if (size == 3 && c[0] == 0xe2 && c[1] == 0x80 &&
        ((c[2] >= 0xaa && c[2] <= 0xae) || c[2] == 0x8e || c[2] == 0x8f)) {
        return 0;
    }
    return size;
}

static unsigned put(cli_buffer *b, const char *text, unsigned columns) {
    unsigned used = 0;

    for (; *text != '\0' && used < columns; used++) {
        size_t size = character(text);

        cli_add(b, size == 0 ? "." : text, size == 0 ? 1 : size);
        text += size == 0 ? 1 : size;
    }
    return used;
}

void cli_view_text(cli_buffer *b, const char *text, unsigned columns) {
    (void)put(b, text, columns);
}

void cli_view_cell(cli_buffer *b, const char *text, unsigned columns) {
    for (unsigned used = put(b, text, columns); used < columns; used++) {
        cli_add_text(b, " ");
    }
}

const char *cli_span(int64_t ms, char *out, size_t room) {
    if (ms < 0) {
        (void)snprintf(out, room, "-");
    } else if (ms < 120000) {
        (void)snprintf(out, room, "%.1f s", (double)ms / 1e3);
    } else if (ms < 7200000) {
        (void)snprintf(out, room, "%" PRId64 " min", ms / 60000);
    } else if (ms < INT64_C(172800000)) {
        (void)snprintf(out, room, "%.1f h", (double)ms / 3600e3);
    } else {
        (void)snprintf(out, room, "%.1f d", (double)ms / 86400e3);
    }
    return out;
}

/* ---- a picture ---- */

/* Bytes of a style like "\x1b[1m" at `at`; 0: there is none. */
static size_t style(const char *at, const char *end) {
    const char *c = at + 2;

    if (end - at < 3 || at[0] != '\x1b' || at[1] != '[') {
        return 0;
    }
    while (c < end && ((*c >= '0' && *c <= '9') || *c == ';')) {
        c++;
    }
    return c < end && *c == 'm' ? (size_t)(c - at) + 1 : 0;
}

/* One line, cut to the window. */
static void put_line(cli_buffer *out, const char *at, const char *end, unsigned columns) {
    unsigned used = 0;

    while (at < end) {
        size_t size = style(at, end);

        if (size == 0) {
            size = character(at);
            size = size == 0 || size > (size_t)(end - at) ? 1 : size;
            if (++used > columns) {
                break;
            }
            if (character(at) == 0) {
                cli_add_text(out, ".");
                at++;
                continue;
            }
        }
        cli_add(out, at, size);
        at += size;
    }
    cli_add_text(out, "\x1b[0m\x1b[K");
}

void cli_view_compose(const cli_buffer *picture, cli_window window, cli_buffer *out) {
    const char *at = picture->text, *end = at + picture->size;
    unsigned row = 0;

    cli_add_text(out, "\x1b[?2026h\x1b[H"); /* shown as a whole, where the terminal knows that */
    while (at < end && row < window.rows) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));

        stop = stop == NULL ? end : stop;
        if (row++ > 0) {
            cli_add_text(out, "\r\n");
        }
        put_line(out, at, stop, window.columns);
        at = stop + 1;
    }
    cli_add_text(out, "\x1b[J\x1b[?2026l");
}

/* ---- the terminal ---- */

static void write_all(const char *text, size_t size) {
    while (size > 0) {
        ssize_t n = write(STDOUT_FILENO, text, size);

        if (n < 0 && errno != EINTR) {
            return; /* nobody looks */
        }
        text += n < 0 ? 0 : n;
        size -= n < 0 ? 0 : (size_t)n;
    }
}

bool cli_view_possible(void) {
    const char *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0;
}

cli_window cli_view_window(void) {
    struct winsize size = {0};

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0) {
        return (cli_window){24, 80};
    }
    return (cli_window){size.ws_row, size.ws_col};
}

static void on_resize(int number) {
    int saved = errno;

    (void)number;
    if (write(wake_fd, "r", 1) < 0) {
        /* The pipe is full: a picture is due anyway. */
    }
    errno = saved;
}

void cli_view_begin(int fd) {
    struct sigaction action = {.sa_handler = on_resize, .sa_flags = SA_RESTART};

    wake_fd = fd;
    sigaction(SIGWINCH, &action, NULL);
    standing = 1;
    write_all(enter, sizeof enter - 1);
}

void cli_view_draw(const cli_buffer *picture, cli_window window) {
    cli_buffer out = {NULL, 0, 0, false};

    cli_view_compose(picture, window, &out);
    if (!out.failed) {
        write_all(out.text, out.size);
    }
    cli_free(&out);
}

void cli_view_restore(void) {
    if (standing) {
        standing = 0;
        write_all(leave, sizeof leave - 1);
    }
}
