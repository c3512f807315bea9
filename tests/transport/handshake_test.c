#include "tests/support/check.h"

#include <stdlib.h>

#include "base/scope.h"
#include "tests/support/fake_clock.h"
#include "tests/support/seeded.h"
#include "tests/support/test_identity.h"
#include "transport/handshake.h"

#define NOW_MS INT64_C(1795260600000)
#define SKEW_MS 60000
#define COOKIE_LIFE_NS UINT64_C(5000000000)

struct message {
    uint8_t bytes[HANDSHAKE_BYTES_MAX];
    size_t length;
};

/* [0] knocks, [1] is the door. */
struct fixture {
    struct test_authority authority;
    struct seeded random;
    struct entropy entropy;
    struct fake_clock clocks[2];
    struct clock tables[2];
    struct trust *trusts[2];
    const struct identity *identities[2];
    struct handshake_self selves[2];
    uint8_t door_key[DOOR_KEY_BYTES];
    struct knock_wish wish;

    /* What has passed. */
    struct message hello, cookie, proof, accept;
    struct knock knock;
    struct handshake_visitor visitor;
    struct knock_grant grant;
    struct err_detail why;
};

static void set_self(struct fixture *fixture, int i)
{
    fixture->tables[i] = fake_clock_table(&fixture->clocks[i]);
    fixture->selves[i] = (struct handshake_self){
        .identity = fixture->identities[i],
        .trust = fixture->trusts[i],
        .entropy = &fixture->entropy,
        .clock = &fixture->tables[i],
        .clock_skew_ms_max = SKEW_MS,
        .incarnation = 1000 + (uint64_t)i,
        .started_ms = NOW_MS - 5,
        .versions = {.min = 1, .max = 1},
    };
}

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.random = {.state = 3}};
    test_authority_init(&fixture.authority, 7, NOW_MS);
    fixture.entropy = seeded_entropy(&fixture.random);
    static const char *const names[] = {"alpha", "beta"};
    for (int i = 0; i < 2; i++) {
        fixture.clocks[i] =
            (struct fake_clock){.now_ns = 1000, .wall_ms = NOW_MS};
        fixture.trusts[i] = test_trust_make(&fixture.authority);
        fixture.identities[i] =
            test_identity_make(&fixture.authority, names[i], NULL);
        set_self(&fixture, i);
    }
    seeded_fill(&fixture.random, fixture.door_key, DOOR_KEY_BYTES);
    fixture.wish = (struct knock_wish){.name = "beta"};
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    knock_clear(&fixture->knock);
    for (int i = 0; i < 2; i++) {
        trust_unref(&fixture->trusts[i]);
        identity_unref(&fixture->identities[i]);
    }
    return 0;
}

/* Another identity for one side. */
static void use_identity(struct fixture *fixture,
                         int i,
                         const char *name,
                         const struct test_identity_options *options)
{
    identity_unref(&fixture->identities[i]);
    fixture->identities[i] =
        test_identity_make(&fixture->authority, name, options);
    fixture->selves[i].identity = fixture->identities[i];
}

static struct writer into(struct message *message)
{
    message->length = 0;
    return writer_of(message->bytes, sizeof message->bytes);
}

static struct bytes bytes_in(const struct message *message)
{
    return bytes_of(message->bytes, message->length);
}

static void say_hello(struct fixture *fixture)
{
    struct writer out = into(&fixture->hello);
    knock_begin(&fixture->knock, &fixture->selves[0],
                fixture->selves[0].versions.max, &out);
    fixture->hello.length = writer_bytes(&out).length;
}

/* In memory of its own: reading past the end is then found. */
static uint8_t *exact(const struct message *message)
{
    uint8_t *copy = malloc(message->length + 1);
    assert_non_null(copy);
    memcpy(copy + 1, message->bytes, message->length);
    return copy;
}

static enum err answer_hello(struct fixture *fixture)
{
    uint8_t *copy = exact(&fixture->hello);
    struct bytes request = bytes_of(copy + 1, fixture->hello.length);
    enum handshake_kind kind = HANDSHAKE_REFUSE;
    struct writer out = into(&fixture->cookie);
    enum err err = handshake_kind_of(&kind, &fixture->selves[1], request);
    if (!err && kind != HANDSHAKE_HELLO) {
        err = ERR_MALFORMED;
    }
    if (!err) {
        err = handshake_answer(&fixture->selves[1], fixture->door_key,
                               fixture->clocks[1].now_ns + COOKIE_LIFE_NS,
                               request, &out);
    }
    fixture->cookie.length = writer_bytes(&out).length;
    free(copy);
    return err;
}

