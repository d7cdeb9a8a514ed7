/*
 * Faults as JSON, the objects of docs/HUB.md: read, checked, and done or kept
 * as a rule.
 *
 * Threads: the engine's.
 */
#ifndef TMK_HUB_FAULTS_H
#define TMK_HUB_FAULTS_H

#include "hub/engine.h"

/*
 * *id: the number of the rule, 0 for what was done at once; *met: how many
 * connections, links, tokens or partitions that was done to. EINVAL says what
 * is wrong in the JSON, down to a name that is not known.
 */
tmk_status tmk_hub_fault_do(tmk_hub_server *s, tmk_slice json, uint64_t *id, uint64_t *met,
                            tmk_error *err);
/* The kinds of faults there are, by number from 0; NULL past the last. */
const char *tmk_hub_fault_name(size_t index);
/* 0: all rules. Returns how many went. */
unsigned tmk_hub_fault_undo(tmk_hub_server *s, uint64_t id);

/* Does a rule of this kind mean this connection, or a link on it? For what is done to sockets. */
bool tmk_hub_conn_ruled(const tmk_hub_conn *c, tmk_hub_rule_kind kind, tmk_hub_rule *out);

/* ---- state.c: what can be looked at ---- */
void tmk_hub_server_state(const tmk_hub_server *s, tmk_str *out);   /* a JSON object */
void tmk_hub_server_metrics(const tmk_hub_server *s, tmk_str *out); /* Prometheus text */

#endif
