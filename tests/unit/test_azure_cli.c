/* Tokens by the Azure CLI: a script takes its place, and behaves badly. */
#include "auth/credential.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/check.h"
#include "support/failing.h"
#include "support/temp_folder.h"
#include "support/token_rig.h"

#include "base/file.h"

static token_rig rig;
static temp_folder folder;

static void install(const char *script) {
    char path[300];
    char text[2048];
    tmk_error err;

    (void)snprintf(path, sizeof path, "%s/az", folder.path);
    (void)snprintf(text, sizeof text, "#!/bin/sh\ncd '%s' || exit 9\n%s\n", folder.path, script);
    CHECK_EQ(TMK_OK, tmk_file_replace(path, tmk_slice_str(text), &err));
    CHECK_EQ(0, chmod(path, 0700));
}

static tmk_credential *cli_credential(int64_t timeout_ms) {
    tmk_entra_options o;
    tmk_credential *c = NULL;
    tmk_error err;

    tmk_entra_options_init(&o);
    o.timeout_ms = timeout_ms;
    return tmk_credential_azure_cli("tenant-1", &o, &c, &err) == TMK_OK ? c : NULL;
}

static void failed(tmk_status status, const char *word) {
    CHECK(rig.first->token.secret == NULL);
    if (strstr(rig.first->why.text, word) == NULL || rig.first->why.status != status) {
        fail_msg("%s: '%s' does not speak of '%s'", tmk_status_name(rig.first->why.status),
                 rig.first->why.text, word);
    }
}

#define GOOD \
    "echo '{\"accessToken\": \"" RIG_CANARY "\", \"expires_on\": '$(($(date +%s) + 3600))'}'"

static void it_is_asked_with_plain_words(void) {
    tmk_str words = TMK_STR_INIT;
    char path[300];
    tmk_error err;

    install("printf '%s ' \"$@\" > words; pwd >> words; " GOOD);
    CHECK(rig_open(&rig, cli_credential(0)));
    CHECK(rig_get(&rig, false));
    CHECK_SLICE(RIG_CANARY, tmk_secret_bytes(rig.first->token.secret));
    CHECK_EQ(TMK_TOKEN_JWT, rig.first->token.kind);
    CHECK(rig.first->token.expires_at - tmk_loop_now(rig.loop) > 3500 * TMK_SEC);
    (void)snprintf(path, sizeof path, "%s/words", folder.path);
    CHECK_EQ(TMK_OK, tmk_file_read(path, 4096, &words, &err));
    CHECK(strstr(tmk_str_text(&words), "account get-access-token --output json --resource "
                                       "https://eventhubs.azure.net --tenant tenant-1 ") != NULL);
    tmk_str_clear(&words);
    rig_close(&rig);
}

static void its_surroundings_are_clean(void) {
    install("[ \"$(readlink /proc/$$/fd/0)\" = /dev/null ] || exit 3\n"
            "grep -q '^SigBlk:[[:space:]]*0*$' /proc/self/status || exit 4\n"
            "grep -q '^SigIgn:.*[08]0000000$' /proc/self/status || exit 5\n" GOOD);
    (void)signal(SIGPIPE, SIG_IGN);
    CHECK(rig_open(&rig, cli_credential(0)));
    if (!rig_get(&rig, false)) {
        fail_msg("%s", rig.first->why.text);
    }
    rig_close(&rig);
    (void)signal(SIGPIPE, SIG_DFL);
}

static void a_complaint_is_passed_on_in_one_line(void) {
    install("echo 'ERROR: AADSTS50076: more is needed' >&2; echo more >&2; exit 1");
    CHECK(rig_open(&rig, cli_credential(0)));
    CHECK(!rig_get(&rig, false));
    failed(TMK_EAUTH, "gave no token: ERROR: AADSTS50076: more is needed");
    rig_close(&rig);
}

static void nobody_logged_in_is_said_with_the_way_out(void) {
    install("echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1");
    CHECK(rig_open(&rig, cli_credential(0)));
    CHECK(!rig_get(&rig, false));
    failed(TMK_EAUTH, "run 'az login'");
    rig_close(&rig);
}

static void nonsense_is_not_repeated(void) {
    install("echo '" RIG_CANARY "'");
    CHECK(rig_open(&rig, cli_credential(0)));
    CHECK(!rig_get(&rig, false));
    failed(TMK_EPROTO, "Azure CLI");
    rig_close(&rig);
}