static enum err prove(struct fixture *fixture)
{
    uint8_t *copy = exact(&fixture->cookie);
    struct writer out = into(&fixture->proof);
    fixture->why = (struct err_detail){{0}};
    enum err err = knock_prove(
        &fixture->knock, &fixture->selves[0], &fixture->wish,
        bytes_of(copy + 1, fixture->cookie.length), &out, &fixture->why);
    fixture->proof.length = writer_bytes(&out).length;
    free(copy);
    return err;
}

static enum err admit(struct fixture *fixture)
{
    uint8_t *copy = exact(&fixture->proof);
    struct bytes request = bytes_of(copy + 1, fixture->proof.length);
    enum handshake_kind kind = HANDSHAKE_REFUSE;
    fixture->why = (struct err_detail){{0}};
    enum err err = handshake_kind_of(&kind, &fixture->selves[1], request);
    if (!err && kind != HANDSHAKE_PROOF) {
        err = ERR_MALFORMED;
    }
    if (!err) {
        err = handshake_admit(&fixture->selves[1], fixture->door_key,
                              fixture->clocks[1].now_ns, request,
                              &fixture->visitor, &fixture->why);
    }
    free(copy);
    return err;
}

static void grant(struct fixture *fixture, uint64_t session, bool is_resumed)
{
    struct writer out = into(&fixture->accept);
    struct handshake_grant grant = {.session = session,
                                    .is_resumed = is_resumed,
                                    .url = "tcp://10.0.0.2:7702"};
    handshake_accept(&fixture->visitor, &grant, &out);
    fixture->accept.length = writer_bytes(&out).length;
}

static enum err finish(struct fixture *fixture)
{
    uint8_t *copy = exact(&fixture->accept);
    enum err err = knock_finish(&fixture->knock,
                                bytes_of(copy + 1, fixture->accept.length),
                                &fixture->grant);
    free(copy);
    return err;
}

/* As far as it goes; the door's grant is always of session 99. */
static enum err shake_hands(struct fixture *fixture)
{
    say_hello(fixture);
    enum err err = answer_hello(fixture);
    if (!err) {
        err = prove(fixture);
    }
    if (!err) {
        err = admit(fixture);
    }
    if (!err) {
        grant(fixture, 99, false);
        err = finish(fixture);
    }
    return err;
}

/* ---- the ordinary course ---- */

static void both_sides_get_the_same_session(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(shake_hands(fixture));
    struct link_session door = {0};
    handshake_session(&fixture->visitor, 99, &door);
    const struct link_session *peer = &fixture->grant.session;
    CHECK(peer->id == 99 && door.id == 99);
    CHECK(peer->version == 1 && door.version == 1);
    assert_memory_equal(peer->send_root, door.receive_root, SEAL_KEY_BYTES);
    assert_memory_equal(peer->receive_root, door.send_root, SEAL_KEY_BYTES);
    assert_memory_not_equal(peer->send_root, peer->receive_root,
                            SEAL_KEY_BYTES);
    CHECK(!fixture->grant.is_resumed);
    assert_string_equal(fixture->grant.url, "tcp://10.0.0.2:7702");
}

static void each_side_knows_who_the_other_is(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(shake_hands(fixture));
    const struct handshake_remote *door = &fixture->knock.remote;
    const struct handshake_remote *peer = &fixture->visitor.remote;
    assert_string_equal(door->certificate.name, "beta");
    assert_string_equal(peer->certificate.name, "alpha");
    CHECK(door->incarnation == 1001 && peer->incarnation == 1000);
    CHECK(door->started_ms == NOW_MS - 5 && peer->started_ms == NOW_MS - 5);
    CHECK(peer->versions.min == 1 && peer->versions.max == 1);
    CHECK(fixture->visitor.resume == 0);
    CHECK(fixture->visitor.cookie_expires_ns == 1000 + COOKIE_LIFE_NS);
}

