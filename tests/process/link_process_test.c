/*
 * Links between real processes, killed, stopped, replaced, cut off, flooded.
 *
 * "beta" listens for "alpha", and knocks at "gamma": with both beside it,
 * a test sees both sides of a link. The first argument is the program
 * link_peer, the second may be the only test to run.
 */

#include "tests/process/forwarder.h"
#include "tests/process/peer_process.h"
#include "tests/process/raw.h"
#include "tests/support/check.h"
#include "tests/support/seeded.h"
#include "tests/support/station.h"

#include "base/posix/posix_clock.h"
#include "base/posix/posix_entropy.h"
#include "base/posix/posix_limits.h"
#include "base/scope.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAIR_COUNT 4u
#define ENDLESS UINT64_C(1000000000000)
#define MIB (1u << 20)

#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

/* What the allocator, stacks and code may cost beside the window. */
#define RESIDENT_SLACK_BYTES ((IS_SANITIZED ? 96u : 16u) * MIB)

static const char *peer_program; /* set once by main() */

/* ---- places: where a node listens ---- */

struct place {
    char host[TEST_HOST_BYTES];
    uint16_t port; /* of the door; those of pairs follow */
    char door[SOCKET_URL_BYTES];
    char bind[SOCKET_URL_BYTES];
    char advertise[SOCKET_URL_BYTES];
};

static struct place place_take(void)
{
    struct place place = {.host = ""};
    test_host(place.host, 1);
    place.port = test_ports_take(place.host, 1 + PAIR_COUNT);
    (void)snprintf(place.door, sizeof place.door, "tcp://%s:%u", place.host,
                   place.port);
    (void)snprintf(place.bind, sizeof place.bind, "tcp://%s:", place.host);
    (void)snprintf(place.advertise, sizeof place.advertise, "%s", place.bind);
    return place;
}

static struct endpoint_addresses addresses_of(const struct place *place)
{
    return (struct endpoint_addresses){.door = place->door,
                                       .pair_bind = place->bind,
                                       .pair_advertise = place->advertise,
                                       .pair_first = place->port + 1u,
                                       .pair_count = PAIR_COUNT};
}

/* ---- peers ---- */

/* A process and the one other node that it knows. Numbers may be 0. */
struct plan {
    const char *name;
    unsigned serial;
    const struct place *place;
    const char *peer;
    const struct place *peer_place;
    unsigned window_bytes;
    unsigned silence_ms;
    unsigned proof_ms;
    unsigned door_connections;
};

static struct peer_process *start_peer(const struct plan *plan)
{
    char lines[14][SOCKET_URL_BYTES + 16];
    const char *arguments[15] = {0};
    size_t count = 0;
#define SAY(...)                      \
    (arguments[count] = lines[count], \
     (void)snprintf(lines[count++], sizeof lines[0], __VA_ARGS__))
    SAY("name=%s", plan->name);
    SAY("serial=%u", plan->serial);
    SAY("door=%s", plan->place->door);
    SAY("bind=%s", plan->place->bind);
    SAY("advertise=%s", plan->place->advertise);
    SAY("first=%u", plan->place->port + 1u);
    SAY("count=%u", PAIR_COUNT);
    SAY("peer=%s", plan->peer);
    SAY("peer_door=%s", plan->peer_place->door);
    SAY("window=%u", plan->window_bytes);
    SAY("silence=%u", plan->silence_ms);
    SAY("proof=%u", plan->proof_ms);
    SAY("door_connections=%u", plan->door_connections);
#undef SAY
    struct peer_process *process = peer_process_open(peer_program, arguments);
    CHECK(process);
    return process;
}

/* ---- load ---- */

struct sizes {
    uint32_t bytes_min;
    uint32_t bytes_max;
};

static const struct sizes mixed_sizes = {24, 4000};
static const struct sizes control_sizes = {24, 200};

static void load_station(struct station *station,
                         unsigned peer,
                         uint64_t count,
                         struct sizes sizes)
{
    struct traffic_load data = {TRAFFIC_DATA, count, sizes.bytes_min,
                                sizes.bytes_max};
    struct traffic_load control = {TRAFFIC_CONTROL, count,
                                   control_sizes.bytes_min,
                                   control_sizes.bytes_max};
    station_send(station, peer, &data);
    station_send(station, peer, &control);
}

static void load_peer(struct peer_process *peer,
                      uint64_t count,
                      struct sizes sizes)
{
    CHECK(peer_process_tell(peer, "send %d %llu %u %u", TRAFFIC_DATA,
                            (unsigned long long)count, sizes.bytes_min,
                            sizes.bytes_max));
    CHECK(peer_process_tell(peer, "send %d %llu %u %u", TRAFFIC_CONTROL,
                            (unsigned long long)count, control_sizes.bytes_min,
                            control_sizes.bytes_max));
}

/* ---- conditions ---- */

/* A counter that is to reach a value. */
struct goal {
    const _Atomic uint64_t *counter;
    uint64_t value;
};

static bool is_reached(void *context)
{
    const struct goal *goal = context;
    return atomic_load(goal->counter) >= goal->value;
}

