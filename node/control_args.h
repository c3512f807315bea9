/*
 * The arguments of a question to node/control.h: one table of all that there
 * are (docs/control.md).
 *
 * Plain data; pure.
 */

#ifndef NODE_CONTROL_ARGS_H
#define NODE_CONTROL_ARGS_H

#include "base/bytes.h"
#include "base/err.h"
#include "cluster/members.h"
#include "shard/task.h"
#include "shard/view_settings.h"

#include <stdbool.h>
#include <stdint.h>

#define CONTROL_TEXT_BYTES_MAX           \
    256 /* of `type`, `id`, `shards` and \
           `key` */

/* Bits. */
enum control_arg {
    ARG_NAME = 1 << 0,
    ARG_TO = 1 << 1,
    ARG_STATE = 1 << 2,
    ARG_SHARD = 1 << 3,
    ARG_TYPE = 1 << 4,
    ARG_ID = 1 << 5,
    ARG_ADD = 1 << 6,
    ARG_REMOVE = 1 << 7,
    ARG_SINCE = 1 << 8,
    ARG_LIMIT = 1 << 9,
    ARG_VALUE = 1 << 10,
    ARG_KEY = 1 << 11,
    ARG_STALE = 1 << 12,
    ARG_FORCE = 1 << 13,
    ARG_DRY_RUN = 1 << 14,
    ARG_SETTINGS = 1 << 15,
    ARG_VERSION = 1 << 16,
    ARG_EMPTY = 1 << 17,
    ARG_SHARDS = 1 << 18,
    ARG_TASK = 1 << 19,       /* "id" */
    ARG_TASK_STATE = 1 << 20, /* "state" */
    ARG_POOL = 1 << 21,
    ARG_DEFINITION = 1 << 22,
    ARG_UNTIL = 1 << 23,
    ARG_SINCE_MS = 1 << 24,
    ARG_CURSOR = 1 << 25,
    ARG_TOKEN = 1 << 26,
    ARG_STDOUT = 1 << 27,
    ARG_STDERR = 1 << 28,
};

struct control_args {
    uint32_t given; /* of enum control_arg; the others are zero */
    char name[CERTIFICATE_NAME_BYTES];
    char to[CERTIFICATE_NAME_BYTES];
    enum member_state state;
    uint64_t shard;
    struct bytes type; /* texts: borrowed */
    struct bytes id;
    struct bytes shards;
    struct bytes add;    /* a list of names as it was read: borrowed; see */
    struct bytes remove; /* control_args_names() */
    uint64_t since;
    uint64_t limit;
    int64_t value;
    uint64_t key;          /* not 0 */
    struct bytes settings; /* a map as it was read: borrowed; see
                              control_args_settings() */
    uint64_t version;
    uint64_t task; /* its shard is in `shard`, too */
    enum task_state task_state;
    char pool[CERTIFICATE_NAME_BYTES];
    uint64_t since_ms; /* Unix time */
    uint64_t until_ms;
    uint64_t cursor;    /* of an answer before */
    uint64_t token;     /* of an attempt */
    uint64_t stdout_at; /* so many bytes are known */
    uint64_t stderr_at;
    struct bytes definition; /* a map as it was read: borrowed */
    bool is_stale;
    bool is_forced;
    bool is_dry_run;
    bool is_empty;
};

/*
 * Read a map of arguments; no bytes are none. Those of `required` must be
 * there, those of `optional` may.
 *
 * ERR_INVALID   `why` says which is missing, too much or wrong
 * ERR_MALFORMED
 */
FALLIBLE control_args_decode(struct control_args *out,
                             struct bytes bytes,
                             uint32_t required,
                             uint32_t optional,
                             struct err_detail *why);

/* To read a list of names; there are `*count`. */
struct reader control_args_names(struct bytes list, uint32_t *count);

/* The next one, valid as certificate_name_is_valid() says. */
void control_args_next_name(struct reader *reader,
                            char to[static CERTIFICATE_NAME_BYTES]);

/* To read a map of settings: `*count` times control_args_next_setting(). */
struct reader control_args_settings(struct bytes map, uint32_t *count);
void control_args_next_setting(struct reader *reader, struct view_setting *to);

#endif
