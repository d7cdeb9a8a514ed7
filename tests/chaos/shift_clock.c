/*
 * Preloaded into one worker: its wall clock is TIDEMARK_SHIFT_CLOCK seconds wrong, as on a machine
 * whose clock was set by hand. Clocks that only run forward are left alone.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long shift(void) {
    static long seconds;
    static int known;

    if (!known) {
        const char *text = getenv("TIDEMARK_SHIFT_CLOCK");
        seconds = text == NULL ? 0 : strtol(text, NULL, 10);
        known = 1;
    }
    return seconds;
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *out) {
    int code = (int)syscall(SYS_clock_gettime, clock, out);

    if (code == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        out->tv_sec += shift();
    }
    return code;
}

__attribute__((visibility("default"))) int gettimeofday(struct timeval *restrict out,
                                                        void *restrict zone) {
    int code = (int)syscall(SYS_gettimeofday, out, zone);

    if (code == 0) {
        out->tv_sec += shift();
    }
    return code;
}

__attribute__((visibility("default"))) time_t time(time_t *out) {
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}
