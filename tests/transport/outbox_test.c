#include "tests/support/check.h"

#include <stdlib.h>

#include "tests/support/seeded.h"
#include "transport/inbox.h"
#include "transport/outbox.h"

#define FRAME_BYTES 1024
#define MESSAGE_BYTES_MAX 40000
#define MESSAGE_COUNT_MAX 4000

static const struct outbox_config kept = {.is_kept = true,
                                          .frame_bytes = FRAME_BYTES,
                                          .message_bytes_max =
                                              MESSAGE_BYTES_MAX,
                                          .window_bytes = 100000,
                                          .inflight_bytes_max = 1 << 30};

/* Any bytes that `number` decides, so that a mix-up is seen. */
static void fill_message(uint8_t *out, size_t length, uint64_t number)
{
    for (size_t i = 0; i < length; i++) {
        out[i] = (uint8_t)(number * 31 + i * 7 + (i >> 8));
    }
}

static enum err put(struct outbox *outbox, size_t length, uint64_t number)
{
    uint8_t *raw = malloc(length + 1);
    assert_non_null(raw);
    fill_message(raw, length, number);
    enum err err = outbox_put(outbox, (uint8_t)(number % CHANNEL_COUNT),
                              bytes_of(raw, length));
    free(raw);
    return err;
}

static bool is_message(struct bytes given, size_t length, uint64_t number)
{
    uint8_t *raw = malloc(length + 1);
    assert_non_null(raw);
    fill_message(raw, length, number);
    bool is_same = bytes_are_equal(given, bytes_of(raw, length));
    free(raw);
    return is_same;
}

/* As the link does: the frame is sealed before it is said to be sent. */
static uint64_t send_next(struct outbox *outbox)
{
    struct outbox_frame *frame = outbox_next(outbox);
    if (!frame) {
        return 0;
    }
    uint64_t sequence = frame->sequence;
    frame->is_sealed = true;
    outbox_on_sent(outbox);
    return sequence;
}

static void send_all(struct outbox *outbox)
{
    while (send_next(outbox)) {
    }
}

struct handed {
    uint8_t channel;
    bool may_have_arrived;
};

/* Messages that came out, in order. */
struct log {
    struct handed handed[MESSAGE_COUNT_MAX];
    uint32_t count;
    const size_t *lengths; /* of messages by number; NULL: do not compare */
    const uint32_t *numbers;
};

static void note(void *context,
                 uint8_t channel,
                 struct bytes message,
                 bool may_have_arrived)
{
    struct log *log = context;
    assert_true(log->count < MESSAGE_COUNT_MAX);
    if (log->numbers) {
        uint32_t number = log->numbers[log->count];
        CHECK(is_message(message, log->lengths[number], number));
        CHECK(channel == number % CHANNEL_COUNT);
    }
    log->handed[log->count++] = (struct handed){
        .channel = channel, .may_have_arrived = may_have_arrived};
}

static struct log log_made;

static struct log *new_log(void)
{
    log_made = (struct log){.count = 0};
    return &log_made;
}

static void gathers_messages_into_frames_numbered_from_one(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox, &kept);
    CHECK(outbox_is_empty(&outbox));
    CHECK(!outbox_next(&outbox));
    for (uint64_t i = 0; i < 10; i++) {
        CHECK_OK(put(&outbox, 20, i));
    }
    CHECK(!outbox_is_empty(&outbox));
    struct outbox_frame *frame = outbox_next(&outbox);
    CHECK(frame && frame->sequence == 1 && !frame->next);
    CHECK(frame->length == FRAME_ACKS_BYTES + 10 * (ITEM_HEADER_BYTES + 20));
    /* From now on it may be sealed: what comes goes into the next. */
    CHECK_OK(put(&outbox, 20, 10));
    CHECK(frame->length == FRAME_ACKS_BYTES + 10 * (ITEM_HEADER_BYTES + 20));
    CHECK(send_next(&outbox) == 1);
    CHECK(send_next(&outbox) == 2);
    CHECK(send_next(&outbox) == 0);
    CHECK(outbox.message_count == 11);
    outbox_clear(&outbox);
    CHECK(outbox_is_empty(&outbox) && outbox.held_bytes == 0);
}

