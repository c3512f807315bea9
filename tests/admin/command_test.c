#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/command.h"

/* What the last command line printed. */
struct printed {
    char *out;
    char *talk;
};

static struct command last; /* as the verb got it; its strings outlive it */

static enum exit_code record(const struct command *command)
{
    last = *command;
    fputs("ran\n", command->world->out);
    return EXIT_CODE_PARTIAL;
}

static enum exit_code fail_always(const struct command *command)
{
    return command_failed(command, ERR_NO_SPACE, "writing %s", "a.key");
}

static const struct command_flag flags[] = {
    {.name = "days", .value = "N", .text = "for so many", .letter = 'n'},
    {.name = "role", .value = "ROLE", .text = "one", .repeats = true},
    {.name = "force", .text = "all the same", .letter = 'q'},
    {0}};
static const struct command_flag stove_flags[] = {
    {.name = "stove", .value = "S", .text = "which one", .is_common = true},
    {.name = "photo",
     .value = "FILE",
     .text = "a photo of it instead",
     .is_common = true,
     .only_looks = true},
    {.name = "lid", .text = "with its lid"},
    {0}};

#define EXAMPLES                                                      \
    {                                                                 \
        "troupe pot boil 1", "troupe pot boil 2", "troupe pot boil 3" \
    }

static const struct command_verb verbs[] = {
    {.name = "boil",
     .operands = "WATER [SALT]",
     .operand_count_min = 1,
     .operand_count_max = 2,
     .summary = "Boils water.\nWith salt or without.",
     .examples = EXAMPLES,
     .flags = flags,
     .has_json = true,
     .run = record},
    {.name = "break",
     .operands = "",
     .summary = "Breaks.\nAlways.",
     .examples = EXAMPLES,
     .run = fail_always},
    {.name = "watch",
     .operands = "",
     .summary = "Watches.\nIt never boils.",
     .examples = EXAMPLES,
     .flags = stove_flags,
     .run = record},
    {.name = "lift",
     .operands = "",
     .summary = "Lifts.\nWith both hands.",
     .examples = EXAMPLES,
     .flags = stove_flags,
     .steers = true,
     .run = record},
    {0}};

static const struct command_noun pot = {
    .name = "pot", .summary = "A pot.\nOf clay.", .verbs = verbs};

static const struct command_verb lone[] = {{.name = "sing",
                                            .operands = "",
                                            .summary = "Sings.\nLoud.",
                                            .examples = EXAMPLES,
                                            .run = record},
                                           {0}};

static const struct command_noun sing = {
    .name = "sing", .summary = "Sings.\nLoud.", .verbs = lone, .is_verb = true};

static const struct command_noun *const nouns[] = {&pot, &sing, NULL};

static struct printed printed;

static void forget(void)
{
    free(printed.out);
    free(printed.talk);
    printed = (struct printed){NULL, NULL};
}

static int tear_down(void **state)
{
    (void)state;
    forget();
    return 0;
}

/* The words must live until the next command line. */
static enum exit_code run_words(int count, char **words, bool is_colored)
{
    forget();
    last = (struct command){.world = NULL};
    size_t out_length = 0;
    size_t talk_length = 0;
    FILE *out = open_memstream(&printed.out, &out_length);
    FILE *talk = open_memstream(&printed.talk, &talk_length);
    CHECK(out && talk);
    struct command_world world = {.out = out,
                                  .talk = talk,
                                  .out_is_colored = is_colored,
                                  .talk_is_colored = is_colored};
    enum exit_code code = command_run(&world, nouns, count, words);
    fclose(out);
    fclose(talk);
    return code;
}

/* The words of a command line are kept until the next one. */
static enum exit_code run(const char *line, bool is_colored)
{
    static char text[256];
    static char *words[32];
    int count = 0;
    (void)snprintf(text, sizeof text, "%s", line);
    for (char *next = text; *next;) {
        words[count++] = next;
        next += strcspn(next, " ");
        if (*next) {
            *next++ = '\0';
        }
    }
    words[count] = NULL;
    return run_words(count, words, is_colored);
}

static void runs(const char *line)
{
    assert_int_equal(run(line, false), EXIT_CODE_PARTIAL);
    assert_string_equal(printed.out, "ran\n");
    assert_string_equal(printed.talk, "");
}

static void misuses(const char *line, const char *talk)
{
    assert_int_equal(run(line, false), EXIT_CODE_USAGE);
    assert_string_equal(printed.out, "");
    if (!strstr(printed.talk, talk)) {
        fail_msg("\"%s\" is not in \"%s\"", talk, printed.talk);
    }
    CHECK(strstr(printed.talk, "--help"));
    CHECK(!last.world);
}