static void wait_for(const _Atomic uint64_t *counter,
                     uint64_t value,
                     const char *what)
{
    struct goal goal = {counter, value};
    if (!test_wait(is_reached, &goal)) {
        print_error("%s: %llu, expected %llu\n", what,
                    (unsigned long long)atomic_load(counter),
                    (unsigned long long)value);
        fail();
    }
}
#define WAIT_FOR(counter, value) wait_for(&(counter), (value), #counter)

struct flow_end {
    const struct traffic_tally *from;
    const struct traffic_tally *to;
    int flow;
};

static bool is_drained(void *context)
{
    const struct flow_end *end = context;
    const struct flow_tally *to = &end->to->flows[end->flow];
    uint64_t sent = end->from->flows[end->flow].sent;
    return sent == 0 ||
           (to->sender == end->from->incarnation && to->last == sent);
}

/* All that a side has sent has come to the other, on both flows. */
static void wait_drained(const struct traffic_tally *from,
                         const struct traffic_tally *to)
{
    for (int i = 0; i < TRAFFIC_FLOW_COUNT; i++) {
        struct flow_end end = {from, to, i};
        if (!test_wait(is_drained, &end)) {
            print_error("flow %d: %llu of %llu have come\n", i,
                        (unsigned long long)to->flows[i].last,
                        (unsigned long long)from->flows[i].sent);
            fail();
        }
    }
}

static uint64_t wrong_count(const struct traffic_tally *tally)
{
    return tally->flows[TRAFFIC_DATA].wrong +
           tally->flows[TRAFFIC_CONTROL].wrong;
}

/* Nothing but one session from beginning to end. */
static void check_lossless(const struct traffic_tally *from,
                           const struct traffic_tally *to)
{
    for (int i = 0; i < TRAFFIC_FLOW_COUNT; i++) {
        CHECK(to->flows[i].received == from->flows[i].sent);
        CHECK(from->flows[i].returned == 0);
    }
    CHECK(wrong_count(to) == 0);
    CHECK(from->undelivered == 0);
    CHECK(from->sessions == 1);
}

/* ---- the account of a station whose peer was replaced many times ---- */

#define INCARNATION_COUNT_MAX 24

struct received_range {
    uint64_t first; /* 0: nothing */
    uint64_t last;
};

struct account {
    struct received_range ranges[TRAFFIC_FLOW_COUNT][INCARNATION_COUNT_MAX];
    unsigned incarnation_count;
};

/* Take down what a process that is no more, or drained, had received. */
static void account_add(struct account *account,
                        const struct traffic_tally *tally)
{
    CHECK(account->incarnation_count < INCARNATION_COUNT_MAX);
    CHECK(wrong_count(tally) == 0);
    for (int i = 0; i < TRAFFIC_FLOW_COUNT; i++) {
        const struct flow_tally *flow = &tally->flows[i];
        account->ranges[i][account->incarnation_count] =
            (struct received_range){flow->first, flow->last};
    }
    account->incarnation_count++;
}

static bool was_received(const struct account *account,
                         enum traffic_flow flow,
                         uint64_t number)
{
    unsigned count = 0;
    for (unsigned i = 0; i < account->incarnation_count; i++) {
        const struct received_range *range = &account->ranges[flow][i];
        count += range->first <= number && number <= range->last;
    }
    CHECK(count <= 1);
    return count == 1;
}

/* Each message has come to one process, or was handed back. */
static void account_check(const struct account *account,
                          const struct station *station,
                          unsigned peer,
                          enum traffic_flow flow)
{
    uint64_t sent = station_tally(station, peer)->flows[flow].sent;
    uint64_t returned = 0;
    for (uint64_t number = 1; number <= sent; number++) {
        bool has_come = was_received(account, flow, number);
        enum traffic_fate fate = station_fate(station, peer, flow, number);
        returned += fate != TRAFFIC_TAKEN;
        if (fate == TRAFFIC_TWICE || (fate == TRAFFIC_TAKEN && !has_come) ||
            (fate == TRAFFIC_NOT_ARRIVED && has_come)) {
            print_error("flow %d, message %llu of %llu: fate %d, come %d\n",
                        flow, (unsigned long long)number,
                        (unsigned long long)sent, fate, has_come);
            fail();
        }
    }
    CHECK(station_tally(station, peer)->flows[flow].returned == returned);
}

/* ---- beta in this process, alpha and gamma beside it ---- */

struct fixture {
    struct place places[3]; /* beta, alpha, gamma */
    struct station *beta;
    struct plan plans[2]; /* alpha, gamma */
    struct peer_process *peers[2];
    const struct traffic_tally *tallies[2]; /* beta's */
};

static void fixture_clear(struct fixture *fixture)
{
    peer_process_discard(&fixture->peers[0]);
    peer_process_discard(&fixture->peers[1]);
    station_close(&fixture->beta);
}

