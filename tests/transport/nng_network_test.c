/*
 * Endpoints over real NNG sockets and real threads, in one process.
 */

#include "tests/support/check.h"
#include "tests/support/inproc_leak.h"
#include "tests/support/station.h"
#include "tests/support/temp_folder.h"

#include "base/scope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENDLESS UINT64_C(1000000000000)
#define PAIR_COUNT 4u

/* Where one node listens, with any scheme. */
struct place {
    char door[SOCKET_URL_BYTES];
    char bus[SOCKET_URL_BYTES];
    char pair[SOCKET_URL_BYTES];
    uint32_t pair_first;
};

static void place_on_tcp(struct place *place, const char *scheme)
{
    char host[TEST_HOST_BYTES];
    test_host(host, 1);
    unsigned port = test_ports_take(host, 2 + PAIR_COUNT);
    (void)snprintf(place->door, SOCKET_URL_BYTES, "%s://%s:%u", scheme, host,
                   port);
    (void)snprintf(place->bus, SOCKET_URL_BYTES, "%s://%s:%u", scheme, host,
                   port + 1);
    (void)snprintf(place->pair, SOCKET_URL_BYTES, "%s://%s:", scheme, host);
    place->pair_first = port + 2;
}

/* Door, bus and all pairs share one port. */
static void place_on_one_port(struct place *place)
{
    char host[TEST_HOST_BYTES];
    test_host(host, 1);
    unsigned port = test_ports_take(host, 1);
    (void)snprintf(place->door, SOCKET_URL_BYTES, "ws://%s:%u/door", host,
                   port);
    (void)snprintf(place->bus, SOCKET_URL_BYTES, "ws://%s:%u/bus", host, port);
    (void)snprintf(place->pair, SOCKET_URL_BYTES, "ws://%s:%u/link/", host,
                   port);
    place->pair_first = 0;
}

static void place_with_prefix(struct place *place, const char *prefix)
{
    (void)snprintf(place->door, SOCKET_URL_BYTES, "%s-door", prefix);
    (void)snprintf(place->bus, SOCKET_URL_BYTES, "%s-bus", prefix);
    (void)snprintf(place->pair, SOCKET_URL_BYTES, "%s-link-", prefix);
    place->pair_first = 0;
}

static struct endpoint_addresses addresses_of(const struct place *place)
{
    return (struct endpoint_addresses){.door = place->door,
                                       .bus = place->bus,
                                       .pair_bind = place->pair,
                                       .pair_advertise = place->pair,
                                       .pair_first = place->pair_first,
                                       .pair_count = PAIR_COUNT};
}

/* ---- two stations that know each other ---- */

struct listener {
    _Atomic uint64_t count;
    _Atomic uint64_t wrong_count;
};

static void on_digest(void *context, const char *from, struct bytes digest)
{
    struct listener *listener = context;
    bool is_right = digest.length == 5 && memcmp(digest.data, "hello", 5) == 0;
    listener->wrong_count += strcmp(from, "alpha") != 0 || !is_right;
    listener->count++;
}

struct fixture {
    struct place places[2];
    struct listener listeners[2];
    struct station *stations[2]; /* alpha, beta */
};

static void fixture_clear(struct fixture *fixture)
{
    station_close(&fixture->stations[0]);
    station_close(&fixture->stations[1]);
}

static void fixture_open(struct fixture *fixture)
{
    static const char *const names[] = {"alpha", "beta"};
    for (unsigned i = 0; i < 2; i++) {
        struct station_config config = {
            .name = names[i],
            .serial = 10 + 10 * i,
            .addresses = addresses_of(&fixture->places[i]),
            .peers = {{.name = names[1 - i],
                       .door = fixture->places[1 - i].door,
                       .bus = fixture->places[1 - i].bus}},
            .has_bus_key = true,
            .context = &fixture->listeners[i],
            .on_digest = on_digest,
        };
        struct err_detail why = {{0}};
        CHECK_OK(station_open(&fixture->stations[i], &config, &why));
    }
}

static void load(struct station *station, uint64_t count)
{
    struct traffic_load data = {TRAFFIC_DATA, count, 24, 20000};
    struct traffic_load control = {TRAFFIC_CONTROL, count, 24, 200};
    station_send(station, 0, &data);
    station_send(station, 0, &control);
}

/* ---- conditions ---- */

