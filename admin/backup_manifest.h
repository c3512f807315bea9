/*
 * What a backup says of itself: the file `manifest`, written last. A folder
 * without it is not a backup.
 *
 * Two lines: a JSON document, and the checksum of that line
 * (docs/formats.md, "Backups"). Pure.
 */

#ifndef ADMIN_BACKUP_MANIFEST_H
#define ADMIN_BACKUP_MANIFEST_H

#include "base/bytes.h"
#include "base/err.h"
#include "config/certificate.h"

#include <jansson.h>

#define BACKUP_MANIFEST_NAME "manifest"
#define BACKUP_MANIFEST_BYTES_MAX (64u << 20)

struct backup_shard {
    uint32_t shard;
    uint64_t index;      /* of the last entry in it */
    uint64_t term;       /* of the group, about then; 0: not known */
    uint64_t generation; /* the same */
    uint32_t piece_count;
    uint64_t bytes; /* of the file */
    uint64_t digest;
};

struct backup_manifest {
    char cluster_id[2 * CLUSTER_ID_BYTES + 1];
    char cluster_name[CERTIFICATE_NAME_BYTES];
    char release[32];
    int64_t created_ms;
    uint32_t shard_count;        /* of the cluster */
    uint32_t count;              /* of shards that are in it */
    struct backup_shard *shards; /* by number */
    /* For the reader: node.ls, shard.map and config.show as they were. */
    json_t *members;
    json_t *map;
    json_t *settings;
};

void backup_manifest_clear(struct backup_manifest *manifest);

/* `*out` is freed by the caller. ERR_MEMORY */
FALLIBLE backup_manifest_encode(const struct backup_manifest *manifest,
                                char **out,
                                size_t *out_length);

/* Into one that holds nothing. ERR_MALFORMED, ERR_VERSION, ERR_MEMORY; `why`
 * says what is wrong */
FALLIBLE backup_manifest_decode(struct backup_manifest *out,
                                struct bytes bytes,
                                struct err_detail *why);

/* NULL: not in it. */
const struct backup_shard *backup_manifest_find(
    const struct backup_manifest *manifest, uint32_t shard);

#endif
