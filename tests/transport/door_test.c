#include "tests/support/check.h"

#include <sodium.h>

#include "base/scope.h"
#include "base/time_units.h"
#include "tests/support/fake_clock.h"
#include "tests/support/seeded.h"
#include "tests/support/test_identity.h"
#include "tests/transport/fake_network.h"
#include "transport/door.h"

#define NOW_MS INT64_C(1795260600000)
#define VISIT_COUNT_MAX 4
#define WAITING_COUNT_MAX 64

struct fixture {
    struct test_authority authority;
    struct seeded random;
    struct entropy entropy;
    struct fake_clock clock;
    struct clock clock_table;
    struct trust *trust;
    const struct identity *identities[2]; /* of the peer and of the door */
    struct handshake_self selves[2];
    struct fake_network network;
    struct reactor *door_reactor;
    struct reactor *owner_reactor;
    struct door *door;

    /* Visits that wait for the owner's word. */
    struct door_visit *waiting[WAITING_COUNT_MAX];
    uint32_t waiting_count;
    uint32_t request_next;
};

static void decide(void *context, struct door_visit *visit)
{
    struct fixture *fixture = context;
    assert_true(fixture->waiting_count < WAITING_COUNT_MAX);
    fixture->waiting[fixture->waiting_count++] = visit;
}

static struct door_config config_of(struct fixture *fixture)
{
    return (struct door_config){
        .network = &fixture->network.table,
        .clock = &fixture->clock_table,
        .reactor = fixture->door_reactor,
        .owner_reactor = fixture->owner_reactor,
        .url = "fake://door",
        .handshake_ms = 5000,
        .connection_count_max = 77,
        .visit_count_max = VISIT_COUNT_MAX,
        .context = fixture,
        .decide = decide,
    };
}

static void open_reactor(struct fixture *fixture, struct reactor **out)
{
    CHECK_OK(
        reactor_open(out, &(struct reactor_config){
                              .name = "test", .clock = &fixture->clock_table}));
}

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.random = {.state = 5}, .request_next = 1};
    fixture.clock = (struct fake_clock){.now_ns = 1000, .wall_ms = NOW_MS};
    fixture.clock_table = fake_clock_table(&fixture.clock);
    fixture.entropy = seeded_entropy(&fixture.random);
    test_authority_init(&fixture.authority, 9, NOW_MS);
    fixture.trust = test_trust_make(&fixture.authority);
    static const char *const names[] = {"alpha", "beta"};
    for (int i = 0; i < 2; i++) {
        fixture.identities[i] =
            test_identity_make(&fixture.authority, names[i], NULL);
        fixture.selves[i] = (struct handshake_self){
            .identity = fixture.identities[i],
            .trust = fixture.trust,
            .entropy = &fixture.entropy,
            .clock = &fixture.clock_table,
            .incarnation = 100 + (uint64_t)i,
            .started_ms = NOW_MS,
            .versions = {.min = 1, .max = 1},
        };
    }
    fake_network_init(&fixture.network);
    open_reactor(&fixture, &fixture.door_reactor);
    open_reactor(&fixture, &fixture.owner_reactor);
    struct door_config config = config_of(&fixture);
    CHECK_OK(door_open(&fixture.door, &config, &fixture.selves[1]));
    *state = &fixture;
    return 0;
}

static void turn(struct fixture *fixture)
{
    (void)reactor_turn(fixture->owner_reactor);
    (void)reactor_turn(fixture->door_reactor);
}

/* The owner's word on all that wait. */
static void decide_all(struct fixture *fixture, enum err err)
{
    turn(fixture);
    for (uint32_t i = 0; i < fixture->waiting_count; i++) {
        struct door_visit *visit = fixture->waiting[i];
        visit->err = err;
        visit->session = 5;
        memcpy(visit->url, "fake://pair/1", sizeof "fake://pair/1");
        door_reply(visit);
    }
    fixture->waiting_count = 0;
    turn(fixture);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    decide_all(fixture, ERR_BUSY);
    door_close(&fixture->door);
    fake_network_clear(&fixture->network);
    CHECK(fixture->network.packet_count == 0);
    reactor_close(&fixture->door_reactor);
    reactor_close(&fixture->owner_reactor);
    trust_unref(&fixture->trust);
    identity_unref(&fixture->identities[0]);
    identity_unref(&fixture->identities[1]);
    return 0;
}

/* A copy of the answer to the newest request, which must be the only one. */
struct answer {
    uint8_t bytes[HANDSHAKE_BYTES_MAX];
    size_t length;
};

