#include "admin/pool_verbs.h"

#include "admin/answer.h"
#include "admin/pool_file.h"
#include "base/scope.h"
#include "config/units.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (1u << 20)

/* ---- one definition ---- */

/* NULL and EXIT_CODE_OK: there is no such pool. */
static enum exit_code ask_definition(struct remote *remote,
                                     const char *name,
                                     json_t **definition)
{
    scoped(answer_clear) json_t *answer = NULL;
    scoped(answer_clear) json_t *list = NULL;
    struct remote_question question = {.verb = "pool.ls"};
    enum exit_code code = remote_ask(remote, &question, &list);
    bool is_there = false;
    for (size_t i = 0; !code && i < answer_count(list, "pools"); i++) {
        is_there = is_there ||
                   strcmp(answer_name(answer_item(list, "pools", i), "name"),
                          name) == 0;
    }
    if (code || !is_there) {
        return code;
    }
    question = (struct remote_question){
        .verb = "pool.show", .args = json_pack("{s:s}", "name", name)};
    code = remote_ask(remote, &question, &answer);
    if (!code) {
        *definition = json_incref(json_object_get(answer, "definition"));
    }
    return code;
}

static enum exit_code set_pool(const struct command *command,
                               struct remote *remote,
                               const json_t *definition)
{
    scoped(answer_clear) json_t *answer = NULL;
    struct remote_question question = {
        .verb = "pool.set",
        .args = json_pack("{s:O, s:b}", "definition", definition, "dry_run",
                          (int)command_has(command, "dry-run")),
        .changes = true};
    return remote_ask(remote, &question, &answer);
}

/* ---- a field ---- */

static enum exit_code change_field(const struct command *command,
                                   const char *field,
                                   json_t *value,
                                   const char *done)
{
    const char *name = command_operand(command, 0);
    scoped(answer_clear) json_t *own = value;
    scoped(answer_clear) json_t *definition = NULL;
    scoped(remote_close) struct remote *remote = NULL;
    enum exit_code code = remote_open(&remote, command);
    if (!code) {
        code = ask_definition(remote, name, &definition);
    }
    if (code) {
        return code;
    }
    if (!definition) {
        command_say(command, "there is no pool %.64s", name);
        return EXIT_CODE_USAGE;
    }
    bool is_same = json_equal(json_object_get(definition, field), own);
    (void)json_object_set(definition, field, own);
    code = is_same ? EXIT_CODE_OK : set_pool(command, remote, definition);
    if (!code) {
        fprintf(command->world->talk, "Pool %s %s%s%s.\n", name,
                is_same ? "already " : "", done,
                command_has(command, "dry-run") ? "; nothing was done: "
                                                  "--dry-run"
                                                : "");
    }
    return code;
}

enum exit_code pool_scale_run(const struct command *command)
{
    char done[64];
    uint64_t workers = 0;
    const char *text = command_operand(command, 1);
    if (units_number(&workers, text) || workers > 1024) {
        return command_misused(command, "`%.32s`: 0 to 1024 workers", text);
    }
    (void)snprintf(done, sizeof done, "has %" PRIu64 " workers on each node",
                   workers);
    return change_field(command, "workers", json_integer((json_int_t)workers),
                        done);
}

enum exit_code pool_pause_run(const struct command *command)
{
    return change_field(command, "paused", json_true(),
                        "is paused: what runs goes on, nothing more begins");
}

enum exit_code pool_resume_run(const struct command *command)
{
    return change_field(command, "paused", json_false(), "gives tasks out");
}

/* ---- files ---- */

static void say_difference(FILE *talk,
                           const char *field,
                           const json_t *before,
                           const json_t *after)
{
    char *from = json_dumps(before, JSON_ENCODE_ANY | JSON_COMPACT);
    char *to = json_dumps(after, JSON_ENCODE_ANY | JSON_COMPACT);
    fprintf(talk, "    %s: %s -> %s\n", field, from ? from : "-",
            to ? to : "-");
    free(from);
    free(to);
}

/* How many fields differ; each is told. */
static size_t say_differences(const struct command *command,
                              const json_t *before,
                              json_t *after)
{
    size_t count = 0;
    const char *field = NULL;
    json_t *value = NULL;
    json_object_foreach(after, field, value)
    {
        const json_t *old = json_object_get(before, field);
        if (strcmp(field, "version") != 0 && strcmp(field, "schedules") != 0 &&
            !json_equal(old, value)) {
            say_difference(command->world->talk, field, old, value);
            count++;
        }
    }
    return count + pool_schedules_say(command, before, after);
}

/* What the file does not say: the defaults; but who has paused a pool has not
 * done so by a file. */
static enum err complete(json_t **out,
                         json_t *definition,
                         const json_t *before,
                         struct err_detail *why)
{
    if (before && !json_object_get(definition, "paused")) {
        (void)json_object_set(definition, "paused",
                              json_object_get(before, "paused"));
    }
    pool_schedules_keep(definition, before);
    (void)json_object_set_new(definition, "version", json_integer(0));
    enum err err = pool_file_complete(out, definition, why);
    if (!err && before) {
        (void)json_object_set(*out, "version",
                              json_object_get(before, "version"));
    }
    return err;
}