static void no_two_handshakes_give_the_same_keys(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(shake_hands(fixture));
    struct link_session first = fixture->grant.session;
    uint64_t cookie_id = fixture->visitor.cookie_id;
    CHECK_OK(shake_hands(fixture));
    assert_memory_not_equal(first.send_root, fixture->grant.session.send_root,
                            SEAL_KEY_BYTES);
    CHECK(fixture->visitor.cookie_id != cookie_id);
}

static void a_session_may_be_resumed(void **state)
{
    struct fixture *fixture = *state;
    fixture->wish.resume = 77;
    say_hello(fixture);
    CHECK_OK(answer_hello(fixture));
    CHECK_OK(prove(fixture));
    CHECK_OK(admit(fixture));
    CHECK(fixture->visitor.resume == 77);
    grant(fixture, 77, true);
    CHECK_OK(finish(fixture));
    CHECK(fixture->grant.is_resumed && fixture->grant.session.id == 77);
}

static void no_message_is_longer_than_it_may_be(void **state)
{
    struct fixture *fixture = *state;
    char name[CERTIFICATE_NAME_BYTES];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    char pools[CERTIFICATE_POOLS_BYTES];
    for (size_t i = 0; i < sizeof pools; i++) {
        pools[i] = i % 60 == 59 ? ',' : 'p';
    }
    pools[sizeof pools - 1] = '\0';
    struct test_identity_options longest = {.role = ROLE_CLIENT,
                                            .pools = pools};
    use_identity(fixture, 0, name, &longest);
    CHECK_OK(shake_hands(fixture));
    assert_string_equal(fixture->visitor.remote.certificate.name, name);
    assert_string_equal(fixture->visitor.remote.certificate.pools, pools);
}

static void clients_operators_and_observers_may_knock(void **state)
{
    struct fixture *fixture = *state;
    for (enum role role = ROLE_CLIENT; role < ROLE_COUNT; role++) {
        struct test_identity_options options = {.role = role};
        use_identity(fixture, 0, "somebody", &options);
        CHECK_OK(shake_hands(fixture));
        CHECK(fixture->visitor.remote.certificate.role == role);
    }
}

/* ---- certificates ---- */

static const struct {
    struct test_identity_options options;
    enum err err;
} troubles[] = {
    {{.is_expired = true}, ERR_EXPIRED},
    {{.is_not_yet_valid = true}, ERR_NOT_YET_VALID},
    {{.is_of_other_cluster = true}, ERR_OTHER_CLUSTER},
    {{.is_forged = true}, ERR_FORGED},
};

#define TROUBLE_COUNT (sizeof troubles / sizeof troubles[0])

static void the_knocker_refuses_a_door_with_a_bad_certificate(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < TROUBLE_COUNT; i++) {
        use_identity(fixture, 1, "beta", &troubles[i].options);
        say_hello(fixture);
        CHECK_OK(answer_hello(fixture));
        CHECK_ERR(prove(fixture), troubles[i].err);
        CHECK(fixture->why.text[0] != '\0');
        CHECK(fixture->proof.length == 0); /* it does not say who it is */
    }
}

static void the_door_refuses_a_peer_with_a_bad_certificate(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < TROUBLE_COUNT; i++) {
        use_identity(fixture, 0, "alpha", &troubles[i].options);
        say_hello(fixture);
        CHECK_OK(answer_hello(fixture));
        CHECK_OK(prove(fixture));
        CHECK_ERR(admit(fixture), troubles[i].err);
        CHECK(fixture->why.text[0] != '\0');
    }
}

static void each_side_refuses_a_revoked_certificate(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 2; i++) {
        uint64_t serial = fixture->identities[1 - i]->certificate.serial;
        scoped(trust_unref) struct trust *trust =
            test_trust_revoke(&fixture->authority, serial);
        fixture->selves[i].trust = trust;
        CHECK_ERR(shake_hands(fixture), ERR_REVOKED);
        fixture->selves[i].trust = fixture->trusts[i];
    }
    CHECK_OK(shake_hands(fixture));
}

static void only_a_node_may_answer_a_door(void **state)
{
    struct fixture *fixture = *state;
    for (enum role role = ROLE_CLIENT; role < ROLE_COUNT; role++) {
        struct test_identity_options options = {.role = role};
        use_identity(fixture, 1, "beta", &options);
        CHECK_ERR(shake_hands(fixture), ERR_DENIED);
        fixture->wish.name = NULL;
        CHECK_ERR(shake_hands(fixture), ERR_DENIED);
        fixture->wish.name = "beta";
    }
}