static struct answer take_answer(struct fixture *fixture, uint32_t request)
{
    struct fake_network *network = &fixture->network;
    assert_int_equal(network->sent_count, 1);
    assert_int_equal(network->sent[0].pipe, request);
    struct answer answer = {.length = network->sent[0].packet->length};
    assert_true(answer.length <= sizeof answer.bytes);
    memcpy(answer.bytes, network->sent[0].packet->data, answer.length);
    fake_network_clear(network);
    return answer;
}

static uint32_t ask(struct fixture *fixture, struct bytes request)
{
    uint32_t number = fixture->request_next++;
    fake_network_give(&fixture->network, number, request.data, request.length);
    return number;
}

static void say_hello(struct fixture *fixture,
                      struct knock *knock,
                      struct answer *cookie)
{
    uint8_t raw[HANDSHAKE_BYTES_MAX];
    struct writer out = writer_of(raw, sizeof raw);
    knock_begin(knock, &fixture->selves[0], 1, &out);
    *cookie = take_answer(fixture, ask(fixture, writer_bytes(&out)));
}

static void make_proof(struct fixture *fixture,
                       struct knock *knock,
                       struct answer *proof)
{
    struct answer cookie;
    say_hello(fixture, knock, &cookie);
    struct writer out = writer_of(proof->bytes, sizeof proof->bytes);
    struct knock_wish wish = {.name = "beta"};
    struct err_detail why = {{0}};
    CHECK_OK(knock_prove(knock, &fixture->selves[0], &wish,
                         bytes_of(cookie.bytes, cookie.length), &out, &why));
    proof->length = writer_bytes(&out).length;
}

static uint32_t give_proof(struct fixture *fixture, const struct answer *proof)
{
    return ask(fixture, bytes_of(proof->bytes, proof->length));
}

/* What the door says to a knock that has come so far. */
static enum err verdict(struct fixture *fixture,
                        struct knock *knock,
                        uint32_t request)
{
    struct answer answer = take_answer(fixture, request);
    struct knock_grant grant;
    return knock_finish(knock, bytes_of(answer.bytes, answer.length), &grant);
}

static void get_in(struct fixture *fixture)
{
    struct knock knock;
    struct answer proof;
    make_proof(fixture, &knock, &proof);
    uint32_t request = give_proof(fixture, &proof);
    CHECK(fixture->network.sent_count == 0); /* the owner decides */
    decide_all(fixture, ERR_NONE);
    CHECK_OK(verdict(fixture, &knock, request));
}

static void listens_with_the_limits_it_was_given(void **state)
{
    struct fixture *fixture = *state;
    const struct socket *socket = &fixture->network.socket;
    CHECK(fixture->network.is_open);
    assert_string_equal(socket->url, "fake://door");
    CHECK(socket->config.kind == SOCKET_DOOR);
    CHECK(socket->config.message_bytes_max == HANDSHAKE_BYTES_MAX);
    CHECK(socket->config.connection_count_max == 77);
}

static void does_not_open_where_somebody_else_listens(void **state)
{
    struct fixture *fixture = *state;
    struct fake_network other;
    fake_network_init(&other);
    other.listen_err = ERR_IN_USE;
    struct door_config config = config_of(fixture);
    config.network = &other.table;
    struct door *door = NULL;
    CHECK_ERR(door_open(&door, &config, &fixture->selves[1]), ERR_IN_USE);
    CHECK(!door && !other.is_open);
}

static void lets_an_honest_peer_in(void **state)
{
    struct fixture *fixture = *state;
    for (uint64_t i = 1; i <= 20; i++) {
        get_in(fixture);
        CHECK(atomic_load(&door_stats(fixture->door)->hello_count) == i);
        CHECK(atomic_load(&door_stats(fixture->door)->admitted_count) == i);
    }
    CHECK(atomic_load(&door_stats(fixture->door)->refused_count) == 0);
    CHECK(door_is_idle(fixture->door));
}

static void tells_the_owner_who_has_come(void **state)
{
    struct fixture *fixture = *state;
    struct knock knock;
    struct answer proof;
    make_proof(fixture, &knock, &proof);
    uint32_t request = give_proof(fixture, &proof);
    turn(fixture);
    CHECK(fixture->waiting_count == 1 && !door_is_idle(fixture->door));
    const struct handshake_remote *remote =
        &fixture->waiting[0]->visitor.remote;
    assert_string_equal(remote->certificate.name, "alpha");
    CHECK(remote->incarnation == 100);
    decide_all(fixture, ERR_SUPERSEDED);
    CHECK_ERR(verdict(fixture, &knock, request), ERR_SUPERSEDED);
    CHECK(atomic_load(&door_stats(fixture->door)->refused_count) == 1);
}