static void a_frame_is_about_as_long_as_the_config_says(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox, &kept);
    for (uint64_t i = 0; i < 200; i++) {
        CHECK_OK(put(&outbox, 50, i));
    }
    CHECK(outbox.sequence_next > 5); /* more than a handful of frames */
    for (struct outbox_frame *frame = outbox.first; frame;
         frame = frame->next) {
        CHECK(frame->length <= frame->capacity);
        CHECK(frame->length <= FRAME_BYTES + 1024);
    }
    outbox_clear(&outbox);
}

static void says_too_large_only_beyond_the_maximum(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox, &kept);
    CHECK_ERR(put(&outbox, MESSAGE_BYTES_MAX + 1, 0), ERR_TOO_LARGE);
    CHECK(outbox_is_empty(&outbox) && outbox.message_count == 0 &&
          outbox.held_bytes == 0);
    CHECK_OK(put(&outbox, MESSAGE_BYTES_MAX, 0));
    outbox_clear(&outbox);
}

static void says_full_at_the_window_and_takes_again_after_acks(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox, &kept);
    static const size_t lengths[] = {10, 700, 3000, 20000};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        uint64_t count = 0;
        size_t most = 0;
        while (!put(&outbox, lengths[i], count)) {
            count++;
            most = outbox.held_bytes > most ? outbox.held_bytes : most;
            assert_true(count < 100000);
        }
        CHECK_ERR(put(&outbox, lengths[i], count), ERR_FULL);
        CHECK(outbox.message_count == count);
        CHECK(most <= kept.window_bytes + FRAME_LARGE_FACTOR * FRAME_BYTES);
        CHECK(most >= kept.window_bytes / 2);
        send_all(&outbox);
        CHECK_ERR(put(&outbox, lengths[i], count), ERR_FULL);
        CHECK(outbox_on_ack(&outbox, outbox.sequence_next - 1));
        CHECK(outbox.held_bytes == 0);
        CHECK_OK(put(&outbox, lengths[i], count));
        outbox_clear(&outbox);
    }
}

static void has_no_more_in_flight_than_allowed_but_always_one(void **state)
{
    (void)state;
    struct outbox outbox;
    struct outbox_config config = kept;
    config.inflight_bytes_max = 3000;
    outbox_init(&outbox, &config);
    CHECK_OK(put(&outbox, 30000, 0));
    uint64_t sent = 0;
    while (outbox_next(&outbox)) {
        sent = send_next(&outbox);
    }
    CHECK(sent == 1); /* larger than allowed, and yet it must go */
    CHECK(outbox_on_ack(&outbox, 1));
    CHECK(outbox.inflight_bytes == 0);
    CHECK(send_next(&outbox) == 2);
    CHECK(!outbox_next(&outbox));
    outbox_clear(&outbox);

    outbox_init(&outbox, &config);
    for (uint64_t i = 0; i < 60; i++) {
        CHECK_OK(put(&outbox, 900, i));
    }
    send_all(&outbox);
    CHECK(outbox.inflight_bytes <= config.inflight_bytes_max);
    CHECK(outbox.inflight_bytes > config.inflight_bytes_max / 3);
    outbox_clear(&outbox);
}

/* ---- to the other end ---- */

struct receiver {
    struct inbox inbox;
    uint32_t next;
    const size_t *lengths;
};

static void receive(void *context, uint8_t channel, struct bytes message)
{
    struct receiver *receiver = context;
    uint32_t number = receiver->next++;
    CHECK(channel == number % CHANNEL_COUNT);
    CHECK(is_message(message, receiver->lengths[number], number));
}

/* Send one frame to the receiver; false when there is none. */
static bool pass(struct outbox *outbox, struct receiver *receiver)
{
    struct outbox_frame *frame = outbox_next(outbox);
    if (!frame) {
        return false;
    }
    frame->is_sealed = true;
    /* In memory of its own: reading past the end is then found. */
    size_t length = frame->length - FRAME_ACKS_BYTES;
    uint8_t *copy = malloc(length);
    assert_non_null(copy);
    memcpy(copy, frame->body + FRAME_ACKS_BYTES, length);
    struct inbox_target target = {.context = receiver, .deliver = receive};
    uint64_t count = 0;
    CHECK_OK(
        inbox_take(&receiver->inbox, bytes_of(copy, length), &target, &count));
    free(copy);
    uint64_t sequence = frame->sequence;
    outbox_on_sent(outbox);
    if (outbox->config.is_kept) {
        CHECK(outbox_on_ack(outbox, sequence));
    }
    return true;
}

