/*
 * A disk that is only read, and to which every change seems to be made.
 *
 * With it whoever mends what it opens, as the log does, can be asked what it
 * would find, and nothing changes. What is changed is not read back.
 */

#ifndef STORE_READING_DISK_H
#define STORE_READING_DISK_H

#include "store/disk.h"

#include <stdbool.h>

struct reading_disk {
    const struct disk *under;
    struct disk table;
    bool has_removed; /* a file would be gone now, the last of them being */
    char removed[DISK_NAME_BYTES];
};

/* In place: the table points to it. `under` outlives it. */
void reading_disk_init(struct reading_disk *disk, const struct disk *under);

#endif
