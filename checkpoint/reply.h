/*
 * An answer under construction: owns all that a tmk_store_result points to.
 */
#ifndef TMK_CHECKPOINT_REPLY_H
#define TMK_CHECKPOINT_REPLY_H

#include "checkpoint/request.h"

typedef struct tmk_reply {
    tmk_status status;
    tmk_error error;
    int64_t retry_after_ms;
    char version[TMK_STORE_VERSION_MAX + 1];
    tmk_partition_record *partitions; /* each with copies of its texts */
    size_t partition_count, partition_room;
    tmk_member_record *members;
    size_t member_count, member_room;
} tmk_reply;

void tmk_reply_init(tmk_reply *r);
void tmk_reply_clear(tmk_reply *r);
/* Each copies what it is given; the reply is unchanged when one fails. */
tmk_status tmk_reply_add_partition(tmk_reply *r, const tmk_partition_record *record);
tmk_status tmk_reply_add_member(tmk_reply *r, const tmk_member_record *record);
void tmk_reply_version(tmk_reply *r, const char *version); /* one that is too long is refused: "" */
/* Answers the call. No lock may be held. */
void tmk_reply_send(const tmk_reply *r, tmk_store_call *call);
/* Answers with a status and an error alone; needs no memory. */
void tmk_reply_fail(tmk_store_call *call, tmk_status status, const char *origin, const char *text,
                    bool retryable);

#endif
