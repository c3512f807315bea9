/*
 * The folder of a backup: its manifest and its files, offline.
 *
 * One thread.
 */

#ifndef ADMIN_BACKUP_FOLDER_H
#define ADMIN_BACKUP_FOLDER_H

#include "admin/backup_file.h"
#include "admin/backup_manifest.h"
#include "admin/command.h"
#include "admin/remote.h"
#include "config/path.h"
#include "store/posix_disk.h"

struct backup_folder {
    struct path path;
    struct path manifest_path;
    struct posix_disk *disk;
    struct backup_manifest manifest;
};

/* The first operand, without slashes behind it. Having said why not, anything
 * but EXIT_CODE_OK. */
enum exit_code backup_folder_take_path(struct backup_folder *out,
                                       const struct command *command);

/*
 * Open one that is finished. Having said why not:
 *
 * EXIT_CODE_FOUND    it is unfinished, damaged or of a newer format
 * EXIT_CODE_FAILED   it is not there or cannot be read
 */
enum exit_code backup_folder_init(struct backup_folder *out,
                                  const struct command *command);
void backup_folder_clear(struct backup_folder *folder);

struct backup_damage {
    char file[BACKUP_FILE_NAME_BYTES];
    uint64_t offset; /* UINT64_MAX: of the whole file */
    const char *what;
};

/*
 * Read one shard's file to its end, and tell of all that is wrong.
 *
 * ERR_MALFORMED   `visit` was called
 * ERR_IO, ERR_ACCESS, ERR_MEMORY
 */
FALLIBLE backup_folder_check(const struct backup_folder *folder,
                             const struct backup_shard *shard,
                             void (*visit)(void *context,
                                           const struct backup_damage *damage),
                             void *context);

/*
 * Those that --shards names, or the one of --group (`group`; NULL: not given):
 * `chosen` has a place for each of `shard_count`. Neither: all.
 * EXIT_CODE_USAGE, having said why
 */
enum exit_code backup_folder_choose(const struct command *command,
                                    const char *group,
                                    uint32_t shard_count,
                                    bool *chosen);

/*
 * Tell the journal: `verb` is backup.created or backup.restoring. What it
 * says when it cannot is in `why`.
 */
enum exit_code backup_folder_note(const struct backup_folder *folder,
                                  struct remote *remote,
                                  const char *verb,
                                  const bool *chosen,
                                  struct err_detail *why);

#endif