static void check_passage(const struct outbox_config *config,
                          const size_t *lengths,
                          uint32_t count)
{
    struct outbox outbox;
    struct receiver receiver = {.lengths = lengths};
    outbox_init(&outbox, config);
    inbox_init(&receiver.inbox, config->message_bytes_max, false);
    for (uint32_t i = 0; i < count; i++) {
        enum err err = put(&outbox, lengths[i], i);
        while (err == ERR_FULL) {
            CHECK(pass(&outbox, &receiver));
            err = put(&outbox, lengths[i], i);
        }
        CHECK_OK(err);
    }
    while (pass(&outbox, &receiver)) {
    }
    CHECK(receiver.next == count);
    CHECK(!receiver.inbox.assembly);
    CHECK(outbox_is_empty(&outbox) && outbox.held_bytes == 0);
    outbox_clear(&outbox);
    inbox_clear(&receiver.inbox);
}

static void messages_of_every_size_come_out_whole(void **state)
{
    (void)state;
    static size_t lengths[3000];
    uint32_t count = 0;
    for (size_t length = 0; length < 40; length++) {
        lengths[count++] = length;
    }
    /* Around every border: small frame, full frame, part, several parts. */
    for (size_t parts = 1; parts <= 5; parts++) {
        for (size_t near = 0; near < 80; near++) {
            lengths[count++] =
                parts * FRAME_LARGE_FACTOR * FRAME_BYTES + near - 40;
        }
    }
    for (size_t near = 0; near < 600; near++) {
        lengths[count++] = FRAME_BYTES - 60 + near;
    }
    lengths[count++] = MESSAGE_BYTES_MAX;
    lengths[count++] = MESSAGE_BYTES_MAX - 1;
    check_passage(&kept, lengths, count);
    struct outbox_config fleeting = kept;
    fleeting.is_kept = false;
    check_passage(&fleeting, lengths, count);
    struct outbox_config odd = kept;
    odd.frame_bytes = 1531;
    check_passage(&odd, lengths, count);
}

static void messages_of_random_sizes_come_out_whole(void **state)
{
    (void)state;
    static size_t lengths[1500];
    struct seeded random = {.state = 5};
    for (uint32_t i = 0; i < 1500; i++) {
        size_t bound = seeded_below(&random, 10) ? 600 : MESSAGE_BYTES_MAX + 1;
        lengths[i] = seeded_below(&random, bound);
    }
    check_passage(&kept, lengths, 1500);
}

/* ---- acks ---- */

static void refuses_an_ack_of_what_was_never_sent(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox, &kept);
    CHECK(outbox_on_ack(&outbox, 0));
    CHECK(!outbox_on_ack(&outbox, 1));
    for (uint64_t i = 0; i < 4; i++) {
        CHECK_OK(put(&outbox, 900, i));
    }
    CHECK(!outbox_on_ack(&outbox, 1)); /* there, but not sent */
    CHECK(send_next(&outbox) == 1);
    CHECK(outbox_on_ack(&outbox, 1));
    CHECK(outbox_on_ack(&outbox, 1)); /* late is no sin */
    CHECK(!outbox_on_ack(&outbox, 2));
    CHECK(!outbox_on_ack(&outbox, UINT64_MAX));
    outbox_clear(&outbox);
}

static void an_ack_frees_all_before_it(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox, &kept);
    for (uint64_t i = 0; i < 6; i++) {
        CHECK_OK(put(&outbox, 900, i));
    }
    send_all(&outbox);
    size_t held = outbox.held_bytes;
    CHECK(outbox_on_ack(&outbox, 4));
    CHECK(outbox.acked == 4);
    CHECK(outbox.first && outbox.first->sequence == 5);
    CHECK(outbox.held_bytes < held);
    CHECK(!outbox_is_empty(&outbox));
    CHECK(outbox_on_ack(&outbox, 6));
    CHECK(outbox_is_empty(&outbox) && !outbox.first);
    CHECK(outbox.held_bytes == 0 && outbox.inflight_bytes == 0);
    outbox_clear(&outbox);
}

