/*
 * Making segments, and marking them as followed by others.
 *
 * Blocks. For the thread that writes, and for opening.
 */

#ifndef STORE_WAL_SEGMENT_H
#define STORE_WAL_SEGMENT_H

#include "store/disk.h"
#include "store/wal_buffer.h"
#include "store/wal_format.h"

/* What a new segment begins with goes before the head's body: leave room. */
#define WAL_SEGMENT_BODY_AT (WAL_FORMAT_PLAIN_BYTES + WAL_FORMAT_BATCH_BYTES)

/*
 * Make a segment that is durable, and its name too. `head`: WAL_SEGMENT_BODY_AT
 * free bytes and the head's body; finished here. `*out_end` is where the first
 * batch will stand.
 *
 * ERR_EXISTS, ERR_ACCESS, ERR_NO_SPACE, ERR_LIMIT, ERR_IO, ERR_MEMORY
 */
FALLIBLE wal_segment_create(const struct disk *disk,
                            const struct wal_format_plain *plain,
                            struct wal_buffer *head,
                            struct disk_file **out_file,
                            uint64_t *out_end);

/* Say that a next segment exists, durably, at the end of the batches.
 * ERR_NO_SPACE, ERR_IO */
FALLIBLE wal_segment_seal(const struct disk *disk,
                          struct disk_file *file,
                          const struct wal_format_place *place);

#endif
