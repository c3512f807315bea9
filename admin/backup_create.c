#include "admin/answer.h"
#include "admin/backup_folder.h"
#include "admin/backup_talk.h"
#include "admin/backup_verbs.h"
#include "admin/human.h"
#include "admin/reading.h"
#include "base/scope.h"
#include "shard/shard_map.h"

#include <stdlib.h>
#include <string.h>

struct create {
    const struct command *command;
    struct backup_talk talk;
    struct backup_folder folder;
    bool chosen[SHARD_COUNT_MAX];
    uint32_t chosen_count;
    bool is_folder_ours; /* it was made here */
};

static void create_clear(struct create *create)
{
    backup_talk_clear(&create->talk);
    backup_folder_clear(&create->folder);
}

/* ---- what the cluster is ---- */

static enum exit_code ask(struct create *create,
                          const char *verb,
                          json_t **answer)
{
    struct remote_question question = {.verb = verb};
    return remote_ask(create->talk.remote, &question, answer);
}

static enum exit_code take_cluster(struct create *create, const json_t *status)
{
    struct backup_manifest *manifest = &create->folder.manifest;
    (void)snprintf(manifest->cluster_id, sizeof manifest->cluster_id, "%s",
                   answer_name(status, "cluster.id"));
    (void)snprintf(manifest->cluster_name, sizeof manifest->cluster_name, "%s",
                   answer_name(status, "cluster.name"));
    (void)snprintf(manifest->release, sizeof manifest->release, "%s",
                   TROUPE_VERSION);
    manifest->created_ms = clock_wall_ms(create->command->world->clock);
    size_t count = answer_count(manifest->map, "shards");
    if (count == 0 || count > SHARD_COUNT_MAX) {
        command_say(create->command, "the cluster has no shards yet");
        return EXIT_CODE_REFUSED;
    }
    manifest->shard_count = (uint32_t)count;
    manifest->shards = calloc(count, sizeof *manifest->shards);
    return manifest->shards
               ? EXIT_CODE_OK
               : command_failed(create->command, ERR_MEMORY, "the manifest");
}

static enum exit_code look_around(struct create *create)
{
    struct backup_manifest *manifest = &create->folder.manifest;
    scoped(answer_clear) json_t *status = NULL;
    enum exit_code code = ask(create, "cluster.status", &status);
    if (!code) {
        code = ask(create, "node.ls", &manifest->members);
    }
    if (!code) {
        code = ask(create, "shard.map", &manifest->map);
    }
    if (!code) {
        code = ask(create, "config.show", &manifest->settings);
    }
    if (!code) {
        code = take_cluster(create, status);
    }
    if (!code) {
        code = backup_folder_choose(create->command, NULL,
                                    manifest->shard_count, create->chosen);
    }
    for (uint32_t i = 0; !code && i < manifest->shard_count; i++) {
        create->chosen_count += create->chosen[i];
    }
    return code;
}

/* ---- the folder ---- */

static void count_name(void *context, const char *name)
{
    uint32_t *count = context;
    (void)name;
    (*count)++;
}

/* A new one, or one that is empty. */
static enum exit_code make_folder(struct create *create)
{
    const struct command *command = create->command;
    const struct files *files = command->world->files;
    const char *path = create->folder.path.text;
    uint32_t count = 0;
    enum err err = files->make_folder(files->context, path, FILE_SECRET);
    create->is_folder_ours = !err;
    if (err == ERR_EXISTS) {
        err = files->list(files->context, path, count_name, &count);
    }
    if (!err && count > 0) {
        command_say(command,
                    "%s is not empty: a backup is never written over; give a "
                    "new folder",
                    path);
        return EXIT_CODE_REFUSED;
    }
    if (!err) {
        err = posix_disk_open(&create->folder.disk, path);
    }
    return err ? command_failed(command, err, "%s", path) : EXIT_CODE_OK;
}

/* What was begun and will not be finished. */
static void remove_folder(struct create *create)
{
    const struct files *files = create->command->world->files;
    const struct disk *disk =
        create->folder.disk ? posix_disk_table(create->folder.disk) : NULL;
    for (uint32_t i = 0; disk && i < create->folder.manifest.shard_count; i++) {
        char name[BACKUP_FILE_NAME_BYTES];
        backup_file_name(name, i);
        enum err err =
            create->chosen[i] ? disk->remove(disk->context, name) : ERR_NONE;
        (void)err; /* not there yet; or the folder stays as well */
    }
    enum err err = create->is_folder_ours
                       ? files->remove(files->context, create->folder.path.text)
                       : ERR_NONE;
    if (err) {
        (void)command_failed(create->command, err,
                             "%s: the unfinished backup cannot be removed",
                             create->folder.path.text);
    }
}