static void fixture_init(struct fixture *fixture,
                         const struct station_config *numbers)
{
    *fixture = (struct fixture){.beta = NULL};
    for (int i = 0; i < 3; i++) {
        fixture->places[i] = place_take();
    }
    struct station_config config = *numbers;
    config.name = "beta";
    config.serial = 20;
    config.addresses = addresses_of(&fixture->places[0]);
    config.peers[0] =
        (struct station_peer){.name = "alpha", .door = fixture->places[1].door};
    config.peers[1] =
        (struct station_peer){.name = "gamma", .door = fixture->places[2].door};
    struct err_detail why = {{0}};
    CHECK_OK(station_open(&fixture->beta, &config, &why));
    for (unsigned i = 0; i < 2; i++) {
        fixture->plans[i] =
            (struct plan){.name = config.peers[i].name,
                          .serial = 10 + 20 * i,
                          .place = &fixture->places[1 + i],
                          .peer = "beta",
                          .peer_place = &fixture->places[0],
                          .window_bytes = (unsigned)numbers->window_bytes,
                          .silence_ms = numbers->silence_ms};
        fixture->tallies[i] = station_tally(fixture->beta, i);
    }
}

static void start_both(struct fixture *fixture)
{
    for (unsigned i = 0; i < 2; i++) {
        fixture->peers[i] = start_peer(&fixture->plans[i]);
    }
}

static void load_all(struct fixture *fixture, uint64_t count)
{
    for (unsigned i = 0; i < 2; i++) {
        load_station(fixture->beta, i, count, mixed_sizes);
        load_peer(fixture->peers[i], count, mixed_sizes);
    }
}

/* ---- killed and restarted ---- */

struct killing {
    unsigned round_count;
    struct sizes sizes;
    uint64_t message_count_max; /* received before the next kill */
};

static void restart(struct fixture *fixture,
                    unsigned i,
                    const struct killing *killing,
                    struct account *account)
{
    peer_process_kill(fixture->peers[i]);
    account_add(account, peer_process_tally(fixture->peers[i]));
    (void)peer_process_close(&fixture->peers[i]);
    fixture->peers[i] = start_peer(&fixture->plans[i]);
    load_peer(fixture->peers[i], ENDLESS, killing->sizes);
}

static void finish_killing(struct fixture *fixture,
                           const struct killing *killing,
                           struct account accounts[static 2])
{
    for (unsigned i = 0; i < 2; i++) {
        const struct traffic_tally *tally =
            peer_process_tally(fixture->peers[i]);
        WAIT_FOR(fixture->tallies[i]->begun, killing->round_count + 1);
        WAIT_FOR(tally->is_up, 1);
        /* The last incarnation is drained only if something comes to it. */
        WAIT_FOR(tally->flows[TRAFFIC_DATA].received, 1);
        WAIT_FOR(tally->flows[TRAFFIC_CONTROL].received, 1);
        load_station(fixture->beta, i, 0, killing->sizes);
        load_peer(fixture->peers[i], 0, killing->sizes);
        wait_drained(tally, fixture->tallies[i]);
        wait_drained(fixture->tallies[i], tally);
        account_add(&accounts[i], tally);
        CHECK(peer_process_close(&fixture->peers[i]) == 0);
    }
    station_stop(fixture->beta);
    for (unsigned i = 0; i < 2; i++) {
        /* Every new process was noticed, and taken for new only once. */
        CHECK(fixture->tallies[i]->begun == killing->round_count + 1);
        CHECK(wrong_count(fixture->tallies[i]) == 0);
        /* All that was counted was handed back; and, uncounted by now, what
         * was not acknowledged yet when the station stopped. */
        CHECK(fixture->tallies[i]->undelivered <=
              fixture->tallies[i]->flows[TRAFFIC_DATA].returned +
                  fixture->tallies[i]->flows[TRAFFIC_CONTROL].returned);
        account_check(&accounts[i], fixture->beta, i, TRAFFIC_DATA);
        account_check(&accounts[i], fixture->beta, i, TRAFFIC_CONTROL);
    }
}

static void kill_again_and_again(const struct killing *killing)
{
    scoped(fixture_clear) struct fixture fixture;
    struct account accounts[2] = {{.incarnation_count = 0}};
    struct seeded seeded = {.state = 1};
    fixture_init(&fixture, &(struct station_config){0});
    start_both(&fixture);
    for (unsigned i = 0; i < 2; i++) {
        load_station(fixture.beta, i, ENDLESS, killing->sizes);
        load_peer(fixture.peers[i], ENDLESS, killing->sizes);
    }
    for (unsigned round = 0; round < killing->round_count; round++) {
        for (unsigned i = 0; i < 2; i++) {
            const struct traffic_tally *tally =
                peer_process_tally(fixture.peers[i]);
            uint64_t count =
                1 + seeded_below(&seeded, killing->message_count_max);
            WAIT_FOR(fixture.tallies[i]->begun, round + 1);
            WAIT_FOR(tally->flows[TRAFFIC_DATA].sent, count);
            WAIT_FOR(tally->flows[TRAFFIC_DATA].received, count);
            restart(&fixture, i, killing, &accounts[i]);
        }
    }
    finish_killing(&fixture, killing, accounts);
}

