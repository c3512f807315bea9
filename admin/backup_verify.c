#include "admin/backup_folder.h"
#include "admin/backup_verbs.h"
#include "admin/human.h"
#include "admin/reading.h"
#include "admin/store_print.h"
#include "base/scope.h"

#include <inttypes.h>

struct verify {
    const struct command *command;
    struct backup_folder folder;
    json_t *damages; /* NULL: told at once */
    uint64_t damage_count;
    uint64_t bytes;
};

static void verify_clear(struct verify *verify)
{
    backup_folder_clear(&verify->folder);
    json_decref(verify->damages);
}

static void on_damage(void *context, const struct backup_damage *damage)
{
    struct verify *verify = context;
    FILE *out = verify->command->world->out;
    bool has_offset = damage->offset != UINT64_MAX;
    verify->damage_count++;
    if (verify->damages) {
        json_t *item =
            json_pack("{s:s, s:s}", "file", damage->file, "what", damage->what);
        if (has_offset) {
            (void)json_object_set_new(item, "offset",
                                      json_integer((json_int_t)damage->offset));
        }
        (void)json_array_append_new(verify->damages, item);
    } else if (has_offset) {
        fprintf(out, "%s:%" PRIu64 ": %s\n", damage->file, damage->offset,
                damage->what);
    } else {
        fprintf(out, "%s: %s\n", damage->file, damage->what);
    }
}

static enum exit_code read_files(struct verify *verify)
{
    const struct backup_manifest *manifest = &verify->folder.manifest;
    for (uint32_t i = 0; i < manifest->count; i++) {
        enum err err = backup_folder_check(
            &verify->folder, &manifest->shards[i], on_damage, verify);
        if (err && err != ERR_MALFORMED) {
            (void)command_failed(verify->command, err, "the file of shard %u",
                                 manifest->shards[i].shard);
            return EXIT_CODE_FAILED;
        }
        verify->bytes += manifest->shards[i].bytes;
    }
    return EXIT_CODE_OK;
}

static void print_text(const struct verify *verify)
{
    char created[STORE_PRINT_TIME_BYTES];
    const struct backup_manifest *manifest = &verify->folder.manifest;
    store_print_time(created, manifest->created_ms);
    fprintf(verify->command->world->out,
            "%s: %u of %u shards of cluster %s, made at %s, %s: ",
            verify->folder.path.text, manifest->count, manifest->shard_count,
            manifest->cluster_name, created, human_size(verify->bytes).text);
    if (verify->damage_count == 0) {
        fprintf(verify->command->world->out, "all is well\n");
    } else {
        fprintf(verify->command->world->out, "%" PRIu64 " damaged\n",
                verify->damage_count);
    }
}

static enum exit_code print_json(const struct verify *verify)
{
    const struct backup_manifest *manifest = &verify->folder.manifest;
    return reading_print_json(
        verify->command, "backup.verify",
        json_pack("{s:{s:s, s:s}, s:I, s:I, s:I, s:I, s:O}", "cluster", "id",
                  manifest->cluster_id, "name", manifest->cluster_name,
                  "created_ms", (json_int_t)manifest->created_ms, "shard_count",
                  (json_int_t)manifest->shard_count, "shards",
                  (json_int_t)manifest->count, "bytes",
                  (json_int_t)verify->bytes, "damages", verify->damages));
}

enum exit_code backup_verify_run(const struct command *command)
{
    scoped(verify_clear) struct verify verify = {.command = command};
    enum exit_code code = backup_folder_init(&verify.folder, command);
    if (code) {
        return code;
    }
    if (command_has(command, "json")) {
        verify.damages = json_array();
    }
    code = read_files(&verify);
    if (!code && verify.damages) {
        code = print_json(&verify);
    } else if (!code) {
        print_text(&verify);
    }
    return code                      ? code
           : verify.damage_count > 0 ? EXIT_CODE_FOUND
                                     : EXIT_CODE_OK;
}
