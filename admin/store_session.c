#include "admin/store_session.h"

#include "admin/config_file.h"
#include "admin/config_text.h"
#include "base/posix/posix_files.h"
#include "base/scope.h"
#include "config/lines.h"
#include "store/posix_disk.h"
#include "store/rocks_kv.h"

#include <stdlib.h>
#include <string.h>

/* ---- which folder ---- */

/* The folder that the configuration gives the node. */
static enum exit_code find_root(struct store_session *session)
{
    const struct command *command = session->command;
    const struct command_world *world = command->world;
    const char *given = command_value(command, "config");
    const char *file = given;
    scoped(problems_close) struct problems *problems =
        calloc(1, sizeof *problems);
    if (!problems) {
        return command_failed(command, ERR_MEMORY, "the configuration");
    }
    scoped(settings_close) struct settings *settings = NULL;
    enum err err = config_file_open(&settings, &file, world->files, problems);
    if (err == ERR_NOT_FOUND && !given) {
        return command_misused(command, "which folder? Name the node's DIR; "
                                        "there is no " CONFIG_FILE_LOCAL
                                        " here and no " CONFIG_FILE_SYSTEM);
    }
    if (err) {
        config_text_problems(world->talk, problems, world->talk_is_colored);
        return exit_code_of(err);
    }
    const char *node = command_value(command, "node");
    node = node ? node : settings->node.name;
    if (!node[0]) {
        return command_misused(
            command, "which node? %s does not say: give --node NAME", file);
    }
    err = path_make(&session->root, "%s/%s", settings->node.data_dir, node);
    return err ? command_failed(command, err, "the path") : EXIT_CODE_OK;
}

/* Nodes' folders, found where one was expected. */
struct found {
    const struct files *files;
    const char *root;
    char names[256];
};

static void offer(void *visitor, const char *name)
{
    struct found *found = visitor;
    struct path path;
    struct data_folder_facts facts;
    size_t length = strlen(found->names);
    if (!path_make(&path, "%s/%s", found->root, name) &&
        !data_folder_look(&facts, found->files, path.text, NULL)) {
        (void)snprintf(found->names + length, sizeof found->names - length,
                       "%s%s", length > 0 ? ", " : "", name);
    }
}

static enum exit_code refuse_root(struct store_session *session, enum err err)
{
    const struct files *files = session->command->world->files;
    struct found found = {.files = files, .root = session->root.text};
    const char *root = session->root.text;
    if (err == ERR_ACCESS) {
        err_explain(&session->why,
                    "%s: permission denied: be the user that runs the node, "
                    "or root",
                    root);
    }
    if (err == ERR_NOT_FOUND &&
        files->list(files->context, root, offer, &found)) {
        err_explain(&session->why, "%s: there is no such folder", root);
    } else if (err == ERR_NOT_FOUND && found.names[0]) {
        err_explain(&session->why,
                    "%s: is not a node's folder, but holds some: %s: name one "
                    "of them",
                    root, found.names);
    } else if (err == ERR_NOT_FOUND) {
        err_explain(&session->why,
                    "%s: is not a node's data folder: there is no file "
                    "'identity' in it",
                    root);
    }
    return store_session_failed(session, err, root);
}

/* ---- locks ---- */

static enum err look_at_lock(const struct store_session *session)
{
    struct path path;
    enum err err = path_make(&path, "%s/lock", session->root.text);
    return err ? err : posix_files_look_at_lock(path.text);
}

bool store_session_is_locked(const struct store_session *session)
{
    return look_at_lock(session) == ERR_BUSY;
}

/* Verbs without --live are never let in. */
static bool may_be_live(const struct command *command)
{
    for (const struct command_flag *flag = command->verb->flags;
         flag && flag->name; flag++) {
        if (strcmp(flag->name, "live") == 0) {
            return true;
        }
    }
    return false;
}

static enum exit_code check_lock(struct store_session *session)
{
    bool may = may_be_live(session->command);
    if (may && command_has(session->command, "live")) {
        return EXIT_CODE_OK;
    }
    enum err err = look_at_lock(session);
    if (err == ERR_BUSY) {
        (void)fprintf(session->command->world->talk,
                      "troupe %s %s: %s/lock is held by a running process: "
                      "%s\n",
                      session->command->noun->name,
                      session->command->verb->name, session->root.text,
                      may ? "stop the node, work on a copy, or give --live "
                            "and take what is read for a glimpse"
                          : "stop the node, or work on a copy that was made "
                            "while it stood still");
        return EXIT_CODE_REFUSED;
    }
    return err ? command_failed(session->command, err, "%s/lock",
                                session->root.text)
               : EXIT_CODE_OK;
}

/* ---- life ---- */

enum exit_code store_session_open(struct store_session *session,
                                  const struct command *command,
                                  const char *dir)
{
    *session = (struct store_session){.command = command};
    if (!dir) {
        enum exit_code code = find_root(session);
        if (code) {
            return code;
        }
    } else if (path_make(&session->root, "%s", dir)) {
        return command_failed(command, ERR_INVALID, "the path");
    }
    enum err err = data_folder_look(&session->facts, command->world->files,
                                    session->root.text, &session->why);
    if (err) {
        return refuse_root(session, err);
    }
    err = path_make(&session->log_path, "%s/log", session->root.text);
    if (!err) {
        err = path_make(&session->state_path, "%s/state", session->root.text);
    }
    return err ? command_failed(command, err, "the path") : check_lock(session);
}

void store_session_close(struct store_session *session)
{
    rocks_kv_close(&session->state);
    wal_reader_close(&session->log);
    posix_disk_close(&session->disk);
}

enum err store_session_log(struct store_session *session)
{
    enum err err = posix_disk_open(&session->disk, session->log_path.text);
    session->why = (struct err_detail){0};
    if (err) {
        return err;
    }
    struct wal_reader_config config = {
        .disk = posix_disk_table(session->disk),
        .disk_id = session->facts.disk_id,
        .must_exist = session->facts.has_log,
    };
    return wal_reader_open(&session->log, &config, &session->why);
}

enum err store_session_state(struct store_session *session)
{
    struct rocks_kv_config config = {.folder = session->state_path.text};
    session->why = (struct err_detail){0};
    return rocks_kv_open_for_reading(&session->state, &config, &session->why);
}

const struct kv *store_session_kv(const struct store_session *session)
{
    return rocks_kv_table(session->state);
}

enum exit_code store_session_failed(struct store_session *session,
                                    enum err err,
                                    const char *path)
{
    const struct command *command = session->command;
    const char *why = session->why.text;
    if (why[0] == '\0') {
        return command_failed(command, err, "%s", path);
    }
    /* Some reasons name the file, others only what is in the folder. */
    bool is_named = strncmp(why, path, strlen(path)) == 0 || why[0] == '/';
    (void)fprintf(command->world->talk, "troupe %s %s: %s%s%s\n",
                  command->noun->name, command->verb->name,
                  is_named ? "" : path, is_named ? "" : ": ", why);
    return exit_code_of(err);
}

bool store_session_number(uint64_t *out,
                          const struct command *command,
                          const char *name,
                          const char *text,
                          uint64_t max)
{
    uint64_t number = 0;
    if (!text) {
        return true;
    }
    if (!lines_u64(&number, text) || number > max) {
        (void)command_misused(command, "%s: `%.40s` is not a number%s", name,
                              text,
                              lines_u64(&number, text) ? " that small" : "");
        return false;
    }
    *out = number;
    return true;
}
