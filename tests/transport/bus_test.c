#include "tests/support/check.h"

#include "config/identity.h"
#include "tests/transport/fake_network.h"
#include "transport/bus.h"

#define DIGEST_BYTES_MAX 200
#define SENDER_COUNT_MAX 4
#define WAITING_COUNT_MAX 16 /* of bus.c */
#define HEARD_COUNT_MAX 64

struct heard {
    char from[CERTIFICATE_NAME_BYTES];
    uint8_t bytes[DIGEST_BYTES_MAX];
    size_t length;
};

struct member {
    struct fake_network network;
    struct bus *bus;
    struct heard heard[HEARD_COUNT_MAX];
    uint32_t heard_count;
};

/* A frame on its way, caught. */
struct frame {
    uint8_t bytes[512];
    size_t length;
};

struct fixture {
    struct member alpha;
    struct member beta;
};

static void on_digest(void *context, const char *from, struct bytes digest)
{
    struct member *member = context;
    assert_true(member->heard_count < HEARD_COUNT_MAX);
    struct heard *heard = &member->heard[member->heard_count++];
    assert_true(strlen(from) < sizeof heard->from);
    memcpy(heard->from, from, strlen(from) + 1);
    assert_true(digest.length <= sizeof heard->bytes);
    memcpy(heard->bytes, digest.data, digest.length);
    heard->length = digest.length;
}

static void open_as(struct member *member,
                    const char *name,
                    uint64_t incarnation)
{
    fake_network_init(&member->network);
    struct bus_config config = {
        .network = &member->network.table,
        .name = name,
        .incarnation = incarnation,
        .url = "fake://bus",
        .digest_bytes_max = DIGEST_BYTES_MAX,
        .sender_count_max = SENDER_COUNT_MAX,
        .dial_ms_min = 1,
        .dial_ms_max = 10,
        .context = member,
        .on_digest = on_digest,
    };
    CHECK_OK(bus_open(&member->bus, &config));
}

static void close_member(struct member *member)
{
    bus_close(&member->bus);
    CHECK(!member->network.is_open);
    fake_network_clear(&member->network);
    CHECK(member->network.packet_count == 0);
}

static void set_key(struct member *member, uint32_t number)
{
    struct bus_key key = {.number = number};
    memset(key.bytes, (int)number, sizeof key.bytes);
    bus_key_set(member->bus, &key);
}

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.alpha.heard_count = 0};
    open_as(&fixture.alpha, "alpha", 1);
    open_as(&fixture.beta, "beta", 2);
    set_key(&fixture.alpha, 7);
    set_key(&fixture.beta, 7);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    close_member(&fixture->alpha);
    close_member(&fixture->beta);
    return 0;
}

static struct frame publish(struct member *member, const char *text)
{
    CHECK_OK(bus_publish(member->bus, bytes_of_text(text)));
    assert_int_equal(member->network.sent_count, 1);
    struct packet *packet = member->network.sent[0].packet;
    struct frame frame = {.length = packet->length};
    assert_true(frame.length <= sizeof frame.bytes);
    memcpy(frame.bytes, packet->data, packet->length);
    fake_network_clear(&member->network);
    return frame;
}

static void give(struct member *member, const struct frame *frame)
{
    fake_network_give(&member->network, 1, frame->bytes, frame->length);
}

static const struct bus_stats *stats_of(const struct member *member)
{
    return bus_stats(member->bus);
}

static void a_digest_arrives_with_its_senders_name(void **state)
{
    struct fixture *fixture = *state;
    static const char *const texts[] = {"one", "", "three"};
    for (int i = 0; i < 3; i++) {
        struct frame frame = publish(&fixture->alpha, texts[i]);
        give(&fixture->beta, &frame);
        const struct heard *heard = &fixture->beta.heard[i];
        assert_string_equal(heard->from, "alpha");
        CHECK(bytes_are_equal(bytes_of(heard->bytes, heard->length),
                              bytes_of_text(texts[i])));
    }
    CHECK(stats_of(&fixture->alpha)->sent == 3);
    CHECK(stats_of(&fixture->beta)->received == 3);
    CHECK(stats_of(&fixture->beta)->lost == 0);
    CHECK(stats_of(&fixture->beta)->refused == 0);
}

static void a_digest_is_not_to_be_read_on_the_way(void **state)
{
    struct fixture *fixture = *state;
    struct frame frame = publish(&fixture->alpha, "topsecret");
    for (size_t i = 0; i + 9 <= frame.length; i++) {
        CHECK(memcmp(frame.bytes + i, "topsecret", 9) != 0);
    }
}

