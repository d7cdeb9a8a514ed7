/*
 * What the constructors of credentials share. Not for others.
 * Threads: the constructor's.
 */
#ifndef TMK_AUTH_CREDENTIAL_PARTS_H
#define TMK_AUTH_CREDENTIAL_PARTS_H

#include "auth/credential.h"

/* The end of a constructor: c goes out, or is freed when st is a failure or c is NULL. */
tmk_status tmk_credential_done(tmk_credential *c, tmk_status st, tmk_credential **out,
                               tmk_error *err);
tmk_status tmk_credential_bad(tmk_error *err, const char *sentence);

/* Printable ASCII without blanks, 1 to max bytes. */
bool tmk_is_printable(const char *text, size_t max);

/* A copy; NULL stays NULL. ENOMEM without words. */
tmk_status tmk_credential_keep(char **to, const char *text);

/* What the options say, checked; and for a principal the authority's URL. ENOMEM without words. */
tmk_status tmk_credential_settings(tmk_credential *c, const tmk_entra_options *options,
                                   tmk_error *err);
tmk_status tmk_credential_principal(tmk_credential *c, const char *tenant, const char *client_id,
                                    const tmk_entra_options *options, tmk_error *err);

#endif
