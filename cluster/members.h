/*
 * The members of the cluster: a table of nodes by number, and its codec.
 *
 * Plain data; pure. The truth is in the meta group (shard/meta.h); every node
 * has a copy of it.
 */

#ifndef CLUSTER_MEMBERS_H
#define CLUSTER_MEMBERS_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/network.h"
#include "config/certificate.h"

#include <stdbool.h>
#include <stdint.h>

#define MEMBER_NUMBERS_MAX                              \
    512 /* numbers are below, and used again only after \
           `forget` */
#define MEMBER_NONE UINT32_MAX
#define MEMBER_BYTES_MAX 640 /* encoded */

enum member_state {
    MEMBER_ACTIVE,   /* holds and gets shards */
    MEMBER_CORDONED, /* holds those it has */
    MEMBER_DRAINING, /* gives all away */
    MEMBER_DOWN,     /* was away for so long that its shards are made anew
                        elsewhere; active again when it comes back */
    MEMBER_STATE_COUNT,
};

struct member {
    uint32_t number;  /* MEMBER_NONE: not chosen yet */
    uint64_t version; /* of the view that changed it last; 0: not in a view */
    char name[CERTIFICATE_NAME_BYTES];
    char door[SOCKET_URL_BYTES]; /* as others reach it */
    char bus[SOCKET_URL_BYTES];  /* "": none */
    char zone[CERTIFICATE_NAME_BYTES];
    uint32_t weight;
    uint32_t roles;   /* of enum settings_role */
    uint64_t disk_id; /* of the disk that it serves from; 0: none yet */
    enum member_state state;
    int64_t since_ms; /* when it joined, Unix time */
};

struct members {
    uint32_t count;
    struct member *list; /* by number, rising */
};

void members_clear(struct members *members);

/* Into `out`, which holds nothing. ERR_MEMORY */
FALLIBLE members_copy(struct members *out, const struct members *from);

/*
 * Whether every field is within its bounds: what is decoded is. A door is
 * needed; bus and zone may be "". ERR_INVALID: `why` names the field.
 */
FALLIBLE member_validate(const struct member *member, struct err_detail *why);

/* NULL: none. Borrowed until the table changes. */
struct member *members_find(const struct members *members, uint32_t number);
struct member *members_find_name(const struct members *members,
                                 const char *name);

/* The smallest number that nobody has; MEMBER_NONE when all are taken. */
uint32_t members_free_number(const struct members *members);

/* The table is as it was when that fails. ERR_EXISTS: its number or name is
 * taken. ERR_FULL: it has no number. ERR_MEMORY */
FALLIBLE members_add(struct members *members, const struct member *member);

/* Nothing happens when nobody has the number. */
void members_remove(struct members *members, uint32_t number);

/* "active", "cordoned", ...; static. */
const char *member_state_name(enum member_state state);
/* MEMBER_STATE_COUNT: none */
enum member_state member_state_find(const char *name);

/* One MessagePack value each; a writer needs at most so many bytes. */
size_t members_bytes_max(const struct members *members);
void member_encode(const struct member *member, struct writer *writer);
void members_encode(const struct members *members, struct writer *writer);

/*
 * On success only; `out` of members_decode() holds nothing. Fields that a
 * newer release has added are skipped.
 *
 * ERR_MALFORMED   also: texts that are no name or URL, names or numbers twice,
 *                 numbers out of order, and in a table a member without one
 * ERR_VERSION     only a newer release can read it (members_decode())
 * ERR_MEMORY
 */
FALLIBLE member_decode(struct member *out, struct reader *reader);
FALLIBLE members_decode(struct members *out, struct reader *reader);

#endif
