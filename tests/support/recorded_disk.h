/*
 * Passes operations on to another disk, and remembers those that change or
 * sync something, so that they can be done again on a simulated one.
 *
 * The table is for one thread at a time; recorded_disk_tell() for any.
 */

#ifndef TESTS_SUPPORT_RECORDED_DISK_H
#define TESTS_SUPPORT_RECORDED_DISK_H

#include "store/disk.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORDED_DISK_COUNT_MAX 4096

enum recorded_kind {
    RECORDED_CREATE,
    RECORDED_WRITE,
    RECORDED_TRUNCATE,
    RECORDED_SYNC,
    RECORDED_SYNC_FOLDER,
    RECORDED_REMOVE,
    RECORDED_NOTHING,
};

struct recorded_operation {
    enum recorded_kind kind;
    char name[DISK_NAME_BYTES];
    uint64_t at; /* or the size */
    uint8_t *data;
    size_t length;
    uint64_t told; /* when it began */
};

struct recorded_disk {
    struct disk table;
    const struct disk *real;
    struct recorded_operation operations[RECORDED_DISK_COUNT_MAX];
    size_t count;
    _Atomic uint64_t told;
};

void recorded_disk_init(struct recorded_disk *disk, const struct disk *real);
void recorded_disk_clear(struct recorded_disk *disk);

/* Somebody was told a number, which rises. */
void recorded_disk_tell(struct recorded_disk *disk, uint64_t number);

/* What had been told when the operation after the first `count` began. */
uint64_t recorded_disk_told(const struct recorded_disk *disk, size_t count);

/* Do the first `count` operations on another disk, which is empty. */
void recorded_disk_replay(const struct recorded_disk *disk,
                          size_t count,
                          const struct disk *to);

/* As if the syncs had not been asked for. */
void recorded_disk_drop_syncs(struct recorded_disk *disk);

#endif
