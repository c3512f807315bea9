/*
 * The bus over real NNG streams. The reactors are turned by the test's own
 * thread: who is not turned stands still.
 */

#include "tests/support/check.h"
#include "tests/support/inproc_leak.h"

#include "base/bytes.h"
#include "base/posix/posix_clock.h"
#include "base/reactor.h"
#include "config/identity.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_node.h"
#include "transport/bus.h"
#include "transport/nng_network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MEMBER_COUNT 3
#define DIGEST_BYTES_MAX 8192

struct member {
    unsigned index;
    char name[CERTIFICATE_NAME_BYTES];
    char url[SOCKET_URL_BYTES];
    uint64_t incarnation;
    struct reactor *reactor;
    struct bus *bus;
    bool is_stopped;
    uint64_t published;
    uint64_t heard[MEMBER_COUNT]; /* digests, by sender */
    uint64_t last[MEMBER_COUNT];  /* number in a digest, by sender */
    uint64_t mark;                /* a number of alpha's */
    uint64_t heard_to_mark;
};

struct fixture {
    struct temp_folder folder;
    char host[TEST_HOST_BYTES];
    struct member members[MEMBER_COUNT];
};

static const char *const names[MEMBER_COUNT] = {"alpha", "beta", "gamma"};

/* ---- members ---- */

static void on_digest(void *context, const char *from, struct bytes digest)
{
    struct member *member = context;
    struct reader in = reader_of(digest);
    uint64_t number = read_u64(&in);
    unsigned sender = 0;
    while (strcmp(from, names[sender]) != 0) {
        sender++;
        CHECK(sender < MEMBER_COUNT);
    }
    CHECK(!in.failed && number > member->last[sender]);
    member->last[sender] = number;
    member->heard_to_mark += sender == 0 && number <= member->mark;
    member->heard[sender]++;
}

static void open_bus(struct member *member)
{
    struct bus_config config = {
        .network = nng_network(),
        .reactor = member->reactor,
        .name = member->name,
        .incarnation = ++member->incarnation,
        .url = member->url,
        .digest_bytes_max = DIGEST_BYTES_MAX,
        .sender_count_max = 8,
        .dial_ms_min = 1,
        .dial_ms_max = 10,
        .context = member,
        .on_digest = on_digest,
    };
    CHECK_OK(bus_open(&member->bus, &config));
    struct bus_key key = {.number = 1};
    bus_key_set(member->bus, &key);
}

/* What was under way is then done with. */
static void close_bus(struct member *member)
{
    bus_close(&member->bus);
    while (reactor_has_events(member->reactor)) {
        (void)reactor_turn(member->reactor);
    }
}

static void open_member(struct member *member, unsigned index)
{
    struct reactor_config reactor = {.name = "test", .clock = posix_clock()};
    member->index = index;
    (void)snprintf(member->name, sizeof member->name, "%s", names[index]);
    CHECK_OK(reactor_open(&member->reactor, &reactor));
    open_bus(member);
}

static void turn(struct fixture *fixture)
{
    for (unsigned i = 0; i < MEMBER_COUNT; i++) {
        if (!fixture->members[i].is_stopped) {
            (void)reactor_turn(fixture->members[i].reactor);
        }
    }
}

static void publish_long(struct member *member, size_t length)
{
    uint8_t digest[DIGEST_BYTES_MAX] = {0};
    put_u64(digest, ++member->published);
    CHECK_OK(bus_publish(member->bus, bytes_of(digest, length)));
}

static void publish(struct member *member)
{
    publish_long(member, 8);
}

/* Everybody with a bus says something. */
static void publish_all(struct fixture *fixture)
{
    for (unsigned i = 0; i < MEMBER_COUNT; i++) {
        if (fixture->members[i].bus) {
            publish(&fixture->members[i]);
        }
    }
}

/* As in a cluster: the smaller name dials. */
static void dial_all(struct member *from)
{
    struct member *all = from - from->index;
    for (unsigned i = from->index + 1; i < MEMBER_COUNT; i++) {
        CHECK_OK(bus_dial(from->bus, all[i].url));
    }
}

/* ---- conditions ---- */

/* Sets of members. */
#define ALPHA 1u
#define BETA 2u
#define GAMMA 4u
#define ALL 7u

