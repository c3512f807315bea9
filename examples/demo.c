/*
 * Two nodes on this machine: founded, certified, linked, and talking as fast
 * as they can. Half-way one of them is killed and comes back.
 *
 *     demo [--seconds N]
 *
 * Everything it makes is in a temporary folder, which it removes.
 */

#include "base/owner.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_files.h"
#include "base/posix/posix_folder.h"
#include "base/posix/posix_log.h"
#include "base/posix/posix_memory.h"
#include "base/time_units.h"
#include "config/founding.h"
#include "node/links.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NODE_COUNT 2
#define CHANNEL_DEMO 1
#define CHANNEL_BUS_KEY 2
#define BUS_KEY_NUMBER 1
#define MESSAGE_BYTES 100
#define TURN_BYTES (64u * 1024)
#define REPORT_MS 500
#define PORTS_PER_NODE 1100 /* door, bus and one for each link */

static const char *const names[NODE_COUNT] = {"alpha", "beta"};

/* What a node tells its parent, as it lies in memory: one program. */
struct report {
    uint64_t incarnation;
    uint64_t taken;    /* messages for the other node */
    uint64_t received; /* from it, in order */
    uint64_t wrong;    /* lost, doubled or out of order */
    uint64_t handed_back;
    uint64_t repeated; /* frames */
    uint64_t round_trip_ns;
    uint64_t digests;
    uint64_t digests_lost;
    uint64_t is_up;
};

/* ---- one node ---- */

struct talker {
    struct links *node;
    struct peer *peer;
    struct report report;
    uint64_t sender;   /* whose numbers we follow */
    uint64_t expected; /* the next number; 0: any */
    struct reactor_event pump;
    bool is_pumping;
    bool is_ending;
    bool makes_bus_key;
    struct timer report_timer;
};

static void pump_soon(struct talker *talker)
{
    if (!talker->is_pumping && !talker->is_ending) {
        talker->is_pumping = true;
        reactor_post(links_reactor(talker->node), &talker->pump);
    }
}

/* Send until the turn's share is used up or the link is full. */
static void run_pump(struct reactor_event *event)
{
    struct talker *talker = OWNER_OF(event, struct talker, pump);
    talker->is_pumping = false;
    if (!peer_is_up(talker->peer)) {
        return;
    }
    uint8_t message[MESSAGE_BYTES] = {0};
    for (uint32_t i = 0; i < TURN_BYTES / MESSAGE_BYTES; i++) {
        put_u64(message, talker->report.taken + 1);
        enum err err = peer_send(talker->peer, LANE_DATA, CHANNEL_DEMO,
                                 bytes_of(message, sizeof message));
        if (err) {
            return; /* full: on_writable() goes on */
        }
        talker->report.taken++;
    }
    pump_soon(talker);
}

static void on_message(void *context, struct peer *peer, struct bytes message)
{
    struct talker *talker = context;
    uint64_t number =
        message.length == MESSAGE_BYTES ? get_u64(message.data) : 0;
    if (talker->sender != peer_incarnation(peer)) {
        talker->sender = peer_incarnation(peer);
        talker->expected = number;
    }
    talker->report.wrong += number != talker->expected;
    talker->expected = number + 1;
    talker->report.received++;
}

/* In a cluster the host does this (shard/host_bus.c); here it is the first of
 * the two. */
static void send_bus_key(struct endpoint *endpoint, struct peer *peer)
{
    uint8_t raw[ENDPOINT_BUS_KEY_BYTES];
    struct writer out = writer_of(raw, sizeof raw);
    if (endpoint_bus_key_number(endpoint) == 0 ||
        endpoint_bus_key_write(endpoint, peer, &out) ||
        peer_send(peer, LANE_CONTROL, CHANNEL_BUS_KEY, writer_bytes(&out))) {
        return; /* then there are no digests */
    }
}

static void on_bus_key(void *context, struct peer *peer, struct bytes message)
{
    struct talker *talker = context;
    (void)!endpoint_bus_key_take(links_endpoint(talker->node), peer,
                                 BUS_KEY_NUMBER, message);
}

static void on_change(void *context, struct peer *peer, enum peer_change change)
{
    struct talker *talker = context;
    if (change == PEER_BEGUN && talker->makes_bus_key) {
        send_bus_key(links_endpoint(talker->node), peer);
    }
    if (change == PEER_UP) {
        pump_soon(talker);
    }
}

