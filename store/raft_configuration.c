#include "store/raft_configuration.h"

#define VERSION 1

void raft_configuration_encode(const struct raft_configuration *configuration,
                               struct writer *writer)
{
    write_u8(writer, VERSION);
    write_u64(writer, configuration->next_number);
    write_u8(writer, (uint8_t)configuration->count);
    for (uint32_t i = 0; i < configuration->count; i++) {
        const struct raft_member *member = &configuration->members[i];
        write_u64(writer, member->number);
        write_u32(writer, member->node);
        write_u64(writer, member->disk_id);
        write_u8(writer, member->is_voter);
    }
}

static bool has_before(const struct raft_configuration *configuration,
                       uint32_t i)
{
    for (uint32_t k = 0; k < i; k++) {
        if (configuration->members[k].number ==
            configuration->members[i].number) {
            return true;
        }
    }
    return false;
}

FALLIBLE raft_configuration_decode(struct raft_configuration *out,
                                   struct bytes bytes)
{
    struct raft_configuration found = {0};
    struct reader reader = reader_of(bytes);
    uint8_t version = read_u8(&reader);
    if (!reader.failed && version != VERSION) {
        return ERR_VERSION;
    }
    found.next_number = read_u64(&reader);
    found.count = read_u8(&reader);
    if (reader.failed || found.count > RAFT_MEMBERS_MAX) {
        return ERR_MALFORMED;
    }
    for (uint32_t i = 0; i < found.count; i++) {
        struct raft_member *member = &found.members[i];
        member->number = read_u64(&reader);
        member->node = read_u32(&reader);
        member->disk_id = read_u64(&reader);
        uint8_t is_voter = read_u8(&reader);
        member->is_voter = is_voter == 1;
        if (is_voter > 1 || member->number == 0 ||
            member->number >= found.next_number || has_before(&found, i)) {
            return ERR_MALFORMED;
        }
    }
    if (reader.failed || reader_left(&reader) > 0) {
        return ERR_MALFORMED;
    }
    *out = found;
    return ERR_NONE;
}

const struct raft_member *raft_configuration_find(
    const struct raft_configuration *configuration, uint64_t number)
{
    for (uint32_t i = 0; i < configuration->count; i++) {
        if (configuration->members[i].number == number) {
            return &configuration->members[i];
        }
    }
    return NULL;
}

bool raft_configuration_has_voter(
    const struct raft_configuration *configuration, uint64_t number)
{
    const struct raft_member *member =
        raft_configuration_find(configuration, number);
    return member && member->is_voter;
}

uint32_t raft_configuration_voter_count(
    const struct raft_configuration *configuration)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < configuration->count; i++) {
        count += configuration->members[i].is_voter;
    }
    return count;
}

/* How many voters of `left` do not vote in `right`. */
static uint32_t voters_without(const struct raft_configuration *left,
                               const struct raft_configuration *right)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < left->count; i++) {
        const struct raft_member *member = &left->members[i];
        count += member->is_voter &&
                 !raft_configuration_has_voter(right, member->number);
    }
    return count;
}

FALLIBLE raft_configuration_check_next(const struct raft_configuration *present,
                                       const struct raft_configuration *next)
{
    if (next->count > RAFT_MEMBERS_MAX ||
        raft_configuration_voter_count(next) == 0 ||
        voters_without(present, next) + voters_without(next, present) > 1 ||
        next->next_number < present->next_number) {
        return ERR_INVALID;
    }
    for (uint32_t i = 0; i < next->count; i++) {
        const struct raft_member *member = &next->members[i];
        const struct raft_member *before =
            raft_configuration_find(present, member->number);
        bool is_new = !before && member->number >= present->next_number;
        bool is_same = before && before->node == member->node &&
                       before->disk_id == member->disk_id;
        if (member->number == 0 || member->number >= next->next_number ||
            has_before(next, i) || (!is_new && !is_same)) {
            return ERR_INVALID;
        }
    }
    return ERR_NONE;
}
