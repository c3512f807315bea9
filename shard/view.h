/*
 * What the cluster is and shall be, as the meta group has agreed: members,
 * the shard map, what is stopped. Every node has a copy; which is newer, its
 * version says.
 *
 * Plain data; pure. All changes go through view_change(), on every replica of
 * the meta group in the same order (shard/meta.h).
 */

#ifndef SHARD_VIEW_H
#define SHARD_VIEW_H

#include "cluster/members.h"
#include "shard/host_fault.h"
#include "shard/shard_map.h"
#include "shard/task_pool.h"
#include "shard/view_settings.h"

#include <stdbool.h>
#include <stdint.h>

#define VIEW_TEXT_BYTES 256
#define VIEW_WHO_BYTES (CERTIFICATE_NAME_BYTES + 16)

/*
 * What a release can do that an older one must not meet: another kind of
 * change, another rule, a field that must not be lost. It is used only when the
 * view says so: the meta group's leader raises the view's level when all
 * members have reported that they know it.
 */
#define VIEW_FEATURE_LEVEL 1         /* the highest that this release knows */
#define VIEW_FEATURE_LEVEL_FOUNDED 1 /* of every cluster at first */

/* When the meta group was taken over its versions begin so much later: whoever
 * has not heard of it has none that is newer. */
#define VIEW_VERSIONS_SKIPPED (UINT64_C(1) << 20)

/* A shard whose group has lost its majority, and who shall take it over. Only
 * this node on this disk does, and only for the generation of the map. */
struct view_recovery {
    uint32_t shard;
    uint32_t node;
    uint64_t disk_id;
    bool is_empty; /* with an empty group: nobody has anything of it */
};

struct view {
    uint64_t version; /* 0: not founded yet. Grows with each change */
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    char cluster_name[CERTIFICATE_NAME_BYTES];
    uint32_t replication;
    uint32_t feature_level;
    bool is_founded; /* all shards have begun: replicas may move, and nobody
                        founds any more */
    bool is_paused;  /* no shard is moved, but for members that are gone */
    struct members members;
    struct members founders; /* as they were at founding: shards begin with
                                the disks that they had then */
    struct shard_map map;    /* .places NULL before founding */
    struct view_settings settings; /* .version 0: unknown */
    struct task_pools pools;
    uint32_t meta_generation;         /* of the meta group's replicas; see
                                         raft_configuration.h */
    struct view_recovery *recoveries; /* under way; of each shard one at most */
    uint32_t recovery_count;
#ifdef TROUPE_FAULTS
    enum host_fault fault; /* of the meta group's machine */
#endif
};

/* One that is not founded. ERR_MEMORY */
FALLIBLE view_open(struct view **out);
void view_close(struct view **view);
/* ERR_MEMORY */
FALLIBLE view_copy(struct view **out, const struct view *from);

enum view_change_kind {
    VIEW_FOUND = 1,     /* cluster_id, name, replication, members, map,
                           settings (or none), pools */
    VIEW_FOUNDED,       /* all shards have begun */
    VIEW_MEMBER_ADD,    /* member; its number is chosen when it is decided */
    VIEW_MEMBER_SET,    /* member: all of it; its number, its name and when it
                           joined stay. Of a copy out of a view its version
                           tells whether it was changed meanwhile; 0: that does
                           not matter */
    VIEW_MEMBER_FORGET, /* number */
    VIEW_PLACE,         /* moves; version of the map that they were made from.
                           Generations stay */
    VIEW_PAUSE,         /* flag */
    VIEW_RECOVER,       /* number of a shard, node, flag (is empty), generation:
                           the next one, in which this node takes over */
    VIEW_NOTE,          /* a line of the journal alone: the view stays */
    VIEW_LEVEL,         /* number: the feature level, which only rises */
    VIEW_SETTINGS,      /* settings: all of them; .version is that of those
                           which they replace */
    VIEW_RECOVERED,     /* number of a shard, generation: it serves in it */
    VIEW_RECOVER_META,  /* generation: the meta group was taken over */
    VIEW_POOL_SET,      /* pool: a new one, or in place of the one of that name.
                           Its version, if it is not 0, tells whether that was
                           changed meanwhile */
    VIEW_POOL_REMOVE,   /* pool: its name */
    VIEW_CHANGE_KIND_COUNT,
};