static void on_writable(void *context, struct peer *peer)
{
    (void)peer;
    pump_soon(context);
}

static void on_undelivered(void *context,
                           struct peer *peer,
                           uint8_t channel,
                           struct bytes message,
                           bool may_have_arrived)
{
    struct talker *talker = context;
    (void)peer;
    (void)channel;
    (void)message;
    (void)may_have_arrived;
    talker->report.handed_back++;
}

static void on_digest(void *context, const char *from, struct bytes digest)
{
    struct talker *talker = context;
    (void)from;
    (void)digest;
    talker->report.digests++;
}

static void run_report(struct timer *timer)
{
    struct talker *talker = OWNER_OF(timer, struct talker, report_timer);
    struct endpoint *endpoint = links_endpoint(talker->node);
    const struct link_stats *stats = peer_stats(talker->peer);
    talker->report.incarnation = endpoint_incarnation(endpoint);
    talker->report.repeated = stats->frames_repeated;
    talker->report.round_trip_ns = stats->round_trip_ns;
    talker->report.digests_lost = endpoint_bus_stats(endpoint)->lost;
    talker->report.is_up = peer_is_up(talker->peer);
    /* A pipe takes so little whole. */
    struct report report = talker->report;
    if (write(STDOUT_FILENO, &report, sizeof report) != sizeof report) {
        (void)kill(getpid(), SIGTERM); /* nobody listens any more */
    }
    enum err err = endpoint_publish(endpoint, bytes_of_text("busy"));
    (void)err; /* a hint; before the first key there is none to give */
    reactor_timer_set(links_reactor(talker->node), timer,
                      REPORT_MS / 2 * NS_PER_MS);
}

static int be_node(const char *folder, const char *name)
{
    struct talker talker = {.pump.run = run_pump,
                            .report_timer.fire = run_report};
    char config[512];
    (void)snprintf(config, sizeof config, "%s/%s/cluster.yaml", folder, name);
    struct links_options options = {.config_path = config,
                                    .name = name,
                                    .log_sink = posix_log_sink(STDERR_FILENO),
                                    .events = {.context = &talker,
                                               .on_change = on_change,
                                               .on_undelivered = on_undelivered,
                                               .on_writable = on_writable,
                                               .on_digest = on_digest}};
    static struct problems problems;
    struct err_detail why = {{0}};
    enum err err = links_open(&talker.node, &options, &problems, &why);
    if (err) {
        (void)fprintf(stderr, "demo: %s: %s\n", name, why.text);
        return EXIT_FAILURE;
    }
    log_set_level(links_log(talker.node), LOG_ERROR);
    struct endpoint *endpoint = links_endpoint(talker.node);
    const char *other = names[strcmp(name, names[0]) == 0];
    talker.peer = endpoint_peer_find(endpoint, ROLE_NODE, other);
    endpoint_channel_set(endpoint, CHANNEL_DEMO, on_message, &talker);
    endpoint_channel_set(endpoint, CHANNEL_BUS_KEY, on_bus_key, &talker);
    talker.makes_bus_key = strcmp(name, names[0]) == 0;
    if (talker.makes_bus_key) {
        endpoint_bus_key_make(endpoint, BUS_KEY_NUMBER);
    }
    reactor_timer_set(links_reactor(talker.node), &talker.report_timer, 0);
    err = links_start(talker.node);
    if (err) {
        (void)fprintf(stderr, "demo: %s: %s\n", name, err_text(err));
    }
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    int signal_number = 0;
    while (!err && sigwait(&ends, &signal_number) != 0) {
    }
    links_stop(talker.node);
    reactor_timer_cancel(links_reactor(talker.node), &talker.report_timer);
    talker.is_ending = true;
    (void)reactor_turn(links_reactor(talker.node)); /* a pump may be posted */
    links_close(&talker.node);
    return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- the parent ---- */

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    is_interrupted = 1;
}

/* Let the end of the story clean up. */
static void catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
}

struct child {
    pid_t pid; /* 0: not running */
    int reports;
    struct report now;
    struct report before; /* at the last line */
    uint64_t received_by_dead;
    uint64_t wrong_of_dead;
};

static bool port_is_free(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool is_free =
        fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return is_free;
}