static void survives_a_peer_that_is_killed_20_times_under_load(void **state)
{
    (void)state;
    kill_again_and_again(&(struct killing){
        .round_count = 20, .sizes = {24, 4000}, .message_count_max = 4000});
}

static void survives_a_peer_killed_amid_messages_of_16_mib(void **state)
{
    (void)state;
    kill_again_and_again(&(struct killing){.round_count = 3,
                                           .sizes = {16 * MIB - 1000, 16 * MIB},
                                           .message_count_max = 4});
}

/* ---- cut off ---- */

#define CUT_COUNT 200

static bool is_cut_enough(void *context)
{
    const struct forwarder *forwarder = context;
    return forwarder_reset_count(forwarder) + forwarder_end_count(forwarder) >=
           CUT_COUNT;
}

/* Alpha, here, dials beta's pair listener through the forwarder; the door it
 * reaches directly. */
static void loses_nothing_when_the_connection_is_cut_200_times(void **state)
{
    (void)state;
    char away[TEST_HOST_BYTES];
    struct place alpha = place_take();
    struct place beta = place_take();
    test_host(away, 2);
    (void)snprintf(beta.advertise, sizeof beta.advertise, "tcp://%s:", away);
    scoped(forwarder_close) struct forwarder *forwarder = forwarder_open(
        &(struct forwarder_config){.host = away,
                                   .to = beta.host,
                                   .port_first = (uint16_t)(beta.port + 1),
                                   .to_port_first = (uint16_t)(beta.port + 1),
                                   .port_count = PAIR_COUNT,
                                   .seed = 5,
                                   .cut_count = CUT_COUNT,
                                   .cut_bytes_max = 2 * MIB});
    scoped(peer_process_discard) struct peer_process *peer =
        start_peer(&(struct plan){.name = "beta",
                                  .serial = 20,
                                  .place = &beta,
                                  .peer = "alpha",
                                  .peer_place = &alpha});
    struct station_config config = {
        .name = "alpha",
        .serial = 10,
        .addresses = addresses_of(&alpha),
        .peers = {{.name = "beta", .door = beta.door}}};
    scoped(station_close) struct station *station = NULL;
    CHECK_OK(station_open(&station, &config, NULL));
    const struct traffic_tally *near = station_tally(station, 0);
    const struct traffic_tally *far = peer_process_tally(peer);
    struct sizes sizes = {24, 300000};
    load_station(station, 0, ENDLESS, sizes);
    load_peer(peer, ENDLESS, sizes);
    CHECK(test_wait(is_cut_enough, forwarder));
    load_station(station, 0, 0, sizes);
    load_peer(peer, 0, sizes);
    wait_drained(near, far);
    wait_drained(far, near);
    station_look(station);
    CHECK(peer_process_tell(peer, "look"));
    check_lossless(near, far);
    check_lossless(far, near);
    CHECK(near->begun == 1 && far->begun == 1);
    CHECK(forwarder_reset_count(forwarder) > 100);
    CHECK(forwarder_end_count(forwarder) > 20);
    CHECK(near->connections > 100);
    CHECK(near->frames_repeated > 100 && far->frames_repeated > 100);
    CHECK(peer_process_close(&peer) == 0);
}

/* ---- stopped ---- */