struct goal {
    const _Atomic uint64_t *counter;
    uint64_t value;
};

static bool is_reached(void *context)
{
    const struct goal *goal = context;
    return atomic_load(goal->counter) >= goal->value;
}

static void wait_for(const _Atomic uint64_t *counter, uint64_t value)
{
    struct goal goal = {counter, value};
    CHECK(test_wait(is_reached, &goal));
}

static void publish(void *context, struct endpoint *endpoint)
{
    enum err *err = context;
    *err = endpoint_publish(endpoint, bytes_of("hello", 5));
}

/* A digest may be lost, and the bus needs a while to connect: say it until
 * it has been heard. */
static bool is_heard(void *context)
{
    struct fixture *fixture = context;
    enum err err = ERR_NONE;
    test_node_call(station_node(fixture->stations[0]), publish, &err);
    return !err && fixture->listeners[1].count > 0;
}

static void check_delivered(struct fixture *fixture, uint64_t count)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct traffic_tally *from =
            station_tally(fixture->stations[i], 0);
        const struct traffic_tally *to =
            station_tally(fixture->stations[1 - i], 0);
        for (int flow = 0; flow < TRAFFIC_FLOW_COUNT; flow++) {
            wait_for(&to->flows[flow].last, count);
            CHECK(from->flows[flow].sent == count);
            CHECK(to->flows[flow].received == count);
            CHECK(to->flows[flow].wrong == 0);
            CHECK(from->flows[flow].returned == 0);
        }
        CHECK(from->begun == 1 && from->up == 1 && from->down == 0);
    }
}

/* Traffic both ways on both lanes, and digests. */
static void talk(struct fixture *fixture)
{
    fixture_open(fixture);
    load(fixture->stations[0], 2000);
    load(fixture->stations[1], 2000);
    check_delivered(fixture, 2000);
    CHECK(test_wait(is_heard, fixture));
    CHECK(fixture->listeners[1].wrong_count == 0);
    CHECK(fixture->listeners[0].count == 0); /* nobody hears himself */
}

static void talks_over_tcp(void **state)
{
    (void)state;
    scoped(fixture_clear) struct fixture fixture = {0};
    place_on_tcp(&fixture.places[0], "tcp");
    place_on_tcp(&fixture.places[1], "tcp");
    talk(&fixture);
}

static void talks_over_one_port_of_ws(void **state)
{
    (void)state;
    scoped(fixture_clear) struct fixture fixture = {0};
    place_on_one_port(&fixture.places[0]);
    place_on_one_port(&fixture.places[1]);
    talk(&fixture);
}

static void talks_over_ipc(void **state)
{
    (void)state;
    struct temp_folder folder;
    temp_folder_init(&folder);
    {
        scoped(fixture_clear) struct fixture fixture = {0};
        char prefix[144];
        (void)snprintf(prefix, sizeof prefix, "ipc://%s/a", folder.path);
        place_with_prefix(&fixture.places[0], prefix);
        (void)snprintf(prefix, sizeof prefix, "ipc://%s/b", folder.path);
        place_with_prefix(&fixture.places[1], prefix);
        talk(&fixture);
    }
    temp_folder_clear(&folder);
}

static void talks_over_inproc(void **state)
{
    (void)state;
    scoped(fixture_clear) struct fixture fixture = {0};
    place_with_prefix(&fixture.places[0], "inproc://talk-a");
    place_with_prefix(&fixture.places[1], "inproc://talk-b");
    talk(&fixture);
}

/* ---- sizes ---- */

static const size_t all_sizes[] = {
    0,      1,      2,       47,      48,       1023,     1024,
    16384,  65535,  65536,   65537,   262143,   262144,   262145,
    524288, 999999, 1048576, 4194305, 16777215, 16777216,
};
#define SIZE_COUNT (sizeof all_sizes / sizeof *all_sizes)
#define CHANNEL_SIZES 9

struct sizes {
    _Atomic uint64_t come_count;
    _Atomic uint64_t wrong_count;
    uint8_t *text; /* of the longest */
    size_t next;   /* sender's */
    enum err err;
};

static void on_size(void *context, struct peer *peer, struct bytes message)
{
    (void)peer;
    struct sizes *sizes = context;
    size_t at = sizes->come_count;
    bool is_right = at < SIZE_COUNT && message.length == all_sizes[at] &&
                    memcmp(message.data, sizes->text, message.length) == 0;
    sizes->wrong_count += !is_right;
    sizes->come_count++;
}

