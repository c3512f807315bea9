/*
 * Allocations of the link and its boxes fail: the
 * caller is told, and everything is as it was before.
 */

#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

#include "config/identity.h"
#include "tests/faults/failing_allocator.h"
#include "transport/inbox.h"
#include "transport/link.h"
#include "transport/outbox.h"

#define FRAME_BYTES 1024

static const struct outbox_config config = {.is_kept = true,
                                            .frame_bytes = FRAME_BYTES,
                                            .message_bytes_max = 40000,
                                            .window_bytes = 200000,
                                            .inflight_bytes_max = 1 << 30};

static uint8_t zeros[40000];

/* How often an allocation of this put failed before it succeeded. */
static uint32_t sweep_put(struct outbox *outbox, size_t length)
{
    uint32_t passes = 0;
    enum err err = ERR_MEMORY;
    while (err == ERR_MEMORY) {
        struct outbox before = *outbox;
        countdown = ++passes;
        err = outbox_put(outbox, 1, bytes_of(zeros, length));
        countdown = 0;
        if (err) {
            CHECK_ERR(err, ERR_MEMORY);
            assert_memory_equal(&before, outbox, sizeof before);
        }
    }
    CHECK_OK(err);
    return passes - 1;
}

static void a_message_is_taken_whole_or_not_at_all(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox, &config);
    CHECK(sweep_put(&outbox, 10) == 1);
    CHECK(sweep_put(&outbox, 10) == 0); /* in the same frame */
    CHECK(sweep_put(&outbox, 900) <= 1);
    CHECK(sweep_put(&outbox, 3000) == 1);
    CHECK(sweep_put(&outbox, 40000) >= 9); /* in parts, each a frame */
    CHECK(outbox.message_count == 5);
    outbox_clear(&outbox);
}

struct handed {
    uint32_t count;
    uint32_t empty_count;
};

static void note(void *context,
                 uint8_t channel,
                 struct bytes message,
                 bool may_have_arrived)
{
    struct handed *handed = context;
    (void)may_have_arrived;
    CHECK(channel == 1);
    handed->count++;
    handed->empty_count += message.length == 0;
}

static void every_message_is_handed_back_even_without_memory(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox, &config);
    CHECK_OK(outbox_put(&outbox, 1, bytes_of(zeros, 100)));
    CHECK_OK(outbox_put(&outbox, 1, bytes_of(zeros, 30000)));
    CHECK_OK(outbox_put(&outbox, 1, bytes_of(zeros, 200)));
    struct handed handed = {.count = 0};
    countdown = 1; /* for the one in parts */
    outbox_drain(&outbox, note, &handed);
    countdown = 0;
    CHECK(handed.count == 3 && handed.empty_count <= 1);
    outbox_clear(&outbox);
}

static void deliver(void *context, uint8_t channel, struct bytes message)
{
    (void)context;
    (void)channel;
    (void)message;
    fail();
}

static void a_message_in_parts_needs_memory_at_its_beginning(void **state)
{
    (void)state;
    struct inbox inbox;
    inbox_init(&inbox, 1000, false);
    uint8_t raw[ITEM_HEADER_BYTES + 8] = {0};
    item_header_encode(
        raw, &(struct item){.begins = true, .content = bytes_of(NULL, 8)});
    put_u32(raw + ITEM_HEADER_BYTES, 500);
    struct inbox_target target = {.deliver = deliver};
    uint64_t count = 0;
    countdown = 1;
    CHECK_ERR(inbox_take(&inbox, bytes_of(raw, sizeof raw), &target, &count),
              ERR_MEMORY);
    CHECK(countdown == 0 && !inbox.assembly && inbox.assembly_bytes == 0);
    CHECK_OK(inbox_take(&inbox, bytes_of(raw, sizeof raw), &target, &count));
    inbox_clear(&inbox);
}

static void a_link_is_opened_whole_or_not_at_all(void **state)
{
    (void)state;
    struct link_limits limits = {.frame_bytes = FRAME_BYTES,
                                 .message_bytes_max = 5000,
                                 .window_bytes = 40000,
                                 .inflight_bytes_max = 8000};
    struct link_port port = {.context = NULL};
    struct link *link = NULL;
    countdown = 1;
    CHECK_ERR(link_open(&link, &limits, &port), ERR_MEMORY);
    CHECK(countdown == 0 && !link);
    CHECK_OK(link_open(&link, &limits, &port));
    link_close(&link);
}

static int set_up(void **state)
{
    (void)state;
    return identity_library_init() ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_taken_whole_or_not_at_all),
        cmocka_unit_test(every_message_is_handed_back_even_without_memory),
        cmocka_unit_test(a_message_in_parts_needs_memory_at_its_beginning),
        cmocka_unit_test(a_link_is_opened_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
