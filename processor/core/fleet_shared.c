/* Beside the official processors. */
#include "core/fleet_inside.h"

bool tmk_shared_life_step(tmk_fleet *f, tmk_time now) {
    (void)f;
    (void)now;
    return false;
}
tmk_time tmk_shared_life_deadline(const tmk_fleet *f) {
    (void)f;
    return TMK_NEVER;
}
tmk_holding_ask tmk_shared_next_ask(tmk_fleet *f, tmk_holding *h, tmk_time now) {
    (void)f;
    (void)h;
    (void)now;
    return TMK_ASK_NOTHING;
}
void tmk_shared_answered(tmk_fleet *f, tmk_holding *h, tmk_time now,
                         const tmk_store_result *result) {
    (void)f;
    (void)h;
    (void)now;
    (void)result;
}
