/* Reports checks of the contract as TAP. */
#ifndef TMK_CONTRACT_REPORT_H
#define TMK_CONTRACT_REPORT_H

#include <tidemark/store_contract.h>

#include <stdio.h>

static int report_count;

static void report_tap(void *self, const char *check, const char *failure) {
    (void)self;
    report_count++;
    printf("%s %d - %s\n", failure == NULL ? "ok" : "not ok", report_count, check);
    if (failure != NULL) {
        printf("# %s\n", failure);
    }
    (void)fflush(stdout);
}

static int report_end(int failures) {
    printf("1..%d\n", report_count);
    return failures == 0 ? 0 : 1;
}

#endif
