#include "admin/answer.h"
#include "admin/backup_anew.h"
#include "admin/backup_folder.h"
#include "admin/backup_talk.h"
#include "admin/backup_verbs.h"
#include "admin/human.h"
#include "admin/store_print.h"
#include "admin/waiting.h"
#include "base/scope.h"
#include "shard/shard_map.h"

#include <inttypes.h>

struct restore {
    const struct command *command;
    struct backup_talk talk;
    struct backup_folder folder;
    char cluster_name[CERTIFICATE_NAME_BYTES]; /* the one that it goes into */
    bool is_other;                             /* than it was made of */
    bool chosen[SHARD_COUNT_MAX];
    uint32_t chosen_count;
    uint32_t done_count;
};

static void restore_clear(struct restore *restore)
{
    backup_talk_clear(&restore->talk);
    backup_folder_clear(&restore->folder);
}

/* ---- before anything is done ---- */

static enum exit_code choose(struct restore *restore)
{
    const struct backup_manifest *manifest = &restore->folder.manifest;
    const struct command *command = restore->command;
    const char *group = command_value(command, "group");
    bool is_named = group || command_value(command, "shards");
    enum exit_code code = backup_folder_choose(
        command, group, manifest->shard_count, restore->chosen);
    for (uint32_t i = 0; !code && i < manifest->shard_count; i++) {
        bool is_there = backup_manifest_find(manifest, i);
        if (restore->chosen[i] && !is_there && is_named) {
            command_say(command, "shard %u is not in the backup %s", i,
                        restore->folder.path.text);
            return EXIT_CODE_REFUSED;
        }
        restore->chosen[i] = restore->chosen[i] && is_there;
        restore->chosen_count += restore->chosen[i];
    }
    return code;
}

static void say_damage(void *context, const struct backup_damage *damage)
{
    const struct restore *restore = context;
    if (damage->offset == UINT64_MAX) {
        command_say(restore->command, "%s: %s", damage->file, damage->what);
    } else {
        command_say(restore->command, "%s:%" PRIu64 ": %s", damage->file,
                    damage->offset, damage->what);
    }
}

/* All that will be used, before any of it is. */
static enum exit_code check_files(struct restore *restore)
{
    bool is_damaged = false;
    const struct backup_manifest *manifest = &restore->folder.manifest;
    for (uint32_t i = 0; i < manifest->count; i++) {
        const struct backup_shard *shard = &manifest->shards[i];
        enum err err = restore->chosen[shard->shard]
                           ? backup_folder_check(&restore->folder, shard,
                                                 say_damage, restore)
                           : ERR_NONE;
        if (err && err != ERR_MALFORMED) {
            return command_failed(restore->command, err, "the file of shard %u",
                                  shard->shard);
        }
        is_damaged = is_damaged || err;
    }
    if (is_damaged) {
        command_say(restore->command,
                    "nothing was restored; --shards takes what is not damaged");
    }
    return is_damaged ? EXIT_CODE_REFUSED : EXIT_CODE_OK;
}

static enum exit_code look_around(struct restore *restore)
{
    scoped(answer_clear) json_t *status = NULL;
    const struct backup_manifest *manifest = &restore->folder.manifest;
    struct remote_question question = {.verb = "cluster.status"};
    enum exit_code code = remote_ask(restore->talk.remote, &question, &status);
    if (code) {
        return code;
    }
    int64_t count = answer_number(status, "shards.total");
    if (count != manifest->shard_count) {
        command_say(restore->command,
                    "the cluster has %" PRId64
                    " shards, the backup is of one with %u: keys would be "
                    "elsewhere. Found the cluster with `shards: %u`",
                    count, manifest->shard_count, manifest->shard_count);
        return EXIT_CODE_REFUSED;
    }
    (void)snprintf(restore->cluster_name, sizeof restore->cluster_name, "%s",
                   answer_name(status, "cluster.name"));
    restore->is_other =
        strcmp(answer_name(status, "cluster.id"), manifest->cluster_id) != 0;
    return EXIT_CODE_OK;
}

static bool confirm(const struct restore *restore)
{
    char created[STORE_PRINT_TIME_BYTES];
    const struct backup_manifest *manifest = &restore->folder.manifest;
    store_print_time(created, manifest->created_ms);
    fprintf(restore->command->world->talk,
            "%u of %u shards of cluster %s become what %s was at %s; what has "
            "happened to them since is lost.\n",
            restore->chosen_count, manifest->shard_count, restore->cluster_name,
            restore->is_other ? manifest->cluster_name : "it", created);
    if (restore->is_other) {
        fprintf(restore->command->world->talk,
                "It is another cluster than the backup was made of.\n");
    }
    return waiting_confirm(restore->command, restore->cluster_name);
}

