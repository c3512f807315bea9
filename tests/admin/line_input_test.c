#include "tests/support/check.h"

#include <string.h>

#include "admin/line_input.h"
#include "base/posix/posix_inputs.h"
#include "tests/support/temp_folder.h"

/* What comes from outside, piece by piece; "" is a time in which nothing
 * comes. */
static const char *const *pieces;

static enum err open_pieces(void *context, const char *path, void **out)
{
    (void)context;
    (void)path;
    static int anything;
    *out = &anything;
    return ERR_NONE;
}

static enum err read_piece(
    void *input, void *to, size_t capacity, uint32_t wait_ms, size_t *length)
{
    (void)input;
    (void)wait_ms;
    if (!*pieces) {
        return ERR_CLOSED;
    }
    const char *piece = *pieces++;
    *length = strlen(piece);
    CHECK(*length <= capacity);
    memcpy(to, piece, *length);
    return *length > 0 ? ERR_NONE : ERR_TIMEOUT;
}

static void close_pieces(void *input)
{
    (void)input;
}

static const struct inputs inputs = {
    .open = open_pieces, .read = read_piece, .close = close_pieces};

static struct line_input open_with(const char *const *from, size_t bytes_max)
{
    struct line_input input = {
        .inputs = &inputs, .end = '\n', .bytes_max = bytes_max};
    pieces = from;
    CHECK_OK(line_input_open(&input, "-"));
    return input;
}

static void check_line(struct line_input *input, const char *expected)
{
    struct bytes line = {0};
    CHECK_OK(line_input_next(input, 0, &line));
    CHECK(bytes_are_equal(line, bytes_of_text(expected)));
}

static void check_err_next(struct line_input *input, enum err expected)
{
    struct bytes line = {0};
    CHECK_ERR(line_input_next(input, 0, &line), expected);
}

static void parts_lines_however_they_come(void **state)
{
    (void)state;
    const char *const from[] = {"on", "e\n\ntw", "o\nthree", NULL};
    struct line_input input = open_with(from, 100);
    check_line(&input, "one");
    check_line(&input, "");
    check_line(&input, "two");
    CHECK(input.number == 3);
    check_line(&input, "three"); /* nothing ends it */
    check_err_next(&input, ERR_CLOSED);
    check_err_next(&input, ERR_CLOSED);
    CHECK(input.number == 4);
    line_input_close(&input);
}

static void says_that_nothing_has_come_yet(void **state)
{
    (void)state;
    const char *const from[] = {"on", "", "e\n", "", NULL};
    struct line_input input = open_with(from, 100);
    check_err_next(&input, ERR_TIMEOUT);
    check_line(&input, "one");
    check_err_next(&input, ERR_TIMEOUT);
    check_err_next(&input, ERR_CLOSED);
    line_input_close(&input);
}

static void skips_a_line_that_is_too_long(void **state)
{
    (void)state;
    const char *const from[] = {"1234567", "89", "0\nok\n12345\n1234\nlong",
                                "er", NULL};
    struct line_input input = open_with(from, 4);
    check_err_next(&input, ERR_TOO_LARGE);
    check_line(&input, "ok");
    check_err_next(&input, ERR_TOO_LARGE);
    check_line(&input, "1234");
    CHECK(input.number == 4);
    check_err_next(&input, ERR_TOO_LARGE);
    check_err_next(&input, ERR_CLOSED);
    CHECK(input.number == 5);
    line_input_close(&input);
}

static void reads_files_and_names_what_is_none(void **state)
{
    (void)state;
    char path[256];
    struct temp_folder folder;
    temp_folder_init(&folder);
    struct line_input input = {
        .inputs = posix_inputs(), .end = '\0', .bytes_max = 100};
    CHECK_ERR(line_input_open(&input, temp_folder_path(&folder, path, "none")),
              ERR_NOT_FOUND);
    CHECK_ERR(line_input_open(&input, folder.path), ERR_ACCESS);
    FILE *file = fopen(temp_folder_path(&folder, path, "items"), "w");
    CHECK(file && fwrite("a\nb\0c", 1, 5, file) == 5 && fclose(file) == 0);
    CHECK_OK(line_input_open(&input, path));
    check_line(&input, "a\nb");
    check_line(&input, "c");
    check_err_next(&input, ERR_CLOSED);
    line_input_close(&input);
    temp_folder_clear(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_lines_however_they_come),
        cmocka_unit_test(says_that_nothing_has_come_yet),
        cmocka_unit_test(skips_a_line_that_is_too_long),
        cmocka_unit_test(reads_files_and_names_what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
