/*
 * The texts by which the service knows things, and the hash that finds a key's
 * partition.
 *
 * Pure. What appends to *out leaves failing to its end: check tmk_str_ok().
 */
#ifndef TMK_EVENTHUBS_NAMES_H
#define TMK_EVENTHUBS_NAMES_H

#include <tidemark/start.h>

#include "base/str.h"

/* "<hub>/ConsumerGroups/<group>/Partitions/<id>" */
void tmk_names_receiver(const char *hub, const char *group, const char *partition, tmk_str *out);
/* "<hub>", or "<hub>/Partitions/<id>"; partition NULL: the service chooses. */
void tmk_names_sender(const char *hub, const char *partition, tmk_str *out);
/* "<hub>/$management": where a token for questions is good for. */
void tmk_names_management(const char *hub, tmk_str *out);

/*
 * What a token is asked for: "sb://<host>/<path>", with the port when it is not
 * 0. Give the namespace's host, not the one that is dialled, and a port for the
 * emulator only.
 */
void tmk_names_audience(const char *host, uint16_t port, const char *path, tmk_str *out);

/*
 * An address as the service or another SDK wrote it, without scheme, authority
 * and outer slashes; a view. Paths compare without regard to case.
 */
tmk_slice tmk_names_path(tmk_slice address);

/* The selector of a start position, and the code of the filter that carries it. */
#define TMK_NAMES_FILTER_CODE UINT64_C(0x0000468C00000004)
#define TMK_NAMES_FILTER "apache.org:selector-filter:string"
void tmk_names_filter(const tmk_start *start, tmk_str *out);

/* The hash of a partition key, and the index of its partition among `count` > 0. */
int16_t tmk_names_hash(tmk_slice key);
uint32_t tmk_names_partition(tmk_slice key, uint32_t count);

#endif
