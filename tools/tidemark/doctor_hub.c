/* What the doctor sees of the hub: token, rights, hub, partitions, group. */
#include "doctor.h"

#include <tidemark/consumer.h>
#include <tidemark/management.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Why the client could not, where its last trouble tells more than that no answer came. */
static tmk_error cause_of(doctor *d, const tmk_error *err) {
    tmk_error cause = *err;

    pthread_mutex_lock(&d->lock);
    if (err->status == TMK_ETIMEOUT && d->operation[0] != '\0') {
        cause = d->trouble;
    }
    pthread_mutex_unlock(&d->lock);
    return cause;
}

static bool is_about_token(doctor *d, const tmk_error *cause) {
    bool token;

    pthread_mutex_lock(&d->lock);
    token = strcmp(d->operation, "token") == 0;
    pthread_mutex_unlock(&d->lock);
    return token || cause->status == TMK_EAUTH || strncmp(cause->origin, "entra", 5) == 0;
}

static const char *credential_advice(const doctor *d) {
    return d->common.connection_string != NULL
               ? "check the policy's name and key, and this machine's clock (a signature ends)"
               : "check tenant, client and secret or file; then the role (Azure Event Hubs Data "
                 "Receiver) on the hub; a new role takes some minutes";
}

static void say_no_facts(doctor *d, const tmk_error *err) {
    tmk_error cause = cause_of(d, err);

    if (is_about_token(d, &cause)) {
        doctor_say(d, DOCTOR_FAIL, "hub token", credential_advice(d), "%s [%s]", cause.text,
                   cause.origin);
    } else if (cause.status == TMK_ENOTFOUND) {
        doctor_say(d, DOCTOR_OK, "hub token", NULL, "accepted");
        doctor_say(d, DOCTOR_FAIL, "hub", "check --hub, and the namespace it should be in",
                   "%s [%s]", cause.text, cause.origin);
    } else {
        doctor_say(d, DOCTOR_FAIL, "hub",
                   "does Event Hubs answer there? a wrong port, or a proxy that eats AMQP: "
                   "--transport websocket",
                   "%s [%s]", cause.text, cause.origin);
    }
}

static void look_at_partitions(doctor *d, tmk_client *client, const tmk_hub_facts *hub) {
    size_t good = 0, used = 0;
    tmk_partition_facts facts;
    tmk_error err = {.text = ""};

    for (size_t i = 0; i < hub->partition_count; i++) {
        if (tmk_client_partition_facts_wait(client, hub->partitions[i], d->timeout_ms, &facts,
                                            &err) < 0) {
            break;
        }
        good++;
        used += !facts.empty;
    }
    if (good == hub->partition_count) {
        doctor_say(d, DOCTOR_OK, "partitions", NULL, "all %zu answer, %zu hold events", good, used);
    } else {
        doctor_say(d, DOCTOR_FAIL, "partitions", "try again; then ask whoever runs the namespace",
                   "partition %s: %s [%s]", hub->partitions[good], err.text, err.origin);
    }
}

static void say_of_reading(doctor *d, const char *partition, tmk_status st, const tmk_error *err) {
    tmk_error cause = cause_of(d, err);

    if (st == TMK_OK) {
        doctor_say(d, DOCTOR_OK, "group", NULL, "'%s' can be read (right to listen)", d->group);
    } else if (cause.status == TMK_ELOST) {
        doctor_say(d, DOCTOR_OK, "group", NULL,
                   "'%s' is being read by a processor: it keeps others from partition %s", d->group,
                   partition);
    } else if (cause.status == TMK_ENOTFOUND) {
        doctor_say(d, DOCTOR_FAIL, "group", "make the consumer group, or check --group", "%s [%s]",
                   cause.text, cause.origin);
    } else if (cause.status == TMK_EAUTH) {
        doctor_say(d, DOCTOR_FAIL, "group",
                   "reading needs the role Azure Event Hubs Data Receiver, or a policy with the "
                   "right Listen",
                   "%s [%s]", cause.text, cause.origin);
    } else if (cause.status == TMK_ELIMIT) {
        doctor_say(d, DOCTOR_WARN, "group",
                   "readers without an owner level count: find and end them", "%s [%s]", cause.text,
                   cause.origin);
    } else {
        doctor_say(d, DOCTOR_FAIL, "group", "try again; then ask whoever runs the namespace",
                   "%s [%s]", cause.text, cause.origin);
    }
}

/* Opens a link as a reader would, at the end of the stream, and takes nothing. */
static void look_at_group(doctor *d, tmk_client *client, const char *partition) {
    tmk_consumer_options o;
    tmk_consumer *c = NULL;
    tmk_error err = {.text = ""};
    tmk_status st;

    tmk_consumer_options_init(&o);
    o.partition = partition;
    o.group = d->group;
    o.prefetch = 1;
    o.name = "tidemark-doctor";
    st = tmk_consumer_new(client, &o, &c, &err);
    if (st == TMK_OK) {
        st = tmk_consumer_open_wait(c, d->timeout_ms, &err);
    }
    say_of_reading(d, partition, st, &err);
    if (c != NULL) {
        (void)tmk_consumer_close(c, 2000, NULL);
    }
    tmk_consumer_free(c);
}

void doctor_hub(doctor *d, tmk_client *client) {
    tmk_hub_facts *hub = NULL;
    tmk_error err = {.text = ""};

    if (tmk_client_hub_facts_wait(client, d->timeout_ms, &hub, &err) < 0) {
        say_no_facts(d, &err);
        return;
    }
    doctor_say(d, DOCTOR_OK, "hub token", NULL, "accepted");
    doctor_say(d, DOCTOR_OK, "hub", NULL, "'%s' has %zu partitions%s", hub->name,
               hub->partition_count, hub->georeplicated ? " and is geo-replicated" : "");
    look_at_partitions(d, client, hub);
    if (hub->partition_count > 0) {
        look_at_group(d, client, hub->partitions[0]);
    }
    tmk_hub_facts_free(hub);
}
