/*
 * What is sent to get a token: the form for an authority, the URL for an
 * identity endpoint, and the key file that Azure Arc points to.
 *
 * Pure. Threads: any.
 */
#ifndef TMK_AUTH_TOKEN_REQUEST_H
#define TMK_AUTH_TOKEN_REQUEST_H

#include "auth/credential.h"
#include "base/str.h"

/* "https://eventhubs.azure.net/.default" -> "https://eventhubs.azure.net". */
tmk_slice tmk_scope_resource(const char *scope);

/* The body for the authority. proof: the client's secret, or a signed assertion. */
tmk_status tmk_token_form(const tmk_credential *c, const char *scope, const tmk_secret *proof,
                          tmk_str *out, tmk_error *err);

/* The URL of a managed identity's endpoint with its query; NULL: out of memory. */
char *tmk_identity_url(const tmk_credential *c, const char *scope);

/*
 * The path in "Basic realm=/var/opt/azcmagent/tokens/x.key". EPROTO unless it lies right in
 * `folder` and ends in ".key": whoever answers on the port must not make us read another file.
 */
tmk_status tmk_arc_key_path(const char *challenge, const char *folder, tmk_str *out,
                            tmk_error *err);

#endif