static void a_flood_of_half_open_handshakes_holds_nothing(void **state)
{
    struct fixture *fixture = *state;
    uint32_t packets = fixture->network.packet_count;
    for (int i = 0; i < 400; i++) {
        struct knock knock;
        struct answer cookie;
        say_hello(fixture, &knock, &cookie);
        CHECK(cookie.bytes[2] == HANDSHAKE_COOKIE);
        CHECK(door_is_idle(fixture->door));
        CHECK(fixture->network.packet_count == packets);
    }
    CHECK(atomic_load(&door_stats(fixture->door)->hello_count) == 400);
    get_in(fixture);
}

static void junk_that_looks_like_a_proof_takes_nobodys_place(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 2000; i++) {
        uint8_t junk[HANDSHAKE_COOKIE_BYTES + 300];
        seeded_fill(&fixture->random, junk, sizeof junk);
        junk[0] = 'T';
        junk[1] = 1;
        junk[2] = HANDSHAKE_PROOF;
        uint32_t request = ask(fixture, bytes_of(junk, sizeof junk));
        struct answer answer = take_answer(fixture, request);
        CHECK(answer.bytes[2] == HANDSHAKE_REFUSE);
        CHECK(door_is_idle(fixture->door));
    }
    get_in(fixture);
}

static void refuses_a_proof_that_comes_again(void **state)
{
    struct fixture *fixture = *state;
    struct knock knock;
    struct answer proof;
    make_proof(fixture, &knock, &proof);
    uint32_t request = give_proof(fixture, &proof);
    struct knock copy = knock;
    CHECK_ERR(verdict(fixture, &copy, give_proof(fixture, &proof)), ERR_FORGED);
    decide_all(fixture, ERR_NONE);
    copy = knock;
    CHECK_OK(verdict(fixture, &copy, request));
    for (int i = 0; i < 5; i++) {
        copy = knock;
        CHECK_ERR(verdict(fixture, &copy, give_proof(fixture, &proof)),
                  ERR_FORGED);
        fixture->clock.now_ns += 900 * NS_PER_MS;
    }
    CHECK(atomic_load(&door_stats(fixture->door)->replayed_count) == 6);
    CHECK(atomic_load(&door_stats(fixture->door)->admitted_count) == 1);
    fixture->clock.now_ns += 5000 * NS_PER_MS;
    copy = knock;
    CHECK_ERR(verdict(fixture, &copy, give_proof(fixture, &proof)),
              ERR_TIMEOUT);
    CHECK(atomic_load(&door_stats(fixture->door)->replayed_count) == 6);
}

static void replays_are_known_among_many_handshakes(void **state)
{
    struct fixture *fixture = *state;
    struct knock knocks[30];
    struct answer proofs[30];
    for (int i = 0; i < 30; i++) {
        make_proof(fixture, &knocks[i], &proofs[i]);
        uint32_t request = give_proof(fixture, &proofs[i]);
        decide_all(fixture, ERR_NONE);
        struct knock copy = knocks[i];
        CHECK_OK(verdict(fixture, &copy, request));
        fixture->clock.now_ns += 100 * NS_PER_MS;
    }
    for (int i = 0; i < 30; i++) {
        CHECK_ERR(verdict(fixture, &knocks[i], give_proof(fixture, &proofs[i])),
                  ERR_FORGED);
    }
    CHECK(atomic_load(&door_stats(fixture->door)->replayed_count) == 30);
}

static void refuses_more_visits_than_may_wait(void **state)
{
    struct fixture *fixture = *state;
    struct knock knocks[VISIT_COUNT_MAX + 1];
    uint32_t requests[VISIT_COUNT_MAX + 1];
    for (int i = 0; i <= VISIT_COUNT_MAX; i++) {
        struct answer proof;
        make_proof(fixture, &knocks[i], &proof);
        requests[i] = give_proof(fixture, &proof);
        if (i < VISIT_COUNT_MAX) {
            CHECK(fixture->network.sent_count == 0);
        }
    }
    CHECK_ERR(
        verdict(fixture, &knocks[VISIT_COUNT_MAX], requests[VISIT_COUNT_MAX]),
        ERR_BUSY);
    decide_all(fixture, ERR_NONE);
    CHECK(fixture->network.sent_count == VISIT_COUNT_MAX);
    for (uint32_t i = 0; i < VISIT_COUNT_MAX; i++) {
        CHECK(fixture->network.sent[i].pipe == requests[i]);
        CHECK(fixture->network.sent[i].packet->data[2] == HANDSHAKE_ACCEPT);
    }
    fake_network_clear(&fixture->network);
    get_in(fixture);
}