static void hands_flags_and_operands_to_the_verb(void **state)
{
    (void)state;
    runs("troupe pot boil --days 3 hot --role a --force --role=b= salty");
    assert_string_equal(command_operand(&last, 0), "hot");
    assert_string_equal(command_operand(&last, 1), "salty");
    CHECK(!command_operand(&last, 2));
    assert_string_equal(command_value(&last, "days"), "3");
    assert_string_equal(command_value_at(&last, "role", 0), "a");
    assert_string_equal(command_value_at(&last, "role", 1), "b=");
    CHECK(!command_value_at(&last, "role", 2));
    CHECK(command_has(&last, "force"));
    CHECK(!command_has(&last, "json"));
}

static void ends_flags_at_two_dashes(void **state)
{
    (void)state;
    runs("troupe pot boil --json -- --days -x");
    assert_string_equal(command_operand(&last, 0), "--days");
    assert_string_equal(command_operand(&last, 1), "-x");
    CHECK(command_has(&last, "json"));
    runs("troupe pot boil -");
    assert_string_equal(command_operand(&last, 0), "-");
}

static void refuses_empty_operands(void **state)
{
    (void)state;
    static char line[][8] = {"troupe", "pot", "boil", "water", ""};
    char *words[] = {line[0], line[1], line[2], line[3], line[4], NULL};
    CHECK(run_words(5, words, false) == EXIT_CODE_USAGE);
    assert_string_equal(printed.out, "");
    CHECK(strstr(printed.talk, "something is empty: WATER [SALT]"));
}

static void runs_a_noun_that_is_a_verb(void **state)
{
    (void)state;
    runs("troupe sing");
    misuses("troupe sing aloud", "\"aloud\" is too much");
}

static void suggests_the_nearest_word(void **state)
{
    (void)state;
    misuses("troupe", "which noun?");
    misuses("troupe pto", "no noun \"pto\"; did you mean \"pot\"?");
    misuses("troupe quite-else", "there is no noun \"quite-else\"\n");
    misuses("troupe boil", "did you mean \"troupe pot boil\"?");
    misuses("troupe pot", "which command?");
    misuses("troupe pot biol", "did you mean \"boil\"?");
    misuses("troupe pot boil x --dyas 3", "did you mean \"--days\"?");
    misuses("troupe pot boil x --jsno", "did you mean \"--json\"?");
    misuses("troupe pot break --json", "there is no flag \"--json\"");
}

static void refuses_wrong_use_of_flags(void **state)
{
    (void)state;
    misuses("troupe pot boil", "something is missing: WATER [SALT]");
    misuses("troupe pot boil a b c", "\"c\" is too much");
    misuses("troupe pot boil x --days", "--days needs a value: --days N");
    misuses("troupe pot boil x --days --force", "--days needs a value");
    misuses("troupe pot boil x --force=yes", "--force takes no value");
    misuses("troupe pot boil x --days 1 --days 2", "given twice");
    misuses("troupe pot boil x -d", "two dashes");
    misuses("troupe pot boil x --=3", "there is no flag \"--\"");
}

static void helps_at_every_level(void **state)
{
    (void)state;
    static const char *const lines[] = {"troupe --help",
                                        "troupe help",
                                        "troupe -h",
                                        "troupe pot --help",
                                        "troupe pot help",
                                        "troupe help pot",
                                        "troupe pot boil --help",
                                        "troupe help pot boil",
                                        "troupe help sing",
                                        "troupe help sing --",
                                        "troupe pot boil --days 3 -h",
                                        "troupe sing --help"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_int_equal(run(lines[i], false), EXIT_CODE_OK);
        assert_string_equal(printed.talk, "");
        /* Two lines of summary, then the examples, then the flags. */
        const char *examples = strstr(printed.out, "\n\nExamples\n  $ ");
        const char *shown_flags = strstr(printed.out, "\nFlags\n");
        CHECK(examples && shown_flags && examples < shown_flags);
        CHECK(strchr(printed.out, '\n') < examples);
        CHECK(strstr(shown_flags, "--help"));
        CHECK(!strchr(printed.out, '\033'));
        CHECK(!last.world);
    }
    misuses("troupe help pto", "there is no noun \"pto\"");
    misuses("troupe help pot bol", "there is no command \"bol\"");
    assert_int_equal(run("troupe help pot boil", false), EXIT_CODE_OK);
    CHECK(strstr(printed.out, "troupe pot boil [FLAG...] WATER [SALT]\n"));
    assert_int_equal(run("troupe pot boil --help", false), EXIT_CODE_OK);
    CHECK(strstr(printed.out, "troupe pot boil [FLAG...] WATER [SALT]\n"));
    CHECK(strstr(printed.out, "--role ROLE"));
    CHECK(strstr(printed.out, "(may be repeated)"));
    CHECK(strstr(printed.out, "--json"));
}

static void shows_common_flags_last_and_only_those_that_serve(void **state)
{
    (void)state;
    (void)run("troupe pot watch --help", false);
    const char *own = strstr(printed.out, "--lid");
    const char *common = strstr(printed.out, "--stove S");
    CHECK(own && common && own < common);
    CHECK(strstr(printed.out, "--photo FILE"));
    (void)run("troupe pot lift --help", false);
    CHECK(strstr(printed.out, "--stove S"));
    CHECK(!strstr(printed.out, "--photo"));
    /* What refuses it can then say why. */
    runs("troupe pot lift --photo wall.jpg");
}