static void counts_what_is_lost(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 20; i++) {
        struct frame frame = publish(&fixture->alpha, "x");
        if (i == 0 || i == 5 || i == 19) {
            give(&fixture->beta, &frame);
        }
    }
    CHECK(stats_of(&fixture->beta)->received == 3);
    CHECK(stats_of(&fixture->beta)->lost == 17);
}

static void drops_what_is_doubled_or_late(void **state)
{
    struct fixture *fixture = *state;
    struct frame first = publish(&fixture->alpha, "1");
    struct frame second = publish(&fixture->alpha, "2");
    give(&fixture->beta, &first);
    give(&fixture->beta, &first);
    give(&fixture->beta, &second);
    give(&fixture->beta, &first);
    give(&fixture->beta, &second);
    CHECK(fixture->beta.heard_count == 2);
    CHECK(stats_of(&fixture->beta)->stale == 3);
    CHECK(stats_of(&fixture->beta)->lost == 0);
}

static void refuses_a_flip_of_any_bit(void **state)
{
    struct fixture *fixture = *state;
    struct frame frame = publish(&fixture->alpha, "hello");
    uint64_t refused = 0;
    for (size_t bit = 0; bit < 8 * frame.length; bit++) {
        frame.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        give(&fixture->beta, &frame);
        CHECK(stats_of(&fixture->beta)->refused == ++refused);
        frame.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK(fixture->beta.heard_count == 0);
    give(&fixture->beta, &frame); /* nothing was changed by all that */
    CHECK(fixture->beta.heard_count == 1);
    CHECK(stats_of(&fixture->beta)->stale == 0);
}

static void refuses_what_is_cut_anywhere(void **state)
{
    struct fixture *fixture = *state;
    struct frame frame = publish(&fixture->alpha, "hello");
    for (size_t length = 0; length < frame.length; length++) {
        struct frame cut = frame;
        cut.length = length;
        give(&fixture->beta, &cut);
        CHECK(stats_of(&fixture->beta)->refused == length + 1);
    }
    CHECK(fixture->beta.heard_count == 0);
}

static void refuses_a_key_that_it_does_not_know(void **state)
{
    struct fixture *fixture = *state;
    struct frame frame = publish(&fixture->alpha, "x");
    struct member stranger = {.heard_count = 0};
    open_as(&stranger, "gamma", 3);
    CHECK_ERR(bus_take(stranger.bus, frame.bytes, frame.length), ERR_FORGED);
    set_key(&stranger, 8);
    frame = publish(&fixture->alpha, "x");
    CHECK_ERR(bus_take(stranger.bus, frame.bytes, frame.length), ERR_FORGED);
    CHECK(stranger.heard_count == 0);
    close_member(&stranger);
}

static void publishes_nothing_without_a_key(void **state)
{
    (void)state;
    struct member member = {.heard_count = 0};
    open_as(&member, "gamma", 3);
    CHECK(bus_key(member.bus)->number == 0);
    CHECK_ERR(bus_publish(member.bus, bytes_of_text("x")), ERR_UNREACHABLE);
    CHECK(member.network.sent_count == 0);
    close_member(&member);
}

static void an_old_key_opens_until_the_next_but_one_comes(void **state)
{
    struct fixture *fixture = *state;
    struct frame under_7 = publish(&fixture->alpha, "a");
    struct frame late = publish(&fixture->alpha, "b");
    set_key(&fixture->beta, 8);
    give(&fixture->beta, &under_7);
    CHECK(fixture->beta.heard_count == 1);
    set_key(&fixture->alpha, 8);
    struct frame under_8 = publish(&fixture->alpha, "c");
    give(&fixture->beta, &under_8);
    CHECK(fixture->beta.heard_count == 2);
    /* What was sealed before the new key was seen is late now. */
    give(&fixture->beta, &late);
    CHECK(fixture->beta.heard_count == 2);
    CHECK(stats_of(&fixture->beta)->stale == 1);
    give(&fixture->beta, &under_8);
    CHECK(stats_of(&fixture->beta)->stale == 2);
    set_key(&fixture->beta, 9);
    uint64_t refused = stats_of(&fixture->beta)->refused;
    give(&fixture->beta, &under_7);
    CHECK(stats_of(&fixture->beta)->refused == refused + 1);
    under_8 = publish(&fixture->alpha, "d");
    give(&fixture->beta, &under_8);
    CHECK(fixture->beta.heard_count == 3);
}

static void an_old_key_that_is_forgotten_opens_no_more(void **state)
{
    struct fixture *fixture = *state;
    struct frame heard = publish(&fixture->alpha, "a");
    struct frame late = publish(&fixture->alpha, "b");
    give(&fixture->beta, &heard);
    set_key(&fixture->beta, 8);
    bus_key_forget_before(fixture->beta.bus);
    give(&fixture->beta, &late); /* also from one who was heard under it */
    CHECK(fixture->beta.heard_count == 1);
    CHECK(stats_of(&fixture->beta)->refused == 1);
    set_key(&fixture->alpha, 8);
    struct frame under_8 = publish(&fixture->alpha, "c");
    give(&fixture->beta, &under_8);
    CHECK(fixture->beta.heard_count == 2);
}

static void takes_the_same_key_but_once(void **state)
{
    struct fixture *fixture = *state;
    struct bus_key other = {.number = 7};
    bus_key_set(fixture->beta.bus, &other);
    CHECK(bus_key(fixture->beta.bus)->number == 7);
    CHECK(bus_key(fixture->beta.bus)->bytes[0] == 7);
    struct frame frame = publish(&fixture->alpha, "x");
    give(&fixture->beta, &frame);
    CHECK(fixture->beta.heard_count == 1);
}

/* Otherwise two digests would be sealed under one key and nonce. */
static void never_begins_its_counter_again(void **state)
{
    struct fixture *fixture = *state;
    struct frame first = publish(&fixture->alpha, "aaaa");
    set_key(&fixture->alpha, 8);
    (void)publish(&fixture->alpha, "bbbb");
    set_key(&fixture->alpha, 7);
    struct frame again = publish(&fixture->alpha, "cccc");
    size_t clear_bytes = first.length - 4 - SEAL_TAG_BYTES;
    CHECK(again.length == first.length);
    CHECK(memcmp(first.bytes, again.bytes, clear_bytes) != 0);
}

static void takes_a_key_of_a_lower_number(void **state)
{
    struct fixture *fixture = *state;
    struct frame under_7 = publish(&fixture->alpha, "a");
    set_key(&fixture->alpha, 3);
    set_key(&fixture->beta, 3);
    struct frame under_3 = publish(&fixture->alpha, "b");
    give(&fixture->beta, &under_3);
    CHECK(fixture->beta.heard_count == 1);
    give(&fixture->beta, &under_7); /* recorded under the key before */
    CHECK(fixture->beta.heard_count == 1);
    CHECK(stats_of(&fixture->beta)->stale == 1);
}

static void follows_a_sender_that_began_again(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 9; i++) {
        struct frame frame = publish(&fixture->alpha, "old");
        give(&fixture->beta, &frame);
    }
    close_member(&fixture->alpha);
    open_as(&fixture->alpha, "alpha", 55);
    set_key(&fixture->alpha, 7);
    for (int i = 0; i < 3; i++) {
        struct frame frame = publish(&fixture->alpha, "new");
        give(&fixture->beta, &frame);
    }
    CHECK(fixture->beta.heard_count == 12);
    CHECK(stats_of(&fixture->beta)->lost == 0);
}