static void endless_output_has_an_end(void) {
    install("while :; do echo " RIG_CANARY RIG_CANARY RIG_CANARY RIG_CANARY RIG_CANARY "; done");
    CHECK(rig_open(&rig, cli_credential(0)));
    CHECK(!rig_get(&rig, false));
    failed(TMK_ELIMIT, "more than a token");
    rig_close(&rig);
}

/* What it has started goes with it. */
static void a_hanging_one_is_ended_with_its_children(void) {
    tmk_str pid = TMK_STR_INIT;
    char path[300];
    tmk_error err;

    install("sleep 1000 & echo $! > child.tmp; mv child.tmp child; wait");
    CHECK(rig_open(&rig, cli_credential(0)));
    rig_ask(&rig, rig.first, "", false);
    (void)snprintf(path, sizeof path, "%s/child", folder.path);
    while (access(path, F_OK) != 0) {
        rig_turn(&rig);
    }
    rig.ahead += 14 * TMK_SEC;
    CHECK(rig_wait_for(&rig, rig.first, 5 * TMK_SEC));
    failed(TMK_ETIMEOUT, "in time");
    CHECK_EQ(TMK_OK, tmk_file_read(path, 64, &pid, &err));
    (void)snprintf(path, sizeof path, "/proc/%ld/cmdline", strtol(tmk_str_text(&pid), NULL, 10));
    for (int i = 0; i < 1000; i++) {
        tmk_str command = TMK_STR_INIT;
        bool gone = tmk_file_read(path, 4096, &command, &err) != TMK_OK || command.size == 0;

        tmk_str_clear(&command);
        if (gone) {
            break;
        }
        CHECK(i < 999);
        rig_turn(&rig);
    }
    tmk_str_clear(&pid);
    rig_close(&rig);
}

static void tokens_may_go_while_it_runs(void) {
    install("echo > running; sleep 1000");
    CHECK(rig_open(&rig, cli_credential(0)));
    rig_ask(&rig, rig.first, "", false);
    for (int i = 0; i < 5; i++) {
        rig_turn(&rig);
    }
    rig_close(&rig);
    CHECK_EQ(0, rig.first->answers);
}

/* A host that ignores SIGCHLD takes the exit status away from us. */
static void an_exit_status_that_is_lost_does_no_harm(void) {
    install(GOOD);
    (void)signal(SIGCHLD, SIG_IGN);
    CHECK(rig_open(&rig, cli_credential(0)));
    CHECK(rig_get(&rig, false));
    rig_close(&rig);
    (void)signal(SIGCHLD, SIG_DFL);
}

static void a_machine_without_it_is_told_so(void) {
    char *path = strdup(getenv("PATH"));

    CHECK_EQ(0, setenv("PATH", "/nonexistent", 1));
    CHECK(rig_open(&rig, cli_credential(0)));
    CHECK(!rig_get(&rig, false));
    failed(TMK_EAUTH, "there is no program 'az' in PATH");
    rig_close(&rig);
    CHECK_EQ(0, setenv("PATH", path, 1));
    free(path);
}

static int open_files(void) {
    DIR *d = opendir("/proc/self/fd");
    int count = 0;

    CHECK(d != NULL);
    while (readdir(d) != NULL) {
        count++;
    }
    (void)closedir(d);
    return count;
}

static bool scenario(void) {
    tmk_credential *c = cli_credential(0);
    bool good = false;

    if (c != NULL && rig_open(&rig, c)) {
        rig_ask(&rig, rig.first, "", false);
        good = rig_wait_for(&rig, rig.first, 10 * TMK_SEC) && rig.first->token.secret != NULL;
    }
    rig_close(&rig);
    return good;
}

static void a_failed_allocation_leaves_no_memory_and_no_descriptor(void) {
    int before = open_files();

    install(GOOD);
    failing_each(scenario);
    CHECK_EQ(before, open_files());
}

int main(void) {
    char path[512];
    int failures;

    temp_folder_make(&folder);
    (void)snprintf(path, sizeof path, "%s:/usr/bin:/bin", folder.path);
    (void)setenv("PATH", path, 1);
    failures = RUN(
        TEST(it_is_asked_with_plain_words), TEST(its_surroundings_are_clean),
        TEST(a_complaint_is_passed_on_in_one_line), TEST(nobody_logged_in_is_said_with_the_way_out),
        TEST(nonsense_is_not_repeated), TEST(endless_output_has_an_end),
        TEST(a_hanging_one_is_ended_with_its_children), TEST(tokens_may_go_while_it_runs),
        TEST(an_exit_status_that_is_lost_does_no_harm), TEST(a_machine_without_it_is_told_so),
        TEST(a_failed_allocation_leaves_no_memory_and_no_descriptor));
    temp_folder_remove(&folder);
    return failures;
}
