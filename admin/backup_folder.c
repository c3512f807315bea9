#include "admin/backup_folder.h"

#include "config/units.h"

#include <stdlib.h>
#include <string.h>

#define LIST_BYTES 4096
#define NOTE_BYTES 100
#define RANGE_BYTES 16 /* ",4094-4095", or "..." */

/* ---- life ---- */

enum exit_code backup_folder_take_path(struct backup_folder *out,
                                       const struct command *command)
{
    const char *text = command_operand(command, 0);
    size_t length = strlen(text);
    while (length > 1 && text[length - 1] == '/') {
        length--;
    }
    if (length == 0 || path_make(&out->path, "%.*s", (int)length, text) ||
        path_make(&out->manifest_path, "%s/" BACKUP_MANIFEST_NAME,
                  out->path.text)) {
        return command_misused(command, "DIR: too long, or empty");
    }
    return EXIT_CODE_OK;
}

static enum exit_code read_manifest(struct backup_folder *folder,
                                    const struct command *command)
{
    const struct files *files = command->world->files;
    uint8_t *text = NULL;
    size_t length = 0;
    struct err_detail why = {0};
    enum err err =
        files->read(files->context, folder->manifest_path.text, FILE_PUBLIC,
                    BACKUP_MANIFEST_BYTES_MAX, &text, &length);
    if (err == ERR_NOT_FOUND) {
        command_say(command,
                    "%s has no `manifest`, which is written last: it is an "
                    "unfinished backup, or none at all",
                    folder->path.text);
        return EXIT_CODE_FOUND;
    }
    if (err) {
        (void)command_failed(command, err, "%s", folder->manifest_path.text);
        return EXIT_CODE_FAILED;
    }
    err =
        backup_manifest_decode(&folder->manifest, bytes_of(text, length), &why);
    free(text);
    if (err) {
        command_say(command, "%s: %s", folder->path.text,
                    why.text[0] ? why.text : err_text(err));
    }
    return err == ERR_MEMORY ? EXIT_CODE_FAILED
           : err             ? EXIT_CODE_FOUND
                             : EXIT_CODE_OK;
}

enum exit_code backup_folder_init(struct backup_folder *out,
                                  const struct command *command)
{
    struct backup_folder folder = {0};
    enum exit_code code = backup_folder_take_path(&folder, command);
    if (code) {
        return code;
    }
    enum err err = posix_disk_open(&folder.disk, folder.path.text);
    if (err) {
        (void)command_failed(command, err, "%s", folder.path.text);
        return EXIT_CODE_FAILED;
    }
    code = read_manifest(&folder, command);
    if (code) {
        backup_folder_clear(&folder);
        return code;
    }
    *out = folder;
    return EXIT_CODE_OK;
}

void backup_folder_clear(struct backup_folder *folder)
{
    backup_manifest_clear(&folder->manifest);
    posix_disk_close(&folder->disk);
}

/* Its own name, by which the journal tells of it. */
static const char *name_of(const struct backup_folder *folder)
{
    const char *slash = strrchr(folder->path.text, '/');
    return slash && slash[1] ? slash + 1 : folder->path.text;
}

/* ---- checking ---- */

struct checking {
    const struct backup_shard *shard;
    void (*visit)(void *context, const struct backup_damage *damage);
    void *context;
    uint32_t damage_count;
};

static void report(struct checking *checking, uint64_t offset, const char *what)
{
    struct backup_damage damage = {.offset = offset, .what = what};
    backup_file_name(damage.file, checking->shard->shard);
    checking->damage_count++;
    checking->visit(checking->context, &damage);
}

static enum err read_all(struct checking *checking,
                         struct backup_reader *reader)
{
    struct bytes piece;
    while (!reader->is_over) {
        enum err err = backup_reader_next(reader, &piece);
        if (err == ERR_MALFORMED || err == ERR_VERSION) {
            report(checking, reader->offset, reader->what);
        } else if (err) {
            return err;
        }
    }
    return ERR_NONE;
}