static void colors_only_when_it_may(void **state)
{
    (void)state;
    (void)run("troupe pot --help", true);
    CHECK(strstr(printed.out, "\033[1mExamples\033[0m"));
    (void)run("troupe pto", true);
    CHECK(strstr(printed.talk, "\033[31mtroupe:\033[0m"));
}

static void says_what_failed_and_exits_accordingly(void **state)
{
    (void)state;
    assert_int_equal(run("troupe pot break", false), EXIT_CODE_FAILED);
    assert_string_equal(printed.talk, "troupe pot break: writing a.key: no "
                                      "space left on the device\n");
    assert_string_equal(printed.out, "");
}

static void exit_codes_keep_their_numbers(void **state)
{
    (void)state;
    assert_int_equal(EXIT_CODE_OK, 0);
    assert_int_equal(EXIT_CODE_FOUND, 1);
    assert_int_equal(EXIT_CODE_USAGE, 2);
    assert_int_equal(EXIT_CODE_UNREACHABLE, 3);
    assert_int_equal(EXIT_CODE_NO_QUORUM, 4);
    assert_int_equal(EXIT_CODE_TIMEOUT, 5);
    assert_int_equal(EXIT_CODE_DENIED, 6);
    assert_int_equal(EXIT_CODE_REFUSED, 7);
    assert_int_equal(EXIT_CODE_PARTIAL, 8);
    assert_int_equal(EXIT_CODE_FAILED, 9);
    assert_int_equal(EXIT_CODE_COUNT, 10);
    for (int code = 0; code < EXIT_CODE_COUNT; code++) {
        CHECK(*exit_code_text((enum exit_code)code));
    }
    assert_int_equal(exit_code_of(ERR_NONE), EXIT_CODE_OK);
    assert_int_equal(exit_code_of(ERR_INVALID), EXIT_CODE_FOUND);
    assert_int_equal(exit_code_of(ERR_UNREACHABLE), EXIT_CODE_UNREACHABLE);
    assert_int_equal(exit_code_of(ERR_TIMEOUT), EXIT_CODE_TIMEOUT);
    assert_int_equal(exit_code_of(ERR_DENIED), EXIT_CODE_DENIED);
    assert_int_equal(exit_code_of(ERR_EXISTS), EXIT_CODE_REFUSED);
    assert_int_equal(exit_code_of(ERR_NOT_FOUND), EXIT_CODE_FAILED);
}

static void a_change_is_refused_where_a_question_is_answered(void **state)
{
    (void)state;
    assert_int_equal(exit_code_of_change(ERR_NONE), EXIT_CODE_OK);
    for (int err = 0; err < ERR_COUNT; err++) {
        enum exit_code asked = exit_code_of((enum err)err);
        enum exit_code changed = exit_code_of_change((enum err)err);
        bool is_in_the_way =
            asked == EXIT_CODE_FOUND || err == ERR_BUSY || err == ERR_IN_USE;
        assert_int_equal(changed, is_in_the_way ? EXIT_CODE_REFUSED : asked);
    }
    assert_int_equal(exit_code_of_change(ERR_INVALID), EXIT_CODE_REFUSED);
    assert_int_equal(exit_code_of_change(ERR_EXISTS), EXIT_CODE_REFUSED);
    assert_int_equal(exit_code_of_change(ERR_NO_SPACE), EXIT_CODE_FAILED);
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

static void takes_letters_where_a_flag_has_one(void **state)
{
    (void)state;
    runs("troupe pot boil -n 4 -q salt");
    assert_string_equal(command_value(&last, "days"), "4");
    CHECK(command_has(&last, "force") && last.operand_count == 1);
    runs("troupe pot boil -n5 salt");
    assert_string_equal(command_value(&last, "days"), "5");
    misuses("troupe pot boil -n", "-n needs a value: -n N");
    misuses("troupe pot boil -n --force", "-n needs a value: -n N");
    misuses("troupe pot boil -qx salt", "flags are words with two dashes");
    misuses("troupe pot boil -x salt", "flags are words with two dashes");
    misuses("troupe pot boil -n 4 --days 5 salt", "--days is given twice");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(takes_letters_where_a_flag_has_one),
        TEST(hands_flags_and_operands_to_the_verb),
        TEST(ends_flags_at_two_dashes),
        TEST(refuses_empty_operands),
        TEST(runs_a_noun_that_is_a_verb),
        TEST(suggests_the_nearest_word),
        TEST(refuses_wrong_use_of_flags),
        TEST(helps_at_every_level),
        TEST(shows_common_flags_last_and_only_those_that_serve),
        TEST(colors_only_when_it_may),
        TEST(says_what_failed_and_exits_accordingly),
        TEST(exit_codes_keep_their_numbers),
        TEST(a_change_is_refused_where_a_question_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
