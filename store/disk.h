/*
 * The files of one folder, as a table of functions that block.
 *
 * For the durable log and nothing else. The real one is store/posix_disk.c;
 * the simulated one, tests/sim/sim_disk.c, loses what was not synced, tears
 * sectors, flips bits and fills up. One thread at a time.
 */

#ifndef STORE_DISK_H
#define STORE_DISK_H

#include "base/bytes.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct disk_file;

#define DISK_NAME_BYTES 64 /* the longest name with its zero */

enum disk_mode {
    DISK_READ,   /* must exist */
    DISK_WRITE,  /* must exist; may also be read */
    DISK_CREATE, /* must not exist; may also be read */
};

struct disk {
    void *context;

    /* ERR_NOT_FOUND, ERR_EXISTS, ERR_ACCESS, ERR_NO_SPACE, ERR_LIMIT (file
     * descriptors), ERR_IO, ERR_MEMORY */
    enum err (*open)(void *context,
                     const char *name,
                     enum disk_mode mode,
                     struct disk_file **out);

    /* Sets `*file` to NULL; accepts NULL. Syncs nothing. */
    void (*close)(struct disk_file **file);

    /* All of it or an error; a part may have been written then.
     * ERR_NO_SPACE, ERR_IO */
    enum err (*write)(struct disk_file *file, uint64_t at, struct bytes bytes);

    /* Up to `length` bytes; fewer only at the file's end. ERR_IO */
    enum err (*read)(struct disk_file *file,
                     uint64_t at,
                     void *to,
                     size_t length,
                     size_t *out_length);

    /* ERR_IO */
    enum err (*size)(struct disk_file *file, uint64_t *out);

    /* Cut off all from `size` on. ERR_IO */
    enum err (*truncate)(struct disk_file *file, uint64_t size);

    /* Content and length are on the medium when it returns. After an error
     * nobody knows what is: fail-stop. ERR_IO, ERR_NO_SPACE */
    enum err (*sync)(struct disk_file *file);

    /* The names that were made and removed are on the medium. ERR_IO */
    enum err (*sync_folder)(void *context);

    /* ERR_NOT_FOUND, ERR_ACCESS, ERR_IO */
    enum err (*remove)(void *context, const char *name);

    /* Call `visit` with each file's name, sorted. ERR_IO, ERR_MEMORY */
    enum err (*list)(void *context,
                     void (*visit)(void *visitor, const char *name),
                     void *visitor);

    /* What may still be written. ERR_IO */
    enum err (*free_bytes)(void *context, uint64_t *out);
};

#endif
