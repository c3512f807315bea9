/*
 * The applied state in RocksDB: the table of store/kv.h.
 *
 * What was not synced may be gone after a crash of the process too, not of the
 * machine alone: RocksDB's own write-ahead log is off (rocks_kv.c tells why).
 * sync() writes a file: it takes milliseconds, and is for checkpoints.
 *
 * After ERR_IO or ERR_NO_SPACE of write() or sync() it may fail for ever:
 * close it, open it again and apply again. One thread at a time, but any one;
 * RocksDB has up to three of its own.
 */

#ifndef STORE_ROCKS_KV_H
#define STORE_ROCKS_KV_H

#include "base/err.h"
#include "store/kv.h"

#include <stddef.h>
#include <stdint.h>

struct log;
struct rocks_kv;

/* Zero stands for the default. */
struct rocks_kv_config {
    const char *folder;           /* its parent must exist */
    size_t cache_bytes;           /* of blocks of its files; 32 MiB */
    size_t write_buffer_bytes;    /* in memory, and as much again while one is
                                     written out; 8 MiB */
    uint32_t open_file_count_max; /* 256; RocksDB keeps ten or so besides */
    struct log *log; /* gets RocksDB's own words when something fails */
};

/*
 * Open the database, or make a new one when the folder is missing or empty.
 * Blocks.
 *
 * ERR_MALFORMED   damaged, or it has lost what was synced; nothing was
 *                 changed that could still be read: see rocks_kv_reset()
 * ERR_BUSY        a process has it open, this one perhaps
 * ERR_TOO_LARGE   the folder's path
 * ERR_ACCESS, ERR_NO_SPACE, ERR_LIMIT, ERR_IO, ERR_MEMORY
 */
FALLIBLE rocks_kv_open(struct rocks_kv **out,
                       const struct rocks_kv_config *config,
                       struct err_detail *why);

/*
 * Open a database for reading alone: nothing in its folder changes, which
 * need not be writable, and somebody else may have it open; what that one
 * writes out or removes from now on may show as damage. write() and sync()
 * say ERR_ACCESS.
 *
 * ERR_NOT_FOUND   there is no folder, or nothing in it
 * others          as of rocks_kv_open()
 */
FALLIBLE rocks_kv_open_for_reading(struct rocks_kv **out,
                                   const struct rocks_kv_config *config,
                                   struct err_detail *why);

/*
 * Move a damaged database, which must be closed, to "<folder>.damaged" in
 * place of what is there, and open an empty one. The caller rebuilds it.
 * Errors are those of rocks_kv_open().
 */
FALLIBLE rocks_kv_reset(struct rocks_kv **out,
                        const struct rocks_kv_config *config,
                        struct err_detail *why);

/* Writes out what was written, if that can be done, and tells nobody: after
 * sync() it is certain. */
void rocks_kv_close(struct rocks_kv **kv);

/* Lives as long as `kv`. */
const struct kv *rocks_kv_table(const struct rocks_kv *kv);

#endif
