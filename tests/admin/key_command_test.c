#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/cluster_command.h"
#include "admin/key_command.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "config/identity.h"
#include "config/trust.h"
#include "tests/support/fake_machine.h"

#define NOW_MS FAKE_MACHINE_NOW_MS
#define WORD_COUNT_MAX 16

struct fixture {
    struct fake_machine machine;
    const char *typed; /* what a person answers */
    char *out;         /* of the last command */
    char *talk;
};

static void forget_output(struct fixture *fixture)
{
    free(fixture->out);
    free(fixture->talk);
    fixture->out = NULL;
    fixture->talk = NULL;
}

/* Run "troupe " and `line`, whose words are separated by one space. */
static int run(struct fixture *fixture, const char *line)
{
    static const struct command_noun *const nouns[] = {&cluster_command,
                                                       &key_command, NULL};
    char *words[WORD_COUNT_MAX] = {0};
    char *copy = strdup(line);
    int count = 1;
    char program[] = "troupe";
    size_t out_bytes = 0;
    size_t talk_bytes = 0;
    CHECK(copy != NULL);
    words[0] = program;
    for (char *next = copy; next; count++) {
        CHECK(count < WORD_COUNT_MAX - 1);
        words[count] = next;
        next = strchr(next, ' ');
        if (next) {
            *next = '\0';
            next++;
        }
    }
    forget_output(fixture);
    char typed[64];
    (void)snprintf(typed, sizeof typed, "%s\n",
                   fixture->typed ? fixture->typed : "");
    struct command_world world = {
        .files = &fixture->machine.files,
        .clock = &fixture->machine.clock,
        .entropy = &fixture->machine.entropy,
        .in = fmemopen(typed, strlen(typed), "r"),
        .out = open_memstream(&fixture->out, &out_bytes),
        .talk = open_memstream(&fixture->talk, &talk_bytes)};
    CHECK(world.in && world.out && world.talk);
    int code = (int)command_run(&world, nouns, count, words);
    (void)fclose(world.in);
    (void)fclose(world.out);
    (void)fclose(world.talk);
    free(copy);
    return code;
}

static bool says(const char *where, const char *what)
{
    return strstr(where, what) != NULL;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    CHECK(fixture != NULL);
    fake_machine_init(&fixture->machine);
    CHECK(run(fixture, "cluster init shop alpha=10.0.0.1 beta=10.0.0.2") == 0);
    CHECK(says(fixture->talk, "scp -rp shop/alpha 10.0.0.1:"));
    CHECK(says(fixture->talk, "trouped --config cluster.yaml"));
    CHECK(says(fixture->talk, "context add shop --config shop/operator/"));
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    fake_machine_clear(&fixture->machine);
    forget_output(fixture);
    free(fixture);
    return 0;
}

/* What the trust in the authority's folder says of `name`. */
static enum err standing_of(struct fixture *fixture, const char *name)
{
    char folder[64];
    struct certificate certificate;
    scoped(trust_unref) struct trust *trust = NULL;
    scoped(identity_unref) const struct identity *identity = NULL;
    (void)snprintf(folder, sizeof folder, "shop/%s", name);
    CHECK_OK(trust_open(&trust, &fixture->machine.files, "shop/authority/trust",
                        NULL));
    CHECK_OK(
        identity_open(&identity, &fixture->machine.files, folder, name, NULL));
    return trust_check(trust,
                       bytes_of(identity->encoded, identity->encoded_length),
                       fixture->machine.fake.wall_ms, 0, &certificate, NULL);
}

#define AUTHORITY " --authority shop/authority"

static void issues_with_the_rights_that_were_given(void **state)
{
    struct fixture *fixture = *state;
    CHECK(run(fixture, "key issue web --role client --pools a,b*" AUTHORITY) ==
          0);
    CHECK_OK(standing_of(fixture, "web"));
    CHECK(run(fixture, "key show shop/web/web.cert") == 0);
    CHECK(says(fixture->out, "pools       a,b*\n"));
    CHECK(says(fixture->out, "role        client\n"));
    CHECK(run(fixture, "key issue web --role client" AUTHORITY) == 7);
    CHECK(says(fixture->talk, "serial 4"));
}

