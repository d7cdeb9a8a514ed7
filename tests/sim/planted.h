/*
 * Tries whether lives notice a planted bug. Each bug lives in a process of its
 * own: one that runs into an assertion of the product, or into a loop without
 * end, is noticed as well.
 */
#ifndef TMK_SIM_PLANTED_H
#define TMK_SIM_PLANTED_H

#include <stdbool.h>
#include <stdint.h>

typedef struct planted_result {
    uint64_t lives; /* lived so far, the one that noticed included */
    bool caught;
    char rule[16], kind[16];
} planted_result;

/* Lives the nth life; fills in what it was, and whether and by which rule the bug was noticed. */
typedef void (*planted_life)(uint64_t n, planted_result *out);

/* In the child `plant` switches the bug on, and lives follow until one of them notices. */
planted_result planted_try(void (*plant)(int which), int which, planted_life live, uint64_t lives);

#endif
