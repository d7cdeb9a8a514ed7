/*
 * A Blob service in memory for tests, on 127.0.0.1: one container, blobs with
 * metadata, ETags, conditions and leases, lists in small pages; its clock stands
 * until the test moves it. It answers as tests/contract/status_matrix.txt says of
 * the service. Signatures are not looked at.
 *
 * One request can be given a fault: lost before or after it was carried out,
 * refused as busy, or delayed until the next request has been answered.
 *
 * Threads: the test's; its server has its own.
 */
#ifndef TMK_TESTS_BLOB_SERVICE_H
#define TMK_TESTS_BLOB_SERVICE_H

#include "support/net_server.h"

#include "base/map.h"

typedef enum blob_fault {
    BLOB_WELL,
    BLOB_LOSES_REQUEST, /* the connection is reset, nothing is carried out */
    BLOB_LOSES_ANSWER,  /* carried out, then the connection is reset */
    BLOB_BUSY,          /* 503, nothing is carried out */
    BLOB_LATE           /* the connection is reset; carried out after the next one */
} blob_fault;

typedef struct blob_service {
    net_server server;
    char connection_string[256];

    tmk_mutex lock; /* rank 950; guards what follows */
    tmk_map blobs;
    int64_t now_ms;
    uint64_t etags;
    unsigned requests; /* since blob_service_arm() */
    unsigned fault_at; /* the number of the request, 1 ...; 0: none */
    blob_fault fault;
    tmk_str late_head, late_body;
} blob_service;

void blob_service_start(blob_service *s);
void blob_service_stop(blob_service *s);
/* An empty container at another port; whoever was connected is cut off. */
void blob_service_reset(blob_service *s);
void blob_service_advance(blob_service *s, int64_t ms);
/* From now on: requests are counted from 1, and the one with this number has this fault. */
void blob_service_arm(blob_service *s, blob_fault fault, unsigned at);
unsigned blob_service_requests(blob_service *s);
/* All that is kept, a line a blob in order of their names: name, lease, metadata, body. No ETags.
 */
void blob_service_tell(blob_service *s, tmk_str *out);
/* What an official processor or a hand would write; metadata as header lines. */
void blob_service_put(blob_service *s, const char *name, const char *meta_lines);

#endif
