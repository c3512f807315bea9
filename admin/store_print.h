/*
 * How what is stored is told: bytes, times, members, the log's records; as
 * text for people and as JSON.
 */

#ifndef ADMIN_STORE_PRINT_H
#define ADMIN_STORE_PRINT_H

#include "base/bytes.h"
#include "store/raft_configuration.h"
#include "store/wal_reader.h"

#include <jansson.h>
#include <stdio.h>

#define STORE_PRINT_TIME_BYTES 32

/* What is told of one record. */
struct store_print_record {
    struct wal_reader_place place;
    const struct wal_record *record;
    size_t bytes_max; /* of its bytes; more is cut */
};

/* "2027-01-31T12:00:00.250Z"; a number of ms when it is no such time. */
void store_print_time(char out[static STORE_PRINT_TIME_BYTES], int64_t ms);

/* In quotes, all but printable ASCII as \xNN; `max` bytes of it, and how many
 * more there are. */
void store_print_bytes(FILE *out, struct bytes bytes, size_t max);

/* The first `max` bytes in hexadecimal. NULL: no memory */
json_t *store_print_hex(struct bytes bytes, size_t max);

/* "1@0 2@1 5@2(learner)": replica, node, and whether it votes. */
void store_print_members(FILE *out,
                         const struct raft_configuration *configuration);
json_t *store_print_members_json(
    const struct raft_configuration *configuration);

/* One line. */
void store_print_record(FILE *out, const struct store_print_record *about);
json_t *store_print_record_json(const struct store_print_record *about);

/* One JSON document on one line; takes `document`, which may be NULL.
 * ERR_MEMORY, ERR_IO */
FALLIBLE store_print_json(FILE *out, json_t *document);

#endif