static void goes_on_with_a_peer_that_was_stopped_for_long(void **state)
{
    (void)state;
    scoped(fixture_clear) struct fixture fixture;
    fixture_init(&fixture, &(struct station_config){.silence_ms = 1000});
    start_both(&fixture);
    load_all(&fixture, ENDLESS);
    for (unsigned i = 0; i < 2; i++) {
        WAIT_FOR(fixture.tallies[i]->flows[TRAFFIC_DATA].received, 1000);
        CHECK(fixture.tallies[i]->down == 0);
        CHECK(kill(peer_process_id(fixture.peers[i]), SIGSTOP) == 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        WAIT_FOR(fixture.tallies[i]->silent, 1);
        WAIT_FOR(fixture.tallies[i]->down, 1);
        CHECK(kill(peer_process_id(fixture.peers[i]), SIGCONT) == 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        WAIT_FOR(fixture.tallies[i]->up, 2);
    }
    load_all(&fixture, 0);
    for (unsigned i = 0; i < 2; i++) {
        const struct traffic_tally *far = peer_process_tally(fixture.peers[i]);
        wait_drained(far, fixture.tallies[i]);
        wait_drained(fixture.tallies[i], far);
        CHECK(peer_process_tell(fixture.peers[i], "look"));
        station_look(fixture.beta);
        check_lossless(far, fixture.tallies[i]);
        check_lossless(fixture.tallies[i], far);
        CHECK(fixture.tallies[i]->begun == 1);
        CHECK(peer_process_close(&fixture.peers[i]) == 0);
    }
}

/* ---- replaced ---- */

static void refuses_an_older_certificate_while_the_newer_lives(void **state)
{
    (void)state;
    scoped(fixture_clear) struct fixture fixture;
    fixture_init(&fixture, &(struct station_config){0});
    fixture.plans[0].serial = 12;
    fixture.peers[0] = start_peer(&fixture.plans[0]);
    const struct traffic_tally *far = peer_process_tally(fixture.peers[0]);
    WAIT_FOR(far->is_up, 1);
    load_station(fixture.beta, 0, ENDLESS, mixed_sizes);
    load_peer(fixture.peers[0], ENDLESS, mixed_sizes);

    struct place elsewhere = place_take();
    struct plan older = fixture.plans[0];
    older.serial = 11;
    older.place = &elsewhere;
    scoped(peer_process_discard) struct peer_process *impostor =
        start_peer(&older);
    WAIT_FOR(fixture.tallies[0]->door_refused, 3);
    uint64_t received = far->flows[TRAFFIC_DATA].received;
    WAIT_FOR(far->flows[TRAFFIC_DATA].received, received + 1000);
    CHECK(peer_process_tally(impostor)->is_up == 0);
    CHECK(peer_process_tally(impostor)->begun == 0);
    CHECK(fixture.tallies[0]->down == 0);
    CHECK(fixture.tallies[0]->begun == 1);
    CHECK(fixture.tallies[0]->peer_serial == 12);
    CHECK(peer_process_close(&impostor) == 0);

    load_station(fixture.beta, 0, 0, mixed_sizes);
    load_peer(fixture.peers[0], 0, mixed_sizes);
    wait_drained(far, fixture.tallies[0]);
    wait_drained(fixture.tallies[0], far);
    CHECK(peer_process_tell(fixture.peers[0], "look"));
    check_lossless(far, fixture.tallies[0]);
    check_lossless(fixture.tallies[0], far);
}

static void prefers_a_newer_certificate_to_the_one_that_lives(void **state)
{
    (void)state;
    scoped(fixture_clear) struct fixture fixture;
    fixture_init(&fixture, &(struct station_config){0});
    fixture.peers[0] = start_peer(&fixture.plans[0]);
    WAIT_FOR(fixture.tallies[0]->up, 1);
    WAIT_FOR(fixture.tallies[0]->peer_serial, 10);

    struct place elsewhere = place_take();
    struct plan newer = fixture.plans[0];
    newer.serial = 11;
    newer.place = &elsewhere;
    scoped(peer_process_discard) struct peer_process *successor =
        start_peer(&newer);
    WAIT_FOR(fixture.tallies[0]->begun, 2);
    WAIT_FOR(fixture.tallies[0]->peer_serial, 11);
    WAIT_FOR(peer_process_tally(successor)->is_up, 1);
    load_station(fixture.beta, 0, 1000, mixed_sizes);
    WAIT_FOR(peer_process_tally(successor)->flows[TRAFFIC_DATA].last, 1000);
    /* The other has lost its link and knocks in vain. */
    WAIT_FOR(fixture.tallies[0]->door_refused, 3);
    WAIT_FOR(peer_process_tally(fixture.peers[0])->down, 1);
    CHECK(fixture.tallies[0]->begun == 2);
    CHECK(peer_process_tally(fixture.peers[0])->is_up == 0);
    CHECK(peer_process_close(&successor) == 0);
}

/* The side that knocks must not be taken in either. */
static void does_not_knock_on_at_an_older_certificate(void **state)
{
    (void)state;
    scoped(fixture_clear) struct fixture fixture;
    fixture_init(&fixture, &(struct station_config){0});
    fixture.plans[1].serial = 32;
    fixture.peers[1] = start_peer(&fixture.plans[1]);
    WAIT_FOR(fixture.tallies[1]->up, 1);
    peer_process_kill(fixture.peers[1]);
    (void)peer_process_close(&fixture.peers[1]);

    fixture.plans[1].serial = 31;
    fixture.peers[1] = start_peer(&fixture.plans[1]);
    const struct traffic_tally *older = peer_process_tally(fixture.peers[1]);
    WAIT_FOR(older->door_hello, 3);
    CHECK(older->begun == 0);
    CHECK(fixture.tallies[1]->begun == 1);
    CHECK(peer_process_close(&fixture.peers[1]) == 0);

    fixture.plans[1].serial = 33;
    fixture.peers[1] = start_peer(&fixture.plans[1]);
    WAIT_FOR(fixture.tallies[1]->begun, 2);
    WAIT_FOR(fixture.tallies[1]->peer_serial, 33);
}

/* ---- slow readers ---- */

#define WINDOW_BYTES (8u * MIB)
#define INFLIGHT_BYTES (1u * MIB) /* as station.c has it for a set window */

struct stillness {
    const struct traffic_tally *tally;
    uint64_t sent;
    uint64_t look_count;
};

/* It has been told that all is full, and a while later has sent nothing. */
static bool is_still(void *context)
{
    struct stillness *stillness = context;
    const struct traffic_tally *tally = stillness->tally;
    uint64_t sent = tally->flows[TRAFFIC_DATA].sent;
    if (tally->full == 0 || sent != stillness->sent) {
        stillness->sent = sent;
        stillness->look_count = tally->look_count;
    }
    return tally->look_count >= stillness->look_count + 40;
}

static void wait_still(const struct traffic_tally *tally)
{
    struct stillness stillness = {.tally = tally};
    CHECK(test_wait(is_still, &stillness));
    CHECK(tally->full > 0);
}

static void keeps_no_more_than_the_window_for_a_slow_reader(void **state)
{
    (void)state;
    struct sizes sizes = {100, 60000};
    scoped(fixture_clear) struct fixture fixture;
    fixture_init(&fixture,
                 &(struct station_config){.window_bytes = WINDOW_BYTES});
    start_both(&fixture);
    for (unsigned i = 0; i < 2; i++) {
        struct peer_process *peer = fixture.peers[i];
        const struct traffic_tally *far = peer_process_tally(peer);
        WAIT_FOR(far->is_up, 1);
        uint64_t resident_bytes = peer_process_resident_bytes(peer);

        station_pause(fixture.beta, i);
        load_peer(peer, ENDLESS, sizes);
        wait_still(far);
        CHECK(far->held_bytes_top <= WINDOW_BYTES);
        CHECK(far->held_bytes_top >= WINDOW_BYTES / 2);
        CHECK(fixture.tallies[i]->held_bytes_top <= 3 * INFLIGHT_BYTES);
        CHECK(peer_process_resident_bytes(peer) <=
              resident_bytes + WINDOW_BYTES + RESIDENT_SLACK_BYTES);
        CHECK(fixture.tallies[i]->flows[TRAFFIC_DATA].received == 0);
        /* What is urgent does not wait behind it. */
        WAIT_FOR(fixture.tallies[i]->flows[TRAFFIC_CONTROL].received, 1);
        load_peer(peer, 0, sizes);
        station_resume(fixture.beta, i);
        wait_drained(far, fixture.tallies[i]);

        /* And the other way round: what the slow one itself must hold. */
        CHECK(peer_process_tell(peer, "pause"));
        load_station(fixture.beta, i, ENDLESS, sizes);
        wait_still(fixture.tallies[i]);
        CHECK(far->flows[TRAFFIC_DATA].received == 0);
        CHECK(peer_process_resident_bytes(peer) <=
              resident_bytes + WINDOW_BYTES + 5 * INFLIGHT_BYTES +
                  RESIDENT_SLACK_BYTES);
        load_station(fixture.beta, i, 0, sizes);
        CHECK(peer_process_tell(peer, "resume"));
        wait_drained(fixture.tallies[i], far);
        CHECK(peer_process_tell(peer, "look"));
        station_look(fixture.beta);
        check_lossless(far, fixture.tallies[i]);
        check_lossless(fixture.tallies[i], far);
        CHECK(fixture.tallies[i]->down == 0);
        CHECK(peer_process_close(&fixture.peers[i]) == 0);
    }
}

/* ---- floods ---- */

#define ATTACKER_COUNT 300
#define DOOR_CONNECTIONS 64
#define FLOOD_COUNT 5000 /* HELLOs sent before the honest peer comes */
#define HELLO_BYTES_MAX HANDSHAKE_BYTES_MAX
#define HONEST_MS 10000 /* a few seconds, on a busy machine */

/* A request that a door understands: a HELLO that will not be followed up. */
static struct bytes make_hello(uint8_t out[static HELLO_BYTES_MAX])
{
    struct test_authority authority;
    struct knock knock = {.version = 0};
    station_authority(&authority);
    struct trust *trust = test_trust_make(&authority);
    const struct identity *identity =
        test_identity_make(&authority, "mallory", NULL);
    struct handshake_self self = {
        .identity = identity,
        .trust = trust,
        .entropy = posix_entropy(),
        .clock = posix_clock(),
        .incarnation = 1,
        .versions = {PROTOCOL_VERSION_MIN, PROTOCOL_VERSION_MAX},
    };
    struct writer hello = writer_of(out, HELLO_BYTES_MAX);
    knock_begin(&knock, &self, PROTOCOL_VERSION_MAX, &hello);
    knock_clear(&knock);
    trust_unref(&trust);
    identity_unref(&identity);
    return writer_bytes(&hello);
}

struct flood {
    const struct place *target;
    struct bytes hello;
    _Atomic bool is_over;
    _Atomic uint64_t hello_count;
};

static void *run_flood(void *argument)
{
    struct flood *flood = argument;
    while (!atomic_load(&flood->is_over)) {
        int fd = raw_connect(flood->target->host, flood->target->port);
        if (fd < 0) {
            continue;
        }
        bool is_open = true;
        for (int i = 0; is_open && i < 20; i++) {
            is_open = raw_send_packet(fd, flood->hello);
            atomic_fetch_add(&flood->hello_count, is_open);
        }
        close(fd);
    }
    return NULL;
}

/* Says nothing, nonsense, or half of what it should. */
static int attack(const struct place *target, unsigned kind)
{
    int fd = raw_connect(target->host, target->port);
    CHECK(fd >= 0);
    uint8_t noise[512];
    struct seeded seeded = {.state = kind};
    seeded_fill(&seeded, noise, sizeof noise);
    if (kind % 4 == 1) {
        (void)raw_send(fd, bytes_of(noise, sizeof noise));
    } else if (kind % 4 == 2) {
        (void)raw_send(fd, bytes_of("\x40\0\0", 3)); /* half a prefix */
    } else if (kind % 4 == 3) {
        (void)raw_send(fd, bytes_of("\x40\0\0\0T", 5)); /* the rest lacks */
    }
    return fd;
}

struct load_limit {
    const struct peer_process *process;
    unsigned descriptor_count_max;
};

static bool has_few_descriptors(void *context)
{
    const struct load_limit *limit = context;
    return peer_process_descriptor_count(limit->process) <=
           limit->descriptor_count_max;
}

static void lets_an_honest_peer_in_through_a_flood(void **state)
{
    (void)state;
    struct place alpha = place_take();
    struct place beta = place_take();
    scoped(peer_process_discard) struct peer_process *peer =
        start_peer(&(struct plan){.name = "beta",
                                  .serial = 20,
                                  .place = &beta,
                                  .peer = "alpha",
                                  .peer_place = &alpha,
                                  .door_connections = DOOR_CONNECTIONS});
    uint64_t resident_bytes = peer_process_resident_bytes(peer);
    unsigned descriptor_count = peer_process_descriptor_count(peer);
    int attackers[ATTACKER_COUNT];
    for (unsigned i = 0; i < ATTACKER_COUNT; i++) {
        attackers[i] = attack(&beta, i);
    }
    uint8_t hello[HELLO_BYTES_MAX];
    struct flood flood = {.target = &beta, .hello = make_hello(hello)};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run_flood, &flood) == 0);
    WAIT_FOR(flood.hello_count, FLOOD_COUNT);

    struct station_config config = {
        .name = "alpha",
        .serial = 10,
        .addresses = addresses_of(&alpha),
        .peers = {{.name = "beta", .door = beta.door}}};
    struct station *station = NULL;
    uint64_t begun_ms = test_now_ms();
    enum err err = station_open(&station, &config, NULL);
    bool is_linked = false;
    if (!err) {
        load_station(station, 0, 1000, mixed_sizes);
        struct goal goal = {&peer_process_tally(peer)->flows[TRAFFIC_DATA].last,
                            1000};
        is_linked = test_wait_ms(is_reached, &goal, HONEST_MS);
    }
    print_message("linked after %llu ms of flood, %llu HELLOs\n",
                  (unsigned long long)(test_now_ms() - begun_ms),
                  (unsigned long long)atomic_load(&flood.hello_count));
    atomic_store(&flood.is_over, true);
    (void)pthread_join(thread, NULL);
    station_close(&station);
    CHECK_OK(err);
    CHECK(is_linked);
    CHECK(peer_process_tally(peer)->door_hello >= FLOOD_COUNT / 10);
    CHECK(peer_process_resident_bytes(peer) <=
          resident_bytes + RESIDENT_SLACK_BYTES);
    /* Those that have greeted count for the door; of those that have not,
     * NNG drops each after ten seconds. */
    CHECK(peer_process_descriptor_count(peer) <=
          descriptor_count + ATTACKER_COUNT * 3 / 4 + DOOR_CONNECTIONS + 16);
    for (unsigned i = 0; i < ATTACKER_COUNT; i++) {
        close(attackers[i]);
    }
    struct load_limit limit = {peer, descriptor_count + 8};
    CHECK(test_wait(has_few_descriptors, &limit));
    CHECK(peer_process_close(&peer) == 0);
}

