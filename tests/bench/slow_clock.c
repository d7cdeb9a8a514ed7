/* See slow_clock.h. */
#include "bench/slow_clock.h"

#include <dlfcn.h>
#include <stdint.h>
#include <time.h>

enum { SECOND = 1000000000 };

typedef int clock_fn(clockid_t id, struct timespec *out);

/* Nanoseconds of a clock: real time when its speed was last set, and what it stood at. */
typedef struct dial {
    int64_t real, shown;
} dial;

static unsigned slowness = 1;
static dial dials[CLOCK_TAI + 1];

static clock_fn *real_clock(void) {
    static clock_fn *found;

    if (found == NULL) {
        *(void **)&found = dlsym(RTLD_NEXT, "clock_gettime");
    }
    return found;
}

/* Those of processor time are left alone. */
static dial *dial_of(clockid_t id) {
    return id == CLOCK_REALTIME || id == CLOCK_MONOTONIC || id == CLOCK_BOOTTIME ? &dials[id]
                                                                                 : NULL;
}

static int64_t shown_by(const dial *d, int64_t real) {
    return d->shown + (real - d->real) / slowness;
}

int clock_gettime(clockid_t id, struct timespec *out) {
    const dial *d = dial_of(id);
    int failed = real_clock()(id, out);

    if (d != NULL && d->real != 0 && failed == 0) {
        int64_t now = shown_by(d, (int64_t)out->tv_sec * SECOND + out->tv_nsec);

        *out = (struct timespec){now / SECOND, now % SECOND};
    }
    return failed;
}

void slow_clock(unsigned times) {
    for (clockid_t id = 0; id <= CLOCK_TAI; id++) {
        dial *d = dial_of(id);
        struct timespec t = {0};

        if (d != NULL && real_clock()(id, &t) == 0) {
            int64_t real = (int64_t)t.tv_sec * SECOND + t.tv_nsec;

            d->shown = d->real == 0 ? real : shown_by(d, real);
            d->real = real;
        }
    }
    slowness = times;
}
