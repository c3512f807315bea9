/*
 * Every setting of a node and its cluster, checked: what config_open() makes
 * of the configuration file.
 *
 * Plain data, not changed after it is made; any thread may read it. The
 * meaning, the bounds and the default of each member stand in schema_table.c
 * (and so in docs/configuration.md), under the key of the same name, the unit
 * aside.
 */

#ifndef CONFIG_SETTINGS_H
#define CONFIG_SETTINGS_H

#include "base/err.h"
#include "base/log.h"
#include "base/network.h"
#include "config/certificate.h"

#include <stdbool.h>
#include <stdint.h>

#define SETTINGS_NAME_BYTES CERTIFICATE_NAME_BYTES
#define SETTINGS_HOST_BYTES 121 /* so that every URL fits SOCKET_URL_BYTES */
#define SETTINGS_PATH_BYTES 1024
#define SETTINGS_MEMBER_COUNT_MAX 512
#define SETTINGS_POOL_COUNT_MAX 256
#define SETTINGS_SEED_COUNT_MAX 64
#define SETTINGS_META_VOTER_COUNT_MAX 5

enum settings_transport {
    SETTINGS_TCP, /* a port for each link */
    SETTINGS_IPC, /* sockets in a folder: all nodes on one machine */
    SETTINGS_WS,  /* WebSocket: one port for everything, by path */
};

/* What a node does for the cluster. Bits. */
enum settings_role {
    SETTINGS_VOTER = 1 << 0,   /* may vote in the meta group */
    SETTINGS_SHARD = 1 << 1,   /* holds shards */
    SETTINGS_WORKER = 1 << 2,  /* runs the workers of task pools */
    SETTINGS_GATEWAY = 1 << 3, /* serves HTTP and WebSocket clients */
};

struct settings_port_range {
    uint16_t first;
    uint16_t last; /* included */
};

/* `node`: may differ from host to host. */
struct settings_node {
    char name[SETTINGS_NAME_BYTES]; /* "": said on the command line */
    char data_dir[SETTINGS_PATH_BYTES];
    char keys_dir[SETTINGS_PATH_BYTES];
    enum log_level log_level;
    enum log_format log_format;
    uint64_t log_kept_bytes; /* in memory, of the newest lines */
    uint32_t reactors;       /* 0: one per core */
    uint32_t door_connections_max;
    char http_listen[SETTINGS_HOST_BYTES];
    uint32_t http_connections_max;
    uint64_t http_timeout_ms;
    bool exec; /* tasks may be commands */
};

/* One of `cluster.nodes`. */
struct settings_member {
    char name[SETTINGS_NAME_BYTES];
    char host[SETTINGS_HOST_BYTES];   /* "" with SETTINGS_IPC only */
    char listen[SETTINGS_HOST_BYTES]; /* `host`, unless the file says else */
    uint16_t port;                    /* the door's; with WS everything's */
    uint16_t bus_port;                /* SETTINGS_TCP */
    uint16_t http_port;               /* 0: no HTTP */
    struct settings_port_range link_ports; /* SETTINGS_TCP */
    char zone[SETTINGS_NAME_BYTES];        /* "": none */
    uint32_t weight;
    uint32_t roles; /* of enum settings_role; never 0 */
};

struct settings_timeouts {
    uint64_t election_ms;
    uint64_t heartbeat_ms;
    uint64_t reactor_stall_ms;
    uint64_t actor_slice_us;
    uint64_t handshake_ms;
    uint64_t first_frame_ms;
    uint64_t link_heartbeat_ms;
    uint64_t link_silence_ms;
    uint64_t link_ack_delay_ms;
    uint64_t dial_backoff_min_ms;
    uint64_t dial_backoff_max_ms;
    uint64_t ask_ms;
};

struct settings_limits {
    uint64_t frame_bytes;
    uint64_t message_bytes_max;
    uint64_t link_window_bytes; /* at least twice message_bytes_max */
    uint64_t link_inflight_bytes;
    uint64_t bus_message_bytes_max;
    uint64_t rekey_bytes;
    uint64_t rekey_interval_ms;
    uint64_t clock_skew_ms;
    uint64_t certificate_warning_ms;
    uint32_t peers_max;
    uint32_t clients_max;
};

/* One of `cluster.pools`. */
struct settings_pool {
    char name[SETTINGS_NAME_BYTES];
    uint32_t workers; /* on each node with SETTINGS_WORKER */
    bool durable;
    uint64_t queue_max; /* tasks */
    uint64_t lease_ms;
    uint32_t attempts_max;
    uint64_t retry_backoff_min_ms;
    uint64_t retry_backoff_max_ms;
};

