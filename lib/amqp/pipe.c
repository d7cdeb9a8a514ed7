/*
 * Bytes of a connection: stream <-> gate <-> engine.
 *
 * Where receivers have data lanes (lane.h), most bytes never get to the engine:
 * they are read into a buffer of the connection, the gate takes from there. Without lanes
 * bytes are read into the engine's own buffer and shown to the gate there; only
 * what follows the last whole frame is kept aside until the next read. What the stream does not
 * take at once is kept in `out`; the engine is asked for nothing more until that is gone.
 */
#include "amqp/engine.h"

#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

enum {
    READ_SIZE = 65536,
    IN_ROOM = READ_SIZE + TMK_AMQP_FRAME_MAX,
    READS_PER_TURN = 8,            /* then others get their turn */
    SIGN_MS = 1000,                /* well within any idle time-out */
    MESSAGE_MAX = 64 * 1024 * 1024 /* links have limits of their own, below this */
};

tmk_status tmk_amqp_pipe_init(tmk_amqp *a, tmk_error *err) {
    const tmk_gate_options o = {
        .sasl = true, .frame_max = TMK_AMQP_FRAME_MAX, .message_max = MESSAGE_MAX};

    a->in = tmk_alloc(IN_ROOM);
    if (a->in == NULL) {
        return tmk_fail(err, TMK_ENOMEM, "amqp", "no memory for a connection");
    }
    return tmk_gate_new(&o, &a->gate, err);
}

void tmk_amqp_pipe_clear(tmk_amqp *a) {
    a->gate = tmk_gate_free(a->gate);
    tmk_free(a->in);
    a->in = NULL;
    tmk_str_clear(&a->out);
}

/* ---- reading ---- */

/* What is being put into the engine's buffer. */
typedef struct feed {
    tmk_amqp *a;
    pn_rwbytes_t room;
    size_t used;
} feed;

static void feed_flush(feed *f) {
    if (f->used > 0) {
        pn_connection_driver_read_done(&f->a->driver, f->used);
        f->used = 0;
    }
}

/* A partial frame may fill what was asked for; only when nothing more is to be had it is closed. */
static bool feed_room(feed *f) {
    if (f->used < f->room.size) {
        return true;
    }
    feed_flush(f);
    f->room = pn_connection_driver_read_buffer_sized(&f->a->driver, READ_SIZE);
    if (f->room.size == 0) {
        f->room = pn_connection_driver_read_buffer(&f->a->driver);
    }
    return f->room.size > 0;
}

/* false: the engine takes no more. */
static bool feed_bytes(feed *f, tmk_slice bytes) {
    while (bytes.size > 0 && feed_room(f)) {
        size_t n = f->room.size - f->used;

        n = n < bytes.size ? n : bytes.size;
        memcpy(f->room.start + f->used, bytes.bytes, n);
        f->used += n;
        bytes = tmk_slice_from(bytes, n);
    }
    return bytes.size == 0;
}

/* Lets whole frames of a->in through the gate; keeps the rest. */
static void feed_from_in(tmk_amqp *a) {
    feed f = {.a = a};
    tmk_slice rest = tmk_slice_of(a->in, a->in_size), pass;
    size_t taken;
    tmk_error err;
    tmk_status st;

    do {
        taken = 0;
        st = tmk_gate_in(a->gate, rest, &taken, &pass, &err);
        if (st == TMK_OK) {
            rest = tmk_slice_from(rest, taken);
            a->unheard = a->unheard || pass.size < taken;
        }
    } while (st == TMK_OK && feed_bytes(&f, pass));
    feed_flush(&f);
    if (st < 0) {
        tmk_amqp_over(a, &err);
    }
    if (rest.size > 0) {
        memmove(a->in, rest.bytes, rest.size);
    }
    a->in_size = rest.size;
}

static void keep_in(tmk_amqp *a, tmk_slice rest) {
    memcpy(a->in, rest.bytes == NULL ? a->in : rest.bytes, rest.size);
    a->in_size = rest.size;
}

/*
 * The usual case: what was read stands in the engine's own buffer, and the gate has nothing against
 * it. From the first frame on that the gate keeps or changes, the way through a->in is taken.
 */
static void feed_in_place(tmk_amqp *a, uint8_t *bytes, size_t size) {
    feed f = {.a = a};
    tmk_slice rest = tmk_slice_of(bytes, size), pass = {0};
    size_t taken = 0, passed = 0;
    tmk_error err;
    tmk_status st;

    while ((st = tmk_gate_in(a->gate, rest, &taken, &pass, &err)) == TMK_OK &&
           pass.bytes == rest.bytes && pass.size == taken) {
        passed += taken;
        rest = tmk_slice_from(rest, taken);
    }
    if (st < 0) {
        tmk_amqp_over(a, &err);
    }
    /* The bytes behind leave the engine's buffer before it moves them. */
    keep_in(a, tmk_slice_from(rest, st == TMK_OK ? taken : 0));
    if (st == TMK_OK && pass.bytes >= bytes && pass.bytes < bytes + size) {
        /* A part of what stands there: it goes with the others, before the buffer is moved or
         * freed. */
        memmove(bytes + passed, pass.bytes, pass.size);
        passed += pass.size;
        pass = (tmk_slice){0};
    }
    if (passed > 0) {
        pn_connection_driver_read_done(&a->driver, passed);
    }
    if (st == TMK_OK) {
        (void)feed_bytes(&f, pass);
        feed_flush(&f);
        feed_from_in(a);
    }
}