/* ---- garbage ---- */

/* What an attacker sends as packets; `is_cut`: the length promises more
 * than comes. */
struct garbage {
    size_t length;
    uint64_t promised; /* 0: as it is */
    uint8_t lane;      /* the second byte */
};

static void send_garbage(int fd,
                         const struct garbage *garbage,
                         const uint8_t *noise)
{
    uint8_t length[4];
    uint64_t promised = garbage->promised ? garbage->promised : garbage->length;
    put_u32(length, (uint32_t)promised);
    /* It may be closed before all is said. */
    (void)(raw_send(fd, bytes_of(length, sizeof length)) &&
           raw_send(fd, bytes_of(noise, garbage->length)));
}

static void drops_garbage_at_a_pair_listener_and_links_again(void **state)
{
    (void)state;
    struct place alpha = place_take();
    struct place beta = place_take();
    struct plan target = {.name = "beta",
                          .serial = 20,
                          .place = &beta,
                          .peer = "alpha",
                          .peer_place = &alpha,
                          .proof_ms = 500};
    struct plan honest = {.name = "alpha",
                          .serial = 10,
                          .place = &alpha,
                          .peer = "beta",
                          .peer_place = &beta};
    static const struct garbage all[] = {
        {.length = 0},
        {.length = 1},
        {.length = 47},
        {.length = 48, .lane = 0},
        {.length = 1000, .lane = 3},
        {.length = 1000, .lane = 99},
        {.length = 100000, .lane = 1},
        {.length = 1000, .promised = 900000},
        {.length = 1000, .promised = 2 * MIB},
        {.length = 1000, .promised = UINT64_MAX},
    };
    size_t noise_bytes = 100000;
    scoped(peer_process_discard) struct peer_process *peer =
        start_peer(&target);
    scoped(peer_process_discard) struct peer_process *other =
        start_peer(&honest);
    const struct traffic_tally *tally = peer_process_tally(peer);
    WAIT_FOR(tally->up, 1);
    /* Its listener stays, and now waits for the next. */
    peer_process_kill(other);
    WAIT_FOR(tally->down, 1);
    uint8_t *noise = malloc(noise_bytes);
    CHECK(noise);
    struct seeded seeded = {.state = 3};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        seeded_fill(&seeded, noise, noise_bytes);
        noise[1] = all[i].lane;
        int fd = raw_connect(beta.host, (uint16_t)(beta.port + 1));
        CHECK(fd >= 0);
        send_garbage(fd, &all[i], noise);
        CHECK(raw_is_closed(fd, 10000));
        close(fd);
    }
    free(noise);
    CHECK(tally->frames_refused >= 6);
    CHECK(peer_process_tell(peer, "look"));
    CHECK(tally->begun == 1 && wrong_count(tally) == 0);
    (void)peer_process_close(&other);
    other = start_peer(&honest);
    WAIT_FOR(tally->begun, 2);
    load_peer(other, 1000, mixed_sizes);
    WAIT_FOR(tally->flows[TRAFFIC_DATA].last, 1000);
    CHECK(peer_process_close(&peer) == 0);
}