static enum exit_code apply_one(const struct command *command,
                                struct remote *remote,
                                json_t *definition)
{
    FILE *talk = command->world->talk;
    struct err_detail why = {{0}};
    scoped(answer_clear) json_t *before = NULL;
    scoped(answer_clear) json_t *after = NULL;
    const char *name = answer_name(definition, "name");
    enum exit_code code = ask_definition(remote, name, &before);
    if (code) {
        return code;
    }
    enum err err = complete(&after, definition, before, &why);
    if (err) {
        command_say(command, "pool %s: %s", name, why.text);
        return exit_code_of_change(err);
    }
    fprintf(talk, "Pool %s%s\n", name, before ? ":" : " is new.");
    if (!before) {
        (void)pool_schedules_say(command, NULL, after);
    } else if (say_differences(command, before, after) == 0) {
        fprintf(talk, "    no change\n");
        return EXIT_CODE_OK;
    }
    if (before && !command_has(command, "dry-run") &&
        !command_confirm(command, name)) {
        return EXIT_CODE_REFUSED;
    }
    return set_pool(command, remote, after);
}

static enum exit_code read_file(const struct command *command, json_t **list)
{
    uint8_t *text = NULL;
    size_t length = 0;
    struct err_detail why = {{0}};
    const struct files *files = command->world->files;
    const char *file = command_operand(command, 0);
    enum err err = files->read(files->context, file, FILE_PUBLIC,
                               FILE_BYTES_MAX, &text, &length);
    if (err) {
        return command_failed(command, err, "%s", file);
    }
    err = pool_file_read(list, bytes_of(text, length), file, &why);
    free(text);
    if (err) {
        command_say(command, "%s", why.text[0] ? why.text : err_text(err));
        return err == ERR_INVALID ? EXIT_CODE_FOUND : exit_code_of_change(err);
    }
    return EXIT_CODE_OK;
}

enum exit_code pool_apply_run(const struct command *command)
{
    scoped(answer_clear) json_t *list = NULL;
    scoped(remote_close) struct remote *remote = NULL;
    enum exit_code code = read_file(command, &list);
    if (!code) {
        code = remote_open(&remote, command);
    }
    size_t count = 0;
    for (; !code && count < json_array_size(list); count++) {
        code = apply_one(command, remote, json_array_get(list, count));
    }
    if (code && count > 1) {
        command_say(command, "%zu pools before were applied", count - 1);
        return EXIT_CODE_PARTIAL;
    }
    if (!code && command_has(command, "dry-run")) {
        fprintf(command->world->talk, "Nothing was done: --dry-run.\n");
    }
    return code;
}

/* ---- the end of one ---- */

/* 0 as well when it is not among them. */
static int64_t waiting_in(const json_t *answer, const char *name)
{
    for (size_t i = 0; i < answer_count(answer, "pools"); i++) {
        const json_t *pool = answer_item(answer, "pools", i);
        if (strcmp(answer_name(pool, "name"), name) == 0) {
            return answer_number(pool, "waiting");
        }
    }
    return 0;
}

static enum exit_code check_empty(const struct command *command,
                                  struct remote *remote)
{
    scoped(answer_clear) json_t *answer = NULL;
    const char *name = command_operand(command, 0);
    enum exit_code code = pool_ls_fetch(command, remote, &answer);
    int64_t waiting = code ? 0 : waiting_in(answer, name);
    if (code || command_has(command, "force")) {
        return code;
    }
    if (waiting > 0 || answer_count(answer, "away") > 0) {
        command_say(command,
                    "%" PRId64 " tasks wait in pool %s%s: nobody would work on "
                    "them. Let them end or cancel them, or give --force",
                    waiting, name,
                    answer_count(answer, "away") > 0
                        ? ", and not all nodes have answered"
                        : "");
        return EXIT_CODE_REFUSED;
    }
    return EXIT_CODE_OK;
}

static enum exit_code remove_pool(const struct command *command,
                                  struct remote *remote)
{
    scoped(answer_clear) json_t *answer = NULL;
    bool is_dry = command_has(command, "dry-run");
    const char *name = command_operand(command, 0);
    struct remote_question question = {
        .verb = "pool.remove",
        .args = json_pack("{s:s, s:b, s:b}", "name", name, "force",
                          (int)command_has(command, "force"), "dry_run",
                          (int)is_dry),
        .changes = true};
    enum exit_code code = remote_ask(remote, &question, &answer);
    if (!code) {
        fprintf(command->world->talk, "%s",
                is_dry ? "Nothing was done: --dry-run.\n" : "");
    }
    if (!code && !is_dry) {
        fprintf(command->world->talk, "Pool %s is removed.\n", name);
    }
    return code;
}

enum exit_code pool_remove_run(const struct command *command)
{
    scoped(remote_close) struct remote *remote = NULL;
    enum exit_code code = remote_open(&remote, command);
    if (!code) {
        code = check_empty(command, remote);
    }
    if (!code && !command_has(command, "dry-run") &&
        !command_confirm(command, command_operand(command, 0))) {
        code = EXIT_CODE_REFUSED;
    }
    return code ? code : remove_pool(command, remote);
}