struct goal {
    struct fixture *fixture;
    unsigned listeners;
    unsigned senders;
    uint64_t least[MEMBER_COUNT][MEMBER_COUNT]; /* heard by, from */
};

static bool is_meant(const struct goal *goal, unsigned to, unsigned from)
{
    return to != from && (goal->listeners >> to & 1) != 0 &&
           (goal->senders >> from & 1) != 0;
}

static bool is_heard(void *context)
{
    struct goal *goal = context;
    publish_all(goal->fixture);
    turn(goal->fixture);
    for (unsigned i = 0; i < MEMBER_COUNT; i++) {
        for (unsigned j = 0; j < MEMBER_COUNT; j++) {
            if (goal->fixture->members[i].heard[j] < goal->least[i][j]) {
                return false;
            }
        }
    }
    return true;
}

/* All publish until the listeners have heard so many more of the senders. */
static void talk_until_heard(struct fixture *fixture,
                             unsigned listeners,
                             unsigned senders,
                             uint64_t count)
{
    struct goal goal = {
        .fixture = fixture, .listeners = listeners, .senders = senders};
    for (unsigned i = 0; i < MEMBER_COUNT; i++) {
        for (unsigned j = 0; j < MEMBER_COUNT; j++) {
            goal.least[i][j] = is_meant(&goal, i, j)
                                   ? fixture->members[i].heard[j] + count
                                   : 0;
        }
    }
    CHECK(test_wait(is_heard, &goal));
}

static bool is_caught_up(void *context)
{
    struct goal *goal = context;
    struct member *members = goal->fixture->members;
    turn(goal->fixture);
    for (unsigned i = 0; i < MEMBER_COUNT; i++) {
        for (unsigned j = 0; j < MEMBER_COUNT; j++) {
            if (is_meant(goal, i, j) &&
                members[i].last[j] < members[j].published) {
                return false;
            }
        }
    }
    return true;
}

/* Nobody publishes until the listeners have heard the senders' last. */
static void catch_up(struct fixture *fixture,
                     unsigned listeners,
                     unsigned senders)
{
    struct goal goal = {
        .fixture = fixture, .listeners = listeners, .senders = senders};
    CHECK(test_wait(is_caught_up, &goal));
}

static bool is_settled(void *context)
{
    struct goal *goal = context;
    publish_all(goal->fixture);
    return test_wait_ms(is_caught_up, goal, 100);
}

/* The same, and what had to be left out does not matter. */
static void settle(struct fixture *fixture,
                   unsigned listeners,
                   unsigned senders)
{
    struct goal goal = {
        .fixture = fixture, .listeners = listeners, .senders = senders};
    CHECK(test_wait(is_settled, &goal));
}

/* ---- the fixture ---- */

static void place(struct fixture *fixture, const char *scheme)
{
    for (unsigned i = 0; i < MEMBER_COUNT; i++) {
        char *url = fixture->members[i].url;
        if (strcmp(scheme, "ipc") == 0) {
            (void)snprintf(url, SOCKET_URL_BYTES, "ipc://%s/%u",
                           fixture->folder.path, i);
        } else if (strcmp(scheme, "inproc") == 0) {
            (void)snprintf(url, SOCKET_URL_BYTES, "inproc://bus-%u", i);
        } else {
            (void)snprintf(url, SOCKET_URL_BYTES, "%s://%s:%u%s", scheme,
                           fixture->host, test_ports_take(fixture->host, 1),
                           strcmp(scheme, "ws") == 0 ? "/bus" : "");
        }
        open_member(&fixture->members[i], i);
    }
}

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.host = ""};
    temp_folder_init(&fixture.folder);
    test_host(fixture.host, 2);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned i = 0; i < MEMBER_COUNT; i++) {
        struct member *member = &fixture->members[i];
        if (member->reactor) {
            close_bus(member);
            reactor_close(&member->reactor);
        }
    }
    temp_folder_clear(&fixture->folder);
    return 0;
}

static void open_all(struct fixture *fixture, const char *scheme)
{
    place(fixture, scheme);
    for (unsigned i = 0; i < MEMBER_COUNT; i++) {
        dial_all(&fixture->members[i]);
    }
    settle(fixture, ALL, ALL);
}

/* ---- all hear all ---- */

