#include "tests/support/check.h"

#include "base/buffer.h"

static void gives_at_its_front_what_was_appended(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    uint8_t next_in = 0;
    uint8_t next_out = 0;
    for (uint32_t round = 0; round < 3000; round++) {
        uint8_t piece[7];
        for (uint32_t i = 0; i < sizeof piece; i++) {
            piece[i] = next_in++;
        }
        CHECK_OK(buffer_append(&buffer, bytes_of(piece, sizeof piece)));
        size_t taken = round % 9;
        taken = taken < buffer_length(&buffer) ? taken : 0;
        for (size_t i = 0; i < taken; i++) {
            CHECK(buffer_bytes(&buffer).data[i] == next_out++);
        }
        buffer_take(&buffer, taken);
    }
    while (buffer_length(&buffer) > 0) {
        CHECK(buffer_bytes(&buffer).data[0] == next_out++);
        buffer_take(&buffer, 1);
    }
    CHECK(next_in == next_out);
    buffer_clear(&buffer);
}

static void an_empty_one_has_no_bytes_and_gives_memory_back(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    uint8_t *to = NULL;
    CHECK(buffer_bytes(&buffer).length == 0);
    CHECK_OK(buffer_append(&buffer, (struct bytes){0}));
    buffer_take(&buffer, 0);
    CHECK_OK(buffer_reserve(&buffer, 1u << 20, &to));
    memset(to, 1, 1u << 20);
    buffer_grow(&buffer, 1u << 20);
    CHECK(buffer.capacity >= 1u << 20);
    buffer_take(&buffer, 1u << 20);
    CHECK(buffer.capacity == 0);
    buffer_clear(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_at_its_front_what_was_appended),
        cmocka_unit_test(an_empty_one_has_no_bytes_and_gives_memory_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