/* ---- the shards ---- */

static enum exit_code explain(const struct create *create,
                              enum err err,
                              const struct err_detail *why)
{
    command_say(create->command, "%s",
                why->text[0] ? why->text : err_text(err));
    return err == ERR_CLOSED ? EXIT_CODE_PARTIAL : exit_code_of_change(err);
}

static enum exit_code export_shard(struct create *create, uint32_t shard)
{
    struct err_detail why = {0};
    struct backup_writer writer = {0};
    struct backup_manifest *manifest = &create->folder.manifest;
    const json_t *seen =
        answer_find_number(answer_at(manifest->map, "shards"), "shard", shard);
    struct backup_shard about = {
        .term = (uint64_t)answer_number(seen, "term"),
        .generation = (uint64_t)answer_number(seen, "generation")};
    enum err err = backup_writer_init(
        &writer, posix_disk_table(create->folder.disk), shard);
    if (err) {
        return command_failed(create->command, err, "the file of shard %u",
                              shard);
    }
    err = backup_talk_export(&create->talk, &writer, &about, &why);
    backup_writer_clear(&writer);
    if (err) {
        return explain(create, err, &why);
    }
    manifest->shards[manifest->count++] = about;
    backup_talk_say(&create->talk, manifest->count, create->chosen_count);
    return EXIT_CODE_OK;
}

static enum exit_code export_all(struct create *create)
{
    enum exit_code code = EXIT_CODE_OK;
    for (uint32_t i = 0; !code && i < create->folder.manifest.shard_count;
         i++) {
        code = create->chosen[i] ? export_shard(create, i) : EXIT_CODE_OK;
    }
    return code;
}

/* The files' names first: a manifest says that all is there. */
static enum exit_code write_manifest(struct create *create)
{
    const struct files *files = create->command->world->files;
    const struct disk *disk = posix_disk_table(create->folder.disk);
    char *text = NULL;
    size_t length = 0;
    enum err err = disk->sync_folder(disk->context);
    if (!err) {
        err = backup_manifest_encode(&create->folder.manifest, &text, &length);
    }
    if (!err) {
        err = files->write(files->context, create->folder.manifest_path.text,
                           FILE_PUBLIC, false, bytes_of(text, length));
    }
    free(text);
    return err ? command_failed(create->command, err, "%s",
                                create->folder.manifest_path.text)
               : EXIT_CODE_OK;
}

/* ---- telling ---- */

/* The backup is good, whether the journal has a line of it or not. */
static void note(struct create *create)
{
    struct err_detail why = {0};
    if (backup_folder_note(&create->folder, create->talk.remote,
                           "backup.created", create->chosen, &why)) {
        command_say(create->command, "the journal has no line of it: %s",
                    why.text);
    }
}

static enum exit_code tell(const struct create *create)
{
    uint64_t bytes = 0;
    const struct backup_manifest *manifest = &create->folder.manifest;
    for (uint32_t i = 0; i < manifest->count; i++) {
        bytes += manifest->shards[i].bytes;
    }
    if (command_has(create->command, "json")) {
        return reading_print_json(
            create->command, "backup.create",
            json_pack(
                "{s:s, s:I, s:I, s:I}", "folder", create->folder.path.text,
                "shards", (json_int_t)manifest->count, "shard_count",
                (json_int_t)manifest->shard_count, "bytes", (json_int_t)bytes));
    }
    fprintf(create->command->world->out, "%s: %u of %u shards, %s\n",
            create->folder.path.text, manifest->count, manifest->shard_count,
            human_size(bytes).text);
    return EXIT_CODE_OK;
}

static enum exit_code fill_folder(struct create *create)
{
    enum exit_code code = make_folder(create);
    if (code) {
        return code;
    }
    code = export_all(create);
    if (!code) {
        code = write_manifest(create);
    }
    if (code) {
        remove_folder(create);
    }
    return code;
}

static enum exit_code run(struct create *create)
{
    enum exit_code code =
        backup_folder_take_path(&create->folder, create->command);
    if (!code) {
        code = backup_talk_init(&create->talk, create->command);
    }
    if (!code) {
        code = look_around(create);
    }
    if (!code) {
        code = fill_folder(create);
    }
    if (code) {
        return code;
    }
    note(create);
    return tell(create);
}

enum exit_code backup_create_run(const struct command *command)
{
    scoped(create_clear) struct create create = {.command = command};
    return run(&create);
}
