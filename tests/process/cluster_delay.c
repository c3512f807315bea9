#include "tests/process/cluster_delay.h"

#include "base/posix/posix_clock.h"
#include "base/time_units.h"
#include "tests/support/seeded.h"

#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAME_BYTES_MAX 2048
#define FRAMES_MAX 4096 /* under way, each way; then the next is lost */
#define POLL_MS 20      /* also until an end is noticed */

struct frame {
    uint64_t due_ns;
    size_t length;
    uint8_t bytes[FRAME_BYTES_MAX];
};

/* One way: a ring. */
struct way {
    struct cluster_delay_range range;
    int from; /* sockets */
    int to;
    uint64_t last_due_ns;
    struct frame *frames;
    size_t first;
    size_t count;
};

struct cluster_delay {
    char port[IFNAMSIZ]; /* of the machine */
    char wire[IFNAMSIZ]; /* the other end of this cable, to the bridge */
    struct seeded seeded;
    int sockets[2];
    struct way ways[2];
    pthread_t thread;
    _Atomic bool is_over;
};

static void must(bool is_true, const char *what)
{
    if (!is_true) {
        perror(what);
        abort();
    }
}

static uint64_t now_ns(void)
{
    return clock_now_ns(posix_clock());
}

/* ---- the cable ---- */

/* Sums and segments are made before a frame leaves the device: nobody makes
 * them behind a raw socket. */
static void turn_offloads_off(const char *device)
{
    static const uint32_t commands[] = {ETHTOOL_STSO, ETHTOOL_SGSO,
                                        ETHTOOL_STXCSUM};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    must(fd >= 0, "socket");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        struct ethtool_value value = {.cmd = commands[i], .data = 0};
        struct ifreq request = {.ifr_data = (char *)&value};
        (void)snprintf(request.ifr_name, sizeof request.ifr_name, "%s", device);
        must(ioctl(fd, SIOCETHTOOL, &request) == 0, device);
    }
    close(fd);
}

/* All frames that arrive at a device, and to send from it. */
static int open_raw(const char *device)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(ETH_P_ALL),
                                  .sll_ifindex = (int)if_nametoindex(device)};
    must(fd >= 0 && address.sll_ifindex > 0, device);
    must(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) ==
             0,
         "PACKET_IGNORE_OUTGOING");
    must(bind(fd, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    return fd;
}

static void put_in(struct cluster_delay *delay,
                   const struct cluster_delay_config *config)
{
    char hub[IFNAMSIZ];
    (void)snprintf(delay->port, sizeof delay->port, "port%u", config->machine);
    (void)snprintf(delay->wire, sizeof delay->wire, "wire%u", config->machine);
    (void)snprintf(hub, sizeof hub, "hub%u", config->machine);
    cluster_network_run("ip link add %s type veth peer name %s && "
                        "ip link set %s arp off up && "
                        "ip link set %s nomaster arp off && "
                        "ip link set %s master bridge up",
                        delay->wire, hub, delay->wire, delay->port, hub);
    turn_offloads_off(hub);
    must(cluster_network_move_to(config->network, config->machine), "setns");
    turn_offloads_off("eth0");
    must(cluster_network_move_to(config->network, CLUSTER_MACHINES_MAX),
         "setns");
    delay->sockets[0] = open_raw(delay->port);
    delay->sockets[1] = open_raw(delay->wire);
}

static void take_out(const struct cluster_delay *delay)
{
    cluster_network_run("ip link del %s && ip link set %s arp on master bridge",
                        delay->wire, delay->port);
}

/* ---- frames ---- */

static void take_in(struct way *way, struct seeded *seeded)
{
    uint8_t lost[FRAME_BYTES_MAX];
    struct frame *next =
        way->count < FRAMES_MAX
            ? &way->frames[(way->first + way->count) % FRAMES_MAX]
            : NULL;
    ssize_t length =
        recv(way->from, next ? next->bytes : lost, FRAME_BYTES_MAX, 0);
    if (length <= 0 || !next) {
        return;
    }
    uint64_t spread = way->range.ms_max - way->range.ms_min + 1;
    uint64_t due_ns =
        now_ns() +
        (way->range.ms_min + seeded_below(seeded, spread)) * NS_PER_MS;
    way->last_due_ns = due_ns > way->last_due_ns ? due_ns : way->last_due_ns;
    next->due_ns = way->last_due_ns;
    next->length = (size_t)length;
    way->count++;
}

/* A frame that the device does not take is lost, as frames are. */
static void let_out(struct way *way)
{
    while (way->count > 0 && way->frames[way->first].due_ns <= now_ns()) {
        const struct frame *frame = &way->frames[way->first];
        (void)!send(way->to, frame->bytes, frame->length, 0);
        way->first = (way->first + 1) % FRAMES_MAX;
        way->count--;
    }
}

/* Until the next frame is due. */
static int wait_ms(const struct cluster_delay *delay)
{
    uint64_t at_ns = now_ns() + POLL_MS * NS_PER_MS;
    for (int i = 0; i < 2; i++) {
        const struct way *way = &delay->ways[i];
        if (way->count > 0 && way->frames[way->first].due_ns < at_ns) {
            at_ns = way->frames[way->first].due_ns;
        }
    }
    uint64_t from_ns = now_ns();
    return at_ns > from_ns ? (int)((at_ns - from_ns) / NS_PER_MS) + 1 : 0;
}

static void *run(void *argument)
{
    struct cluster_delay *delay = argument;
    while (!atomic_load(&delay->is_over)) {
        struct pollfd polled[2] = {{.fd = delay->sockets[0], .events = POLLIN},
                                   {.fd = delay->sockets[1], .events = POLLIN}};
        (void)poll(polled, 2, wait_ms(delay));
        for (int i = 0; i < 2; i++) {
            if (polled[i].revents & POLLIN) {
                take_in(&delay->ways[i], &delay->seeded);
            }
            let_out(&delay->ways[i]);
        }
    }
    return NULL;
}

/* ---- life ---- */

struct cluster_delay *cluster_delay_open(
    const struct cluster_delay_config *config)
{
    struct cluster_delay *delay = calloc(1, sizeof *delay);
    must(delay != NULL, "memory");
    delay->seeded.state = config->seed;
    put_in(delay, config);
    for (int i = 0; i < 2; i++) {
        delay->ways[i] = (struct way){
            .range = i == 0 ? config->from : config->to,
            .from = delay->sockets[i],
            .to = delay->sockets[1 - i],
            .frames = calloc(FRAMES_MAX, sizeof *delay->ways[i].frames)};
        must(delay->ways[i].frames != NULL, "memory");
    }
    must(pthread_create(&delay->thread, NULL, run, delay) == 0,
         "pthread_create");
    return delay;
}

void cluster_delay_close(struct cluster_delay **delay)
{
    if (!*delay) {
        return;
    }
    atomic_store(&(*delay)->is_over, true);
    (void)pthread_join((*delay)->thread, NULL);
    for (int i = 0; i < 2; i++) {
        close((*delay)->sockets[i]);
        free((*delay)->ways[i].frames);
    }
    take_out(*delay);
    free(*delay);
    *delay = NULL;
}
