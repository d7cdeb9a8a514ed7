/*
 * What the libraries take that a processor stands on, to tell their memory from ours: loads those
 * that the library loads, makes each ready for use, and waits for the end of its input.
 *
 *   bench_bare
 */
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>
#include <expat.h>
#include <jansson.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>
#include <proton/connection_driver.h>

#include "bench/measure.h"

static bool sign(void) {
    unsigned char out[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    return HMAC(EVP_sha256(), "key", 3, (const unsigned char *)"text", 4, out, &size) != NULL;
}

int main(void) {
    pn_connection_driver_t driver;
    CURLM *multi = NULL;
    CURL *easy = NULL;
    SSL_CTX *tls = NULL;
    json_t *json = NULL;
    XML_Parser xml = NULL;
    char byte;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (multi = curl_multi_init()) == NULL ||
        (easy = curl_easy_init()) == NULL || !sign() ||
        (tls = SSL_CTX_new(TLS_client_method())) == NULL || (json = json_object()) == NULL ||
        (xml = XML_ParserCreate(NULL)) == NULL ||
        pn_connection_driver_init(&driver, NULL, NULL) != 0) {
        die("libraries", "could not be made ready");
    }
    tell("ready", 1, "");
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    pn_connection_driver_destroy(&driver);
    XML_ParserFree(xml);
    json_decref(json);
    SSL_CTX_free(tls);
    curl_easy_cleanup(easy);
    (void)curl_multi_cleanup(multi);
    curl_global_cleanup();
    return 0;
}