/* ---- doing it ---- */

/* In the journal, before anything comes. */
static enum exit_code announce(const struct restore *restore)
{
    struct err_detail why = {0};
    enum exit_code code =
        backup_folder_note(&restore->folder, restore->talk.remote,
                           "backup.restoring", restore->chosen, &why);
    if (code) {
        command_say(restore->command,
                    "nothing was restored, for it cannot be noted: %s",
                    why.text);
    }
    return code;
}

/* Only for --group, which nodes name when they refuse a group. */
static enum exit_code begin_anew(const struct restore *restore)
{
    enum exit_code code = EXIT_CODE_OK;
    bool may = command_value(restore->command, "group");
    for (uint32_t i = 0;
         may && !code && i < restore->folder.manifest.shard_count; i++) {
        if (restore->chosen[i]) {
            code = backup_anew(restore->command, restore->talk.remote, i);
        }
    }
    return code;
}

static enum exit_code explain(const struct restore *restore,
                              enum err err,
                              const struct backup_shard *shard,
                              const struct err_detail *why)
{
    command_say(restore->command, "%s",
                why->text[0] ? why->text : err_text(err));
    if (err == ERR_NO_QUORUM || err == ERR_TIMEOUT) {
        fprintf(restore->command->world->talk,
                "Does anybody lead it? `troupe shard show %u` says. A group "
                "that has no usable replica left is begun anew by `troupe "
                "backup restore %s --group %u`.\n",
                shard->shard, restore->folder.path.text, shard->shard + 1);
    }
    return err == ERR_CLOSED ? EXIT_CODE_PARTIAL : exit_code_of_change(err);
}

static enum exit_code restore_shard(struct restore *restore,
                                    const struct backup_shard *shard)
{
    struct err_detail why = {0};
    struct backup_reader reader = {0};
    enum err err = backup_reader_init(
        &reader, posix_disk_table(restore->folder.disk), shard->shard);
    if (err) {
        return command_failed(restore->command, err, "the file of shard %u",
                              shard->shard);
    }
    err = backup_talk_restore(&restore->talk, &reader, shard, &why);
    backup_reader_clear(&reader);
    if (err) {
        return explain(restore, err, shard, &why);
    }
    restore->chosen[shard->shard] = false;
    restore->done_count++;
    backup_talk_say(&restore->talk, restore->done_count, restore->chosen_count);
    return EXIT_CODE_OK;
}

/* "3,8,9": for the next try. */
static void say_left(const struct restore *restore)
{
    FILE *talk = restore->command->world->talk;
    const char *comma = "";
    fprintf(talk,
            "%u of %u shards are restored. All of it can be run again, or the "
            "rest alone: --shards ",
            restore->done_count, restore->chosen_count);
    for (uint32_t i = 0; i < restore->folder.manifest.shard_count; i++) {
        if (restore->chosen[i]) {
            fprintf(talk, "%s%u", comma, i);
            comma = ",";
        }
    }
    fprintf(talk, "\n");
}

static enum exit_code restore_all(struct restore *restore)
{
    enum exit_code code = EXIT_CODE_OK;
    const struct backup_manifest *manifest = &restore->folder.manifest;
    for (uint32_t i = 0; !code && i < manifest->count; i++) {
        const struct backup_shard *shard = &manifest->shards[i];
        code = restore->chosen[shard->shard] ? restore_shard(restore, shard)
                                             : EXIT_CODE_OK;
    }
    if (code) {
        say_left(restore);
        return restore->done_count > 0 ? EXIT_CODE_PARTIAL : code;
    }
    fprintf(restore->command->world->out, "%u shards are restored, %s\n",
            restore->done_count, human_size(restore->talk.bytes).text);
    return EXIT_CODE_OK;
}

static enum exit_code run(struct restore *restore)
{
    enum exit_code code =
        backup_folder_init(&restore->folder, restore->command);
    if (!code) {
        code = choose(restore);
    }
    if (!code) {
        code = check_files(restore);
    }
    if (!code) {
        code = backup_talk_init(&restore->talk, restore->command);
    }
    if (!code) {
        code = look_around(restore);
    }
    if (code) {
        return code;
    }
    if (!confirm(restore)) {
        return EXIT_CODE_REFUSED;
    }
    code = announce(restore);
    if (!code) {
        code = begin_anew(restore);
    }
    return code ? code : restore_all(restore);
}

enum exit_code backup_restore_run(const struct command *command)
{
    scoped(restore_clear) struct restore restore = {.command = command};
    return run(&restore);
}
