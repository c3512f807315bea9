/*
 * The encodings:
 *
 *   members  [format, [member ...], ...]
 *   member   [number, version, name, door, bus, zone, weight, roles, disk id,
 *             state, since, ...]
 *
 * A release may append fields where it says "...": those that it does not
 * know are skipped. What cannot be skipped has another format number.
 */

#include "cluster/members.h"

#include "base/pack.h"
#include "base/scope.h"
#include "cluster/multiraft.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT 1
#define TABLE_FIELDS 2
#define MEMBER_FIELDS 11
#define TABLE_HEAD_BYTES_MAX 16

static_assert(MEMBER_NUMBERS_MAX == MULTIRAFT_NODES_MAX, "the same numbers");

static const char *const state_names[MEMBER_STATE_COUNT] = {
    [MEMBER_ACTIVE] = "active",
    [MEMBER_CORDONED] = "cordoned",
    [MEMBER_DRAINING] = "draining",
    [MEMBER_DOWN] = "down",
};

const char *member_state_name(enum member_state state)
{
    assert(state < MEMBER_STATE_COUNT);
    return state_names[state];
}

enum member_state member_state_find(const char *name)
{
    int state = 0;
    while (state < MEMBER_STATE_COUNT &&
           strcmp(state_names[state], name) != 0) {
        state++;
    }
    return (enum member_state)state;
}

/* ---- what a member may be ---- */

