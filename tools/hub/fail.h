/* Why a peer is refused: an AMQP condition and words. Pure values. */
#ifndef TMK_HUB_FAIL_H
#define TMK_HUB_FAIL_H

#include <tidemark/api.h>

typedef struct tmk_hub_fail {
    char condition[80];
    char text[480];
} tmk_hub_fail;

/* Fills *f; text that is too long is cut. */
TMK_PRINTF(3, 4)
void tmk_hub_fail_set(tmk_hub_fail *f, const char *condition, const char *format, ...);

#define TMK_HUB_NOT_FOUND "amqp:not-found"
#define TMK_HUB_UNAUTHORIZED "amqp:unauthorized-access"
#define TMK_HUB_NOT_ALLOWED "amqp:not-allowed"
#define TMK_HUB_STOLEN "amqp:link:stolen"
#define TMK_HUB_RESOURCE_LIMIT "amqp:resource-limit-exceeded"
#define TMK_HUB_OUT_OF_RANGE "com.microsoft:argument-out-of-range"
#define TMK_HUB_ARGUMENT "com.microsoft:argument-error"
#define TMK_HUB_GEO_OFFSET "com.microsoft:georeplication:invalid-offset"
#define TMK_HUB_BUSY "com.microsoft:server-busy"
#define TMK_HUB_TIMEOUT "com.microsoft:timeout"
#define TMK_HUB_INTERNAL "amqp:internal-error"
#define TMK_HUB_DECODE "amqp:decode-error"
#define TMK_HUB_TOO_LARGE "amqp:link:message-size-exceeded"
#define TMK_HUB_DETACH_FORCED "amqp:link:detach-forced"
#define TMK_HUB_CONNECTION_FORCED "amqp:connection:forced"

#endif