/* As many in one turn as may wait for a connection: all come, and once. */
static void hear_all(struct fixture *fixture, const char *scheme)
{
    open_all(fixture, scheme);
    uint64_t lost[MEMBER_COUNT];
    for (unsigned i = 0; i < MEMBER_COUNT; i++) {
        lost[i] = bus_stats(fixture->members[i].bus)->lost;
    }
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 12; i++) {
            publish_all(fixture);
        }
        catch_up(fixture, ALL, ALL);
    }
    for (unsigned i = 0; i < MEMBER_COUNT; i++) {
        const struct bus_stats *stats = bus_stats(fixture->members[i].bus);
        CHECK(stats->lost == lost[i]);
        CHECK(stats->stale == 0 && stats->refused == 0 && stats->dropped == 0);
        CHECK(fixture->members[i].heard[i] == 0); /* nobody hears himself */
    }
}

static void all_hear_all_over_tcp(void **state)
{
    hear_all(*state, "tcp");
}

static void all_hear_all_over_ipc(void **state)
{
    hear_all(*state, "ipc");
}

static void all_hear_all_over_ws(void **state)
{
    hear_all(*state, "ws");
}

/* Nodes do not do that; somebody else's configuration may. */
static void hears_once_who_dials_and_is_dialled(void **state)
{
    struct fixture *fixture = *state;
    open_all(fixture, "tcp");
    struct member *beta = &fixture->members[1];
    CHECK_OK(bus_dial(beta->bus, fixture->members[0].url));
    while (bus_stats(beta->bus)->stale == 0) { /* until it is connected */
        talk_until_heard(fixture, BETA, ALPHA, 1);
    }
    settle(fixture, ALL, ALL); /* on_digest() checks the numbers */
    CHECK(bus_stats(beta->bus)->refused == 0);
}

/* ---- restarts and cuts ---- */

static void restart_all(struct fixture *fixture, const char *scheme)
{
    open_all(fixture, scheme);
    for (unsigned round = 0; round < 3 * MEMBER_COUNT; round++) {
        struct member *member = &fixture->members[round % MEMBER_COUNT];
        close_bus(member);
        unsigned others = ALL & ~(1u << member->index);
        talk_until_heard(fixture, others, others, 10);
        open_bus(member);
        dial_all(member);
        talk_until_heard(fixture, ALL, ALL, 10);
    }
}

static void hears_a_restarted_member_over_tcp(void **state)
{
    restart_all(*state, "tcp");
}

static void hears_a_restarted_member_over_ipc(void **state)
{
    restart_all(*state, "ipc");
}

/* To the bus of a member on tcp. */
static int connect_to(const struct member *member)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[TEST_HOST_BYTES];
    unsigned port = 0;
    CHECK(sscanf(member->url, "tcp://%15[^:]:%u", host, &port) == 2);
    address.sin_port = htons((uint16_t)port);
    CHECK(inet_pton(AF_INET, host, &address.sin_addr) == 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

/* In the middle of a prefix, or of a packet, or without a word; by a reset or
 * an orderly end. */
static void connect_and_cut(const struct member *member, unsigned number)
{
    static const uint8_t half[] = {100, 0, 0, 0, 1, 2, 3};
    static const size_t lengths[] = {0, 2, 4, sizeof half};
    struct linger reset = {.l_onoff = number / 4 % 2};
    int fd = connect_to(member);
    CHECK(send(fd, half, lengths[number % 4], MSG_NOSIGNAL) >= 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0);
    close(fd);
}

static void goes_on_through_cut_connections_and_closes(void **state)
{
    struct fixture *fixture = *state;
    open_all(fixture, "tcp");
    struct member *beta = &fixture->members[1];
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < 4; i++) {
            connect_and_cut(&fixture->members[i % 2], round * 4 + i);
            publish_all(fixture);
            turn(fixture);
        }
        close_bus(beta); /* whatever is under way to and from the others */
        publish_all(fixture);
        open_bus(beta);
        dial_all(beta);
    }
    settle(fixture, ALL, ALL);
}

/* ---- a member that stands still ---- */

/* What is held for it: the frames that wait for its connection, the socket's
 * buffers (212,992 bytes here), and its inbox. */
