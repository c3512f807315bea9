#include "bench/raft_etcd.h"

#include "base/posix/posix_folder.h"
#include "base/time_units.h"
#include "bench/grpc.h"
#include "bench/log_host.h"
#include "bench/process.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM "/usr/bin/etcd"
#define MEMBERS 3
#define PORTS 2 /* of a member: for clients, for other members */
#define CONNECTIONS_MAX 16
#define VALUE_BYTES 128
#define KEY_COUNT 65536u
#define PUT_PATH "/etcdserverpb.KV/Put"
#define STATUS_PATH "/etcdserverpb.Maintenance/Status"
#define START_NS (20 * NS_PER_S)
#define RECOVER_NS (30 * NS_PER_S)
#define LOAD_NS (300 * NS_PER_MS) /* between failures, at least */
#define PROBE_NS (5 * NS_PER_MS)
#define FAILOVER_OUTSTANDING 64 /* at each member */

struct etcd {
    char folder[LOG_HOST_PATH_BYTES];
    uint16_t port_first;
    pid_t members[MEMBERS];
    struct err_detail *why;
};

/* Clients, on some connections. */
struct load {
    struct grpc *connections[CONNECTIONS_MAX];
    uint32_t connection_count;
    bool is_closed; /* in a circle: an answer makes the next call */
    bool is_recording;
    uint64_t acked;
    uint64_t failed;
    uint64_t since_ns;       /* only what was asked later counts as first */
    uint64_t first_acked_ns; /* 0: none yet */
    struct histogram *latency_ns;
    uint32_t key;
};

/* ---- members ---- */

static uint16_t client_port(const struct etcd *etcd, uint32_t member)
{
    return (uint16_t)(etcd->port_first + PORTS * member);
}

struct start {
    const struct etcd *etcd;
    uint32_t member;
};

#define TEXT_BYTES (LOG_HOST_PATH_BYTES + 64)

static enum err run_member(void *context)
{
    const struct start *start = context;
    const struct etcd *etcd = start->etcd;
    char name[16], data[TEXT_BYTES], client[64], peer[64], all[256];
    unsigned first = etcd->port_first;
    unsigned own = client_port(etcd, start->member);
    (void)snprintf(name, sizeof name, "m%u", start->member);
    (void)snprintf(data, sizeof data, "%s/%s", etcd->folder, name);
    (void)snprintf(client, sizeof client, "http://127.0.0.1:%u", own);
    (void)snprintf(peer, sizeof peer, "http://127.0.0.1:%u", own + 1);
    (void)snprintf(all, sizeof all,
                   "m0=http://127.0.0.1:%u,m1=http://127.0.0.1:%u,"
                   "m2=http://127.0.0.1:%u",
                   first + 1, first + 1 + PORTS, first + 1 + 2 * PORTS);
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)dup2(nowhere, STDIN_FILENO);
    (void)dup2(nowhere, STDOUT_FILENO);
    (void)dup2(nowhere, STDERR_FILENO);
    execl(PROGRAM, "etcd", "--name", name, "--data-dir", data,
          "--listen-client-urls", client, "--advertise-client-urls", client,
          "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
          "--initial-cluster", all, "--initial-cluster-token", "troupe-bench",
          "--log-level", "error", (char *)NULL);
    return ERR_IO;
}

static enum err start_member(struct etcd *etcd, uint32_t member)
{
    struct start start = {.etcd = etcd, .member = member};
    etcd->members[member] = process_start(run_member, &start);
    return etcd->members[member] > 0 ? ERR_NONE : ERR_MEMORY;
}

static void kill_member(struct etcd *etcd, uint32_t member)
{
    process_end(etcd->members[member]);
    etcd->members[member] = 0;
}

/* ---- who leads ---- */

static uint64_t read_varint(struct reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = read_u8(reader);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            break;
        }
    }
    return value;
}

/* The number `wanted` of a protobuf message; what it holds is put into
 * `inner` when it is bytes. 0: not there. */
static uint64_t find_field(struct bytes message,
                           uint64_t wanted,
                           struct bytes *inner)
{
    struct reader reader = reader_of(message);
    while (!reader.failed && reader_left(&reader) > 0) {
        uint64_t tag = read_varint(&reader);
        uint64_t value = read_varint(&reader);
        struct bytes bytes = {0};
        if ((tag & 7) == 2) {
            bytes = read_bytes(&reader, value);
        } else if ((tag & 7) != 0) {
            return 0;
        }
        if (tag >> 3 == wanted && !reader.failed) {
            *inner = bytes;
            return value;
        }
    }
    return 0;
}

struct status {
    bool is_answered;
    uint64_t member;
    uint64_t leader; /* 0: none */
};

