/*
 * Who belongs to a group, and its form in the log and in snapshots.
 *
 * Plain data; pure.
 *
 * version u8, next_number u64, count u8, and for each member: number u64,
 * node u32, disk_id u64, is_voter u8.
 */

#ifndef STORE_RAFT_CONFIGURATION_H
#define STORE_RAFT_CONFIGURATION_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define RAFT_MEMBERS_MAX 9

/*
 * One replica of a group. Its number is never used twice in a group: a
 * replica that lost its disk, or a record of its log, comes back under
 * another (and another disk id), since the old one has promised things which
 * nobody remembers.
 */
struct raft_member {
    uint64_t number; /* not 0 */
    uint32_t node;
    uint64_t disk_id;
    bool is_voter;
};

/*
 * A group begins in generation 0. Each time one of its replicas takes over
 * because a majority was lost for good, or the group begins anew, it is another
 * generation, whose numbers are all greater. Replicas of different generations
 * have nothing to say to each other.
 */
#define RAFT_GENERATION_SHIFT 32

static inline uint32_t raft_generation_of(uint64_t number)
{
    return (uint32_t)(number >> RAFT_GENERATION_SHIFT);
}

/* The number of the one with which a generation begins. */
static inline uint64_t raft_generation_first(uint32_t generation)
{
    return ((uint64_t)generation << RAFT_GENERATION_SHIFT) + 1;
}

struct raft_configuration {
    uint64_t next_number; /* greater than all that were ever used */
    uint32_t count;
    struct raft_member members[RAFT_MEMBERS_MAX];
};

#define RAFT_CONFIGURATION_BYTES_MAX (1 + 8 + 1 + RAFT_MEMBERS_MAX * 21)

void raft_configuration_encode(const struct raft_configuration *configuration,
                               struct writer *writer);

/* ERR_MALFORMED, ERR_VERSION */
FALLIBLE raft_configuration_decode(struct raft_configuration *out,
                                   struct bytes bytes);

/* NULL when it is not among them. */
const struct raft_member *raft_configuration_find(
    const struct raft_configuration *configuration, uint64_t number);

bool raft_configuration_has_voter(
    const struct raft_configuration *configuration, uint64_t number);

uint32_t raft_configuration_voter_count(
    const struct raft_configuration *configuration);

/*
 * Whether `next` may follow: at most one voter more or less, one voter at
 * least, no number that was used before. ERR_INVALID
 */
FALLIBLE raft_configuration_check_next(const struct raft_configuration *present,
                                       const struct raft_configuration *next);

#endif
