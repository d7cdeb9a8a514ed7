/*
 * Exactly-once effects: the result and the position are written in one SQLite transaction, so that
 * no crash can separate them. The position in the database, not the checkpoint, says where to go
 * on; its generation keeps a former owner from writing.
 *
 *   EVENTHUB_CONNECTION_STRING=... ./transaction HUB STORE_FOLDER DATABASE
 */
#include <tidemark/processor.h>
#include <tidemark/store_file.h>

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <threads.h>

static const char tables[] =
    "PRAGMA journal_mode = WAL;"
    "CREATE TABLE IF NOT EXISTS total (key TEXT PRIMARY KEY, events INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS position (partition TEXT PRIMARY KEY, generation, sequence);";
static const char take[] =
    "INSERT INTO position VALUES (?1, ?2, -1) ON CONFLICT (partition) DO UPDATE SET "
    "generation = max(generation, excluded.generation) RETURNING sequence";
static const char count[] =
    "INSERT INTO total VALUES (?1, 1) ON CONFLICT (key) DO UPDATE SET events = events + 1";
static const char advance[] = "UPDATE position SET sequence = ?3 "
                              "WHERE partition = ?1 AND generation = ?2 AND sequence < ?3";

/* One connection a thread, opened by on_thread and closed when the thread ends; the control thread
 * has its own for on_open. */
static _Thread_local sqlite3 *db;
static tss_t db_of_thread;
static const char *db_path;

/* One statement with a text and two numbers; a number comes out. */
static bool run(const char *sql, const char *text, int64_t a, int64_t b, int64_t *out) {
    sqlite3_stmt *s = NULL;
    int step = sqlite3_prepare_v2(db, sql, -1, &s, NULL);

    if (step == SQLITE_OK) {
        sqlite3_bind_text(s, 1, text, -1, SQLITE_STATIC); /* refused where there is no such place */
        sqlite3_bind_int64(s, 2, a);
        sqlite3_bind_int64(s, 3, b);
        step = sqlite3_step(s);
    }
    if (step == SQLITE_ROW && out != NULL) {
        *out = sqlite3_column_int64(s, 0);
    }
    sqlite3_finalize(s);
    return step == SQLITE_ROW || step == SQLITE_DONE;
}

static void close_database(void *connection) {
    sqlite3_close(connection);
}

static void open_database(void *user, uint32_t index) {
    (void)user, (void)index;
    if (sqlite3_open(db_path, &db) != SQLITE_OK || sqlite3_busy_timeout(db, 10000) != SQLITE_OK ||
        tss_set(db_of_thread, db) != thrd_success) {
        sqlite3_close(db);
        db = NULL;
    }
}

/* Takes the partition in the database, and continues from what that says. */
static tmk_status choose_start(void *user, const char *partition, int64_t generation,
                               bool checkpointed, tmk_start *start) {
    int64_t sequence = -1;

    (void)user, (void)checkpointed;
    if (db == NULL) {
        open_database(NULL, 0);
    }
    if (db == NULL || !run(take, partition, generation, 0, &sequence)) {
        return TMK_EIO; /* opened again later */
    }
    *start = sequence < 0 ? tmk_start_earliest() : tmk_start_sequence(sequence, false);
    return TMK_OK;
}

static tmk_verdict handle(void *user, const tmk_event *event, tmk_delivery *d) {
    tmk_slice key = tmk_event_key(event);
    char text[129] = "";

    (void)user;
    (void)snprintf(text, sizeof text, "%.*s", (int)key.size, (const char *)key.bytes);
    if (db == NULL || !run("BEGIN IMMEDIATE", NULL, 0, 0, NULL)) {
        return TMK_STOP; /* the database is out of reach: wait for it */
    }
    bool good = run(count, text, 0, 0, NULL) &&
                run(advance, d->partition, d->generation, tmk_event_sequence(event), NULL);
    if (good && sqlite3_changes(db) == 1 && run("COMMIT", NULL, 0, 0, NULL)) {
        return TMK_DONE;
    }
    (void)run("ROLLBACK", NULL, 0, 0, NULL);
    return good ? TMK_SKIP
                : TMK_RETRY; /* no row: done before, or a newer owner has the partition */
}

int main(int argc, char **argv) {
    tmk_client *client = NULL;
    tmk_processor *processor = NULL;
    tmk_store store = {NULL, NULL};
    tmk_client_options c;
    tmk_store_file_options s;
    tmk_processor_options p;
    tmk_error err = {.text = "usage: transaction HUB STORE_FOLDER DATABASE"};
    sigset_t signals;
    int number, code = 1;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    tmk_client_options_init(&c);
    c.connection_string = getenv("EVENTHUB_CONNECTION_STRING");
    c.hub = argv[1];
    db_path = argc == 4 ? argv[3] : "";
    if (tss_create(&db_of_thread, close_database) == thrd_success) {
        open_database(NULL, 0);
    }
    tmk_processor_options_init(&p);
    p.on_event = handle;
    p.on_open = choose_start;
    p.on_thread = open_database;
    tmk_store_file_options_init(&s);
    s.folder = argv[2];
    if (argc == 4 && db != NULL && sqlite3_exec(db, tables, NULL, NULL, NULL) == SQLITE_OK &&
        tmk_client_new(&c, &client, &err) >= 0 && (s.host = tmk_client_host(client)) != NULL &&
        (s.hub = tmk_client_hub(client)) != NULL && tmk_store_file_new(&s, &store, &err) >= 0 &&
        tmk_processor_new(client, store, &p, &processor, &err) >= 0 &&
        tmk_processor_start(processor, &err) >= 0) {
        sigwait(&signals, &number);
        code = tmk_processor_stop(processor, 30000, NULL, &err) < 0;
    }
    if (code != 0) {
        fprintf(stderr, "transaction: %s\n", err.text);
    }
    processor = tmk_processor_free(processor);
    tmk_store_free(store);
    client = tmk_client_free(client);
    sqlite3_close(db);
    return code;
}