static void answers_every_request_exactly_once(void **state)
{
    struct fixture *fixture = *state;
    for (size_t length = 0; length < 700; length++) {
        uint8_t junk[700];
        seeded_fill(&fixture->random, junk, sizeof junk);
        junk[0] = length % 5 ? 'T' : junk[0];
        junk[1] = length % 7 ? 1 : junk[1];
        junk[2] = (uint8_t)(length % 6);
        uint32_t request = ask(fixture, bytes_of(junk, length));
        turn(fixture);
        (void)take_answer(fixture, request);
    }
    CHECK(fixture->waiting_count == 0);
}

static void says_which_versions_it_knows(void **state)
{
    struct fixture *fixture = *state;
    uint8_t hello[35] = {'T', 9, HANDSHAKE_HELLO};
    uint32_t request = ask(fixture, bytes_of(hello, sizeof hello));
    struct answer answer = take_answer(fixture, request);
    static const uint8_t expected[] = {'T', 1, HANDSHAKE_REFUSE, 1, 1, 1};
    CHECK(answer.length == sizeof expected);
    assert_memory_equal(answer.bytes, expected, sizeof expected);
}

static void refuses_a_peer_whose_certificate_is_bad(void **state)
{
    struct fixture *fixture = *state;
    struct test_identity_options expired = {.is_expired = true};
    scoped(identity_unref) const struct identity *identity =
        test_identity_make(&fixture->authority, "alpha", &expired);
    fixture->selves[0].identity = identity;
    struct knock knock;
    struct answer proof;
    make_proof(fixture, &knock, &proof);
    CHECK_ERR(verdict(fixture, &knock, give_proof(fixture, &proof)),
              ERR_EXPIRED);
    CHECK(door_is_idle(fixture->door));
}

static void uses_another_trust_as_soon_as_it_is_told(void **state)
{
    struct fixture *fixture = *state;
    get_in(fixture);
    scoped(trust_unref) struct trust *trust = test_trust_revoke(
        &fixture->authority, fixture->identities[0]->certificate.serial);
    struct handshake_self self = fixture->selves[1];
    self.trust = trust;
    CHECK_OK(door_set_self(fixture->door, &self));
    CHECK(!door_is_idle(fixture->door)); /* until its reactor has turned */
    turn(fixture);
    CHECK(door_is_idle(fixture->door));
    struct knock knock;
    struct answer proof;
    make_proof(fixture, &knock, &proof);
    CHECK_ERR(verdict(fixture, &knock, give_proof(fixture, &proof)),
              ERR_REVOKED);
}

static void drops_the_line_when_there_is_no_memory_to_answer(void **state)
{
    struct fixture *fixture = *state;
    fixture->network.has_no_memory = true;
    uint8_t junk[10] = {0};
    (void)ask(fixture, bytes_of(junk, sizeof junk));
    CHECK(fixture->network.sent_count == 0);
    CHECK(fixture->network.drop_count == 1);
    fixture->network.has_no_memory = false;
    get_in(fixture);
}

static void visits_under_way_end_quietly_when_it_shuts(void **state)
{
    struct fixture *fixture = *state;
    struct knock knock;
    struct answer proof;
    make_proof(fixture, &knock, &proof);
    (void)give_proof(fixture, &proof);
    door_shut(fixture->door);
    CHECK(!door_is_idle(fixture->door));
    decide_all(fixture, ERR_NONE);
    CHECK(door_is_idle(fixture->door));
    CHECK(fixture->network.sent_count == 0);
}

static int set_up_group(void **state)
{
    (void)state;
    return identity_library_init() ? -1 : 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(listens_with_the_limits_it_was_given),
        TEST(does_not_open_where_somebody_else_listens),
        TEST(lets_an_honest_peer_in),
        TEST(tells_the_owner_who_has_come),
        TEST(a_flood_of_half_open_handshakes_holds_nothing),
        TEST(junk_that_looks_like_a_proof_takes_nobodys_place),
        TEST(refuses_a_proof_that_comes_again),
        TEST(replays_are_known_among_many_handshakes),
        TEST(refuses_more_visits_than_may_wait),
        TEST(answers_every_request_exactly_once),
        TEST(says_which_versions_it_knows),
        TEST(refuses_a_peer_whose_certificate_is_bad),
        TEST(uses_another_trust_as_soon_as_it_is_told),
        TEST(drops_the_line_when_there_is_no_memory_to_answer),
        TEST(visits_under_way_end_quietly_when_it_shuts),
    };
    return cmocka_run_group_tests(tests, set_up_group, NULL);
}
