/*
 * A look at the storage account of a blob store, for tools and for whoever must
 * understand a night: what the account is, what the credential may do, and who
 * else keeps records of the same group in the container.
 *
 * Only looks, unless `write` asks for a trial. What the rights at hand do not
 * show is told as not known.
 */
#ifndef TIDEMARK_STORE_BLOB_INSPECT_H
#define TIDEMARK_STORE_BLOB_INSPECT_H

#include <tidemark/store_blob.h>

TMK_BEGIN_C

/**
 * The records of the group under one spelling of its names. Event Hubs does not tell letter case
 * apart, blobs do: processors of two spellings do not see each other, and both read everything.
 */
typedef struct tmk_blob_fleet {
    const char *prefix;             /* "myns.servicebus.windows.net/MyHub/$Default/" */
    const char *host, *hub, *group; /* its parts */
    bool lower;                     /* all in lower case, as this library and most SDKs write it */
    size_t checkpoints;             /* blobs */
    size_t leased;                  /* of them, under a lease without end: claims "lease" */
    size_t ownerships;              /* blobs of the official SDKs' kind, owned or given up */
    size_t owned;                   /* of them, that name an owner */
    size_t owned_fresh;             /* of them, written within the last two minutes */
    const char *owner;              /* of the newest of those; "" for none */
    int64_t owner_age_ms;           /* since that one was written; -1: none */
    int64_t slowest_age_ms;        /* of owned_fresh: since the longest not written was; -1: none */
    size_t members, members_alive; /* instances of Tidemark */
} tmk_blob_fleet;

/** What a tri-state of a report says. */
typedef enum tmk_blob_known {
    TMK_BLOB_UNKNOWN = -1, /* the rights at hand do not show it */
    TMK_BLOB_NO = 0,
    TMK_BLOB_YES = 1
} tmk_blob_known;

typedef struct tmk_blob_report {
    const char *endpoint; /* "https://myaccount.blob.core.windows.net" */

    /* What was tried; status OK: it worked. A failure of the first leaves all else unknown. */
    tmk_error list;
    bool write_tried; /* the trial: make, lease, rewrite and delete a blob of the group's */
    tmk_error write;

    bool date_known;
    int64_t skew_ms; /* this machine's clock minus the service's, as exact as one answer is quick */

    const char *account_kind;    /* "StorageV2"; "" where not known */
    tmk_blob_known hierarchical; /* Data Lake Storage Gen2 */
    tmk_blob_known soft_delete;  /* of blobs */
    tmk_blob_known versioning;   /* only the trial shows it */
    tmk_blob_known immutable;    /* a policy or a legal hold on the container */

    const tmk_blob_fleet *fleets; /* spellings that have records, in no order */
    size_t fleet_count;
    bool cut; /* the container holds more names than were looked through */
} tmk_blob_report;

/**
 * Looks; waits for the answers. opts as for tmk_store_blob_new(); create_container is honoured only
 * together with `write`.
 *
 * Owns:    *out is the caller's: tmk_blob_report_free().
 * Returns: 0 also where the service refuses: the report says what. EINVAL: a setting is wrong.
 */
TMK_API TMK_CHECKED tmk_status tmk_store_blob_inspect(const tmk_store_blob_options *opts,
                                                      bool write, int64_t timeout_ms,
                                                      tmk_blob_report **out, tmk_error *err);
/** NULL is fine. Returns NULL. */
TMK_API tmk_blob_report *tmk_blob_report_free(tmk_blob_report *report);

TMK_END_C

#endif
