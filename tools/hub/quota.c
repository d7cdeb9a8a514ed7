/* Throughput units: arithmetic on a bucket of events and a bucket of bytes. See core.h. */
#include "hub/core.h"

/* Fills a bucket for the time that passed; it never holds more than one second's worth. */
static int64_t fill(int64_t nano, int64_t per_s, tmk_time passed) {
    __int128 full = (__int128)per_s * TMK_SEC;
    __int128 sum = (__int128)nano + (__int128)per_s * (passed > 0 ? passed : 0);

    return (int64_t)(sum < full ? sum : full);
}

void tmk_hub_quota_init(tmk_hub_quota *q, int64_t events_per_s, int64_t bytes_per_s, tmk_time now) {
    q->events_per_s = events_per_s;
    q->bytes_per_s = bytes_per_s;
    q->events_nano = events_per_s * TMK_SEC;
    q->bytes_nano = bytes_per_s * TMK_SEC;
    q->at = now;
}

bool tmk_hub_quota_open(tmk_hub_quota *q, tmk_time now) {
    if (q->events_per_s == 0) {
        return true;
    }
    q->events_nano = fill(q->events_nano, q->events_per_s, now - q->at);
    q->bytes_nano = fill(q->bytes_nano, q->bytes_per_s, now - q->at);
    q->at = now > q->at ? now : q->at;
    return q->events_nano > 0 && q->bytes_nano > 0;
}

void tmk_hub_quota_take(tmk_hub_quota *q, int64_t events, int64_t bytes) {
    if (q->events_per_s > 0) {
        q->events_nano -= events * TMK_SEC;
        q->bytes_nano -= bytes * TMK_SEC;
    }
}

static tmk_time wait_for(int64_t nano, int64_t per_s) {
    return nano > 0 ? 0 : -nano / per_s + 1;
}

tmk_time tmk_hub_quota_opens(const tmk_hub_quota *q) {
    tmk_time events, bytes;

    if (q->events_per_s == 0) {
        return q->at;
    }
    events = wait_for(q->events_nano, q->events_per_s);
    bytes = wait_for(q->bytes_nano, q->bytes_per_s);
    return q->at + (events > bytes ? events : bytes);
}