/* The first port of a stretch whose doors and buses are free. */
static uint16_t find_ports(void)
{
    for (uint32_t i = 0; i < 100; i++) {
        uint16_t port =
            (uint16_t)(10000 + entropy_below(posix_entropy(), 20000));
        if (port_is_free(port) && port_is_free(port + 1) &&
            port_is_free(port + PORTS_PER_NODE) &&
            port_is_free(port + PORTS_PER_NODE + 1)) {
            return port;
        }
    }
    return 0;
}

static enum err found(const char *folder, struct err_detail *why)
{
    uint16_t port = find_ports();
    if (port == 0) {
        err_explain(why, "no free ports between 10000 and 32000");
        return ERR_IN_USE;
    }
    struct founding_host hosts[NODE_COUNT] = {0};
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        (void)snprintf(hosts[i].name, sizeof hosts[i].name, "%s", names[i]);
        (void)snprintf(hosts[i].host, sizeof hosts[i].host, "127.0.0.1");
        hosts[i].port = (uint16_t)(port + i * PORTS_PER_NODE);
    }
    struct founding founding = {.cluster_name = "demo",
                                .transport = SETTINGS_TCP,
                                .hosts = hosts,
                                .host_count = NODE_COUNT};
    struct authority_world world = {.files = posix_files(),
                                    .clock = posix_clock(),
                                    .entropy = posix_entropy()};
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    return founding_make(&founding, &world, folder, cluster_id, why);
}

static bool start_child(struct child *child,
                        const char *folder,
                        const char *name)
{
    int ends[2];
    if (pipe(ends) != 0) {
        return false;
    }
    child->pid = fork();
    if (child->pid == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)close(ends[0]);
        (void)close(ends[1]);
        execl("/proc/self/exe", "demo", "--node", name, folder, (char *)NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    child->reports = ends[0];
    return child->pid > 0;
}

static void stop_child(struct child *child, int signal_number)
{
    if (child->pid <= 0) {
        return;
    }
    (void)kill(child->pid, signal_number);
    (void)waitpid(child->pid, NULL, 0);
    (void)close(child->reports);
    child->pid = 0;
    child->received_by_dead += child->now.received;
    child->wrong_of_dead += child->now.wrong;
    child->now = (struct report){0};
    child->before = (struct report){0};
}

static uint64_t now_ms(void)
{
    return clock_now_ns(posix_clock()) / NS_PER_MS;
}

/* Take what the children say until `end_ms`. False when one has died. */
static bool listen_until(struct child children[NODE_COUNT], uint64_t end_ms)
{
    for (uint64_t now = now_ms(); now < end_ms && !is_interrupted;
         now = now_ms()) {
        struct pollfd polled[NODE_COUNT];
        for (uint32_t i = 0; i < NODE_COUNT; i++) {
            polled[i] = (struct pollfd){
                .fd = children[i].pid ? children[i].reports : -1,
                .events = POLLIN};
        }
        if (poll(polled, NODE_COUNT, (int)(end_ms - now)) < 0) {
            continue;
        }
        for (uint32_t i = 0; i < NODE_COUNT; i++) {
            struct report report;
            if (!(polled[i].revents & (POLLIN | POLLHUP))) {
                continue;
            }
            if (read(polled[i].fd, &report, sizeof report) != sizeof report) {
                return false;
            }
            children[i].now = report;
        }
    }
    return true;
}

static void print_header(void)
{
    (void)printf("\n%6s   %-5s %-5s %12s %12s %9s %9s %8s\n", "time", "node",
                 "link", "sent/s", "received/s", "MB/s in", "rtt", "digests");
}

static void print_line(struct child *child, const char *name, uint64_t at_ms)
{
    const struct report *now = &child->now;
    const struct report *before = &child->before;
    double seconds = (double)REPORT_MS / 1000;
    double sent = (double)(now->taken - before->taken) / seconds;
    double received = (double)(now->received - before->received) / seconds;
    (void)printf("%5.1fs   %-5s %-5s %12.0f %12.0f %9.1f %7.2fms %8" PRIu64
                 "\n",
                 (double)at_ms / 1000, name,
                 child->pid == 0 ? "dead"
                 : now->is_up    ? "up"
                                 : "down",
                 sent, received, received * MESSAGE_BYTES / 1e6,
                 (double)now->round_trip_ns / 1e6, now->digests);
    (void)fflush(stdout);
    child->before = child->now;
}

/* How many arrived wrong, at nodes living and dead. */
static uint64_t print_sum(const struct child *children)
{
    uint64_t wrong = 0;
    uint64_t received = 0;
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        wrong += children[i].now.wrong + children[i].wrong_of_dead;
        received += children[i].now.received + children[i].received_by_dead;
    }
    (void)printf("\n%" PRIu64 " sealed messages of %d bytes arrived; lost, "
                 "doubled or out of order between living nodes: %" PRIu64 ".\n",
                 received, MESSAGE_BYTES, wrong);
    (void)printf("When beta was killed, alpha was handed back the %" PRIu64
                 " messages that beta had not acknowledged.\n",
                 children[0].now.handed_back);
    return wrong;
}