static void listen_for_sizes(void *context, struct endpoint *endpoint)
{
    endpoint_channel_set(endpoint, CHANNEL_SIZES, on_size, context);
}

static void send_size(void *context, struct endpoint *endpoint)
{
    struct sizes *sizes = context;
    struct peer *peer = endpoint_peer_find(endpoint, ROLE_NODE, "beta");
    sizes->err = peer_send(peer, LANE_DATA, CHANNEL_SIZES,
                           bytes_of(sizes->text, all_sizes[sizes->next]));
}

/* A station and what it is to send. */
struct sender {
    struct station *station;
    struct sizes *sizes;
};

static bool is_taken(void *context)
{
    struct sender *sender = context;
    test_node_call(station_node(sender->station), send_size, sender->sizes);
    return sender->sizes->err != ERR_FULL;
}

static void carries_messages_of_all_sizes(void **state)
{
    (void)state;
    scoped(fixture_clear) struct fixture fixture = {0};
    struct sizes sizes = {.text = malloc(all_sizes[SIZE_COUNT - 1] + 1)};
    CHECK(sizes.text);
    for (size_t i = 0; i <= all_sizes[SIZE_COUNT - 1]; i++) {
        sizes.text[i] = (uint8_t)(i * 131 ^ i >> 9);
    }
    place_on_tcp(&fixture.places[0], "tcp");
    place_on_tcp(&fixture.places[1], "tcp");
    fixture_open(&fixture);
    test_node_call(station_node(fixture.stations[1]), listen_for_sizes, &sizes);
    struct sender sender = {fixture.stations[0], &sizes};
    for (; sizes.next < SIZE_COUNT; sizes.next++) {
        CHECK(test_wait(is_taken, &sender));
        CHECK_OK(sizes.err);
    }
    wait_for(&sizes.come_count, SIZE_COUNT);
    CHECK(sizes.wrong_count == 0);
    fixture_clear(&fixture);
    free(sizes.text);
}

/* ---- addresses ---- */

static enum err open_at(const struct endpoint_addresses *addresses,
                        struct err_detail *why)
{
    struct station *station = NULL;
    struct station_config config = {
        .name = "gamma", .serial = 30, .addresses = *addresses};
    enum err err = station_open(&station, &config, why);
    station_close(&station);
    return err;
}

static void says_which_address_is_in_use(void **state)
{
    (void)state;
    scoped(fixture_clear) struct fixture fixture = {0};
    place_on_tcp(&fixture.places[0], "tcp");
    place_on_tcp(&fixture.places[1], "tcp");
    fixture_open(&fixture);
    struct place place;
    place_on_tcp(&place, "tcp");
    struct endpoint_addresses addresses = addresses_of(&place);
    struct err_detail why = {{0}};
    CHECK_OK(open_at(&addresses, &why));

    addresses.door = fixture.places[0].door;
    CHECK_ERR(open_at(&addresses, &why), ERR_IN_USE);
    CHECK(strstr(why.text, addresses.door) && strstr(why.text, "in use"));

    addresses.door = place.door;
    addresses.bus = fixture.places[0].bus;
    CHECK_ERR(open_at(&addresses, &why), ERR_IN_USE);
    CHECK(strstr(why.text, addresses.bus) && strstr(why.text, "bus"));

    addresses.bus = place.bus;
    CHECK_OK(open_at(&addresses, &why)); /* nothing was left open */
}

static void says_which_address_is_not_valid(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "tcp",
        "tcp://",
        "tcp://127.0.0.1:99999",
        "tcp://127.0.0.1:port",
        "smoke://127.0.0.1:1",
        "ipc://",
    };
    struct place place;
    place_on_tcp(&place, "tcp");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct endpoint_addresses addresses = addresses_of(&place);
        struct err_detail why = {{0}};
        addresses.door = wrong[i];
        enum err err = open_at(&addresses, &why);
        if (err != ERR_INVALID) {
            print_error("\"%s\": %s\n", wrong[i], err_name(err));
        }
        CHECK_ERR(err, ERR_INVALID);
        CHECK(strstr(why.text, "door"));
    }
}

