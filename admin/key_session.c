#include "admin/key_session.h"

#include "base/time_units.h"
#include "config/bundle.h"
#include "config/trust.h"
#include "config/units.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Where the folder above `folder` is; "." when that is here. */
static enum err parent_of(struct path *out, const char *folder)
{
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/') {
        length--;
    }
    while (length > 0 && folder[length - 1] != '/') {
        length--;
    }
    while (length > 1 && folder[length - 1] == '/') {
        length--;
    }
    return length == 0 ? path_make(out, ".")
                       : path_make(out, "%.*s", (int)length, folder);
}

static enum err open_authority(struct key_session *session,
                               enum authority_use use)
{
    const char *folder = command_value(session->command, "authority");
    folder = folder ? folder : "authority";
    enum err err = path_make(&session->authority_folder, "%s", folder);
    if (!err) {
        err = parent_of(&session->cluster_folder, folder);
    }
    if (!err) {
        err = authority_open(&session->authority, &session->world, folder, use,
                             &session->why);
    }
    if (err == ERR_NOT_FOUND && !command_value(session->command, "authority")) {
        size_t length = strlen(session->why.text);
        (void)snprintf(session->why.text + length,
                       sizeof session->why.text - length,
                       ": work in the folder that `troupe cluster init` made, "
                       "or give --authority DIR");
    }
    if (!err && use == AUTHORITY_WRITE) {
        err = changes_open(&session->changes, session->world.files);
    }
    return err;
}

enum exit_code key_session_open(struct key_session *session,
                                const struct command *command,
                                enum authority_use use)
{
    const struct command_world *world = command->world;
    *session =
        (struct key_session){.command = command,
                             .world = {.files = world->files,
                                       .clock = world->clock,
                                       .entropy = world->entropy},
                             .now = clock_wall_ms(world->clock) / MS_PER_S};
    enum err err = identity_library_init();
    if (!err) {
        err = open_authority(session, use);
    }
    return err ? key_session_failed(session, err) : EXIT_CODE_OK;
}

void key_session_close(struct key_session *session)
{
    changes_close(&session->changes);
    authority_close(&session->authority);
}

enum exit_code key_session_failed(struct key_session *session, enum err err)
{
    struct err_detail left = {0};
    FILE *talk = session->command->world->talk;
    enum err undo_err =
        session->changes ? changes_undo(session->changes, &left) : ERR_NONE;
    (void)fprintf(talk, "troupe %s %s: %s\n", session->command->noun->name,
                  session->command->verb->name,
                  session->why.text[0] ? session->why.text : err_text(err));
    if (undo_err) {
        (void)fprintf(talk, "  and %s: run the same command again\n",
                      left.text);
    }
    return exit_code_of_change(err);
}

enum err key_session_save(struct key_session *session)
{
    return authority_save(session->authority, session->authority_folder.text,
                          session->changes, &session->why);
}

enum err key_session_folder(struct path *out,
                            struct key_session *session,
                            const char *name)
{
    const char *folder = command_value(session->command, "out");
    const char *parent = session->cluster_folder.text;
    if (folder) {
        return path_make(out, "%s", folder);
    }
    return strcmp(parent, ".") == 0 ? path_make(out, "%s", name)
                                    : path_make(out, "%s/%s", parent, name);
}

bool key_session_duration(int64_t *out,
                          const struct command *command,
                          const char *name)
{
    uint64_t ms = 0;
    const char *text = command_value(command, name);
    if (!text) {
        return true;
    }
    if (units_duration(&ms, text, UNITS_MS) || ms == 0 ||
        ms / MS_PER_S > (uint64_t)AUTHORITY_VALID_SECONDS_MAX) {
        (void)command_misused(command,
                              "--%s: `%s`: a duration such as 90d or 12h is "
                              "expected, at most 100 years",
                              name, text);
        return false;
    }
    *out = (int64_t)(ms / MS_PER_S);
    return true;
}

/* Tell of one folder. False: its trust could not be written. */
static bool put_trust(struct key_session *session, const char *folder)
{
    struct bundle_trust found = {0};
    const struct command_world *world = session->command->world;
    enum err err = bundle_put_trust(&found, world->files, folder,
                                    authority_trust_text(session->authority),
                                    &session->why);
    if (err) {
        (void)fprintf(world->talk,
                      "  %s: not updated: %s: copy %s/trust by hand\n", folder,
                      session->why.text, session->authority_folder.text);
        return false;
    }
    if (found.is_replaced) {
        (void)fprintf(world->out, "  %s/trust  was version %" PRIu64 "\n",
                      folder, found.old_version);
    }
    return true;
}

bool key_session_spread_trust(struct key_session *session)
{
    bool is_done = true;
    const struct ledger *ledger = authority_ledger(session->authority);
    (void)fprintf(session->command->world->out,
                  "trust is version %" PRIu64
                  " now. Copy it to every host, over the older one:\n"
                  "  %s/trust\n",
                  ledger->trust_version, session->authority_folder.text);
    for (uint32_t i = 0; i < ledger->entry_count; i++) {
        struct path folder;
        const struct ledger_entry *entry = &ledger->entries[i];
        const char *parent = session->cluster_folder.text;
        const char *name = entry->certificate.name;
        if (entry->state == LEDGER_SUPERSEDED) {
            continue; /* the newer one has the same name, and so folder */
        }
        enum err err = strcmp(parent, ".") == 0
                           ? path_make(&folder, "%s", name)
                           : path_make(&folder, "%s/%s", parent, name);
        is_done = !err && put_trust(session, folder.text) && is_done;
    }
    return is_done;
}

void key_session_time_text(char out[static KEY_SESSION_TIME_BYTES],
                           int64_t seconds)
{
    struct tm parts = {0};
    time_t time = (time_t)seconds;
    if (!gmtime_r(&time, &parts) ||
        strftime(out, KEY_SESSION_TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &parts) ==
            0) {
        out[0] = '\0';
    }
}

void key_session_span_text(char out[static KEY_SESSION_SPAN_BYTES],
                           int64_t seconds)
{
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
    int64_t length = seconds < 0 ? -seconds : seconds;
    size_t i = 0;
    while (i < 3 && length < 2 * units[i].seconds) {
        i++; /* "47 hours" says more than "1 day" */
    }
    int64_t count = length / units[i].seconds;
    (void)snprintf(out, KEY_SESSION_SPAN_BYTES, "%s%" PRId64 " %s%s%s",
                   seconds < 0 ? "" : "in ", count, units[i].name,
                   count == 1 ? "" : "s", seconds < 0 ? " ago" : "");
}

enum exit_code key_session_print_json(const struct command *command,
                                      json_t *document)
{
    FILE *out = command->world->out;
    int failed = !document ||
                 json_dumpf(document, out, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(document);
    if (failed || fputc('\n', out) == EOF || fflush(out)) {
        return command_failed(command, ERR_IO, "the output");
    }
    return EXIT_CODE_OK;
}