enum err backup_folder_check(const struct backup_folder *folder,
                             const struct backup_shard *shard,
                             void (*visit)(void *context,
                                           const struct backup_damage *damage),
                             void *context)
{
    struct backup_reader reader = {0};
    struct checking checking = {
        .shard = shard, .visit = visit, .context = context};
    enum err err = backup_reader_init(&reader, posix_disk_table(folder->disk),
                                      shard->shard);
    if (err == ERR_NOT_FOUND) {
        report(&checking, UINT64_MAX, "the file is not there");
        return ERR_MALFORMED;
    }
    if (err) {
        return err;
    }
    err = read_all(&checking, &reader);
    if (!err && checking.damage_count == 0 &&
        (reader.at != shard->bytes ||
         reader.piece_count != shard->piece_count ||
         reader.digest != shard->digest)) {
        report(&checking, UINT64_MAX, "it is not the file of the manifest");
    }
    backup_reader_clear(&reader);
    return !err && checking.damage_count > 0 ? ERR_MALFORMED : err;
}

/* ---- choosing ---- */

/* "3" or "0-15" */
static bool choose_range(char *text, uint32_t shard_count, bool *chosen)
{
    uint64_t first = 0;
    uint64_t last = 0;
    char *dash = strchr(text, '-');
    if (dash) {
        *dash = '\0';
    }
    if (units_number(&first, text) ||
        units_number(&last, dash ? dash + 1 : text) || first > last ||
        last >= shard_count) {
        return false;
    }
    for (uint64_t i = first; i <= last; i++) {
        chosen[i] = true;
    }
    return true;
}

static enum exit_code choose_list(const struct command *command,
                                  const char *text,
                                  uint32_t shard_count,
                                  bool *chosen)
{
    char list[LIST_BYTES];
    char *rest = list;
    bool is_good = snprintf(list, sizeof list, "%s", text) < LIST_BYTES;
    while (is_good && rest) {
        char *comma = strchr(rest, ',');
        if (comma) {
            *comma = '\0';
        }
        is_good = choose_range(rest, shard_count, chosen);
        rest = comma ? comma + 1 : NULL;
    }
    return is_good ? EXIT_CODE_OK
                   : command_misused(command,
                                     "--shards: `%.64s`: numbers and ranges "
                                     "such as 0-15,20 are expected, up to %u",
                                     text, shard_count - 1);
}

enum exit_code backup_folder_choose(const struct command *command,
                                    const char *group,
                                    uint32_t shard_count,
                                    bool *chosen)
{
    uint64_t number = 0;
    const char *list = command_value(command, "shards");
    if (list && group) {
        return command_misused(command, "--shards and --group: one of them");
    }
    if (list) {
        return choose_list(command, list, shard_count, chosen);
    }
    if (group &&
        (units_number(&number, group) || number < 1 || number > shard_count)) {
        return command_misused(command,
                               "--group: `%.32s`: 1 to %u; group n is the "
                               "shard n-1, and group 0, which has the members "
                               "and the map, is in no backup",
                               group, shard_count);
    }
    for (uint32_t i = 0; i < shard_count; i++) {
        chosen[i] = !group || i == number - 1;
    }
    return EXIT_CODE_OK;
}

/* ---- the journal ---- */

/* "0-15,20": cut where it does not fit. */
static void write_list(char to[static NOTE_BYTES],
                       const bool *chosen,
                       uint32_t shard_count)
{
    size_t length = 0;
    to[0] = '\0';
    for (uint32_t first = 0; first < shard_count; first++) {
        uint32_t last = first;
        if (!chosen[first]) {
            continue;
        }
        while (last + 1 < shard_count && chosen[last + 1]) {
            last++;
        }
        if (length > NOTE_BYTES - RANGE_BYTES) {
            (void)snprintf(to + length, NOTE_BYTES - length, "...");
            return;
        }
        length += (size_t)snprintf(to + length, NOTE_BYTES - length,
                                   last > first ? "%s%u-%u" : "%s%u",
                                   length > 0 ? "," : "", first, last);
        first = last;
    }
}

enum exit_code backup_folder_note(const struct backup_folder *folder,
                                  struct remote *remote,
                                  const char *verb,
                                  const bool *chosen,
                                  struct err_detail *why)
{
    char list[NOTE_BYTES];
    char id[NOTE_BYTES];
    json_t *answer = NULL;
    write_list(list, chosen, folder->manifest.shard_count);
    (void)snprintf(id, sizeof id, "%.*s", NOTE_BYTES - 1, name_of(folder));
    json_t *args = json_pack("{s:s, s:s}", "id", id, "shards", list);
    struct remote_question question = {
        .verb = verb, .args = args, .changes = true};
    enum exit_code code = remote_try(remote, &question, &answer, why);
    json_decref(args);
    json_decref(answer);
    return code;
}