/* ---- a new connection ---- */

static void rewinding_sends_the_same_frames_again(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox, &kept);
    for (uint64_t i = 0; i < 6; i++) {
        CHECK_OK(put(&outbox, 900, i));
    }
    for (uint64_t i = 1; i <= 4; i++) {
        CHECK(send_next(&outbox) == i);
    }
    CHECK(outbox_on_ack(&outbox, 2));
    CHECK(outbox_rewind(&outbox) == 0);
    CHECK(outbox.inflight_bytes == 0);
    CHECK(outbox_next(&outbox)->sequence == 3);
    CHECK(outbox_next(&outbox)->is_sealed);
    /* It had arrived after all: no need to send it again. */
    CHECK(outbox_on_ack(&outbox, 3));
    for (uint64_t i = 4; i <= 6; i++) {
        CHECK(send_next(&outbox) == i);
    }
    CHECK(send_next(&outbox) == 0);
    CHECK(outbox_on_ack(&outbox, 6));
    CHECK(outbox_rewind(&outbox) == 0);
    CHECK(!outbox_next(&outbox));
    outbox_clear(&outbox);
}

static void a_box_that_keeps_nothing_drops_the_unsent_and_counts(void **state)
{
    (void)state;
    struct outbox outbox;
    struct outbox_config config = kept;
    config.is_kept = false;
    outbox_init(&outbox, &config);
    for (uint64_t i = 0; i < 7; i++) {
        CHECK_OK(put(&outbox, 100, i));
    }
    CHECK(send_next(&outbox) == 1);
    CHECK(outbox_is_empty(&outbox) && outbox.held_bytes == 0);
    for (uint64_t i = 0; i < 5; i++) {
        CHECK_OK(put(&outbox, 100, i));
    }
    CHECK_OK(put(&outbox, 20000, 5)); /* in parts: counts once */
    CHECK(outbox_rewind(&outbox) == 6);
    CHECK(outbox_is_empty(&outbox) && outbox.held_bytes == 0);
    CHECK(outbox_rewind(&outbox) == 0);
    CHECK_OK(put(&outbox, 100, 0));
    CHECK(send_next(&outbox) > 2); /* numbers are never used again */
    outbox_clear(&outbox);
}

static void a_message_of_which_a_part_was_sent_is_dropped_once(void **state)
{
    (void)state;
    struct outbox outbox;
    struct outbox_config config = kept;
    config.is_kept = false;
    outbox_init(&outbox, &config);
    CHECK_OK(put(&outbox, 20000, 0));
    CHECK(send_next(&outbox) == 1);
    CHECK(send_next(&outbox) == 2);
    CHECK(outbox_rewind(&outbox) == 1);
    CHECK(outbox_is_empty(&outbox));
    outbox_clear(&outbox);
}

/* ---- generations ---- */

static void a_renewed_key_is_for_new_frames_only(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox, &kept);
    CHECK(!outbox_needs_old_key(&outbox));
    CHECK_OK(put(&outbox, 10, 0));
    outbox_renew(&outbox);
    CHECK(outbox_needs_old_key(&outbox));
    CHECK_OK(put(&outbox, 10, 1)); /* there was room, but not for it */
    CHECK(outbox.first->generation == 0);
    CHECK(outbox.last->generation == 1 && outbox.last->sequence == 2);
    send_all(&outbox);
    CHECK(outbox_needs_old_key(&outbox));
    CHECK(outbox_on_ack(&outbox, 1));
    CHECK(!outbox_needs_old_key(&outbox));
    CHECK(outbox_on_ack(&outbox, 2));
    CHECK(!outbox_needs_old_key(&outbox));
    for (uint32_t i = 1; i <= UINT16_MAX; i++) {
        outbox_renew(&outbox);
    }
    CHECK(outbox.generation == 0); /* modulo 2^16 */
    outbox_clear(&outbox);
}

