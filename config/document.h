/*
 * A YAML document as a tree that knows its places.
 *
 * Pure, over libyaml. Only what a configuration needs: maps with text keys,
 * lists and scalars. Anchors, aliases, tags, keys that occur twice and more
 * than one document are refused, and everything is bounded.
 */

#ifndef CONFIG_DOCUMENT_H
#define CONFIG_DOCUMENT_H

#include "base/bytes.h"
#include "base/err.h"
#include "config/problems.h"

#include <stdbool.h>
#include <stdint.h>

#define DOCUMENT_BYTES_MAX (1 << 20)
#define DOCUMENT_DEPTH_MAX 16
#define DOCUMENT_NODE_COUNT_MAX 65536
#define DOCUMENT_KEY_COUNT_MAX 256 /* of one map */
#define DOCUMENT_KEY_BYTES_MAX 256

enum document_kind {
    DOCUMENT_EMPTY, /* nothing, "~" or "null" */
    DOCUMENT_SCALAR,
    DOCUMENT_LIST,
    DOCUMENT_MAP,
};

struct document_node {
    enum document_kind kind;
    bool is_quoted;  /* SCALAR: in quotes or as a block of text */
    bool is_refused; /* its problem has been told: ask no more of it */
    struct problem_place place;

    char *text; /* SCALAR; zero-terminated, without a zero inside */

    /* Where the key stands; under a map only. */
    struct problem_place key_place;
    char *key;

    struct document_node *first; /* LIST, MAP: in the file's order */
    struct document_node *next;  /* the sibling behind it */
    uint32_t count;              /* of children */
};

/*
 * Parse. `*out` is set on success only. There may be success with problems
 * (nodes that are refused); `problems` must have been initialised.
 *
 * ERR_INVALID   not YAML, or beyond the bounds: the problems are added
 */
FALLIBLE document_open(struct document_node **out,
                       struct bytes text,
                       struct problems *problems);

void document_close(struct document_node **root);

/* The child under `key`; NULL: none, or `map` is no map. */
const struct document_node *document_get(const struct document_node *map,
                                         const char *key);

/* The node at a path such as "cluster.nodes[2].port"; NULL: none. */
const struct document_node *document_find(const struct document_node *root,
                                          const char *path);

/*
 * Follow a path such as "cluster.nodes[2].port" as far as it goes: where to
 * point to when something is missing there. Never NULL.
 */
const struct document_node *document_nearest(const struct document_node *root,
                                             const char *path);

/* Where the node's key stands, or else the node. */
struct problem_place document_place(const struct document_node *node);

#endif
