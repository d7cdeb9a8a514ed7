/*
 * The signed statement by which a service principal with a certificate proves
 * itself to Entra ID: a JWT made from a PEM file's certificate and RSA key.
 *
 * Pure but for OpenSSL. Threads: any.
 */
#ifndef TMK_AUTH_ASSERTION_H
#define TMK_AUTH_ASSERTION_H

#include "base/rng.h"
#include "base/secret.h"
#include "base/time.h"

typedef struct tmk_assertion_facts {
    const char *client_id; /* issuer and subject */
    const char *audience;  /* the whole URL of the token endpoint */
    tmk_wall now;
    bool rs256; /* RS256 with "x5t" and "kid"; else PS256 with "x5t#S256" */
    bool chain; /* all certificates of the file along ("x5c") */
} tmk_assertion_facts;

/* rng: for the statement's id. EINVAL: the PEM holds no unencrypted RSA key with its certificate.
 */
tmk_status tmk_assertion_make(tmk_slice pem, const tmk_assertion_facts *facts, tmk_rng *rng,
                              tmk_secret **out, tmk_error *err);

#endif