#define HELD_BYTES_MAX ((16 + 1 + 64 + 2) * DIGEST_BYTES_MAX + 300000)
#define DIGEST_COUNT 1000u

static void a_stopped_member_costs_little_and_stops_nobody(void **state)
{
    struct fixture *fixture = *state;
    open_all(fixture, "ipc");
    struct member *alpha = &fixture->members[0];
    struct member *gamma = &fixture->members[2];
    const struct bus_stats *stats = bus_stats(fixture->members[1].bus);
    uint64_t lost = stats->lost;
    uint64_t lost_of_gamma = bus_stats(gamma->bus)->lost;
    gamma->is_stopped = true;
    for (unsigned i = 0; i < DIGEST_COUNT; i++) {
        publish_long(alpha, DIGEST_BYTES_MAX);
        catch_up(fixture, BETA, ALPHA);
    }
    CHECK(stats->lost == lost);
    gamma->is_stopped = false;
    gamma->mark = alpha->published;
    while (gamma->last[0] <= gamma->mark) { /* what was held comes first */
        talk_until_heard(fixture, GAMMA, ALPHA, 1);
    }
    CHECK(gamma->heard_to_mark > 0);
    CHECK(gamma->heard_to_mark * DIGEST_BYTES_MAX <= HELD_BYTES_MAX);
    CHECK(bus_stats(gamma->bus)->lost - lost_of_gamma >=
          DIGEST_COUNT - gamma->heard_to_mark);
    settle(fixture, ALL, ALL);
}

/* ---- undialling ---- */

static void undial_one(struct fixture *fixture, const char *scheme)
{
    place(fixture, scheme);
    struct member *alpha = &fixture->members[0];
    struct member *beta = &fixture->members[1];
    dial_all(alpha);
    settle(fixture, BETA | GAMMA, ALPHA); /* bus0 leaks what is under way */
    bus_undial(alpha->bus, beta->url);
    bus_undial(alpha->bus, beta->url); /* nothing: it is not dialled now */
    uint64_t heard = beta->heard[0];
    close_bus(beta);
    open_bus(beta); /* its address can be dialled; nobody does */
    talk_until_heard(fixture, GAMMA, ALPHA, 100);
    talk_until_heard(fixture, ALPHA, GAMMA, 100);
    CHECK(beta->heard[0] == heard);
    CHECK_OK(bus_dial(alpha->bus, beta->url));
    settle(fixture, BETA | GAMMA, ALPHA);
}

static void undials_over_tcp(void **state)
{
    undial_one(*state, "tcp");
}

static void undials_over_ipc(void **state)
{
    undial_one(*state, "ipc");
}

static void undials_over_ws(void **state)
{
    undial_one(*state, "ws");
}

static void undials_over_inproc(void **state)
{
    undial_one(*state, "inproc");
}

struct caller {
    struct fixture *fixture;
    int listener; /* does not block */
    unsigned count;
};

