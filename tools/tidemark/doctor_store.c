/* What the doctor sees of the store: reach, rights, traps of the account, and who else is there. */
#include "doctor.h"

#include <tidemark/store_blob_inspect.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SKEW_WARN_MS = 60000, SKEW_FAIL_MS = 15 * 60000 };

/* ---- rights ---- */

static bool has_code(const tmk_error *err, const char *code) {
    return strstr(err->origin, code) != NULL;
}

static const char *access_advice(const doctor *d, const tmk_error *err) {
    if (has_code(err, "AuthorizationPermissionMismatch") ||
        has_code(err, "AuthorizationResourceTypeMismatch") ||
        has_code(err, "AuthorizationServiceMismatch") || has_code(err, "InsufficientAccount")) {
        return d->common.storage_account != NULL
                   ? "give the identity the role Storage Blob Data Contributor on the container; "
                     "a new role takes some minutes"
                   : "the signature needs the rights rcwld on the container";
    }
    if (has_code(err, "KeyBasedAuthentication")) {
        return "the account takes no keys: use --storage-account with --credential";
    }
    return "check key, signature or identity, this machine's clock, and the account's network "
           "rules "
           "(a firewall answers 403 as well)";
}

static void say_no_access(doctor *d, const tmk_error *err) {
    if (strncmp(err->origin, "entra", 5) == 0 || strncmp(err->origin, "imds", 4) == 0 ||
        strncmp(err->origin, "cli", 3) == 0 || strncmp(err->origin, "auth", 4) == 0) {
        doctor_say(d, DOCTOR_FAIL, "store token",
                   "check tenant, client and secret or file of --credential", "%s [%s]", err->text,
                   err->origin);
    } else if (err->status == TMK_EAUTH) {
        doctor_say(d, DOCTOR_FAIL, "store access", access_advice(d, err), "%s [%s]", err->text,
                   err->origin);
    } else if (err->status == TMK_ENOTFOUND) {
        doctor_say(d, DOCTOR_FAIL, "container",
                   "make it, or let the first instance make it by --create-container", "%s [%s]",
                   err->text, err->origin);
    } else {
        doctor_say(d, DOCTOR_FAIL, "store access", "try again; then look at the account's state",
                   "%s [%s]", err->text, err->origin);
    }
}

static void say_of_trial(doctor *d, const tmk_blob_report *r) {
    if (!r->write_tried) {
        doctor_say(d, DOCTOR_UNKNOWN, "store rights", NULL,
                   "listing works; writing was not tried (--read-only)");
    } else if (r->write.status == TMK_OK) {
        doctor_say(d, DOCTOR_OK, "store rights", NULL,
                   "a blob was made, rewritten, leased and deleted");
    } else if (r->write.status == TMK_EAUTH) {
        doctor_say(d, DOCTOR_FAIL, "store rights", access_advice(d, &r->write), "%s [%s]",
                   r->write.text, r->write.origin);
    } else {
        doctor_say(d, DOCTOR_FAIL, "store rights", "use a container without such a policy",
                   "%s [%s]", r->write.text, r->write.origin);
    }
}

/* ---- clock ---- */

static void say_of_clock(doctor *d, const tmk_blob_report *r) {
    int64_t off_ms = r->skew_ms < 0 ? -r->skew_ms : r->skew_ms;
    const char *direction = r->skew_ms < 0 ? "behind" : "ahead of";
    static const char *const advice =
        "let this machine keep time (chrony, systemd-timesyncd): signatures of a wrong clock are "
        "refused, and ages of events are wrong";

    if (!r->date_known) {
        doctor_say(d, DOCTOR_UNKNOWN, "clock", NULL, "no answer of the service told its time");
    } else if (off_ms >= SKEW_WARN_MS) {
        doctor_say(d, off_ms >= SKEW_FAIL_MS ? DOCTOR_FAIL : DOCTOR_WARN, "clock", advice,
                   "this machine is %" PRId64 " s %s the service", off_ms / 1000, direction);
    } else {
        doctor_say(d, DOCTOR_OK, "clock", NULL, "within %" PRId64 " s of the service's",
                   off_ms / 1000 + 1);
    }
}

/* ---- traps of the account ---- */