static void the_door_must_be_the_one_that_was_asked_for(void **state)
{
    struct fixture *fixture = *state;
    fixture->wish.name = "gamma";
    CHECK_ERR(shake_hands(fixture), ERR_WRONG_NAME);
    CHECK(strstr(fixture->why.text, "beta"));
    CHECK(strstr(fixture->why.text, "gamma"));
    fixture->wish.name = NULL; /* anyone */
    CHECK_OK(shake_hands(fixture));
}

static void a_stolen_certificate_without_its_key_is_of_no_use(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 2; i++) {
        struct identity stolen = *fixture->identities[i];
        stolen.secret = fixture->identities[1 - i]->secret;
        fixture->selves[i].identity = &stolen;
        CHECK_ERR(shake_hands(fixture), ERR_FORGED);
        CHECK(strstr(fixture->why.text, "key"));
        fixture->selves[i].identity = fixture->identities[i];
    }
}

static void a_wrong_clock_is_forgiven_within_the_skew_only(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 2; i++) {
        const struct certificate *other =
            &fixture->identities[1 - i]->certificate;
        int64_t begin_ms = other->not_before * 1000;
        int64_t end_ms = other->not_after * 1000;
        fixture->clocks[i].wall_ms = end_ms + SKEW_MS - 1000;
        CHECK_OK(shake_hands(fixture));
        fixture->clocks[i].wall_ms = end_ms + SKEW_MS + 1000;
        CHECK_ERR(shake_hands(fixture), ERR_EXPIRED);
        fixture->clocks[i].wall_ms = begin_ms - SKEW_MS + 1000;
        CHECK_OK(shake_hands(fixture));
        fixture->clocks[i].wall_ms = begin_ms - SKEW_MS - 1000;
        CHECK_ERR(shake_hands(fixture), ERR_NOT_YET_VALID);
        fixture->clocks[i].wall_ms = NOW_MS;
    }
}

/* ---- versions ---- */

/* As peer.c does: knock with the newest; when refused, with the newest that
 * both have. */
static enum err agree(struct fixture *fixture, uint8_t *version)
{
    enum err err = shake_hands(fixture);
    if (err != ERR_VERSION) {
        *version = fixture->knock.version;
        return err;
    }
    struct writer out = into(&fixture->cookie);
    handshake_refuse(&fixture->selves[1], ERR_VERSION, &out);
    fixture->cookie.length = writer_bytes(&out).length;
    CHECK_ERR(prove(fixture), ERR_VERSION);
    uint8_t common = fixture->knock.remote.versions.max;
    const struct version_range *ours = &fixture->selves[0].versions;
    common = common < ours->max ? common : ours->max;
    if (common < ours->min || common < fixture->knock.remote.versions.min) {
        return ERR_VERSION;
    }
    out = into(&fixture->hello);
    knock_begin(&fixture->knock, &fixture->selves[0], common, &out);
    fixture->hello.length = writer_bytes(&out).length;
    CHECK_OK(answer_hello(fixture));
    CHECK_OK(prove(fixture));
    CHECK_OK(admit(fixture));
    grant(fixture, 99, false);
    *version = fixture->visitor.version;
    return finish(fixture);
}

static void neighbouring_releases_agree_on_the_newest_they_share(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        struct version_range peer, door;
        uint8_t agreed; /* 0: none */
    } cases[] = {
        {{1, 1}, {1, 1}, 1}, {{1, 2}, {1, 1}, 1}, {{1, 1}, {1, 2}, 1},
        {{1, 2}, {1, 2}, 2}, {{1, 2}, {2, 3}, 2}, {{2, 3}, {1, 2}, 2},
        {{4, 9}, {2, 5}, 5}, {{1, 1}, {2, 3}, 0}, {{2, 3}, {1, 1}, 0},
        {{7, 8}, {1, 6}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fixture->selves[0].versions = cases[i].peer;
        fixture->selves[1].versions = cases[i].door;
        uint8_t agreed = 0;
        enum err err = agree(fixture, &agreed);
        if (cases[i].agreed == 0) {
            CHECK_ERR(err, ERR_VERSION);
            continue;
        }
        CHECK_OK(err);
        CHECK(agreed == cases[i].agreed);
        CHECK(fixture->grant.session.version == cases[i].agreed);
    }
}