/* `cluster`: the same on all nodes. */
struct settings_cluster {
    char name[SETTINGS_NAME_BYTES];
    uint8_t id[CLUSTER_ID_BYTES];
    enum settings_transport transport;
    char ipc_dir[SETTINGS_PATH_BYTES]; /* SETTINGS_IPC */
    uint32_t shards;                   /* a power of two */
    uint32_t replication;
    struct settings_timeouts timeouts;
    struct settings_limits limits;
    struct settings_member *members; /* `nodes` in the file */
    uint32_t member_count;           /* at least 1 */
    struct settings_pool *pools;
    uint32_t pool_count;
    /* The file does not say them, and so does not claim them either: only the
     * founding needs them of a file. */
    bool leaves_shards_open;
    bool leaves_replication_open;
};

struct settings_seed {
    char url[SOCKET_URL_BYTES]; /* of a door */
};

struct settings {
    struct settings_node node;
    struct settings_seed *seeds; /* NULL: the doors of the members */
    uint32_t seed_count;
    struct settings_cluster cluster;
};

void settings_close(struct settings **settings);

/* The member of that name; NULL: none. Borrowed from `settings`. */
const struct settings_member *settings_find_member(
    const struct settings *settings, const char *name);

/* The member that `node.name` names; NULL when it is "". */
const struct settings_member *settings_self(const struct settings *settings);

/* A peer that says nothing for so long, one and a half heartbeats of its link,
 * may stand still or be cut off, though the link is not down yet. */
uint32_t settings_quiet_ms(const struct settings *settings);

/* Whether a seed is none of the members' doors: the file is that of a node that
 * joins a cluster, and names only a part of it. */
bool settings_joins_only(const struct settings *settings);

/* For whom a URL is: on a machine behind an address translation they differ. */
enum settings_form {
    SETTINGS_BIND,       /* what the member itself listens on */
    SETTINGS_ADVERTISED, /* what others dial */
};

/* tcp://HOST:PORT, ws://HOST:PORT/door, ipc://DIR/NAME-door.ipc */
void settings_door_url(char out[static SOCKET_URL_BYTES],
                       const struct settings *settings,
                       const struct settings_member *member,
                       enum settings_form form);

/* tcp://HOST:BUS_PORT, ws://HOST:PORT/bus, ipc://DIR/NAME-bus.ipc */
void settings_bus_url(char out[static SOCKET_URL_BYTES],
                      const struct settings *settings,
                      const struct settings_member *member,
                      enum settings_form form);

/* How many links can be accepted by the member at a time. */
uint32_t settings_link_count(const struct settings *settings,
                             const struct settings_member *member);

/*
 * What the addresses of the member's pair listeners begin with; a number
 * follows, from settings_link_first() on, settings_link_count() of them:
 * tcp://HOST:, ws://HOST:PORT/link/, ipc://DIR/NAME-link-
 */
void settings_link_prefix(char out[static SOCKET_URL_BYTES],
                          const struct settings *settings,
                          const struct settings_member *member,
                          enum settings_form form);
uint32_t settings_link_first(const struct settings *settings,
                             const struct settings_member *member);

/* One key of `cluster` whose value is not the same; the texts are borrowed. */
typedef void settings_on_difference(void *context,
                                    const char *key,
                                    const char *left,
                                    const char *right);

/*
 * Call `on_difference` for each key of `cluster` that differs, in the order
 * of the schema, members and pools matched by name ("cluster.nodes[n2].port";
 * an absent one is the difference of "cluster.nodes[n2]" and "absent"). The
 * order of members counts: it says who founds. Returns how many differ.
 */
uint32_t settings_cluster_differences(const struct settings *left,
                                      const struct settings *right,
                                      settings_on_difference *on_difference,
                                      void *context);

/* One key of `cluster` and the canonical text of its value; borrowed. */
typedef void settings_on_value(void *context,
                               const char *key,
                               const char *value);

/* Call `on_value` for each key of `cluster` that has a value of its own: all
 * but members and pools, in the order of the schema. Equal values have equal
 * texts. */
void settings_cluster_values(const struct settings *settings,
                             settings_on_value *on_value,
                             void *context);

/* Whether the value of that key is only what a founding would take: not to be
 * compared with what a cluster has. */
bool settings_leaves_open(const struct settings *settings, const char *key);

/*
 * Set a key of `cluster` that has a value of its own, such as
 * settings_cluster_values() calls with. On failure nothing is changed, and
 * `why` says what is wrong.
 *
 * ERR_NOT_FOUND   there is no such key
 * ERR_INVALID     the value is out of its bounds
 */
FALLIBLE settings_cluster_set(struct settings *settings,
                              const char *key,
                              const char *value,
                              struct err_detail *why);

/*
 * BLAKE2b-256 over the canonical text of `cluster`: equal when
 * settings_cluster_differences() finds none.
 */
#define SETTINGS_DIGEST_BYTES 32
void settings_cluster_digest(uint8_t out[static SETTINGS_DIGEST_BYTES],
                             const struct settings *settings);

#endif