static void refuses_a_wrong_command_line(void **state)
{
    struct fixture *fixture = *state;
    static const char *const wrong[] = {
        "key issue web" AUTHORITY,
        "key issue web --role king" AUTHORITY,
        "key issue web --role node --pools a" AUTHORITY,
        "key issue web --role client --pools a,,b" AUTHORITY,
        "key issue web --role node --valid 3" AUTHORITY,
        "key issue 12 --role node" AUTHORITY,
        "key issue authority --role node" AUTHORITY,
        "key issue ../x --role node" AUTHORITY,
        "key renew" AUTHORITY,
        "key renew alpha --all" AUTHORITY,
        "key renew nobody" AUTHORITY,
        "key revoke nobody --yes" AUTHORITY,
        "key rotate --stage --retire" AUTHORITY,
        "key rotate --stage --force" AUTHORITY,
        "key ls --within soon" AUTHORITY,
        "cluster init shop",
        "cluster init lab a=h --transport carrier",
        "cluster init lab a=h --port 0",
        "cluster init lab 10.0.0.1",
        "cluster init lab a=h --zone b=z",
        "cluster init Lab a=h",
        "cluster init lab a=h a=g",
        "cluster init lab operator=h",
        "cluster init lab a=0.0.0.0",
    };
    struct memory_files before = {0};
    memory_files_copy(&before, &fixture->machine.memory);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int code = run(fixture, wrong[i]);
        if (code != 2) {
            print_error("%s: %d: %s\n", wrong[i], code, fixture->talk);
        }
        CHECK(code == 2);
        CHECK(fixture->talk[0] != '\0');
        CHECK(memory_files_are_equal(&before, &fixture->machine.memory));
    }
    memory_files_clear(&before);
}

/* The founding and the key commands mean the same by a status. */
static void refuses_what_stands_in_the_way(void **state)
{
    struct fixture *fixture = *state;
    CHECK(run(fixture, "cluster init shop alpha=10.0.0.1") == 7);
    CHECK(says(fixture->talk, "nothing is ever overwritten"));
    fixture->machine.fake.wall_ms = -1000;
    CHECK(run(fixture, "cluster init lab alpha=10.0.0.1") == 7);
    CHECK(says(fixture->talk, "clock"));
    CHECK(run(fixture, "key renew alpha" AUTHORITY) == 7);
    CHECK(says(fixture->talk, "clock"));
    fixture->machine.fake.wall_ms = NOW_MS;
    struct memory_file *ledger =
        memory_files_find(&fixture->machine.memory, "shop/authority/ledger");
    ledger->data[0] ^= 1;
    CHECK(run(fixture, "key renew alpha" AUTHORITY) == 7);
    CHECK(run(fixture, "key revoke alpha --yes" AUTHORITY) == 7);
}

static void says_where_to_work(void **state)
{
    struct fixture *fixture = *state;
    CHECK(run(fixture, "key ls") == 9);
    CHECK(says(fixture->talk, "--authority DIR"));
}

static void warns_long_before_the_end(void **state)
{
    struct fixture *fixture = *state;
    CHECK(run(fixture, "key ls" AUTHORITY) == 0);
    CHECK(says(fixture->out, "alpha") && says(fixture->out, "in 365 days"));
    fixture->machine.fake.wall_ms += 336 * MS_PER_DAY;
    CHECK(run(fixture, "key ls" AUTHORITY) == 1);
    CHECK(says(fixture->out, "expires soon"));
    CHECK(run(fixture, "key ls --within 10d" AUTHORITY) == 0);
    fixture->machine.fake.wall_ms += 30 * MS_PER_DAY;
    CHECK(run(fixture, "key ls" AUTHORITY) == 1);
    CHECK(says(fixture->out, "EXPIRED") && says(fixture->out, "ago"));
    CHECK(run(fixture, "key ls --json" AUTHORITY) == 1);
    CHECK(says(fixture->out, "\"schema\":\"troupe.key.ls\""));
    CHECK(says(fixture->out, "\"expired\":true"));
    CHECK(run(fixture, "key show shop/alpha/alpha.cert") == 1);
    CHECK(says(fixture->out, "certificate has expired"));
    CHECK(run(fixture, "key renew --all" AUTHORITY) == 0);
    CHECK(run(fixture, "key ls" AUTHORITY) == 0);
    CHECK_OK(standing_of(fixture, "alpha"));
}

