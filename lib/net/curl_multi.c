/* curl's multi handle on our loop. See curl_common.h. */
#include "net/curl_common.h"

#include <pthread.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"

typedef struct socket_watch {
    tmk_watch watch;
    tmk_multi *multi;
    tmk_list link;
} socket_watch;

static void tell_ended(tmk_multi *m) {
    CURLMsg *message = NULL;
    int left = 0;

    while (!m->failed && (message = curl_multi_info_read(m->handle, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE) {
            m->ended(m, message->easy_handle, message->data.result);
        }
    }
    if (m->failed) {
        m->broke(m);
    }
}

static void act(tmk_multi *m, curl_socket_t fd, int what) {
    int running = 0;

    if (!m->failed && curl_multi_socket_action(m->handle, fd, what, &running) != CURLM_OK) {
        m->failed = true;
    }
    tell_ended(m);
}

static void on_timer(tmk_timer *t) {
    act(tmk_container_of(t, tmk_multi, timer), CURL_SOCKET_TIMEOUT, 0);
}

static void on_socket(tmk_watch *w, unsigned events) {
    socket_watch *s = tmk_container_of(w, socket_watch, watch);
    int what = 0;

    /* After a hang-up either direction tells what is wrong. */
    what |= (events & (TMK_LOOP_READ | TMK_LOOP_HANGUP)) != 0 ? CURL_CSELECT_IN : 0;
    what |= (events & (TMK_LOOP_WRITE | TMK_LOOP_HANGUP)) != 0 ? CURL_CSELECT_OUT : 0;
    act(s->multi, w->fd, what);
}

static void socket_watch_free(socket_watch *s) {
    tmk_loop_unwatch(s->multi->loop, &s->watch);
    tmk_list_remove(&s->link);
    tmk_free(s);
}

static unsigned wanted_of(int what) {
    return ((what & CURL_POLL_IN) != 0 ? TMK_LOOP_READ : 0U) |
           ((what & CURL_POLL_OUT) != 0 ? TMK_LOOP_WRITE : 0U);
}

static int socket_watch_new(tmk_multi *m, curl_socket_t fd, int what) {
    socket_watch *s = tmk_new(socket_watch);

    if (s == NULL) {
        return -1;
    }
    s->multi = m;
    s->watch.ready = on_socket;
    tmk_list_push_back(&m->sockets, &s->link);
    if (tmk_loop_watch(m->loop, &s->watch, fd, wanted_of(what), NULL) < 0 ||
        curl_multi_assign(m->handle, fd, s) != CURLM_OK) {
        socket_watch_free(s);
        return -1;
    }
    return 0;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *owner, void *known) {
    tmk_multi *m = owner;
    socket_watch *s = known;
    int result = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s != NULL) {
            socket_watch_free(s);
        }
    } else if (s == NULL) {
        result = socket_watch_new(m, fd, what);
    } else {
        result = tmk_loop_rewatch(m->loop, &s->watch, wanted_of(what), NULL) < 0 ? -1 : 0;
    }
    if (result < 0) {
        m->failed = true;
        tmk_timer_set(m->loop, &m->timer, tmk_loop_now(m->loop));
    }
    return result;
}

static int want_timer(CURLM *handle, long timeout_ms, void *owner) {
    tmk_multi *m = owner;
    tmk_time now = tmk_now(tmk_loop_clock(m->loop)); /* the turn's may be too early for curl */

    (void)handle;
    if (timeout_ms < 0 && !m->failed) {
        tmk_timer_stop(m->loop, &m->timer);
    } else if (timeout_ms <= 0) {
        tmk_timer_set(m->loop, &m->timer, now);
    } else {
        /* curl cuts its milliseconds off. */
        tmk_timer_set(m->loop, &m->timer, now + (timeout_ms + 1) * TMK_MS);
    }
    return 0;
}

static bool curl_ready;
static void init_curl(void) {
    curl_ready = tmk_curl_begin();
}

tmk_status tmk_multi_init(tmk_multi *m, tmk_loop *loop, tmk_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, init_curl);
    tmk_assert(m->ended != NULL && m->broke != NULL);
    m->loop = loop;
    m->failed = false;
    tmk_list_init(&m->sockets);
    if (tmk_timer_init(loop, &m->timer, on_timer) < 0) {
        return tmk_fail(err, TMK_ENOMEM, "net", "no memory for a connection");
    }
    m->handle = curl_ready ? curl_multi_init() : NULL;
    if (m->handle == NULL ||
        curl_multi_setopt(m->handle, CURLMOPT_SOCKETFUNCTION, want_socket) != CURLM_OK ||
        curl_multi_setopt(m->handle, CURLMOPT_SOCKETDATA, m) != CURLM_OK ||
        curl_multi_setopt(m->handle, CURLMOPT_TIMERFUNCTION, want_timer) != CURLM_OK ||
        curl_multi_setopt(m->handle, CURLMOPT_TIMERDATA, m) != CURLM_OK ||
        curl_multi_setopt(m->handle, CURLMOPT_PIPELINING, CURLPIPE_NOTHING) != CURLM_OK) {
        tmk_multi_clear(m);
        return tmk_fail(err, TMK_ENOMEM, "net", "no memory for a connection");
    }
    return TMK_OK;
}

void tmk_multi_clear(tmk_multi *m) {
    if (m->loop == NULL) {
        return;
    }
    if (m->handle != NULL) {
        (void)curl_multi_cleanup(m->handle); /* may still call us back about sockets */
        m->handle = NULL;
    }
    for (tmk_list *at = tmk_list_first(&m->sockets); at != NULL; at = tmk_list_first(&m->sockets)) {
        socket_watch_free(tmk_container_of(at, socket_watch, link));
    }
    tmk_timer_clear(m->loop, &m->timer);
    m->loop = NULL;
}

tmk_status tmk_multi_add(tmk_multi *m, CURL *easy, tmk_error *err) {
    CURLMcode code = curl_multi_add_handle(m->handle, easy);

    if (code != CURLM_OK) {
        return tmk_fail(err, code == CURLM_OUT_OF_MEMORY ? TMK_ENOMEM : TMK_EINTERNAL, "curl",
                        "cannot start a transfer: %s", curl_multi_strerror(code));
    }
    return TMK_OK;
}

void tmk_multi_remove(tmk_multi *m, CURL *easy) {
    if (m->handle != NULL) {
        (void)curl_multi_remove_handle(m->handle, easy);
    }
}