static void say_of_feature(doctor *d, const char *topic, tmk_blob_known known, doctor_kind when_on,
                           const char *off, const char *on, const char *advice) {
    if (known == TMK_BLOB_UNKNOWN) {
        doctor_say(d, DOCTOR_UNKNOWN, topic, NULL, "the rights at hand do not show it");
    } else if (known == TMK_BLOB_NO) {
        doctor_say(d, DOCTOR_OK, topic, NULL, "%s", off);
    } else {
        doctor_say(d, when_on, topic, advice, "%s", on);
    }
}

static void say_of_account(doctor *d, const tmk_blob_report *r) {
    if (strcmp(r->account_kind, "BlobStorage") == 0 ||
        strcmp(r->account_kind, "BlockBlobStorage") == 0 ||
        strcmp(r->account_kind, "StorageV2") == 0 || strcmp(r->account_kind, "Storage") == 0) {
        doctor_say(d, DOCTOR_OK, "account kind", NULL, "%s", r->account_kind);
    } else {
        doctor_say(d, DOCTOR_UNKNOWN, "account kind", NULL, "%s",
                   r->account_kind[0] == '\0' ? "the rights at hand do not show it"
                                              : r->account_kind);
    }
    say_of_feature(d, "hierarchical ns", r->hierarchical, DOCTOR_WARN, "off",
                   "on (Data Lake): lists show directories, at which some SDKs stumble",
                   "use an account without it where official processors share the group");
    say_of_feature(d, "soft delete", r->soft_delete, DOCTOR_WARN, "off",
                   "on: each overwritten done-map leaves a deleted copy, lists grow slow",
                   "use an account without it, or a short retention");
    say_of_feature(d, "versioning", r->versioning, DOCTOR_WARN, "off",
                   "on: each checkpoint leaves a version, which costs money and slows lists",
                   "use an account without it");
    say_of_feature(d, "immutability", r->immutable, DOCTOR_FAIL, "no policy",
                   "a policy or a legal hold forbids to overwrite and to delete",
                   "use a container without one: checkpoints are overwritten all the time");
}

/* ---- who else is there ---- */

static void say_of_own(doctor *d, const tmk_blob_fleet *f) {
    bool shared = cli_claims(&d->common) == TMK_CLAIMS_SHARED;

    if (!shared && f->owned_fresh > 0) {
        doctor_say(d, DOCTOR_FAIL, "group in the store",
                   "consume with --claims shared, or give Tidemark a consumer group of its own",
                   "official processors work in this group: '%s' owns, as of %" PRId64 " s ago",
                   f->owner, f->owner_age_ms / 1000);
    } else if (shared && f->leased > 0) {
        doctor_say(d, DOCTOR_FAIL, "group in the store",
                   f->members_alive > 0
                       ? "consume with --claims lease, or stop that fleet first"
                       : "nobody of that fleet lives: `tidemark checkpoint unlock` frees them",
                   "the group is run by leases: %zu partitions are held so", f->leased);
    } else if (!shared && f->leased > 0 && f->members_alive == 0) {
        doctor_say(
            d, DOCTOR_WARN, "group in the store",
            "the next instance takes them over; `tidemark checkpoint unlock` does it by hand",
            "%zu partitions are still held by a fleet of which nobody lives", f->leased);
    } else {
        doctor_say(d, DOCTOR_OK, "group in the store", NULL,
                   "%zu checkpoints, %zu official owners, %zu instances of Tidemark alive",
                   f->checkpoints, f->owned_fresh, f->members_alive);
    }
    if (shared && f->owned_fresh > 0 && f->slowest_age_ms >= d->expiry_ms) {
        doctor_say(
            d, DOCTOR_WARN, "timing of others",
            "let --expiry be longer than their renewal interval, and theirs longer than ours",
            "an owner alive has last renewed %" PRId64 " s ago: with an expiry of %" PRId64
            " s it counts as dead",
            f->slowest_age_ms / 1000, d->expiry_ms / 1000);
    }
}