struct view_move {
    uint32_t shard;
    struct shard_place place;
};

struct view_change {
    enum view_change_kind kind;
    char who[VIEW_WHO_BYTES];   /* "operator/ann", "node/alpha" */
    char text[VIEW_TEXT_BYTES]; /* for the journal; "": none (shard/meta.h) */
    int64_t at_ms;              /* set when it is decided */
    /* FOUND */
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    char cluster_name[CERTIFICATE_NAME_BYTES];
    uint32_t replication;
    struct members members;
    struct shard_map map;
    struct view_settings settings; /* also of SETTINGS */
    struct task_pools pools;
    /* others */
    struct member member;
    uint32_t number; /* of a member, or a shard; a level */
    uint32_t node;
    uint32_t generation;
    bool flag;
    uint64_t map_version;
    struct view_move *moves;
    uint32_t move_count;
    struct task_pool pool;
};

void view_change_clear(struct view_change *change);

/* Set its text, in printf's form, so that it may stand in the journal: cut at a
 * character, control characters as `?`. */
__attribute__((format(printf, 2, 3))) void view_change_say(
    struct view_change *change, const char *format, ...);

/*
 * Whether it may happen now; `why` says why not. Replicas ask again before they
 * apply what was decided, so a rule is changed with a feature level only.
 *
 * ERR_EXISTS      FOUND, FOUNDED, RECOVER_META: it is. MEMBER_ADD: the name or
 *                 the number is taken. LEVEL: it is not less already
 * ERR_NOT_FOUND   no such member or shard; or nothing is founded yet.
 *                 RECOVERED: no such recovery is under way
 * ERR_BUSY        MEMBER_SET: it was changed meanwhile. MEMBER_FORGET: the map
 *                 still places shards on it. PLACE: made from another version
 *                 of the map, or shards have not begun yet. SETTINGS: others
 *                 were agreed on meanwhile. RECOVER: shards have not begun
 *                 yet, or another generation was begun meanwhile
 * ERR_INVALID     a member, a place or the rest of a founding is not valid; a
 *                 place names nobody, or one node twice; no moves, or two of
 *                 one shard. MEMBER_SET: another name. MEMBER_FORGET: it is
 *                 the last one. NOTE: no text. SETTINGS: not those of such a
 *                 cluster
 * ERR_FULL        MEMBER_ADD: no number is left
 */
FALLIBLE view_check(const struct view *view,
                    const struct view_change *change,
                    struct err_detail *why);

/* Do what view_check() has allowed; a member that is added has its number.
 * ERR_MEMORY: nothing has happened */
FALLIBLE view_change(struct view *view, const struct view_change *change);

/* NULL: none is under way. Borrowed until the view changes. */
const struct view_recovery *view_recovery_of(const struct view *view,
                                             uint32_t shard);

/* One MessagePack value; a writer needs at most so many bytes. */
size_t view_bytes_max(const struct view *view);
void view_encode(const struct view *view, struct writer *writer);

/*
 * Fields that a newer release has added are skipped.
 *
 * ERR_MALFORMED   also: a map that names nobody, or a place without replicas
 * ERR_VERSION     only a newer release can read it
 * ERR_MEMORY
 */
FALLIBLE view_decode(struct view **out, struct bytes bytes);

/* The same for a change: of its fields those that its kind has. */
size_t view_change_bytes_max(const struct view_change *change);
void view_change_encode(const struct view_change *change,
                        struct writer *writer);

/* On success only, and into `out` that holds nothing. ERR_MALFORMED: also
 * control characters in texts. ERR_VERSION, ERR_MEMORY */
FALLIBLE view_change_decode(struct view_change *out, struct bytes bytes);

/* Equal on those who have the same view. */
uint64_t view_digest(const struct view *view);

#endif