/* Beta has one address for pairs, and two that come. */
static void turns_away_who_finds_no_pair_address(void **state)
{
    (void)state;
    static const char *const names[] = {"alpha", "aleph"};
    struct place places[3];
    struct station *stations[3] = {NULL};
    struct station_config config = {.name = "beta", .serial = 20};
    for (unsigned i = 0; i < 3; i++) {
        place_on_tcp(&places[i], "tcp");
    }
    config.addresses = addresses_of(&places[2]);
    config.addresses.pair_count = 1;
    for (unsigned i = 0; i < 2; i++) {
        config.peers[i] =
            (struct station_peer){.name = names[i], .door = places[i].door};
    }
    CHECK_OK(station_open(&stations[2], &config, NULL));
    for (unsigned i = 0; i < 2; i++) {
        struct station_config other = {
            .name = names[i],
            .serial = 10 + i,
            .addresses = addresses_of(&places[i]),
            .peers = {{.name = "beta", .door = places[2].door}}};
        CHECK_OK(station_open(&stations[i], &other, NULL));
        if (i == 0) {
            wait_for(&station_tally(stations[2], 0)->up, 1);
            load(stations[0], 20000);
        }
    }
    wait_for(&station_tally(stations[2], 0)->door_refused, 3);
    wait_for(&station_tally(stations[2], 0)->flows[TRAFFIC_DATA].last, 20000);
    CHECK(station_tally(stations[2], 0)->down == 0);
    CHECK(station_tally(stations[2], 0)->flows[TRAFFIC_DATA].wrong == 0);
    CHECK(station_tally(stations[2], 1)->begun == 0);
    CHECK(station_tally(stations[1], 0)->begun == 0);
    for (unsigned i = 0; i < 3; i++) {
        station_close(&stations[i]);
    }
}

/* ---- closing ---- */

static void nothing_comes_after_close_amid_traffic(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 10; round++) {
        scoped(fixture_clear) struct fixture fixture = {0};
        unsigned first = round % 2;
        place_on_tcp(&fixture.places[0], "tcp");
        place_on_tcp(&fixture.places[1], "tcp");
        fixture_open(&fixture);
        load(fixture.stations[0], ENDLESS);
        load(fixture.stations[1], ENDLESS);
        const struct traffic_tally *tally =
            station_tally(fixture.stations[first], 0);
        const struct traffic_tally *other =
            station_tally(fixture.stations[1 - first], 0);
        wait_for(&tally->flows[TRAFFIC_DATA].last, 100);
        station_stop(fixture.stations[first]);
        uint64_t last = tally->flows[TRAFFIC_DATA].last;
        uint64_t down = tally->down;
        uint64_t undelivered = tally->flows[TRAFFIC_DATA].returned;
        wait_for(&other->down, 1); /* and it goes on knocking */
        CHECK(tally->flows[TRAFFIC_DATA].last == last);
        CHECK(tally->flows[TRAFFIC_DATA].wrong == 0);
        CHECK(tally->down == down);
        CHECK(tally->flows[TRAFFIC_DATA].returned == undelivered);
        station_stop(fixture.stations[1 - first]);
        /* What the one never got, the other has handed back. */
        uint64_t sent = other->flows[TRAFFIC_DATA].sent;
        for (uint64_t number = 1; number <= sent; number++) {
            enum traffic_fate fate = station_fate(fixture.stations[1 - first],
                                                  0, TRAFFIC_DATA, number);
            CHECK(number <= last || fate == TRAFFIC_UNKNOWN ||
                  fate == TRAFFIC_NOT_ARRIVED);
            CHECK(number > last || fate != TRAFFIC_NOT_ARRIVED);
        }
    }
}

/* One argument: the only test to run. */
int main(int count, char **arguments)
{
    if (identity_library_init()) {
        return 1;
    }
    cmocka_set_test_filter(count > 1 ? arguments[1] : NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(talks_over_tcp),
        cmocka_unit_test(talks_over_one_port_of_ws),
        cmocka_unit_test(talks_over_ipc),
        cmocka_unit_test(talks_over_inproc),
        cmocka_unit_test(carries_messages_of_all_sizes),
        cmocka_unit_test(says_which_address_is_in_use),
        cmocka_unit_test(says_which_address_is_not_valid),
        cmocka_unit_test(turns_away_who_finds_no_pair_address),
        cmocka_unit_test(nothing_comes_after_close_amid_traffic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