static bool run_story(struct child children[NODE_COUNT],
                      const char *folder,
                      uint64_t seconds)
{
    uint64_t start_ms = now_ms();
    uint64_t line_count = seconds * 1000 / REPORT_MS;
    print_header();
    for (uint64_t line = 1; line <= line_count && !is_interrupted; line++) {
        if (!listen_until(children, start_ms + line * REPORT_MS)) {
            (void)fprintf(stderr, "demo: a node has ended unexpectedly\n");
            return false;
        }
        for (uint32_t i = 0; i < NODE_COUNT; i++) {
            print_line(&children[i], names[i], line * REPORT_MS);
        }
        if (line == line_count / 2) {
            (void)printf("  --- kill -9 beta ---\n");
            stop_child(&children[1], SIGKILL);
        } else if (line == line_count / 2 + 2) {
            (void)printf("  --- beta starts again ---\n");
            if (!start_child(&children[1], folder, names[1])) {
                return false;
            }
        }
    }
    return print_sum(children) == 0 && children[0].now.is_up;
}

static int run_demo(uint64_t seconds)
{
    char parent[] = "/tmp/troupe-demo-XXXXXX";
    char folder[64];
    struct err_detail why = {{0}};
    if (!mkdtemp(parent)) {
        perror("demo: /tmp");
        return EXIT_FAILURE;
    }
    (void)snprintf(folder, sizeof folder, "%s/cluster", parent);
    (void)printf("Two nodes, alpha and beta, on this machine. Each has a "
                 "certificate and a key;\nthey link with Noise XX, seal every "
                 "frame with ChaCha20-Poly1305 and send each\nother %d-byte "
                 "messages as fast as they can.\n",
                 MESSAGE_BYTES);
    struct child children[NODE_COUNT] = {0};
    bool is_good = false;
    catch_interrupts();
    enum err err = found(folder, &why);
    if (err) {
        (void)fprintf(stderr, "demo: %s\n", why.text);
    } else {
        is_good = start_child(&children[0], folder, names[0]) &&
                  start_child(&children[1], folder, names[1]) &&
                  run_story(children, folder, seconds);
    }
    for (uint32_t i = 0; i < NODE_COUNT; i++) {
        stop_child(&children[i], SIGTERM);
    }
    is_good = posix_folder_remove(parent) == ERR_NONE && is_good;
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    posix_memory_keep();
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    if (identity_library_init()) {
        (void)fprintf(stderr, "demo: no source of randomness\n");
        return EXIT_FAILURE;
    }
    if (argc == 4 && strcmp(argv[1], "--node") == 0) {
        sigset_t ends;
        sigemptyset(&ends);
        sigaddset(&ends, SIGTERM);
        (void)sigprocmask(SIG_BLOCK, &ends, NULL);
        return be_node(argv[3], argv[2]);
    }
    uint64_t seconds = 10;
    if (argc == 3 && strcmp(argv[1], "--seconds") == 0) {
        seconds = strtoull(argv[2], NULL, 10);
    } else if (argc > 1) {
        (void)fprintf(stderr, "Usage: demo [--seconds N]   (4 to 3600)\n");
        return strcmp(argv[1], "--help") == 0 ? EXIT_SUCCESS : 2;
    }
    if (seconds < 4 || seconds > 3600) {
        (void)fprintf(stderr, "demo: --seconds: 4 to 3600\n");
        return 2;
    }
    return run_demo(seconds);
}
