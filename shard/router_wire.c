#include "shard/router_wire.h"

#include "base/pack.h"
#include "cluster/members.h"
#include "shard/shard_map.h"

#define VERSION 1
#define ASK_FIELDS 5
#define HINT_FIELDS 3
#define ASK_HEAD_BYTES_MAX 24 /* all but the command */

enum flag {
    FLAG_READ = 1,
    FLAG_MAY_REPEAT = 2,
    FLAG_FOR_ARCHIVE = 4,
};

size_t router_ask_bytes_max(const struct router_ask *ask)
{
    return ASK_HEAD_BYTES_MAX + ask->command.length;
}

void router_ask_encode(const struct router_ask *ask,
                       uint8_t hops,
                       struct writer *writer)
{
    pack_record(writer, ASK_FIELDS);
    pack_uint(writer, VERSION);
    pack_uint(writer, ask->shard);
    pack_uint(writer, (uint64_t)(ask->is_read ? FLAG_READ : 0) |
                          (uint64_t)(ask->may_repeat ? FLAG_MAY_REPEAT : 0) |
                          (uint64_t)(ask->for_archive ? FLAG_FOR_ARCHIVE : 0));
    pack_uint(writer, hops);
    pack_bin(writer, ask->command);
    pack_record_end(writer);
}

enum err router_ask_decode(struct router_ask *out,
                           uint8_t *hops,
                           struct bytes bytes)
{
    struct reader reader = reader_of(bytes);
    uint32_t more = 0;
    enum err err = pack_read_version(&reader, VERSION, ASK_FIELDS, &more);
    if (err) {
        return err;
    }
    struct router_ask ask = {
        .shard = (uint32_t)pack_read_uint_to(&reader, SHARD_COUNT_MAX - 1)};
    uint64_t flags = pack_read_uint(&reader);
    uint32_t hop_count = (uint32_t)pack_read_uint_to(&reader, ROUTER_HOPS_MAX);
    ask.is_read = (flags & FLAG_READ) != 0;
    ask.may_repeat = (flags & FLAG_MAY_REPEAT) != 0;
    ask.for_archive = (flags & FLAG_FOR_ARCHIVE) != 0;
    ask.command = pack_read_bin(&reader);
    pack_skip_count(&reader, more);
    if (reader.failed || reader_left(&reader) > 0) {
        return ERR_MALFORMED;
    }
    *out = ask;
    *hops = (uint8_t)hop_count;
    return ERR_NONE;
}

void router_hint_encode(const struct router_hint *hint, struct writer *writer)
{
    pack_record(writer, HINT_FIELDS);
    pack_uint(writer, VERSION);
    if (hint->leader == MEMBER_NONE) {
        pack_nil(writer);
    } else {
        pack_uint(writer, hint->leader);
    }
    pack_uint(writer, hint->view_version);
    pack_record_end(writer);
}

enum err router_hint_decode(struct router_hint *out, struct bytes bytes)
{
    struct reader reader = reader_of(bytes);
    uint32_t more = 0;
    enum err err = pack_read_version(&reader, VERSION, HINT_FIELDS, &more);
    if (err) {
        return err;
    }
    struct router_hint hint = {.leader = MEMBER_NONE};
    if (pack_peek(&reader) == PACK_NIL) {
        pack_read_nil(&reader);
    } else {
        hint.leader =
            (uint32_t)pack_read_uint_to(&reader, MEMBER_NUMBERS_MAX - 1);
    }
    hint.view_version = pack_read_uint(&reader);
    pack_skip_count(&reader, more);
    if (reader.failed || reader_left(&reader) > 0) {
        return ERR_MALFORMED;
    }
    *out = hint;
    return ERR_NONE;
}