/* Somebody in between says that the door knows only the old version. */
static void nobody_in_between_can_lower_the_version(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 2; i++) {
        fixture->selves[i].versions = (struct version_range){1, 2};
    }
    struct handshake_self liar = fixture->selves[1];
    liar.versions = (struct version_range){1, 1};
    say_hello(fixture);
    struct writer out = into(&fixture->cookie);
    handshake_refuse(&liar, ERR_VERSION, &out);
    fixture->cookie.length = writer_bytes(&out).length;
    CHECK_ERR(prove(fixture), ERR_VERSION);
    CHECK(fixture->knock.remote.versions.max == 1);

    out = into(&fixture->hello);
    knock_begin(&fixture->knock, &fixture->selves[0], 1, &out);
    fixture->hello.length = writer_bytes(&out).length;
    CHECK_OK(answer_hello(fixture));
    CHECK_ERR(prove(fixture), ERR_FORGED);
    CHECK(strstr(fixture->why.text, "version"));
}

static void the_door_too_notices_a_version_that_was_lowered(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 2; i++) {
        fixture->selves[i].versions = (struct version_range){1, 1};
    }
    say_hello(fixture);
    CHECK_OK(answer_hello(fixture));
    fixture->selves[0].versions.max = 2; /* it could have done better, */
    CHECK_OK(prove(fixture));
    CHECK_OK(admit(fixture));
    fixture->selves[1].versions.max = 2; /* and so could the door */
    CHECK_ERR(admit(fixture), ERR_FORGED);
    CHECK(strstr(fixture->why.text, "version"));
}

static void the_version_is_part_of_what_is_agreed_on(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 2; i++) {
        fixture->selves[i].versions = (struct version_range){1, 2};
    }
    say_hello(fixture);
    fixture->hello.bytes[1] = 1; /* on the wire */
    CHECK_OK(answer_hello(fixture));
    CHECK_ERR(prove(fixture), ERR_MALFORMED);
    fixture->cookie.bytes[1] = 2;
    say_hello(fixture);
    fixture->hello.bytes[1] = 1;
    CHECK_OK(answer_hello(fixture));
    fixture->cookie.bytes[1] = 2;
    CHECK_ERR(prove(fixture), ERR_FORGED);
}

/* ---- what was altered, cut, or comes again ---- */

static void refuses_every_message_with_a_flipped_byte(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(shake_hands(fixture));
    size_t lengths[] = {fixture->hello.length, fixture->cookie.length,
                        fixture->proof.length, fixture->accept.length};
    for (int which = 0; which < 4; which++) {
        for (size_t at = 0; at < lengths[which]; at++) {
            uint8_t bit = (uint8_t)(1 << at % 8);
            struct fixture *f = fixture;
            say_hello(f);
            f->hello.bytes[at] ^= which == 0 ? bit : 0;
            enum err err = answer_hello(f);
            if (!err) {
                f->cookie.bytes[at] ^= which == 1 ? bit : 0;
                err = prove(f);
            }
            if (!err) {
                f->proof.bytes[at] ^= which == 2 ? bit : 0;
                err = admit(f);
            }
            if (!err) {
                grant(f, 99, false);
                f->accept.bytes[at] ^= which == 3 ? bit : 0;
                err = finish(f);
            }
            CHECK(err == ERR_MALFORMED || err == ERR_FORGED ||
                  (err == ERR_VERSION && which == 0 && at == 1) ||
                  (err == ERR_VERSION && which == 2 && at == 1));
        }
    }
}

