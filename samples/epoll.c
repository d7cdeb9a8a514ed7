/*
 * In a program's own event loop: no thread of the library runs a line of this program, and no call
 * waits. The processor's descriptor stands in the program's epoll set beside its others: here one
 * for signals and a timer that tells every second how far it is.
 *
 *   EVENTHUB_CONNECTION_STRING=... ./epoll HUB
 */
#include <tidemark/processor.h>
#include <tidemark/store_memory.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

static tmk_verdict handle(void *user, const tmk_event *event, tmk_delivery *delivery) {
    tmk_slice body = tmk_event_body(event);

    (void)user, (void)delivery; /* on the thread of main(), between two of its other events */
    printf("%.*s\n", (int)body.size, (const char *)body.bytes);
    return fflush(stdout) == 0 ? TMK_DONE : TMK_RETRY;
}

static int watch(int set, int fd) {
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

    return fd < 0 ? -1 : epoll_ctl(set, EPOLL_CTL_ADD, fd, &e);
}

static void tell(tmk_processor *processor, int timer) {
    tmk_processor_stats s = {.size = sizeof s};
    uint64_t ticks;

    if (read(timer, &ticks, sizeof ticks) == sizeof ticks) {
        tmk_processor_stats_get(processor, &s);
        fprintf(stderr, "%llu events, %u partitions\n", (unsigned long long)s.events, s.owned);
    }
}

/* Until a signal comes. */
static tmk_status run(tmk_processor *processor, int set, int timer, int signals, tmk_error *err) {
    const int ours = tmk_processor_fd(processor);
    tmk_status st = TMK_OK;
    struct epoll_event e;

    while (st >= 0 && epoll_wait(set, &e, 1, -1) == 1 && e.data.fd != signals) {
        if (e.data.fd == ours) {
            st = tmk_processor_poll(processor, 0, 0, err);
        } else {
            tell(processor, timer);
        }
    }
    return st;
}

int main(int argc, char **argv) {
    const struct itimerspec second = {{1, 0}, {1, 0}};
    tmk_client *client = NULL;
    tmk_processor *processor = NULL;
    tmk_store store = {NULL, NULL};
    tmk_client_options c;
    tmk_processor_options p;
    tmk_error err = {.text = "usage: epoll HUB"};
    sigset_t mask;
    int set = -1, timer = -1, signals = -1, code = 1;

    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    sigprocmask(SIG_BLOCK, &mask, NULL);

    tmk_client_options_init(&c);
    c.connection_string = getenv("EVENTHUB_CONNECTION_STRING");
    c.hub = argv[1];
    c.caller_driven = true;
    tmk_processor_options_init(&p);
    p.on_event = handle;
    p.caller_driven = true;
    if (argc != 2 || tmk_client_new(&c, &client, &err) < 0 ||
        tmk_store_memory_new(&store, &err) < 0 ||
        tmk_processor_new(client, store, &p, &processor, &err) < 0 ||
        tmk_processor_start(processor, &err) < 0) {
        goto done;
    }
    set = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    signals = signalfd(-1, &mask, SFD_CLOEXEC);
    if (set < 0 || watch(set, timer) < 0 || watch(set, signals) < 0 ||
        watch(set, tmk_processor_fd(processor)) < 0 ||
        timerfd_settime(timer, 0, &second, NULL) < 0) {
        perror("epoll");
        goto done;
    }
    if (run(processor, set, timer, signals, &err) >= 0 &&
        tmk_processor_stop(processor, 30000, NULL, &err) >= 0) { /* the one call that waits */
        code = 0;
    }
done:
    if (code != 0) {
        fprintf(stderr, "epoll: %s\n", err.text);
    }
    processor = tmk_processor_free(processor);
    tmk_store_free(store);
    client = tmk_client_free(client);
    (void)close(set);
    (void)close(timer);
    (void)close(signals);
    return code;
}
