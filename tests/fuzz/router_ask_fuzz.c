/*
 * Any bytes as a request that another node sends, and as what it says about
 * who leads: reading stays within them, and what was read and written again
 * reads the same.
 */

#include "shard/router_wire.h"

#include "cluster/members.h"
#include "shard/shard_map.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static void check_ask(struct bytes bytes)
{
    struct router_ask ask;
    struct router_ask again;
    uint8_t hops;
    uint8_t hops_again;
    if (router_ask_decode(&ask, &hops, bytes)) {
        return;
    }
    MUST(ask.shard < SHARD_COUNT_MAX);
    MUST(hops <= ROUTER_HOPS_MAX);
    MUST(ask.command.length == 0 ||
         (ask.command.data >= bytes.data &&
          ask.command.data + ask.command.length <= bytes.data + bytes.length));
    size_t capacity = router_ask_bytes_max(&ask);
    uint8_t *buffer = malloc(capacity);
    MUST(buffer);
    struct writer writer = writer_of(buffer, capacity);
    router_ask_encode(&ask, hops, &writer);
    MUST(!writer.failed);
    MUST(!router_ask_decode(&again, &hops_again, writer_bytes(&writer)));
    MUST(again.shard == ask.shard && again.is_read == ask.is_read);
    MUST(again.may_repeat == ask.may_repeat && hops_again == hops);
    MUST(again.for_archive == ask.for_archive);
    MUST(bytes_are_equal(again.command, ask.command));
    free(buffer);
}

static void check_hint(struct bytes bytes)
{
    struct router_hint hint;
    struct router_hint again;
    uint8_t buffer[ROUTER_HINT_BYTES_MAX];
    struct writer writer = writer_of(buffer, sizeof buffer);
    if (router_hint_decode(&hint, bytes)) {
        return;
    }
    MUST(hint.leader < MEMBER_NUMBERS_MAX || hint.leader == MEMBER_NONE);
    router_hint_encode(&hint, &writer);
    MUST(!writer.failed);
    MUST(!router_hint_decode(&again, writer_bytes(&writer)));
    MUST(again.leader == hint.leader);
    MUST(again.view_version == hint.view_version);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    check_ask(bytes_of(data, length));
    check_hint(bytes_of(data, length));
    return 0;
}