static int listen_at(char url[static SOCKET_URL_BYTES], const char *host)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    CHECK(inet_pton(AF_INET, host, &address.sin_addr) == 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(fd >= 0);
    CHECK(bind(fd, (struct sockaddr *)&address, length) == 0);
    CHECK(listen(fd, 16) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    (void)snprintf(url, SOCKET_URL_BYTES, "tcp://%s:%u", host,
                   (unsigned)ntohs(address.sin_port));
    return fd;
}

/* Whoever calls is cut off, until so many have called. */
static bool is_called(void *context)
{
    struct caller *caller = context;
    turn(caller->fixture);
    if (caller->count == 0) {
        return true;
    }
    int fd = accept(caller->listener, NULL, NULL);
    if (fd >= 0) {
        close(fd);
        caller->count--;
    }
    return caller->count == 0;
}

static void wait_called(struct fixture *fixture, int listener, unsigned count)
{
    struct caller caller = {fixture, listener, count};
    CHECK(test_wait(is_called, &caller));
}

/* Connected, between two attempts, or never reached: the dialling ends. */
static void dials_no_more_what_was_undialled(void **state)
{
    struct fixture *fixture = *state;
    place(fixture, "tcp");
    struct bus *bus = fixture->members[0].bus;
    char undialled[SOCKET_URL_BYTES];
    char other[SOCKET_URL_BYTES];
    int first = listen_at(undialled, fixture->host);
    int second = listen_at(other, fixture->host);
    CHECK_OK(bus_dial(bus, other));
    for (unsigned round = 0; round < 9; round++) {
        CHECK_OK(bus_dial(bus, undialled));
        wait_called(fixture, first, round % 3);
        bus_undial(bus, undialled);
        while (close(accept(first, NULL, NULL)) == 0) {
            /* was under way */
        }
        wait_called(fixture, second, 10); /* as often the first would be */
        CHECK(accept(first, NULL, NULL) < 0);
    }
    close(first);
    for (unsigned round = 0; round < 9; round++) { /* nobody listens */
        CHECK_OK(bus_dial(bus, undialled));
        wait_called(fixture, second, round % 3);
        bus_undial(bus, undialled);
    }
    close(second);
}

/* ---- how many ---- */

static void ignore(void *context, uint32_t pipe, struct packet *packet)
{
    (void)context;
    (void)pipe;
    packet_close(&packet);
}

struct crier {
    struct fixture *fixture;
    struct socket *socket;
    int fd;
};

static bool is_cried(void *context)
{
    struct crier *crier = context;
    const struct network *network = nng_network();
    struct packet *packet = network->packet_make(crier->socket, 3);
    CHECK(packet);
    memcpy(packet->data, "abc", 3);
    CHECK(network->send(crier->socket, 0, packet));
    turn(crier->fixture);
    char bytes[7] = {0};
    ssize_t count = recv(crier->fd, bytes, 7, MSG_DONTWAIT);
    return count == 7 && memcmp(bytes, "\3\0\0\0abc", 7) == 0;
}

static void the_oldest_accepted_connection_gives_way(void **state)
{
    struct fixture *fixture = *state;
    place(fixture, "tcp");
    struct member *gamma = &fixture->members[2];
    close_bus(gamma);
    const struct network *network = nng_network();
    struct socket_config config = {.kind = SOCKET_BUS,
                                   .reactor = gamma->reactor,
                                   .events.on_message = ignore,
                                   .message_bytes_max = 100,
                                   .inbox_bytes_max = 1000,
                                   .connection_count_max = 2,
                                   .redial_ms_min = 1,
                                   .redial_ms_max = 10};
    struct socket *socket = NULL;
    CHECK_OK(network->open(network->context, &socket, &config));
    CHECK_OK(network->listen(socket, gamma->url));
    char url[SOCKET_URL_BYTES];
    int dialled = listen_at(url, fixture->host);
    CHECK_OK(network->dial(socket, url));
    wait_called(fixture, dialled, 2);
    int fds[4];
    for (unsigned i = 0; i < 4; i++) {
        fds[i] = connect_to(gamma);
        struct crier crier = {fixture, socket, fds[i]};
        CHECK(test_wait(is_cried, &crier)); /* so it was accepted */
    }
    for (unsigned i = 0; i < 4; i++) {
        struct crier crier = {fixture, socket, fds[i]};
        if (i >= 2) {
            CHECK(test_wait(is_cried, &crier));
        } else {
            char bytes[256];
            while (recv(fds[i], bytes, sizeof bytes, 0) > 0) {
                /* what came before the end */
            }
        }
        close(fds[i]);
    }
    close(dialled);
    network->close(&socket);
}

static int set_up_group(void **state)
{
    (void)state;
    return identity_library_init() ? -1 : 0;
}

/* One argument: the only test to run. */
int main(int count, char **arguments)
{
    cmocka_set_test_filter(count > 1 ? arguments[1] : NULL);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(all_hear_all_over_tcp),
        TEST(all_hear_all_over_ipc),
        TEST(all_hear_all_over_ws),
        TEST(hears_once_who_dials_and_is_dialled),
        TEST(hears_a_restarted_member_over_tcp),
        TEST(hears_a_restarted_member_over_ipc),
        TEST(goes_on_through_cut_connections_and_closes),
        TEST(a_stopped_member_costs_little_and_stops_nobody),
        TEST(undials_over_tcp),
        TEST(undials_over_ipc),
        TEST(undials_over_ws),
        TEST(undials_over_inproc),
        TEST(dials_no_more_what_was_undialled),
        TEST(the_oldest_accepted_connection_gives_way),
    };
    return cmocka_run_group_tests(tests, set_up_group, NULL);
}
