/*
 * Any bytes as a table of members: whatever is taken has valid members in
 * order, and read and written again it is the same.
 */

#include <stdlib.h>

#include "cluster/members.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static struct bytes encode(const struct members *members, uint8_t **buffer)
{
    size_t capacity = members_bytes_max(members);
    *buffer = malloc(capacity);
    MUST(*buffer);
    struct writer writer = writer_of(*buffer, capacity);
    members_encode(members, &writer);
    MUST(!writer.failed);
    return writer_bytes(&writer);
}

static void check(const struct members *members)
{
    uint8_t *first_buffer = NULL;
    uint8_t *second_buffer = NULL;
    struct members again = {0};
    for (uint32_t i = 0; i < members->count; i++) {
        const struct member *member = &members->list[i];
        MUST(member_validate(member, NULL) == ERR_NONE);
        MUST(members_find(members, member->number) == member);
        MUST(members_find_name(members, member->name) == member);
    }
    struct bytes first = encode(members, &first_buffer);
    struct reader reader = reader_of(first);
    MUST(members_decode(&again, &reader) == ERR_NONE);
    MUST(reader_left(&reader) == 0);
    MUST(bytes_are_equal(encode(&again, &second_buffer), first));
    free(first_buffer);
    free(second_buffer);
    members_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct members members = {0};
    struct reader reader = reader_of(bytes_of(data, length));
    if (members_decode(&members, &reader)) {
        MUST(!members.list && members.count == 0);
        return 0;
    }
    check(&members);
    members_clear(&members);
    return 0;
}