static tmk_status read_bytes(tmk_amqp *a, uint8_t *into, size_t room, size_t *got) {
    tmk_error err;
    tmk_status st = tmk_stream_read(a->stream, into, room, got, &err);

    if (st == TMK_AGAIN) {
        a->readable = false;
        return st;
    }
    if (st == TMK_EOF) {
        (void)tmk_fail_retry(&err, TMK_EIO, "amqp",
                             "the service ended the connection without a word");
    }
    if (st != TMK_OK) {
        a->readable = false;
        tmk_amqp_over(a, &err);
    }
    return st;
}

/* One read. false: there is nothing more now. */
static bool read_once(tmk_amqp *a) {
    pn_rwbytes_t room = {0};
    bool in_place = false;
    uint8_t *into = a->in;
    size_t got = 0;

    if (!a->lanes) {
        room = pn_connection_driver_read_buffer_sized(&a->driver, IN_ROOM);
        in_place = room.size >= a->in_size + READ_SIZE;
    }
    if (in_place) {
        into = (uint8_t *)room.start;
        memcpy(into, a->in, a->in_size);
    }
    if (read_bytes(a, into + a->in_size, READ_SIZE, &got) != TMK_OK) {
        return false;
    }
    got += a->in_size;
    if (in_place) {
        feed_in_place(a, into, got);
    } else {
        a->in_size = got;
        feed_from_in(a);
    }
    tmk_amqp_handle_events(a);
    return true;
}

void tmk_amqp_pipe_read(tmk_amqp *a) {
    for (int i = 0; i < READS_PER_TURN && !a->over && !a->freed; i++) {
        if (!read_once(a)) {
            return;
        }
    }
    if (!a->over && !a->freed) {
        tmk_bell_ring(&a->bell);
    }
}

void tmk_amqp_pipe_sign(tmk_amqp *a, tmk_time now) {
    static const uint8_t empty_frame[] = {0, 0, 0, 8, 2, 0, 0, 0};
    feed f = {.a = a};

    if (!a->unheard || now < a->sign_at) {
        return;
    }
    a->unheard = false;
    a->sign_at = now + SIGN_MS * TMK_MS;
    (void)feed_bytes(&f, tmk_slice_of(empty_frame, sizeof empty_frame));
    feed_flush(&f);
}

/* ---- writing ---- */

/* Hands bytes to the stream. Returns how many it took; fewer than all: not now, or never. */
static size_t write_bytes(tmk_amqp *a, tmk_slice bytes) {
    size_t done = 0;

    while (done < bytes.size) {
        size_t taken = 0;
        tmk_error err;
        tmk_status st =
            tmk_stream_write(a->stream, bytes.bytes + done, bytes.size - done, &taken, &err);

        if (st == TMK_AGAIN) {
            break;
        }
        if (st != TMK_OK) {
            tmk_amqp_over(a, &err);
            a->broken = true;
            break;
        }
        done += taken;
    }
    return done;
}

/* false: the stream has not taken it all yet. */
static bool write_kept(tmk_amqp *a) {
    a->out_at += write_bytes(a, tmk_slice_from(tmk_str_slice(&a->out), a->out_at));
    if (a->out_at < a->out.size) {
        return false;
    }
    tmk_str_reset(&a->out);
    a->out_at = 0;
    return true;
}

static void keep(tmk_amqp *a, tmk_slice rest) {
    tmk_error err;

    tmk_str_add_slice(&a->out, rest);
    if (!tmk_str_ok(&a->out)) {
        (void)tmk_fail_retry(&err, TMK_ENOMEM, "amqp", "no memory for bytes to be sent");
        tmk_amqp_over(a, &err);
        a->broken = true;
    }
}

/* One run of the engine's output. false: there is none, or it could not be written in full. */
static bool write_once(tmk_amqp *a) {
    pn_bytes_t wanted = pn_connection_driver_write_buffer(&a->driver);
    tmk_slice send = {0};
    size_t taken = 0, done;
    tmk_error err;

    if (tmk_gate_out(a->gate, tmk_slice_of(wanted.start, wanted.size), &taken, &send, &err) < 0) {
        tmk_amqp_over(a, &err);
        a->broken = true;
        return false;
    }
    done = write_bytes(a, send);
    if (done < send.size && !a->broken) {
        keep(a, tmk_slice_from(send, done));
    }
    if (taken > 0) {
        pn_connection_driver_write_done(&a->driver, taken);
    }
    return (taken > 0 || send.size > 0) && done == send.size;
}

void tmk_amqp_pipe_write(tmk_amqp *a) {
    if (a->broken || !write_kept(a)) {
        return;
    }
    while (!a->broken && write_once(a)) {
    }
}
