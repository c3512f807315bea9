/*
 * The one table of all settings: where each is stored, its bounds, its
 * default and what it is for.
 *
 * Pure. Parser, defaults, comparison, `troupe config explain` and
 * docs/configuration.md all follow this table.
 */

#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include "base/err.h"
#include "config/settings.h"

#include <stdbool.h>
#include <stdint.h>

#define SCHEMA_PATH_BYTES 192
#define SCHEMA_VALUE_BYTES 1100 /* any value as text */
#define SCHEMA_ALLOWED_BYTES 320

enum schema_kind {
    SCHEMA_PART,        /* a map of further keys */
    SCHEMA_LIST,        /* a list of such maps: "x[]" stands for each */
    SCHEMA_URLS,        /* a list of doors' addresses */
    SCHEMA_ROLES,       /* a list of roles */
    SCHEMA_NAME,        /* what certificate_name_is_valid() allows */
    SCHEMA_PATH,        /* of a folder */
    SCHEMA_HOST,        /* a DNS name or an address */
    SCHEMA_ID,          /* 32 hexadecimal digits */
    SCHEMA_CHOICE,      /* one of some words */
    SCHEMA_BOOL,        /* true or false */
    SCHEMA_NUMBER,      /* without a unit */
    SCHEMA_SIZE,        /* in bytes */
    SCHEMA_DURATION,    /* stored in milliseconds */
    SCHEMA_DURATION_US, /* stored in microseconds */
    SCHEMA_PORTS,       /* a range, "7602-8625" */
    SCHEMA_KIND_COUNT
};

struct schema_key {
    const char *path; /* "cluster.nodes[].port" */
    enum schema_kind kind;

    /* Where: in struct settings, or below a list in that list's struct. */
    size_t offset;
    size_t size;
    /* SCHEMA_LIST, SCHEMA_URLS: `offset` is the array pointer's. */
    size_t count_offset; /* of the uint32_t with the count */
    size_t item_bytes;

    /* Of the value; of a text's length; of a list's count. */
    uint64_t min;
    uint64_t max;

    const char *standard;       /* the default; NULL: see the next */
    const char *derived;        /* the default in words; NULL: required */
    const char *const *choices; /* SCHEMA_CHOICE, SCHEMA_ROLES; NULL ends */
    const char *also;           /* a further condition in words; NULL: none */
    const char *text;           /* what it is for: one paragraph */
    /* It is read and checked, and the layer that will use it is not there. */
    bool is_unused_yet;

    /* Of a value of `cluster`, once the cluster is founded. */
    const char *fixed; /* why it cannot be changed any more; NULL: it can */
    bool is_live;      /* a change counts at once on all nodes; else when a
                          node starts next */
};

/* The whole table; parents stand before their children. */
const struct schema_key *schema_keys(uint32_t *count);

/* Exactly that path; NULL: none. */
const struct schema_key *schema_find(const char *path);

/* The key that is most likely meant; NULL: nothing is near. */
const struct schema_key *schema_nearest(const char *path);

/*
 * When `key` stands right under `parent` ("" is the root, "cluster.nodes[]" a
 * list's entry): its own name; else NULL.
 */
const char *schema_child_name(const struct schema_key *key, const char *parent);

/* A part or a list: holds other keys, not a value. */
bool schema_is_branch(const struct schema_key *key);

/* "duration", "list of roles": static. */
const char *schema_kind_text(enum schema_kind kind);

/* "a duration from 50ms to 1m, such as 500ms" */
void schema_allowed(char out[static SCHEMA_ALLOWED_BYTES],
                    const struct schema_key *key);

/*
 * Read one value, not a list, into `base` (the struct that `offset` counts
 * from). On failure nothing is changed. ERR_INVALID: `why` says what was found
 * beside the text itself ("has no unit"); it may be left empty.
 */
FALLIBLE schema_read(const struct schema_key *key,
                     void *base,
                     const char *text,
                     struct err_detail *why);

/* The bit of a role; 0: no such role. */
uint32_t schema_role(const char *text);

/* The value in `base` as it could stand in the file; roles as "[a, b]". */
void schema_write(char out[static SCHEMA_VALUE_BYTES],
                  const struct schema_key *key,
                  const void *base);

/* Set all values below `parent` that have a default in `standard`. */
void schema_set_defaults(void *base, const char *parent);

#endif
