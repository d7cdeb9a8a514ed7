/*
 * A token over HTTP with each allocation failing in turn. The authority is a
 * process of its own, so that its memory does not fail along with ours.
 */
#include <tidemark/credential.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/check.h"
#include "support/failing.h"
#include "support/fake_authority.h"
#include "support/token_rig.h"

static token_rig rig;
static fake_authority fake;
static uint16_t port;

static pid_t start_authority(void) {
    static const fake_line good = {200, "{\"access_token\":\"" RIG_CANARY "\",\"expires_in\":3599}",
                                   NULL, FAKE_ANSWERS};
    int ends[2];
    pid_t process;

    CHECK_EQ(0, pipe(ends));
    process = fork();
    CHECK(process >= 0);
    if (process == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        fake_start(&fake);
        fake_script(&fake, &good, 1);
        (void)!write(ends[1], &fake.server.port, sizeof fake.server.port);
        for (;;) {
            (void)pause();
        }
    }
    CHECK_EQ(sizeof port, read(ends[0], &port, sizeof port));
    (void)close(ends[0]);
    (void)close(ends[1]);
    return process;
}

static bool scenario(void) {
    tmk_entra_options o;
    tmk_credential *c = NULL;
    tmk_error err;
    char authority[64];
    bool good = false;

    (void)snprintf(authority, sizeof authority, "http://127.0.0.1:%u", port);
    tmk_entra_options_init(&o);
    o.authority = authority;
    o.danger_plain_loopback = true;
    if (tmk_credential_client_secret("t", "c", RIG_CANARY, &o, &c, &err) == TMK_OK &&
        rig_open(&rig, c)) {
        rig_ask(&rig, rig.first, "sb://ns/hub", false);
        CHECK(rig_wait_for(&rig, rig.first, 5 * TMK_SEC)); /* whatever failed, it is told */
        good = rig.first->token.secret != NULL;
    }
    rig_close(&rig);
    return good;
}

static void a_failed_allocation_is_a_failure_and_no_leak(void) {
    pid_t authority = start_authority();

    failing_each(scenario);
    (void)kill(authority, SIGKILL);
    (void)waitpid(authority, NULL, 0);
}

int main(void) {
    return RUN(TEST(a_failed_allocation_is_a_failure_and_no_leak));
}
