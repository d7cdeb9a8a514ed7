/*
 * What the parts of `tidemark doctor` share: findings, one line each, and how
 * an address is tried.
 */
#ifndef TIDEMARK_TOOL_DOCTOR_H
#define TIDEMARK_TOOL_DOCTOR_H

#include "common.h"

#include <pthread.h>

typedef enum doctor_kind {
    DOCTOR_OK,
    DOCTOR_WARN,   /* works, but will hurt */
    DOCTOR_FAIL,   /* does not work */
    DOCTOR_UNKNOWN /* could not be looked at */
} doctor_kind;

typedef struct doctor {
    cli_common common;
    int64_t timeout_ms, heartbeat_ms, expiry_ms;
    bool read_only;

    const char *group;
    int counts[4]; /* of findings, by kind */

    pthread_mutex_t lock; /* guards what follows */
    char operation[24];   /* the client's last trouble; "" for none */
    tmk_error trouble;
} doctor;

/*
 * One finding: "ok    hub          'telemetry' has 4 partitions", and what to do about it on a line
 * of its own. advice: NULL for none.
 */
__attribute__((format(printf, 5, 6))) void doctor_say(doctor *d, doctor_kind kind,
                                                      const char *topic, const char *advice,
                                                      const char *format, ...);

/*
 * Name, proxy, connection and certificate on the way to "SCHEME://HOST[:PORT]"; `what` stands
 * before each topic. False: it cannot be reached.
 */
bool doctor_reach(doctor *d, const char *what, const char *address);

void doctor_hub(doctor *d, tmk_client *client);
void doctor_store(doctor *d, tmk_client *client);

#endif