static void drops_what_a_process_before_had_sent(void **state)
{
    struct fixture *fixture = *state;
    struct frame old = publish(&fixture->alpha, "old");
    struct frame older[5];
    give(&fixture->beta, &old);
    old = publish(&fixture->alpha, "old, and held back");
    for (uint64_t life = 0; life < 5; life++) {
        older[life] = publish(&fixture->alpha, "held back");
        close_member(&fixture->alpha);
        open_as(&fixture->alpha, "alpha", 55 + life);
        set_key(&fixture->alpha, 7);
        struct frame new = publish(&fixture->alpha, "new");
        give(&fixture->beta, &new);
    }
    uint32_t heard = fixture->beta.heard_count;
    CHECK(heard == 6);
    for (int i = 0; i < 5; i++) {
        give(&fixture->beta, &older[i]);
    }
    give(&fixture->beta, &old);
    CHECK(fixture->beta.heard_count == heard);
    CHECK(stats_of(&fixture->beta)->stale == 6);
    struct frame new = publish(&fixture->alpha, "still here");
    give(&fixture->beta, &new);
    CHECK(fixture->beta.heard_count == heard + 1);
    CHECK(stats_of(&fixture->beta)->lost == 0);
}

static void remembers_so_many_senders_and_no_more(void **state)
{
    struct fixture *fixture = *state;
    for (uint64_t i = 0; i < 5 * SENDER_COUNT_MAX; i++) {
        char name[8] = {'n', (char)('a' + i), 0};
        struct member sender = {.heard_count = 0};
        open_as(&sender, name, 100 + i);
        set_key(&sender, 7);
        for (int j = 0; j < 2; j++) {
            struct frame frame = publish(&sender, name);
            give(&fixture->beta, &frame);
        }
        close_member(&sender);
        CHECK(fixture->beta.heard_count == 2 * (i + 1));
        assert_string_equal(fixture->beta.heard[2 * i].from, name);
    }
}