static void refuses_garbage_at_the_door(void **state)
{
    (void)state;
    struct place alpha = place_take();
    struct place beta = place_take();
    scoped(peer_process_discard) struct peer_process *peer =
        start_peer(&(struct plan){.name = "beta",
                                  .serial = 20,
                                  .place = &beta,
                                  .peer = "alpha",
                                  .peer_place = &alpha});
    const struct traffic_tally *tally = peer_process_tally(peer);
    uint8_t noise[HANDSHAKE_BYTES_MAX + 100] = {0};
    uint8_t answer[4 + 3] = {0};
    struct seeded seeded = {.state = 9};
    seeded_fill(&seeded, noise, sizeof noise);
    noise[0] = 'T';
    noise[1] = PROTOCOL_VERSION_MAX;
    for (uint8_t kind = 0; kind < 8; kind++) {
        if (kind == HANDSHAKE_HELLO) {
            continue; /* an ephemeral key may be any bytes */
        }
        int fd = raw_connect(beta.host, beta.port);
        CHECK(fd >= 0);
        noise[2] = kind;
        CHECK(raw_send_packet(fd, bytes_of(noise, 40 + 200u * kind)));
        CHECK(raw_read(fd, answer, sizeof answer));
        CHECK(answer[4] == 'T' && answer[6] == HANDSHAKE_REFUSE);
        close(fd);
    }
    WAIT_FOR(tally->door_refused, 7);
    static const struct garbage all[] = {
        {.length = HANDSHAKE_BYTES_MAX + 100}, /* longer than it may be */
        {.length = 100, .promised = UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int fd = raw_connect(beta.host, beta.port);
        CHECK(fd >= 0);
        send_garbage(fd, &all[i], noise);
        CHECK(raw_is_closed(fd, 10000));
        close(fd);
    }
    CHECK(peer_process_tell(peer, "look"));
    CHECK(tally->door_refused == 7);
    CHECK(peer_process_close(&peer) == 0);
}

static bool is_known(const struct CMUnitTest *tests,
                     size_t count,
                     const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(tests[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_a_peer_that_is_killed_20_times_under_load),
        cmocka_unit_test(survives_a_peer_killed_amid_messages_of_16_mib),
        cmocka_unit_test(loses_nothing_when_the_connection_is_cut_200_times),
        cmocka_unit_test(goes_on_with_a_peer_that_was_stopped_for_long),
        cmocka_unit_test(refuses_an_older_certificate_while_the_newer_lives),
        cmocka_unit_test(prefers_a_newer_certificate_to_the_one_that_lives),
        cmocka_unit_test(does_not_knock_on_at_an_older_certificate),
        cmocka_unit_test(keeps_no_more_than_the_window_for_a_slow_reader),
        cmocka_unit_test(lets_an_honest_peer_in_through_a_flood),
        cmocka_unit_test(drops_garbage_at_a_pair_listener_and_links_again),
        cmocka_unit_test(refuses_garbage_at_the_door),
    };
    if (count < 2 || count > 3 ||
        (count == 3 &&
         !is_known(tests, sizeof tests / sizeof *tests, arguments[2]))) {
        (void)fprintf(stderr, "usage: link_process_test LINK_PEER [TEST]\n");
        return 2;
    }
    peer_program = arguments[1];
    cmocka_set_test_filter(arguments[2]);
    (void)signal(SIGPIPE, SIG_IGN); /* a peer may be gone */
    if (identity_library_init()) {
        return 1;
    }
    struct err_detail why = {{0}};
    if (posix_limits_check(
            &(struct posix_limits_needed){.descriptor_count = 1024}, &why)) {
        (void)fprintf(stderr, "%s\n", why.text);
        return 77; /* skipped */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