static void revokes_only_after_a_clear_yes(void **state)
{
    struct fixture *fixture = *state;
    CHECK(run(fixture, "key revoke alpha" AUTHORITY) == 7);
    fixture->typed = "beta";
    CHECK(run(fixture, "key revoke alpha" AUTHORITY) == 7);
    CHECK(run(fixture, "key revoke alpha --dry-run" AUTHORITY) == 0);
    CHECK_OK(standing_of(fixture, "alpha"));
    fixture->typed = "alpha";
    CHECK(run(fixture, "key revoke alpha" AUTHORITY) == 0);
    CHECK_ERR(standing_of(fixture, "alpha"), ERR_REVOKED);
    CHECK(says(fixture->out, "shop/beta/trust  was version 1"));
    CHECK(run(fixture, "key show shop/alpha/alpha.cert") == 1);
    CHECK(run(fixture, "key revoke 2 --yes" AUTHORITY) == 0);
    CHECK_ERR(standing_of(fixture, "beta"), ERR_REVOKED);
}

static void revokes_the_older_one_by_its_serial(void **state)
{
    struct fixture *fixture = *state;
    CHECK(run(fixture, "key renew alpha" AUTHORITY) == 0);
    CHECK(run(fixture, "key revoke 1 --yes" AUTHORITY) == 0);
    CHECK_OK(standing_of(fixture, "alpha"));
    CHECK(run(fixture, "key revoke alpha --yes" AUTHORITY) == 0);
    CHECK_ERR(standing_of(fixture, "alpha"), ERR_REVOKED);
}

static void leads_through_a_rotation(void **state)
{
    struct fixture *fixture = *state;
    CHECK(run(fixture, "key rotate --activate --yes" AUTHORITY) == 7);
    CHECK(run(fixture, "key rotate --stage" AUTHORITY) == 0);
    CHECK(says(fixture->talk, "--activate"));
    CHECK(run(fixture, "key rotate" AUTHORITY) == 0);
    CHECK(says(fixture->out, "staged"));
    CHECK(run(fixture, "key rotate --activate" AUTHORITY) == 7);
    CHECK(run(fixture, "key rotate --activate --yes" AUTHORITY) == 0);
    CHECK(run(fixture, "key rotate --retire --yes" AUTHORITY) == 7);
    CHECK(says(fixture->talk, "troupe key renew --all"));
    CHECK(run(fixture, "key renew --all" AUTHORITY) == 0);
    CHECK_OK(standing_of(fixture, "alpha"));
    CHECK(run(fixture, "key rotate --retire" AUTHORITY) == 7);
    fixture->typed = "retire";
    CHECK(run(fixture, "key rotate --retire" AUTHORITY) == 0);
    CHECK_OK(standing_of(fixture, "alpha"));
    CHECK_OK(standing_of(fixture, "operator"));
}

static void shows_whose_key_was_retired_by_force(void **state)
{
    struct fixture *fixture = *state;
    CHECK(run(fixture, "key rotate --stage" AUTHORITY) == 0);
    CHECK(run(fixture, "key rotate --activate --yes" AUTHORITY) == 0);
    CHECK(run(fixture, "key rotate --retire --force --yes" AUTHORITY) == 0);
    CHECK(run(fixture, "key ls" AUTHORITY) == 1);
    CHECK(says(fixture->out, "KEY RETIRED"));
    CHECK(run(fixture, "key renew --all" AUTHORITY) == 0);
    CHECK(run(fixture, "key ls" AUTHORITY) == 0);
}