/* Of letters that can be seen; terminated within `capacity`. */
static bool is_address(const char *text, size_t capacity)
{
    size_t length = strnlen(text, capacity);
    for (size_t i = 0; i < length; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    return length < capacity;
}

static const char *wrong_field(const struct member *member)
{
    if (member->number >= MEMBER_NUMBERS_MAX && member->number != MEMBER_NONE) {
        return "number";
    }
    if (!certificate_name_is_valid(member->name)) {
        return "name";
    }
    if (member->door[0] == '\0' ||
        !is_address(member->door, sizeof member->door)) {
        return "door";
    }
    if (!is_address(member->bus, sizeof member->bus)) {
        return "bus";
    }
    if (member->zone[0] != '\0' && !certificate_name_is_valid(member->zone)) {
        return "zone";
    }
    return member->state >= MEMBER_STATE_COUNT ? "state" : NULL;
}

enum err member_validate(const struct member *member, struct err_detail *why)
{
    const char *field = wrong_field(member);
    if (field) {
        err_explain(why, "the member's %s is not valid", field);
        return ERR_INVALID;
    }
    return ERR_NONE;
}

/* ---- the table ---- */

void members_clear(struct members *members)
{
    free(members->list);
    *members = (struct members){0};
}

/* The first whose number is not smaller. */
static uint32_t place_of(const struct members *members, uint32_t number)
{
    uint32_t from = 0;
    uint32_t to = members->count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (members->list[middle].number < number) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

struct member *members_find(const struct members *members, uint32_t number)
{
    uint32_t at = place_of(members, number);
    return at < members->count && members->list[at].number == number
               ? &members->list[at]
               : NULL;
}

struct member *members_find_name(const struct members *members,
                                 const char *name)
{
    for (uint32_t i = 0; i < members->count; i++) {
        if (strcmp(members->list[i].name, name) == 0) {
            return &members->list[i];
        }
    }
    return NULL;
}

uint32_t members_free_number(const struct members *members)
{
    uint32_t number = 0;
    while (number < members->count && members->list[number].number == number) {
        number++;
    }
    return number < MEMBER_NUMBERS_MAX ? number : MEMBER_NONE;
}

/* The same members, with a gap for one more at `gap`; NULL: no memory. */
static struct member *list_with_gap(const struct members *members, uint32_t gap)
{
    struct member *list = calloc(members->count + (size_t)1, sizeof *list);
    for (uint32_t i = 0; list && i < members->count; i++) {
        list[i + (i >= gap)] = members->list[i];
    }
    return list;
}

enum err members_copy(struct members *out, const struct members *from)
{
    struct member *list = NULL;
    if (from->count > 0) {
        list = list_with_gap(from, from->count);
        if (!list) {
            return ERR_MEMORY;
        }
    }
    *out = (struct members){.count = from->count, .list = list};
    return ERR_NONE;
}

enum err members_add(struct members *members, const struct member *member)
{
    if (members_find(members, member->number) ||
        members_find_name(members, member->name)) {
        return ERR_EXISTS;
    }
    if (member->number >= MEMBER_NUMBERS_MAX) {
        return ERR_FULL;
    }
    uint32_t at = place_of(members, member->number);
    struct member *list = list_with_gap(members, at);
    if (!list) {
        return ERR_MEMORY;
    }
    list[at] = *member;
    free(members->list);
    members->list = list;
    members->count++;
    return ERR_NONE;
}

void members_remove(struct members *members, uint32_t number)
{
    if (!members_find(members, number)) {
        return;
    }
    members->count--;
    for (uint32_t i = place_of(members, number); i < members->count; i++) {
        members->list[i] = members->list[i + 1];
    }
}

/* ---- encoding ---- */

size_t members_bytes_max(const struct members *members)
{
    return TABLE_HEAD_BYTES_MAX + (size_t)members->count * MEMBER_BYTES_MAX;
}

void member_encode(const struct member *member, struct writer *writer)
{
    pack_record(writer, MEMBER_FIELDS);
    pack_uint(writer, member->number);
    pack_uint(writer, member->version);
    pack_text(writer, member->name);
    pack_text(writer, member->door);
    pack_text(writer, member->bus);
    pack_text(writer, member->zone);
    pack_uint(writer, member->weight);
    pack_uint(writer, member->roles);
    pack_uint(writer, member->disk_id);
    pack_uint(writer, member->state);
    pack_int(writer, member->since_ms);
    pack_record_end(writer);
}

void members_encode(const struct members *members, struct writer *writer)
{
    pack_record(writer, TABLE_FIELDS);
    pack_uint(writer, FORMAT);
    pack_array(writer, members->count);
    for (uint32_t i = 0; i < members->count; i++) {
        member_encode(&members->list[i], writer);
    }
    pack_record_end(writer);
}

/* ---- decoding ---- */

enum err member_decode(struct member *out, struct reader *reader)
{
    struct member member = {0};
    uint32_t count = pack_read_array_of(reader, MEMBER_FIELDS, UINT32_MAX);
    member.number = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    member.version = pack_read_uint(reader);
    pack_read_text(reader, member.name, sizeof member.name);
    pack_read_text(reader, member.door, sizeof member.door);
    pack_read_text(reader, member.bus, sizeof member.bus);
    pack_read_text(reader, member.zone, sizeof member.zone);
    member.weight = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    member.roles = (uint32_t)pack_read_uint_to(reader, UINT32_MAX);
    member.disk_id = pack_read_uint(reader);
    member.state = (enum member_state)pack_read_uint_to(reader, UINT8_MAX);
    member.since_ms = pack_read_int(reader);
    if (reader->failed) {
        return ERR_MALFORMED;
    }
    pack_skip_count(reader, count - MEMBER_FIELDS);
    if (reader->failed || wrong_field(&member)) {
        return ERR_MALFORMED;
    }
    *out = member;
    return ERR_NONE;
}

/* Into `out->list`, which has room for all. */
static enum err decode_list(struct members *out,
                            uint32_t count,
                            struct reader *reader)
{
    while (out->count < count) {
        struct member *next = &out->list[out->count];
        enum err err = member_decode(next, reader);
        if (err) {
            return err;
        }
        if (next->number == MEMBER_NONE ||
            (out->count > 0 && next[-1].number >= next->number) ||
            members_find_name(out, next->name)) {
            return ERR_MALFORMED;
        }
        out->count++;
    }
    return ERR_NONE;
}

enum err members_decode(struct members *out, struct reader *reader)
{
    uint32_t more = 0;
    enum err err = pack_read_version(reader, FORMAT, TABLE_FIELDS, &more);
    if (err) {
        return err;
    }
    uint32_t count = pack_read_array_of(reader, 0, MEMBER_NUMBERS_MAX);
    if (reader->failed) {
        return ERR_MALFORMED;
    }
    scoped(members_clear) struct members members = {
        .list = count > 0 ? calloc(count, sizeof *members.list) : NULL};
    if (count > 0 && !members.list) {
        return ERR_MEMORY;
    }
    err = decode_list(&members, count, reader);
    if (err) {
        return err;
    }
    pack_skip_count(reader, more);
    if (reader->failed) {
        return ERR_MALFORMED;
    }
    *out = members;
    members = (struct members){0}; /* the caller owns it now */
    return ERR_NONE;
}