/* ---- handing back ---- */

static void hands_back_in_order_what_is_not_acknowledged(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox, &kept);
    for (uint64_t i = 0; i < 6; i++) {
        CHECK_OK(put(&outbox, 900, i));
    }
    for (uint64_t i = 1; i <= 4; i++) {
        CHECK(send_next(&outbox) == i);
    }
    CHECK(outbox_on_ack(&outbox, 2));
    static const size_t lengths[] = {900, 900, 900, 900, 900, 900};
    static const uint32_t numbers[] = {2, 3, 4, 5};
    struct log *log = new_log();
    log->lengths = lengths;
    log->numbers = numbers;
    outbox_drain(&outbox, note, log);
    CHECK(log->count == 4);
    for (uint32_t i = 0; i < 4; i++) {
        CHECK(log->handed[i].may_have_arrived == (i < 2));
    }
    CHECK(outbox_is_empty(&outbox) && outbox.held_bytes == 0);
    CHECK(outbox.sequence_next == 1 && outbox.acked == 0);
    outbox_clear(&outbox);
}

static void hands_back_whole_a_message_of_which_a_part_arrived(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox, &kept);
    CHECK_OK(put(&outbox, 100, 0));
    CHECK_OK(put(&outbox, 20000, 1));
    CHECK_OK(put(&outbox, 100, 2));
    for (uint64_t i = 1; i <= 3; i++) {
        CHECK(send_next(&outbox) == i);
    }
    CHECK(outbox_on_ack(&outbox, 3)); /* the first, and a part */
    static const size_t lengths[] = {100, 20000, 100};
    static const uint32_t numbers[] = {1, 2};
    struct log *log = new_log();
    log->lengths = lengths;
    log->numbers = numbers;
    outbox_drain(&outbox, note, log);
    CHECK(log->count == 2);
    CHECK(log->handed[0].may_have_arrived);
    CHECK(!log->handed[1].may_have_arrived);
    outbox_clear(&outbox);
}

static void put_again(void *context,
                      uint8_t channel,
                      struct bytes message,
                      bool may_have_arrived)
{
    (void)may_have_arrived;
    CHECK_OK(outbox_put(context, channel, message));
}

static void takes_messages_again_while_it_hands_back(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox, &kept);
    for (uint64_t i = 0; i < 5; i++) {
        CHECK_OK(put(&outbox, 5000 + i, i));
    }
    send_all(&outbox);
    outbox_drain(&outbox, put_again, &outbox);
    CHECK(outbox.message_count == 5);
    CHECK(outbox_next(&outbox)->sequence == 1);
    CHECK(!outbox_next(&outbox)->is_sealed);
    static const size_t lengths[] = {5000, 5001, 5002, 5003, 5004};
    static const uint32_t numbers[] = {0, 1, 2, 3, 4};
    struct log *log = new_log();
    log->lengths = lengths;
    log->numbers = numbers;
    outbox_drain(&outbox, note, log);
    CHECK(log->count == 5);
    outbox_clear(&outbox);
}

/* ---- anything, in any order ---- */

struct model {
    size_t lengths[MESSAGE_COUNT_MAX];
    bool was_sent[MESSAGE_COUNT_MAX];         /* its first part, at least */
    uint64_t end_sequence[MESSAGE_COUNT_MAX]; /* 0: its end was not sent */
    uint32_t put_count;
    uint32_t begun_count; /* messages whose first part was sent */
    uint32_t ended_count;
    uint64_t newest_sent; /* sequence */
    uint64_t acked;
};

/* Which messages the next frame begins and ends, seen from its items. */
static void model_send(struct model *model, struct outbox *outbox)
{
    struct outbox_frame *frame = outbox_next(outbox);
    if (!frame) {
        return;
    }
    uint64_t sequence = frame->sequence;
    bool is_new = sequence > model->newest_sent;
    CHECK(is_new == !frame->is_sealed);
    CHECK(!is_new || sequence == model->newest_sent + 1);
    struct reader reader = reader_of(bytes_of(
        frame->body + FRAME_ACKS_BYTES, frame->length - FRAME_ACKS_BYTES));
    while (is_new && reader_left(&reader) > 0) {
        struct item item = {0};
        CHECK(item_decode(&item, &reader));
        if (item.begins) {
            model->was_sent[model->begun_count++] = true;
        }
        if (item.ends) {
            model->end_sequence[model->ended_count++] = sequence;
        }
    }
    model->newest_sent = is_new ? sequence : model->newest_sent;
    frame->is_sealed = true;
    outbox_on_sent(outbox);
}