static void say_of_other(doctor *d, const tmk_blob_fleet *f) {
    size_t alive = f->owned_fresh + f->members_alive;

    doctor_say(
        d, alive > 0 ? DOCTOR_FAIL : DOCTOR_WARN, "letter case",
        alive > 0 ? "two fleets read everything twice: spell host, hub and group of the "
                    "Go or Rust programs in lower case"
                  : "KEDA or an SDK may look there: delete what nobody uses any more",
        "the group has records under another spelling too, '%s': %zu checkpoints, %zu living "
        "owners%s%s",
        f->prefix, f->checkpoints, alive, f->owner[0] == '\0' ? "" : ", such as ", f->owner);
}

static void say_of_fleets(doctor *d, const tmk_blob_report *r) {
    bool own = false, other = false;

    for (size_t i = 0; i < r->fleet_count; i++) {
        const tmk_blob_fleet *f = &r->fleets[i];
        if (f->lower) {
            own = true;
            say_of_own(d, f);
        } else {
            other = true;
            say_of_other(d, f);
        }
    }
    if (!own) {
        doctor_say(d, DOCTOR_OK, "group in the store", NULL, "no records yet");
    }
    if (!other) {
        doctor_say(d, DOCTOR_OK, "letter case", NULL, "one spelling, in lower case");
    }
    if (r->cut) {
        doctor_say(d, DOCTOR_WARN, "container", "use a container for nothing but checkpoints",
                   "holds so many names that not all were looked through");
    }
}

/* ---- the stores ---- */

static void look_at_blobs(doctor *d, const tmk_store_blob_options *o) {
    tmk_blob_report *r = NULL;
    tmk_error err = {.text = ""};

    if (tmk_store_blob_inspect(o, !d->read_only, d->timeout_ms, &r, &err) < 0) {
        doctor_say(d, DOCTOR_FAIL, "store settings", "see --store and --storage-...", "%s [%s]",
                   err.text, err.origin);
        return;
    }
    if (doctor_reach(d, "store", r->endpoint)) {
        say_of_clock(d, r);
        if (r->list.status < 0) {
            say_no_access(d, &r->list);
        } else {
            doctor_say(d, DOCTOR_OK, "container", NULL, "'%s' in %s can be listed", o->container,
                       r->endpoint);
            say_of_trial(d, r);
            say_of_account(d, r);
            say_of_fleets(d, r);
        }
    }
    tmk_blob_report_free(r);
}

static void look_at_other(doctor *d, tmk_client *client) {
    tmk_store_op list = {.kind = TMK_STORE_PARTITION_LIST, .id = "", .timeout_ms = d->timeout_ms};
    tmk_store store = {NULL, NULL};
    tmk_store_result *result = NULL;
    tmk_error err = {.text = ""};

    if (cli_store(&d->common, tmk_client_host(client), tmk_client_hub(client), d->group, &store) !=
        0) {
        doctor_say(d, DOCTOR_FAIL, "store", "see the error above", "it cannot be opened");
        return;
    }
    if (tmk_store_ask(store, &list, &result, &err) == TMK_OK) {
        doctor_say(d, DOCTOR_OK, "store", NULL, "%s has records of %zu partitions", d->common.store,
                   result->partition_count);
    } else {
        doctor_say(d, DOCTOR_FAIL, "store", "is the folder there, on a local disk, and writable?",
                   "%s [%s]", err.text, err.origin);
    }
    tmk_store_result_free(result);
    tmk_store_free(store);
}

void doctor_store(doctor *d, tmk_client *client) {
    tmk_credential *credential = NULL;
    tmk_store_blob_options o;

    if (d->common.store == NULL) {
        doctor_say(d, DOCTOR_UNKNOWN, "store", "give --store blob:CONTAINER or file:DIR",
                   "none was named");
    } else if (strcmp(d->common.store, "memory") == 0) {
        doctor_say(d, DOCTOR_WARN, "store", "use --store blob:CONTAINER or file:DIR",
                   "memory: a restart begins anew, and instances do not see each other");
    } else if (!cli_store_is_blob(&d->common)) {
        look_at_other(d, client);
    } else if (cli_blob_options(&d->common, tmk_client_host(client), tmk_client_hub(client),
                                d->group, &o, &credential) != 0) {
        doctor_say(d, DOCTOR_FAIL, "store settings", "see the error above", "not complete");
    } else {
        look_at_blobs(d, &o);
    }
    tmk_credential_free(credential);
}