static void refuses_every_message_that_is_cut(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(shake_hands(fixture));
    struct fixture *f = fixture;
    for (size_t length = 0; length < f->hello.length; length++) {
        struct message whole = f->hello;
        f->hello.length = length;
        CHECK_ERR(answer_hello(f), ERR_MALFORMED);
        f->hello = whole;
    }
    say_hello(f);
    CHECK_OK(answer_hello(f));
    struct knock knock = f->knock;
    struct message cookie = f->cookie;
    for (size_t length = 0; length < cookie.length; length++) {
        f->knock = knock;
        f->cookie.length = length;
        enum err err = prove(f);
        CHECK(err == ERR_MALFORMED || err == ERR_FORGED);
    }
    f->knock = knock;
    f->cookie = cookie;
    CHECK_OK(prove(f));
    struct message proof = f->proof;
    for (size_t length = 0; length < proof.length; length++) {
        f->proof.length = length;
        enum err err = admit(f);
        CHECK(err == ERR_MALFORMED || err == ERR_FORGED);
    }
    f->proof = proof;
    CHECK_OK(admit(f));
    grant(f, 99, false);
    knock = f->knock;
    struct message accept = f->accept;
    for (size_t length = 0; length < accept.length; length++) {
        f->knock = knock;
        f->accept.length = length;
        enum err err = finish(f);
        CHECK(err == ERR_MALFORMED || err == ERR_FORGED);
    }
    f->knock = knock;
    f->accept = accept;
    CHECK_OK(finish(f));
}

static void refuses_messages_of_the_greatest_length(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(shake_hands(fixture));
    struct message *messages[] = {&fixture->hello, &fixture->cookie,
                                  &fixture->proof, &fixture->accept};
    enum err (*const readers[])(struct fixture *) = {answer_hello, prove, admit,
                                                     finish};
    for (int i = 0; i < 4; i++) {
        say_hello(fixture);
        struct message hello = fixture->hello;
        messages[i]->length = HANDSHAKE_BYTES_MAX;
        if (i == 3) { /* it needs a knock that has proven itself */
            fixture->hello = hello;
            CHECK_OK(answer_hello(fixture));
            CHECK_OK(prove(fixture));
        }
        enum err err = readers[i](fixture);
        CHECK(err == ERR_MALFORMED || err == ERR_FORGED);
    }
}

static void a_message_of_another_kind_is_malformed(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(shake_hands(fixture));
    enum handshake_kind kind = HANDSHAKE_HELLO;
    const struct handshake_self *door = &fixture->selves[1];
    CHECK_ERR(handshake_kind_of(&kind, door, bytes_in(&fixture->cookie)),
              ERR_MALFORMED);
    CHECK_ERR(handshake_kind_of(&kind, door, bytes_in(&fixture->accept)),
              ERR_MALFORMED);
    CHECK_OK(handshake_kind_of(&kind, door, bytes_in(&fixture->proof)));
    CHECK(kind == HANDSHAKE_PROOF);
    CHECK_ERR(handshake_kind_of(&kind, door, (struct bytes){0}), ERR_MALFORMED);
    say_hello(fixture);
    fixture->cookie = fixture->accept;
    CHECK_ERR(prove(fixture), ERR_MALFORMED);
    say_hello(fixture);
    CHECK_OK(answer_hello(fixture));
    CHECK_OK(prove(fixture));
    fixture->accept = fixture->cookie;
    CHECK_ERR(finish(fixture), ERR_MALFORMED);
}

static void the_same_proof_shows_the_same_cookie(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(shake_hands(fixture));
    uint64_t cookie_id = fixture->visitor.cookie_id;
    CHECK_OK(admit(fixture)); /* the door looks at the id: a replay */
    CHECK(fixture->visitor.cookie_id == cookie_id);
}

static void refuses_a_stale_cookie(void **state)
{
    struct fixture *fixture = *state;
    say_hello(fixture);
    CHECK_OK(answer_hello(fixture));
    CHECK_OK(prove(fixture));
    fixture->clocks[1].now_ns += COOKIE_LIFE_NS - 1;
    CHECK_OK(admit(fixture));
    fixture->clocks[1].now_ns += 1;
    CHECK_ERR(admit(fixture), ERR_TIMEOUT);
}

static void refuses_the_cookie_of_another_door(void **state)
{
    struct fixture *fixture = *state;
    say_hello(fixture);
    CHECK_OK(answer_hello(fixture));
    CHECK_OK(prove(fixture));
    fixture->door_key[0] ^= 1;
    CHECK_ERR(admit(fixture), ERR_FORGED);
    fixture->door_key[0] ^= 1;
    CHECK_OK(admit(fixture));
}

static void refuses_the_cookie_of_another_handshake(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(shake_hands(fixture));
    struct message other = fixture->proof;
    say_hello(fixture);
    CHECK_OK(answer_hello(fixture));
    CHECK_OK(prove(fixture));
    memcpy(fixture->proof.bytes + 3, other.bytes + 3, HANDSHAKE_COOKIE_BYTES);
    CHECK_ERR(admit(fixture), ERR_FORGED);
}