static void model_step(struct model *model,
                       struct outbox *outbox,
                       struct seeded *random)
{
    uint64_t choice = seeded_below(random, 100);
    if (choice < 50) {
        size_t length =
            seeded_below(random, seeded_below(random, 8) ? 800 : 30000);
        if (!put(outbox, length, model->put_count)) {
            model->lengths[model->put_count++] = length;
        }
    } else if (choice < 85) {
        model_send(model, outbox);
    } else if (choice < 97) {
        uint64_t ack =
            model->acked +
            seeded_below(random, model->newest_sent - model->acked + 1);
        CHECK(outbox_on_ack(outbox, ack));
        model->acked = ack;
    } else if (choice < 99) {
        CHECK(outbox_rewind(outbox) == 0);
    } else if (!outbox_needs_old_key(outbox)) {
        outbox_renew(outbox);
    }
    CHECK(outbox->acked == model->acked);
    CHECK(outbox->held_bytes <=
          outbox->config.window_bytes + FRAME_LARGE_FACTOR * FRAME_BYTES);
}

static void model_check(struct model *model, struct outbox *outbox)
{
    static uint32_t numbers[MESSAGE_COUNT_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < model->put_count; i++) {
        bool is_acked = model->end_sequence[i] != 0 &&
                        model->end_sequence[i] <= model->acked;
        if (!is_acked) {
            numbers[count++] = i;
        }
    }
    struct log *log = new_log();
    log->lengths = model->lengths;
    log->numbers = numbers;
    outbox_drain(outbox, note, log);
    CHECK(log->count == count);
    for (uint32_t i = 0; i < count; i++) {
        CHECK(log->handed[i].may_have_arrived == model->was_sent[numbers[i]]);
    }
}

static void hands_back_exactly_what_is_not_acknowledged_ever(void **state)
{
    (void)state;
    static struct model model;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct seeded random = {.state = seed};
        struct outbox outbox;
        struct outbox_config config = kept;
        config.inflight_bytes_max = 2000 + seeded_below(&random, 60000);
        outbox_init(&outbox, &config);
        model = (struct model){.put_count = 0};
        uint64_t steps = seeded_below(&random, 600);
        for (uint64_t i = 0; i < steps; i++) {
            model_step(&model, &outbox, &random);
        }
        model_check(&model, &outbox);
        CHECK(outbox.held_bytes == 0);
        outbox_clear(&outbox);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gathers_messages_into_frames_numbered_from_one),
        cmocka_unit_test(a_frame_is_about_as_long_as_the_config_says),
        cmocka_unit_test(says_too_large_only_beyond_the_maximum),
        cmocka_unit_test(says_full_at_the_window_and_takes_again_after_acks),
        cmocka_unit_test(has_no_more_in_flight_than_allowed_but_always_one),
        cmocka_unit_test(messages_of_every_size_come_out_whole),
        cmocka_unit_test(messages_of_random_sizes_come_out_whole),
        cmocka_unit_test(refuses_an_ack_of_what_was_never_sent),
        cmocka_unit_test(an_ack_frees_all_before_it),
        cmocka_unit_test(rewinding_sends_the_same_frames_again),
        cmocka_unit_test(a_box_that_keeps_nothing_drops_the_unsent_and_counts),
        cmocka_unit_test(a_message_of_which_a_part_was_sent_is_dropped_once),
        cmocka_unit_test(a_renewed_key_is_for_new_frames_only),
        cmocka_unit_test(hands_back_in_order_what_is_not_acknowledged),
        cmocka_unit_test(hands_back_whole_a_message_of_which_a_part_arrived),
        cmocka_unit_test(takes_messages_again_while_it_hands_back),
        cmocka_unit_test(hands_back_exactly_what_is_not_acknowledged_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
