/*
 * A command's talk with the archives of shards (shard/archive_wire.h), through
 * any node. Whatever is asked may be asked again: when a link breaks or a
 * leader changes, it is.
 *
 * One thread; one per command.
 */

#ifndef ADMIN_BACKUP_TALK_H
#define ADMIN_BACKUP_TALK_H

#include "admin/backup_file.h"
#include "admin/backup_manifest.h"
#include "admin/remote.h"

struct backup_talk {
    const struct command *command;
    struct remote *remote;
    uint8_t *question; /* room for the longest one */
    uint8_t *answer;  /* the last one: what is borrowed from it lives so long */
    uint64_t bytes;   /* of pieces, of all shards */
    uint64_t said_ns; /* when progress was */
};

/* Link with a node, having said what is wrong if not. Ctrl-C ends the talk from
 * now on, and not the program. */
enum exit_code backup_talk_init(struct backup_talk *out,
                                const struct command *command);
void backup_talk_clear(struct backup_talk *talk);

/*
 * Write what a shard holds now to its file; of `about` all but term and
 * generation is set.
 *
 * ERR_CLOSED   Ctrl-C
 * others       `why` says what is wrong
 */
FALLIBLE backup_talk_export(struct backup_talk *talk,
                            struct backup_writer *writer,
                            struct backup_shard *about,
                            struct err_detail *why);

/*
 * Put what a file has in the place of what a shard holds. The file was found
 * to be whole; that is looked at once more. After an error the shard holds
 * what it did, but for ERR_UNCERTAIN. The same errors.
 */
FALLIBLE backup_talk_restore(struct backup_talk *talk,
                             struct backup_reader *reader,
                             const struct backup_shard *about,
                             struct err_detail *why);

/* "12 of 128 shards, 3.4 MiB", now and then. */
void backup_talk_say(struct backup_talk *talk, uint32_t done, uint32_t count);

#endif