static void does_nothing_in_a_dry_run(void **state)
{
    struct fixture *fixture = *state;
    static const char *const lines[] = {
        "key issue web --role client --dry-run" AUTHORITY,
        "key renew alpha --dry-run" AUTHORITY,
        "key renew --all --dry-run" AUTHORITY,
        "key revoke alpha --dry-run --yes" AUTHORITY,
        "key rotate --stage --dry-run" AUTHORITY,
        "cluster init lab a=10.0.0.1 --dry-run",
    };
    struct memory_files before = {0};
    memory_files_copy(&before, &fixture->machine.memory);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        CHECK(run(fixture, lines[i]) == 0);
        CHECK(memory_files_are_equal(&before, &fixture->machine.memory));
    }
    memory_files_clear(&before);
}

static void does_not_show_secrets(void **state)
{
    struct fixture *fixture = *state;
    CHECK(run(fixture, "key show shop/alpha/alpha.key") == 7);
    CHECK(fixture->out[0] == '\0');
    CHECK(run(fixture, "key show shop/authority/authority.key") == 7);
    CHECK(fixture->out[0] == '\0');
}

/* Copies of trust beside the authority are brought up to date by themselves:
 * a failure there is told, and nothing else is undone for it. */
static bool is_only_copies(const char *talk)
{
    return says(talk, "not updated");
}

/*
 * Make each write of the command fail in turn: nothing may have changed then,
 * and it must succeed when the disk has room again.
 */
static void sweep(struct fixture *fixture, const char *line)
{
    struct memory_files before = {0};
    memory_files_copy(&before, &fixture->machine.memory);
    uint32_t failure_count = 0;
    int code = -1;
    for (uint32_t i = 1; code != 0; i++) {
        fixture->machine.memory.write_count = 0;
        fixture->machine.memory.fail_at = i;
        code = run(fixture, line);
        fixture->machine.memory.fail_at = 0;
        CHECK(code == 0 || code == 8 || code == 9);
        CHECK((code == 8) == is_only_copies(fixture->talk));
        CHECK(code != 9 ||
              memory_files_are_equal(&before, &fixture->machine.memory));
        CHECK(code != 9 || says(fixture->talk, "no space left"));
        failure_count += code != 0;
        if (code == 8) {
            memory_files_clear(&fixture->machine.memory);
            memory_files_copy(&fixture->machine.memory, &before);
        }
    }
    CHECK(failure_count > 2);
    memory_files_clear(&before);
}

static void loses_nothing_on_a_full_disk(void **state)
{
    struct fixture *fixture = *state;
    sweep(fixture, "key issue web --role client" AUTHORITY);
    sweep(fixture, "key renew alpha" AUTHORITY);
    sweep(fixture, "key renew --all" AUTHORITY);
    sweep(fixture, "key revoke web --yes" AUTHORITY);
    sweep(fixture, "key rotate --stage" AUTHORITY);
    sweep(fixture, "key rotate --activate --yes" AUTHORITY);
    sweep(fixture, "key renew --all" AUTHORITY);
    sweep(fixture, "key rotate --retire --yes" AUTHORITY);
    sweep(fixture, "cluster init lab one=10.0.0.1 two=10.0.0.2");
    CHECK_OK(standing_of(fixture, "alpha"));
    CHECK_OK(standing_of(fixture, "beta"));
    CHECK_OK(standing_of(fixture, "operator"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(issues_with_the_rights_that_were_given),
        TEST(refuses_a_wrong_command_line),
        TEST(refuses_what_stands_in_the_way),
        TEST(says_where_to_work),
        TEST(warns_long_before_the_end),
        TEST(revokes_only_after_a_clear_yes),
        TEST(revokes_the_older_one_by_its_serial),
        TEST(leads_through_a_rotation),
        TEST(shows_whose_key_was_retired_by_force),
        TEST(does_nothing_in_a_dry_run),
        TEST(does_not_show_secrets),
        TEST(loses_nothing_on_a_full_disk),
    };
    if (identity_library_init()) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