static void refuses_the_grant_of_another_handshake(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(shake_hands(fixture));
    struct message other = fixture->accept;
    say_hello(fixture);
    CHECK_OK(answer_hello(fixture));
    CHECK_OK(prove(fixture));
    fixture->accept = other;
    CHECK_ERR(finish(fixture), ERR_FORGED);
}

static void an_identity_may_be_renewed_between_the_messages(void **state)
{
    struct fixture *fixture = *state;
    say_hello(fixture);
    CHECK_OK(answer_hello(fixture));
    CHECK_OK(prove(fixture));
    use_identity(fixture, 1, "beta", NULL);
    CHECK_OK(admit(fixture));
    grant(fixture, 99, false);
    CHECK_OK(finish(fixture));
}

/* ---- refusals ---- */

static void every_reason_to_refuse_arrives(void **state)
{
    struct fixture *fixture = *state;
    static const enum err reasons[] = {
        ERR_VERSION, ERR_MALFORMED,  ERR_FORGED,  ERR_TIMEOUT,
        ERR_EXPIRED, ERR_SUPERSEDED, ERR_REVOKED, ERR_NOT_YET_VALID,
        ERR_DENIED,  ERR_BUSY,       ERR_LIMIT,   ERR_OTHER_CLUSTER,
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        say_hello(fixture);
        struct writer out = into(&fixture->cookie);
        handshake_refuse(&fixture->selves[1], reasons[i], &out);
        fixture->cookie.length = writer_bytes(&out).length;
        CHECK_ERR(prove(fixture), reasons[i]);
        say_hello(fixture);
        fixture->accept = fixture->cookie;
        CHECK_OK(answer_hello(fixture));
        CHECK_OK(prove(fixture));
        CHECK_ERR(finish(fixture), reasons[i]);
    }
}

static void a_reason_without_a_number_is_malformed(void **state)
{
    struct fixture *fixture = *state;
    say_hello(fixture);
    struct writer out = into(&fixture->cookie);
    handshake_refuse(&fixture->selves[1], ERR_NO_SPACE, &out);
    fixture->cookie.length = writer_bytes(&out).length;
    CHECK_ERR(prove(fixture), ERR_MALFORMED);
    for (unsigned code = 0; code <= UINT8_MAX; code++) {
        say_hello(fixture);
        fixture->cookie.bytes[3] = (uint8_t)code;
        CHECK(prove(fixture) != ERR_NONE);
    }
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
        TEST(both_sides_get_the_same_session),
        TEST(each_side_knows_who_the_other_is),
        TEST(no_two_handshakes_give_the_same_keys),
        TEST(a_session_may_be_resumed),
        TEST(no_message_is_longer_than_it_may_be),
        TEST(clients_operators_and_observers_may_knock),
        TEST(the_knocker_refuses_a_door_with_a_bad_certificate),
        TEST(the_door_refuses_a_peer_with_a_bad_certificate),
        TEST(each_side_refuses_a_revoked_certificate),
        TEST(only_a_node_may_answer_a_door),
        TEST(the_door_must_be_the_one_that_was_asked_for),
        TEST(a_stolen_certificate_without_its_key_is_of_no_use),
        TEST(a_wrong_clock_is_forgiven_within_the_skew_only),
        TEST(neighbouring_releases_agree_on_the_newest_they_share),
        TEST(nobody_in_between_can_lower_the_version),
        TEST(the_door_too_notices_a_version_that_was_lowered),
        TEST(the_version_is_part_of_what_is_agreed_on),
        TEST(refuses_every_message_with_a_flipped_byte),
        TEST(refuses_every_message_that_is_cut),
        TEST(refuses_messages_of_the_greatest_length),
        TEST(a_message_of_another_kind_is_malformed),
        TEST(the_same_proof_shows_the_same_cookie),
        TEST(refuses_a_stale_cookie),
        TEST(refuses_the_cookie_of_another_door),
        TEST(refuses_the_cookie_of_another_handshake),
        TEST(refuses_the_grant_of_another_handshake),
        TEST(an_identity_may_be_renewed_between_the_messages),
        TEST(every_reason_to_refuse_arrives),
        TEST(a_reason_without_a_number_is_malformed),
    };
    return cmocka_run_group_tests(tests, set_up_group, NULL);
}