static void drops_and_says_so_when_the_queue_is_full(void **state)
{
    struct fixture *fixture = *state;
    struct member *alpha = &fixture->alpha;
    alpha->network.is_slow = true;
    for (int i = 0; i <= WAITING_COUNT_MAX; i++) { /* one is under way */
        CHECK_OK(bus_publish(alpha->bus, bytes_of_text("x")));
    }
    CHECK(alpha->network.sent_count == 1);
    CHECK_ERR(bus_publish(alpha->bus, bytes_of_text("x")), ERR_FULL);
    CHECK_ERR(bus_publish(alpha->bus, bytes_of_text("x")), ERR_FULL);
    CHECK(stats_of(alpha)->dropped == 2);
    const struct socket_events *events = &alpha->network.socket.config.events;
    for (int i = 0; i <= WAITING_COUNT_MAX; i++) {
        events->on_sent(events->context);
    }
    CHECK(alpha->network.sent_count == WAITING_COUNT_MAX + 1);
    for (uint32_t i = 0; i < alpha->network.sent_count; i++) {
        struct packet *packet = alpha->network.sent[i].packet;
        CHECK_OK(bus_take(fixture->beta.bus, packet->data, packet->length));
    }
    CHECK(stats_of(&fixture->beta)->lost == 0);
    CHECK(stats_of(alpha)->sent == WAITING_COUNT_MAX + 1);
    CHECK_OK(bus_publish(alpha->bus, bytes_of_text("x")));
}

static void frees_what_still_waits_when_it_closes(void **state)
{
    struct fixture *fixture = *state;
    fixture->alpha.network.is_slow = true;
    for (int i = 0; i < 10; i++) {
        CHECK_OK(bus_publish(fixture->alpha.bus, bytes_of_text("x")));
    }
    CHECK(fixture->alpha.network.packet_count == 10); /* see tear_down() */
}

static void refuses_a_digest_that_is_too_large(void **state)
{
    struct fixture *fixture = *state;
    uint8_t digest[DIGEST_BYTES_MAX + 1] = {0};
    CHECK_ERR(bus_publish(fixture->alpha.bus, bytes_of(digest, sizeof digest)),
              ERR_TOO_LARGE);
    CHECK_OK(
        bus_publish(fixture->alpha.bus, bytes_of(digest, sizeof digest - 1)));
    struct packet *packet = fixture->alpha.network.sent[0].packet;
    CHECK(packet->length <=
          fixture->beta.network.socket.config.message_bytes_max);
    CHECK_OK(bus_take(fixture->beta.bus, packet->data, packet->length));
    CHECK(fixture->beta.heard[0].length == DIGEST_BYTES_MAX);
}

static void says_memory_when_there_is_none_for_a_packet(void **state)
{
    struct fixture *fixture = *state;
    fixture->alpha.network.has_no_memory = true;
    CHECK_ERR(bus_publish(fixture->alpha.bus, bytes_of_text("x")), ERR_MEMORY);
    CHECK(stats_of(&fixture->alpha)->dropped == 1);
    fixture->alpha.network.has_no_memory = false;
    CHECK_OK(bus_publish(fixture->alpha.bus, bytes_of_text("x")));
}

static void dials_what_can_be_dialled_and_undials_it(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(bus_dial(fixture->alpha.bus, "fake://beta"));
    CHECK_ERR(bus_dial(fixture->alpha.bus, "nonsense"), ERR_INVALID);
    CHECK(fixture->alpha.network.dial_count == 2);
    bus_undial(fixture->alpha.bus, "fake://beta");
    assert_string_equal(fixture->alpha.network.undialled, "fake://beta");
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
        TEST(a_digest_arrives_with_its_senders_name),
        TEST(a_digest_is_not_to_be_read_on_the_way),
        TEST(counts_what_is_lost),
        TEST(drops_what_is_doubled_or_late),
        TEST(refuses_a_flip_of_any_bit),
        TEST(refuses_what_is_cut_anywhere),
        TEST(refuses_a_key_that_it_does_not_know),
        TEST(publishes_nothing_without_a_key),
        TEST(an_old_key_opens_until_the_next_but_one_comes),
        TEST(an_old_key_that_is_forgotten_opens_no_more),
        TEST(takes_the_same_key_but_once),
        TEST(never_begins_its_counter_again),
        TEST(takes_a_key_of_a_lower_number),
        TEST(follows_a_sender_that_began_again),
        TEST(drops_what_a_process_before_had_sent),
        TEST(remembers_so_many_senders_and_no_more),
        TEST(drops_and_says_so_when_the_queue_is_full),
        TEST(frees_what_still_waits_when_it_closes),
        TEST(refuses_a_digest_that_is_too_large),
        TEST(says_memory_when_there_is_none_for_a_packet),
        TEST(dials_what_can_be_dialled_and_undials_it),
    };
    return cmocka_run_group_tests(tests, set_up_group, NULL);
}