static void on_status(void *context, uint64_t call, struct bytes message)
{
    struct status *status = context;
    struct bytes head = {0};
    struct bytes ignored = {0};
    (void)call;
    (void)find_field(message, 1, &head);
    status->member = find_field(head, 2, &ignored);
    status->leader = find_field(message, 4, &ignored);
    status->is_answered = message.length > 0;
}

/* Wait for what a connection brings. */
static enum err turn(struct grpc **connections,
                     uint32_t count,
                     uint64_t wait_ns)
{
    struct pollfd fds[CONNECTIONS_MAX];
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < count; i++) {
        fds[i] =
            (struct pollfd){.fd = connections[i] ? grpc_fd(connections[i]) : -1,
                            .events = POLLIN};
    }
    (void)poll(fds, count, (int)(wait_ns / NS_PER_MS));
    for (uint32_t i = 0; i < count; i++) {
        if (connections[i] && fds[i].revents) {
            err = grpc_receive(connections[i]);
        }
        if (connections[i] && !err) {
            err = grpc_flush(connections[i]);
        }
        if (err) {
            grpc_close(&connections[i]);
            return err;
        }
    }
    return ERR_NONE;
}

static bool ask_status(const struct etcd *etcd,
                       uint32_t member,
                       struct status *status)
{
    struct grpc *grpc = NULL;
    *status = (struct status){0};
    if (grpc_open(&grpc, client_port(etcd, member), on_status, status)) {
        return false;
    }
    uint64_t end_ns = process_now_ns() + NS_PER_S;
    enum err err = grpc_call(grpc, STATUS_PATH, bytes_of(NULL, 0), 0);
    if (!err) {
        err = grpc_flush(grpc);
    }
    while (!err && !status->is_answered && process_now_ns() < end_ns) {
        err = turn(&grpc, 1, 10 * NS_PER_MS);
    }
    grpc_close(&grpc);
    return status->is_answered;
}

/* Until all members know one leader. */
static enum err await_leader(struct etcd *etcd, uint32_t *out)
{
    uint64_t end_ns = process_now_ns() + START_NS;
    while (process_now_ns() < end_ns) {
        uint64_t leader = 0;
        uint32_t agree_count = 0;
        for (uint32_t i = 0; i < MEMBERS; i++) {
            struct status status;
            if (!ask_status(etcd, i, &status) || status.leader == 0) {
                break;
            }
            agree_count += i == 0 || status.leader == leader;
            leader = status.leader;
            *out = status.member == leader ? i : *out;
        }
        if (agree_count == MEMBERS) {
            return ERR_NONE;
        }
        process_sleep_ns(20 * NS_PER_MS);
    }
    err_explain(etcd->why, "etcd has no leader within %d s",
                (int)(START_NS / NS_PER_S));
    return ERR_TIMEOUT;
}

static enum err etcd_open(struct etcd *etcd, struct err_detail *why)
{
    *etcd = (struct etcd){.why = why};
    if (access(PROGRAM, X_OK)) {
        err_explain(why, "install etcd-server to compare with it");
        return ERR_NOT_FOUND;
    }
    etcd->port_first = process_free_ports(PORTS * MEMBERS);
    if (etcd->port_first == 0 || !log_host_folder(etcd->folder)) {
        etcd->folder[0] = '\0';
        err_explain(why, "no free ports, or no folder");
        return ERR_IO;
    }
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < MEMBERS && !err; i++) {
        err = start_member(etcd, i);
    }
    return err;
}

static void etcd_close(struct etcd *etcd)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        kill_member(etcd, i);
    }
    if (etcd->folder[0] && posix_folder_remove(etcd->folder)) {
        (void)fprintf(stderr, "troupe-bench: %s is left behind\n",
                      etcd->folder);
    }
}

/* ---- load ---- */

/* A call is known by its connection and by when it was asked. */
#define CONNECTION_BITS 4

static void put(struct load *load, uint32_t connection)
{
    uint8_t bytes[VALUE_BYTES + 32];
    char key[16];
    (void)snprintf(key, sizeof key, "key-%08u", load->key++ % KEY_COUNT);
    struct writer writer = writer_of(bytes, sizeof bytes);
    write_u8(&writer, 0x0a); /* key */
    write_u8(&writer, (uint8_t)strlen(key));
    write_bytes(&writer, key, strlen(key));
    write_u8(&writer, 0x12); /* value: 128 is two bytes as a varint */
    write_u8(&writer, 0x80);
    write_u8(&writer, 0x01);
    memset(writer.next, 0x5a, VALUE_BYTES);
    writer.next += VALUE_BYTES;
    uint64_t call = process_now_ns() << CONNECTION_BITS | connection;
    if (grpc_call(load->connections[connection], PUT_PATH,
                  writer_bytes(&writer), call)) {
        load->failed++;
    }
}

