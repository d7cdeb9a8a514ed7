/*
 * What every call reports.
 *
 *   st == 0   done.
 *   st >  0   an outcome named in the comment of the function you called;
 *             you handle it, you never pass it on.
 *   st <  0   a failure; clean up and pass it on as it is.
 *
 * The words for people are in tmk_error, which belongs to the caller: no
 * allocation, no thread-local state, safe to copy into a queue.
 */
#ifndef TIDEMARK_STATUS_H
#define TIDEMARK_STATUS_H

#include <tidemark/api.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

TMK_BEGIN_C

#define TMK_STATUS_MAP(X)                                                     \
    X(OK, 0, "done")                                                          \
    X(AGAIN, 1, "not now; you will be told when")                             \
    X(CONFLICT, 2, "somebody else changed it first")                          \
    X(ABSENT, 3, "there is no such thing")                                    \
    X(EOF, 4, "the other side has ended the stream")                          \
    X(UNCHANGED, 5, "nothing has changed since")                              \
    X(EINVAL, -1, "an argument or a setting is wrong")                        \
    X(ENOMEM, -2, "out of memory")                                            \
    X(EIO, -3, "the network or a file failed")                                \
    X(ETIMEOUT, -4, "no answer in time")                                      \
    X(EAUTH, -5, "not authorized")                                            \
    X(ENOTFOUND, -6, "the hub, group, partition or container does not exist") \
    X(EPROTO, -7, "the other side broke the protocol")                        \
    X(EBUSY, -8, "the service is busy and wants us to wait")                  \
    X(ELIMIT, -9, "a size, a count or a quota is exceeded")                   \
    X(ELOST, -10, "the partition belongs to somebody else now")               \
    X(ESTATE, -11, "the object is not in a state that allows this call")      \
    X(ECANCELED, -12, "ended by a stop or a close of our own")                \
    X(EUNSUPPORTED, -13, "not supported here")                                \
    X(EPOSITION, -14, "the stream has no such position")                      \
    X(EREMOTE, -15, "the service reported a fault of its own")                \
    X(EINTERNAL, -16, "a promise of this library did not hold")

typedef enum tmk_status {
#define X(name, value, sentence) TMK_##name = (value),
    TMK_STATUS_MAP(X)
#undef X
} tmk_status;

typedef struct tmk_error {
    tmk_status status;
    bool retryable;  /* worth trying again without changing anything */
    char origin[48]; /* who said so: "amqp:link:stolen", "http:412", "errno:104" */
    char text[208];  /* one sentence, no newline, never a secret */
} tmk_error;

/** The name of a status, "EBUSY" say; "?" for a number that is none. */
TMK_API const char *tmk_status_name(tmk_status status);

/** One sentence about a status. */
TMK_API const char *tmk_status_text(tmk_status status);

TMK_END_C

#endif
