/*
 * The table itself, and finding a key in it.
 */

#include "config/schema.h"

#include "config/nearest.h"

#include <stddef.h>
#include <string.h>

/* clang-format off */
#define AT(type, member) \
    .offset = offsetof(struct type, member), \
    .size = sizeof(((struct type *)0)->member)
#define IN_SETTINGS(member) AT(settings, member)
#define IN_MEMBER(member) AT(settings_member, member)
#define IN_POOL(member) AT(settings_pool, member)

#define US UINT64_C(1)
#define MS UINT64_C(1)
#define SECOND (UINT64_C(1000) * MS)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static const char *const log_levels[] = {"debug", "info", "warn", "error",
                                         NULL};
static const char *const log_formats[] = {"text", "json", NULL};
static const char *const transports[] = {"tcp", "ipc", "ws", NULL};
static const char *const roles[] = {"voter", "shard", "worker", "gateway",
                                    NULL};

static const struct schema_key keys[] = {
{.path = "node", .kind = SCHEMA_PART, .derived = "all defaults",
 .text = "What concerns this node alone. It may differ from host to host; "
         "everything else is best the same in all files."},
{.path = "node.name", .kind = SCHEMA_NAME, IN_SETTINGS(node.name), .max = 63,
 .derived = "what the command line says",
 .also = "the name of one of cluster.nodes",
 .text = "Which of cluster.nodes this host runs. Without it the same file "
         "serves every host, and the node's name is given on the command "
         "line."},
{.path = "node.data_dir", .kind = SCHEMA_PATH, IN_SETTINGS(node.data_dir),
 .min = 1, .max = 1023, .standard = "/var/lib/troupe",
 .text = "The folder for the durable log and the applied state. Each node "
         "uses the folder of its own name in it, so that several nodes may "
         "share one machine and one file. A relative path counts from the "
         "folder of this file. Data at rest is not encrypted."},
{.path = "node.keys_dir", .kind = SCHEMA_PATH, IN_SETTINGS(node.keys_dir),
 .min = 1, .max = 1023, .standard = "/etc/troupe/keys",
 .text = "The folder with this node's certificate and key, NAME.cert and "
         "NAME.key, and with what it trusts. The key must be readable by its "
         "owner only. A relative path counts from the folder of this file."},
{.path = "node.log", .kind = SCHEMA_PART, .derived = "all defaults",
 .text = "What the node says about itself, on its standard error."},
{.path = "node.log.level", .kind = SCHEMA_CHOICE,
 IN_SETTINGS(node.log_level), .choices = log_levels, .standard = "info",
 .text = "The least important lines that are written. error: a person must "
         "act. warn: the node coped. info: a state has changed. debug: all "
         "else."},
{.path = "node.log.format", .kind = SCHEMA_CHOICE,
 IN_SETTINGS(node.log_format), .choices = log_formats, .standard = "text",
 .text = "text: lines for people. json: one JSON object per line, for "
         "machines."},
{.path = "node.log.kept", .kind = SCHEMA_SIZE,
 IN_SETTINGS(node.log_kept_bytes), .max = MIB, .standard = "64KiB",
 .text = "How much of its newest lines the node keeps in memory as well, for "
         "`troupe debug bundle`. 0B: none."},
{.path = "node.reactors", .kind = SCHEMA_NUMBER, IN_SETTINGS(node.reactors),
 .max = 256, .standard = "0",
 .is_unused_yet = true,
 .text = "How many reactor threads own the node's shards and links. 0: one "
         "for each core."},
{.path = "node.door_connections_max", .kind = SCHEMA_NUMBER,
 IN_SETTINGS(node.door_connections_max), .min = 8, .max = 65536,
 .standard = "1024",
 .text = "How many connections the door holds at a time. When there are "
         "more, the oldest give way, so that a flood of half-open handshakes "
         "takes bounded memory and honest peers still get in. Each one costs "
         "a file descriptor."},
{.path = "node.http_listen", .kind = SCHEMA_HOST,
 IN_SETTINGS(node.http_listen), .min = 1, .max = SETTINGS_HOST_BYTES - 1,
 .standard = "127.0.0.1",
 .text = "The address of this host on which HTTP is served: health and "
         "metrics. There is no password and no encryption: whoever reaches it "
         "may read, so that it is this host alone unless you say else. "
         "0.0.0.0: all interfaces. The port is the node's http_port."},
{.path = "node.http_connections_max", .kind = SCHEMA_NUMBER,
 IN_SETTINGS(node.http_connections_max), .min = 4, .max = 4096,
 .standard = "64",
 .text = "How many HTTP connections there may be at a time. When there are "
         "more, the oldest give way, so that a flood of idle ones locks no "
         "health check out. Each one costs a file descriptor."},
{.path = "node.http_timeout", .kind = SCHEMA_DURATION,
 IN_SETTINGS(node.http_timeout_ms), .min = 100 * MS, .max = MINUTE,
 .standard = "10s",
 .text = "How long an HTTP client may take for one request, from the "
         "connection or the last answer to the end of the next answer. A "
         "slower one, and an idle one, is cut."},
{.path = "node.exec", .kind = SCHEMA_BOOL, IN_SETTINGS(node.exec),
 .standard = "false",
 .text = "true: this node runs the commands of tasks, as far as their pool "
         "allows them. Who may change pools may then run anything here, as "
         "the user of this daemon or, when that is root, as any: it is remote "
         "execution by design. The same is true of plug-ins. false: such tasks "
         "wait for other nodes. C functions of the program run either way."},

{.path = "seeds", .kind = SCHEMA_URLS, IN_SETTINGS(seeds),
 .count_offset = offsetof(struct settings, seed_count),
 .item_bytes = sizeof(struct settings_seed),
 .max = SETTINGS_SEED_COUNT_MAX, .derived = "the doors of cluster.nodes",
 .text = "Addresses of doors where this node asks for the cluster as long as it "
         "is no member, or hears nobody: tcp://HOST:PORT, ws://HOST:PORT/door "
         "or ipc://PATH. With them cluster.nodes needs to name this node alone; "
         "the others are learnt. A node with a seed that is the door of none "
         "of cluster.nodes founds no cluster."},

{.path = "cluster", .kind = SCHEMA_PART,
 .text = "What all nodes have in common. It is used at founding; later the "
         "meta group holds the truth, which \"troupe config apply\" changes: a "
         "member runs with what was agreed whatever its file says, and a new "
         "node whose keys differ is refused with the keys named."},
{.path = "cluster.name", .kind = SCHEMA_NAME, IN_SETTINGS(cluster.name),
 .min = 1, .max = 63, .standard = "troupe",
 .text = "What people call the cluster: in logs, metrics and the dashboard. "
         "What keeps two clusters apart is the id, not the name."},
{.path = "cluster.id", .kind = SCHEMA_ID, IN_SETTINGS(cluster.id),
 .also = "not all zeros",
 .fixed = "certificates name it, and all data is kept under it",
 .text = "Tells this cluster from every other one, for ever. \"troupe cluster "
         "init\" makes it; it also stands in all certificates, and a node of "
         "another cluster is refused at the door."},
{.path = "cluster.transport", .kind = SCHEMA_CHOICE,
 IN_SETTINGS(cluster.transport), .choices = transports, .standard = "tcp",
 .fixed = "nodes restarted one by one could not reach the others any more",
 .text = "How nodes are connected. tcp: a port for the door, one for the bus "
         "and one for each link. ws: WebSocket, everything on one port, told "
         "apart by path, for networks that open a single port. ipc: sockets "
         "in a folder, for a cluster on one machine. All of them are "
         "sealed."},
{.path = "cluster.ipc_dir", .kind = SCHEMA_PATH,
 IN_SETTINGS(cluster.ipc_dir), .min = 1, .max = 90,
 .standard = "/run/troupe", .also = "absolute, if the transport is ipc",
 .fixed = "nodes restarted one by one could not reach the others any more",
 .text = "The folder of the sockets when the transport is ipc; of no meaning "
         "otherwise. The operating system allows 107 bytes for a socket's "
         "path, the node's name and 12 bytes more among them."},
{.path = "cluster.shards", .kind = SCHEMA_NUMBER,
 IN_SETTINGS(cluster.shards), .min = 1, .max = 4096, .standard = "128",
 .also = "a power of two",
 .fixed = "the number of shards decides where every key lives",
 .text = "Into how many shards actors and task queues are divided. Choose at "
         "least ten times the largest number of nodes that is planned."},
{.path = "cluster.replication", .kind = SCHEMA_NUMBER,
 IN_SETTINGS(cluster.replication), .min = 1, .max = 5,
 .derived = "3; 1 with fewer than three nodes that have the role shard",
 .also = "odd, and at most the number of nodes that have the role shard",
 .is_live = true,
 .text = "On how many nodes each shard is kept. 3 survives the loss of one "
         "node, 5 of two. With 1 a lost node takes its data with it."},

{.path = "cluster.nodes", .kind = SCHEMA_LIST, IN_SETTINGS(cluster.members),
 .count_offset = offsetof(struct settings, cluster.member_count),
 .item_bytes = sizeof(struct settings_member), .min = 1,
 .max = SETTINGS_MEMBER_COUNT_MAX,
 .text = "The nodes that found the cluster. The first five that have the role "
         "voter are the first voters of the meta group."},
{.path = "cluster.nodes[].name", .kind = SCHEMA_NAME, IN_MEMBER(name),
 .min = 1, .max = 63, .also = "each only once",
 .text = "What the node is called: in its certificate, in addresses such as "
         "@NAME/type/id and in logs."},
{.path = "cluster.nodes[].host", .kind = SCHEMA_HOST, IN_MEMBER(host),
 .min = 1, .max = SETTINGS_HOST_BYTES - 1,
 .derived = "none: required, unless the transport is ipc",
 .also = "not an address such as 0.0.0.0 that cannot be dialled",
 .text = "Where the other nodes reach this one: a DNS name or an address, "
         "IPv6 without brackets."},
{.path = "cluster.nodes[].listen", .kind = SCHEMA_HOST, IN_MEMBER(listen),
 .min = 1, .max = SETTINGS_HOST_BYTES - 1, .derived = "host",
 .text = "The address that the node listens on itself, if it is not the one "
         "that others dial: behind an address translation, in a container, or "
         "0.0.0.0 for all interfaces."},
{.path = "cluster.nodes[].port", .kind = SCHEMA_NUMBER, IN_MEMBER(port),
 .min = 1, .max = 65535, .standard = "7600",
 .also = "used once on a host",
 .text = "The port of the node's door: the one well-known address, where "
         "every handshake begins. With the transport ws it is the only one; "
         "with ipc it has no meaning."},
{.path = "cluster.nodes[].bus_port", .kind = SCHEMA_NUMBER,
 IN_MEMBER(bus_port), .min = 1, .max = 65535, .derived = "port + 1",
 .also = "used once on a host",
 .text = "The port of the node's bus, which carries small hints such as load "
         "digests. Only with the transport tcp."},
{.path = "cluster.nodes[].link_ports", .kind = SCHEMA_PORTS,
 IN_MEMBER(link_ports), .min = 1, .max = 65535,
 .derived = "the 1024 ports behind bus_port",
 .also = "at least one port for each other node and one more; used once on a "
         "host",
 .text = "The ports on which the node accepts links, one for each peer or "
         "client at a time. Open them in the firewall between the nodes, and "
         "keep them out of the range that the operating system gives to "
         "outgoing connections (net.ipv4.ip_local_port_range). Only with the "
         "transport tcp."},
{.path = "cluster.nodes[].http_port", .kind = SCHEMA_NUMBER,
 IN_MEMBER(http_port), .max = 65535,
 .derived = "port + 10000 (above 65535: port - 10000); 0 with the transport "
            "ipc",
 .also = "used once on a host",
 .text = "The port of the node's HTTP: /live, /ready and /metrics, on "
         "node.http_listen. 0: no HTTP. It stands here and not in node, since "
         "several nodes may run on one host from one file and need a port "
         "each; it follows port, which is used once on a host as well. With "
         "the transport ipc there is no port that it could follow."},
{.path = "cluster.nodes[].zone", .kind = SCHEMA_NAME, IN_MEMBER(zone),
 .max = 63, .derived = "none",
 .text = "The rack, room or data centre that fails as one. The replicas of a "
         "shard are put into different zones as far as there are some."},
{.path = "cluster.nodes[].weight", .kind = SCHEMA_NUMBER, IN_MEMBER(weight),
 .min = 1, .max = 10000, .standard = "100",
 .text = "The node's share of the shards, relative to the weights of the "
         "other nodes: one with 200 gets twice as many as one with 100."},
{.path = "cluster.nodes[].roles", .kind = SCHEMA_ROLES, IN_MEMBER(roles),
 .min = 1, .max = 4, .choices = roles,
 .standard = "[voter, shard, worker, gateway]",
 .text = "What the node does. voter: may vote in the meta group. shard: holds "
         "shards. worker: runs the workers of task pools. gateway: serves "
         "HTTP and WebSocket clients."},

{.path = "cluster.timeouts", .kind = SCHEMA_PART, .derived = "all defaults",
 .text = "How long things may take, and how often they happen."},
{.path = "cluster.timeouts.election", .kind = SCHEMA_DURATION,
 IN_SETTINGS(cluster.timeouts.election_ms), .min = 50 * MS,
 .max = MINUTE, .standard = "500ms",
 .also = "at least three times heartbeat",
 .text = "A follower that has not heard of its leader for this time asks for "
         "an election (a closed link asks at once). Shorter finds a lost "
         "owner sooner; too short takes a busy one for a lost one."},
{.path = "cluster.timeouts.heartbeat", .kind = SCHEMA_DURATION,
 IN_SETTINGS(cluster.timeouts.heartbeat_ms), .min = 10 * MS,
 .max = 10 * SECOND, .standard = "100ms",
 .text = "How often a node tells its peers that the leaders on it are alive."},
{.path = "cluster.timeouts.reactor_stall", .kind = SCHEMA_DURATION,
 IN_SETTINGS(cluster.timeouts.reactor_stall_ms), .min = 10 * MS,
 .max = MINUTE, .standard = "500ms",
 .is_unused_yet = true,
 .text = "The heartbeat does not vouch for the shards of a reactor that has "
         "not turned for this time, so that a hung handler loses its shards "
         "to another node."},
{.path = "cluster.timeouts.actor_slice", .kind = SCHEMA_DURATION_US,
 IN_SETTINGS(cluster.timeouts.actor_slice_us), .min = 50 * US,
 .max = 100000 * US, .standard = "1ms",
 .is_unused_yet = true,
 .text = "How long actors run in one turn of a reactor before links, timers "
         "and Raft have their turn again."},
{.path = "cluster.timeouts.handshake", .kind = SCHEMA_DURATION,
 IN_SETTINGS(cluster.timeouts.handshake_ms), .min = 100 * MS,
 .max = MINUTE, .standard = "5s",
 .text = "A handshake that has not ended after this time is given up."},
{.path = "cluster.timeouts.first_frame", .kind = SCHEMA_DURATION,
 IN_SETTINGS(cluster.timeouts.first_frame_ms), .min = 50 * MS,
 .max = MINUTE, .standard = "1s",
 .text = "A new connection that has not brought a valid frame after this time "
         "is closed."},
{.path = "cluster.timeouts.link_heartbeat", .kind = SCHEMA_DURATION,
 IN_SETTINGS(cluster.timeouts.link_heartbeat_ms), .min = 10 * MS,
 .max = MINUTE, .standard = "500ms",
 .text = "An idle link says something at least this often."},
{.path = "cluster.timeouts.link_silence", .kind = SCHEMA_DURATION,
 IN_SETTINGS(cluster.timeouts.link_silence_ms), .min = 50 * MS,
 .max = 10 * MINUTE, .standard = "3s",
 .also = "at least three times link_heartbeat",
 .text = "A link whose peer has said nothing for this time is cut and dialled "
         "anew. What was on its way is kept and sent again."},
{.path = "cluster.timeouts.link_ack_delay", .kind = SCHEMA_DURATION,
 IN_SETTINGS(cluster.timeouts.link_ack_delay_ms), .max = SECOND,
 .standard = "5ms", .also = "less than link_heartbeat",
 .text = "How long an acknowledgement waits for a frame that it can travel "
         "with."},
{.path = "cluster.timeouts.dial_backoff_min", .kind = SCHEMA_DURATION,
 IN_SETTINGS(cluster.timeouts.dial_backoff_min_ms), .min = 1 * MS,
 .max = MINUTE, .standard = "20ms", .also = "at most dial_backoff_max",
 .text = "The pause after the first failed attempt to reach a peer. It doubles "
         "with each further one, with some jitter."},
{.path = "cluster.timeouts.dial_backoff_max", .kind = SCHEMA_DURATION,
 IN_SETTINGS(cluster.timeouts.dial_backoff_max_ms), .min = 1 * MS,
 .max = 10 * MINUTE, .standard = "1s",
 .text = "The longest pause between two attempts to reach a peer."},
{.path = "cluster.timeouts.ask", .kind = SCHEMA_DURATION,
 IN_SETTINGS(cluster.timeouts.ask_ms), .min = 1 * MS, .max = HOUR,
 .standard = "5s",
 .is_unused_yet = true,
 .text = "How long an ask waits for its answer if the caller does not say."},

{.path = "cluster.limits", .kind = SCHEMA_PART, .derived = "all defaults",
 .text = "How much of everything there may be."},
{.path = "cluster.limits.frame_bytes", .kind = SCHEMA_SIZE,
 IN_SETTINGS(cluster.limits.frame_bytes), .min = 4 * KIB, .max = 256 * KIB,
 .standard = "64KiB",
 .text = "How much a link gathers before it seals and sends a frame under "
         "load. Larger ones cost less per byte and hold up the others "
         "longer."},
{.path = "cluster.limits.message_bytes_max", .kind = SCHEMA_SIZE,
 IN_SETTINGS(cluster.limits.message_bytes_max), .min = 64 * KIB,
 .max = 16 * MIB, .standard = "16MiB",
 .text = "The largest message between nodes; longer ones are refused at the "
         "sender. Large ones travel in fragments."},
{.path = "cluster.limits.link_window", .kind = SCHEMA_SIZE,
 IN_SETTINGS(cluster.limits.link_window_bytes), .min = 128 * KIB,
 .max = 4 * GIB, .standard = "32MiB",
 .also = "at least twice message_bytes_max",
 .text = "The most memory that one link spends on messages which its peer has "
         "not acknowledged. When it is full, the sender is told."},
{.path = "cluster.limits.link_inflight", .kind = SCHEMA_SIZE,
 IN_SETTINGS(cluster.limits.link_inflight_bytes), .min = 8 * KIB,
 .max = GIB, .standard = "4MiB",
 .also = "at least twice frame_bytes, at most link_window",
 .text = "How much may be on its way on one link without being acknowledged. "
         "At least bandwidth times round trip: 4MiB fill 10 Gbit/s at 3ms."},
{.path = "cluster.limits.bus_message_max", .kind = SCHEMA_SIZE,
 IN_SETTINGS(cluster.limits.bus_message_bytes_max), .min = KIB,
 .max = 64 * KIB, .standard = "8KiB",
 .text = "The largest message on the bus, which carries small hints only."},
{.path = "cluster.limits.rekey_bytes", .kind = SCHEMA_SIZE,
 IN_SETTINGS(cluster.limits.rekey_bytes), .min = MIB, .max = 256 * GIB,
 .standard = "64GiB",
 .text = "A link changes its keys after sealing this much."},
{.path = "cluster.limits.rekey_interval", .kind = SCHEMA_DURATION,
 IN_SETTINGS(cluster.limits.rekey_interval_ms), .min = SECOND, .max = DAY,
 .standard = "1h",
 .text = "A link changes its keys after this time, however little it has "
         "sealed."},
{.path = "cluster.limits.clock_skew", .kind = SCHEMA_DURATION,
 IN_SETTINGS(cluster.limits.clock_skew_ms), .max = HOUR, .standard = "5m",
 .text = "By how much the clocks of two hosts may differ before a certificate "
         "that is about to begin or end counts as invalid. Nothing else "
         "relies on clocks."},
{.path = "cluster.limits.certificate_warning", .kind = SCHEMA_DURATION,
 IN_SETTINGS(cluster.limits.certificate_warning_ms), .min = HOUR,
 .max = 365 * DAY, .standard = "30d",
 .text = "How long before its end a certificate is warned about."},
{.path = "cluster.limits.peers_max", .kind = SCHEMA_NUMBER,
 IN_SETTINGS(cluster.limits.peers_max), .min = 1,
 .max = SETTINGS_MEMBER_COUNT_MAX, .standard = "256",
 .also = "at least the number of other nodes",
 .text = "How many other nodes a node may be linked with."},
{.path = "cluster.limits.clients_max", .kind = SCHEMA_NUMBER,
 IN_SETTINGS(cluster.limits.clients_max), .max = 65535,
 .standard = "512",
 .text = "How many clients, operators and observers a node may be linked with "
         "at a time. With the transport tcp the ports that link_ports has "
         "left over limit it as well."},

{.path = "cluster.pools", .kind = SCHEMA_LIST, IN_SETTINGS(cluster.pools),
 .count_offset = offsetof(struct settings, cluster.pool_count),
 .item_bytes = sizeof(struct settings_pool),
 .max = SETTINGS_POOL_COUNT_MAX, .derived = "none",
 .text = "Task pools that exist from the start. Others can be added later."},
{.path = "cluster.pools[].name", .kind = SCHEMA_NAME, IN_POOL(name),
 .min = 1, .max = 63, .also = "each only once",
 .text = "What the pool is called when tasks are submitted to it, and in the "
         "rights of client certificates."},
{.path = "cluster.pools[].workers", .kind = SCHEMA_NUMBER, IN_POOL(workers),
 .min = 1, .max = 1024, .standard = "4",
 .text = "How many tasks of the pool run at a time on each node that has the "
         "role worker. Tasks may block, so that it may exceed the cores."},
{.path = "cluster.pools[].durable", .kind = SCHEMA_BOOL, IN_POOL(durable),
 .standard = "true",
 .text = "true: a submitted task is on disk on a majority before it is "
         "acknowledged. false: tasks live in memory and are lost with their "
         "coordinator; faster."},
{.path = "cluster.pools[].queue_max", .kind = SCHEMA_NUMBER,
 IN_POOL(queue_max), .min = 1, .max = 100000000, .standard = "1000000",
 .text = "How many tasks may wait in the pool, over all shards. When it is "
         "full, submitting says so."},
{.path = "cluster.pools[].lease", .kind = SCHEMA_DURATION, IN_POOL(lease_ms),
 .min = SECOND, .max = 7 * DAY, .standard = "30s",
 .text = "For how long a worker has a task to itself without renewing its "
         "lease; it renews by itself as long as its node lives. Then the task "
         "is given to another."},
{.path = "cluster.pools[].attempts_max", .kind = SCHEMA_NUMBER,
 IN_POOL(attempts_max), .min = 1, .max = 1000, .standard = "5",
 .text = "How often a task is tried before it is put among the dead letters."},
{.path = "cluster.pools[].retry_backoff_min", .kind = SCHEMA_DURATION,
 IN_POOL(retry_backoff_min_ms), .min = 1 * MS, .max = HOUR,
 .standard = "1s", .also = "at most retry_backoff_max",
 .text = "The pause after a task's first failed attempt. It doubles with each "
         "further one, with some jitter."},
{.path = "cluster.pools[].retry_backoff_max", .kind = SCHEMA_DURATION,
 IN_POOL(retry_backoff_max_ms), .min = 1 * MS, .max = 7 * DAY,
 .standard = "5m",
 .text = "The longest pause between two attempts at a task."},
};
/* clang-format on */

#define KEY_COUNT (sizeof keys / sizeof *keys)

const struct schema_key *schema_keys(uint32_t *count)
{
    *count = KEY_COUNT;
    return keys;
}

const struct schema_key *schema_find(const char *path)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(keys[i].path, path) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

static const char *last_name(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

const struct schema_key *schema_nearest(const char *path)
{
    /* By the whole path, or else by its last name alone: "ports". */
    struct nearest whole = {.name = path};
    struct nearest last = {.name = last_name(path)};
    const struct schema_key *by_last = NULL;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        nearest_offer(&whole, keys[i].path);
        const char *before = last.best;
        nearest_offer(&last, last_name(keys[i].path));
        by_last = last.best != before ? &keys[i] : by_last;
    }
    if (whole.best && (!last.best || whole.distance <= last.distance)) {
        return schema_find(whole.best);
    }
    return by_last;
}

const char *schema_child_name(const struct schema_key *key, const char *parent)
{
    size_t length = strlen(parent);
    const char *name = key->path;
    if (length > 0) {
        if (strncmp(key->path, parent, length) != 0 ||
            key->path[length] != '.') {
            return NULL;
        }
        name += length + 1;
    }
    return strchr(name, '.') ? NULL : name;
}