static void on_put(void *context, uint64_t call, struct bytes message)
{
    struct load *load = context;
    uint64_t asked_ns = call >> CONNECTION_BITS;
    uint64_t now_ns = process_now_ns();
    if (message.length == 0) {
        load->failed++;
    } else {
        load->acked++;
        if (load->first_acked_ns == 0 && asked_ns >= load->since_ns) {
            load->first_acked_ns = now_ns;
        }
        if (load->is_recording) {
            histogram_record(load->latency_ns, now_ns - asked_ns);
        }
    }
    if (load->is_closed && message.length > 0) {
        put(load, (uint32_t)(call & ((1u << CONNECTION_BITS) - 1)));
    }
}

static void close_load(struct load *load)
{
    for (uint32_t i = 0; i < CONNECTIONS_MAX; i++) {
        grpc_close(&load->connections[i]);
    }
}

static enum err run_until(struct load *load, uint64_t end_ns)
{
    enum err err = ERR_NONE;
    while (!err && process_now_ns() < end_ns) {
        err = turn(load->connections, load->connection_count, 10 * NS_PER_MS);
    }
    return err;
}

static enum err connect_load(const struct etcd *etcd,
                             struct load *load,
                             uint32_t leader,
                             uint32_t outstanding)
{
    load->is_closed = true;
    load->connection_count =
        outstanding < CONNECTIONS_MAX ? outstanding : CONNECTIONS_MAX;
    for (uint32_t i = 0; i < load->connection_count; i++) {
        enum err err = grpc_open(&load->connections[i],
                                 client_port(etcd, leader), on_put, load);
        if (err) {
            return err;
        }
    }
    for (uint32_t i = 0; i < outstanding; i++) {
        put(load, i % load->connection_count);
    }
    return ERR_NONE;
}

static enum err load_leader(const struct etcd *etcd,
                            struct etcd_load *about,
                            uint32_t leader)
{
    struct load load = {.latency_ns = &about->latency_ns};
    enum err err = connect_load(etcd, &load, leader, about->outstanding);
    if (!err) {
        err = run_until(&load, process_now_ns() + about->warm_up_ns);
    }
    load.is_recording = true;
    uint64_t start = load.acked;
    uint64_t start_ns = process_now_ns();
    if (!err) {
        err = run_until(&load, start_ns + about->duration_ns);
    }
    double seconds = (double)(process_now_ns() - start_ns) / 1e9;
    about->per_second = (double)(load.acked - start) / seconds;
    if (!err && load.failed > 0) {
        err_explain(etcd->why, "etcd refused %u puts", (unsigned)load.failed);
        err = ERR_CLOSED;
    }
    close_load(&load);
    return err;
}

FALLIBLE etcd_measure_load(struct etcd_load *load, struct err_detail *why)
{
    struct etcd etcd;
    uint32_t leader = 0;
    enum err err = etcd_open(&etcd, why);
    if (!err) {
        err = await_leader(&etcd, &leader);
    }
    if (!err) {
        err = load_leader(&etcd, load, leader);
    }
    etcd_close(&etcd);
    return err;
}

/* ---- failures ---- */

/* Commands at each member; and after the failure one more at each survivor
 * again and again, since what the dead leader was given waits for long. */
static enum err fail_once(struct etcd *etcd, struct histogram *ns)
{
    uint32_t leader = 0;
    struct load load = {
        .is_closed = true, .connection_count = MEMBERS, .since_ns = UINT64_MAX};
    enum err err = await_leader(etcd, &leader);
    for (uint32_t i = 0; i < MEMBERS && !err; i++) {
        err = grpc_open(&load.connections[i], client_port(etcd, i), on_put,
                        &load);
        for (uint32_t k = 0; k < FAILOVER_OUTSTANDING && !err; k++) {
            put(&load, i);
        }
    }
    if (!err) {
        err = run_until(&load, process_now_ns() + LOAD_NS);
    }
    if (err) {
        close_load(&load);
        return err;
    }
    grpc_close(&load.connections[leader]);
    uint64_t start_ns = process_now_ns();
    load.since_ns = start_ns;
    kill_member(etcd, leader);
    while (!err && load.first_acked_ns == 0) {
        for (uint32_t i = 0; i < MEMBERS; i++) {
            if (load.connections[i]) {
                put(&load, i);
            }
        }
        err = process_now_ns() < start_ns + RECOVER_NS
                  ? run_until(&load, process_now_ns() + PROBE_NS)
                  : ERR_TIMEOUT;
    }
    if (!err) {
        histogram_record(ns, load.first_acked_ns - start_ns);
        err = start_member(etcd, leader);
    }
    close_load(&load);
    return err;
}

FALLIBLE etcd_measure_failover(uint32_t failure_count,
                               struct histogram *ns,
                               struct err_detail *why)
{
    struct etcd etcd;
    enum err err = etcd_open(&etcd, why);
    for (uint32_t i = 0; i < failure_count && !err; i++) {
        err = fail_once(&etcd, ns);
    }
    etcd_close(&etcd);
    return err;
}
