/* Retries of a token request: see the header. */
#include "auth/token_retry.h"

#include "base/backoff.h"

enum { authority_tries = 7, imds_tries = 6 };

/* An identity service that is being updated answers 410 for up to 70 seconds. */
static const tmk_time gone_at_least = 75 * TMK_SEC;

static const tmk_backoff authority_wait = {
    .delay = 800 * TMK_MS, .delay_max = 64 * TMK_SEC, .factor = 2, .jitter = 0.2};
static const tmk_backoff imds_wait = {
    .delay = 1 * TMK_SEC, .delay_max = 16 * TMK_SEC, .factor = 2, .jitter = 0.2};

bool tmk_token_trial_is_transient(const tmk_token_retry *r, const tmk_token_trial *trial) {
    if (trial->code == 0) {
        return r->endpoint == TMK_ENDPOINT_AUTHORITY || r->known;
    }
    if (r->endpoint == TMK_ENDPOINT_IMDS && (trial->code == 404 || trial->code == 410)) {
        return true;
    }
    return trial->code == 408 || trial->code == 429 || trial->code >= 500 || trial->temporary;
}

static bool has_tries(const tmk_token_retry *r, tmk_time now, int code) {
    if (r->endpoint == TMK_ENDPOINT_AUTHORITY) {
        return r->tries < authority_tries;
    }
    return r->tries < imds_tries || (code == 410 && now - r->started_at < gone_at_least);
}

tmk_time tmk_token_retry_on_trial(tmk_token_retry *r, tmk_time now, const tmk_token_trial *trial,
                                  tmk_rng *rng) {
    const tmk_backoff *b = r->endpoint == TMK_ENDPOINT_AUTHORITY ? &authority_wait : &imds_wait;
    tmk_time wait;

    r->tries++;
    if (!tmk_token_trial_is_transient(r, trial) || !has_tries(r, now, trial->code)) {
        return TMK_NEVER;
    }
    wait = tmk_backoff_delay(b, r->tries, rng);
    if (wait < trial->retry_after) {
        wait = trial->retry_after;
    }
    return tmk_time_after(now, wait) < r->deadline ? wait : TMK_NEVER;
}

tmk_time tmk_retry_after_parse(const char *value, tmk_wall now) {
    static const int64_t seconds_max = INT64_C(24) * 3600;
    tmk_slice text = tmk_slice_trim(tmk_slice_str(value));
    tmk_wall date;
    int64_t seconds = 0;

    if (!tmk_slice_int64(text, &seconds) && tmk_http_date_parse(text, &date, NULL) == TMK_OK) {
        seconds = (date.us - now.us) / 1000000;
    }
    if (seconds <= 0) {
        return 0;
    }
    return (seconds < seconds_max ? seconds : seconds_max) * TMK_SEC;
}
