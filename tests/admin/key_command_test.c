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
#include "tests/support/terminal.h"

#define NOW_MS FAKE_MACHINE_NOW_MS

static const struct command_noun *const nouns[] = {&cluster_command,
                                                   &key_command, NULL};

static bool says(const char *where, const char *what)
{
    return strstr(where, what) != NULL;
}

static int set_up(void **state)
{
    struct terminal *terminal = calloc(1, sizeof *terminal);
    CHECK(terminal != NULL);
    terminal_init(terminal, nouns);
    terminal->files = &terminal->machine.files;
    CHECK(terminal_run(terminal,
                       "cluster init shop alpha=10.0.0.1 beta=10.0.0.2") == 0);
    CHECK(says(terminal->talk, "scp -rp shop/alpha 10.0.0.1:"));
    CHECK(says(terminal->talk, "trouped --config cluster.yaml"));
    CHECK(says(terminal->talk, "context add shop --config shop/operator/"));
    *state = terminal;
    return 0;
}

static int tear_down(void **state)
{
    struct terminal *terminal = *state;
    terminal_clear(terminal);
    free(terminal);
    return 0;
}

/* What the trust in the authority's folder says of `name`. */
static enum err standing_of(struct terminal *terminal, const char *name)
{
    char folder[64];
    struct certificate certificate;
    scoped(trust_unref) struct trust *trust = NULL;
    scoped(identity_unref) const struct identity *identity = NULL;
    (void)snprintf(folder, sizeof folder, "shop/%s", name);
    CHECK_OK(trust_open(&trust, &terminal->machine.files,
                        "shop/authority/trust", NULL));
    CHECK_OK(
        identity_open(&identity, &terminal->machine.files, folder, name, NULL));
    return trust_check(trust,
                       bytes_of(identity->encoded, identity->encoded_length),
                       terminal->machine.fake.wall_ms, 0, &certificate, NULL);
}

#define AUTHORITY " --authority shop/authority"

static void issues_with_the_rights_that_were_given(void **state)
{
    struct terminal *terminal = *state;
    CHECK(terminal_run(terminal,
                       "key issue web --role client --pools a,b*" AUTHORITY) ==
          0);
    CHECK_OK(standing_of(terminal, "web"));
    CHECK(terminal_run(terminal, "key show shop/web/web.cert") == 0);
    CHECK(says(terminal->out, "pools       a,b*\n"));
    CHECK(says(terminal->out, "role        client\n"));
    CHECK(terminal_run(terminal, "key issue web --role client" AUTHORITY) == 7);
    CHECK(says(terminal->talk, "serial 4"));
}

static void refuses_a_wrong_command_line(void **state)
{
    struct terminal *terminal = *state;
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
    memory_files_copy(&before, &terminal->machine.memory);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int code = terminal_run(terminal, wrong[i]);
        if (code != 2) {
            print_error("%s: %d: %s\n", wrong[i], code, terminal->talk);
        }
        CHECK(code == 2);
        CHECK(terminal->talk[0] != '\0');
        CHECK(memory_files_are_equal(&before, &terminal->machine.memory));
    }
    memory_files_clear(&before);
}

/* The founding and the key commands mean the same by a status. */
static void refuses_what_stands_in_the_way(void **state)
{
    struct terminal *terminal = *state;
    CHECK(terminal_run(terminal, "cluster init shop alpha=10.0.0.1") == 7);
    CHECK(says(terminal->talk, "nothing is ever overwritten"));
    terminal->machine.fake.wall_ms = -1000;
    CHECK(terminal_run(terminal, "cluster init lab alpha=10.0.0.1") == 7);
    CHECK(says(terminal->talk, "clock"));
    CHECK(terminal_run(terminal, "key renew alpha" AUTHORITY) == 7);
    CHECK(says(terminal->talk, "clock"));
    terminal->machine.fake.wall_ms = NOW_MS;
    struct memory_file *ledger =
        memory_files_find(&terminal->machine.memory, "shop/authority/ledger");
    ledger->data[0] ^= 1;
    CHECK(terminal_run(terminal, "key renew alpha" AUTHORITY) == 7);
    CHECK(terminal_run(terminal, "key revoke alpha --yes" AUTHORITY) == 7);
}

static void says_where_to_work(void **state)
{
    struct terminal *terminal = *state;
    CHECK(terminal_run(terminal, "key ls") == 9);
    CHECK(says(terminal->talk, "--authority DIR"));
}

static void warns_long_before_the_end(void **state)
{
    struct terminal *terminal = *state;
    CHECK(terminal_run(terminal, "key ls" AUTHORITY) == 0);
    CHECK(says(terminal->out, "alpha") && says(terminal->out, "in 365 days"));
    terminal->machine.fake.wall_ms += 336 * MS_PER_DAY;
    CHECK(terminal_run(terminal, "key ls" AUTHORITY) == 1);
    CHECK(says(terminal->out, "expires soon"));
    CHECK(terminal_run(terminal, "key ls --within 10d" AUTHORITY) == 0);
    terminal->machine.fake.wall_ms += 30 * MS_PER_DAY;
    CHECK(terminal_run(terminal, "key ls" AUTHORITY) == 1);
    CHECK(says(terminal->out, "EXPIRED") && says(terminal->out, "ago"));
    CHECK(terminal_run(terminal, "key ls --json" AUTHORITY) == 1);
    CHECK(says(terminal->out, "\"schema\":\"troupe.key.ls\""));
    CHECK(says(terminal->out, "\"expired\":true"));
    CHECK(terminal_run(terminal, "key show shop/alpha/alpha.cert") == 1);
    CHECK(says(terminal->out, "certificate has expired"));
    CHECK(terminal_run(terminal, "key renew --all" AUTHORITY) == 0);
    CHECK(terminal_run(terminal, "key ls" AUTHORITY) == 0);
    CHECK_OK(standing_of(terminal, "alpha"));
}

static void revokes_only_after_a_clear_yes(void **state)
{
    struct terminal *terminal = *state;
    CHECK(terminal_run(terminal, "key revoke alpha" AUTHORITY) == 7);
    terminal->typed = "beta\n";
    CHECK(terminal_run(terminal, "key revoke alpha" AUTHORITY) == 7);
    CHECK(terminal_run(terminal, "key revoke alpha --dry-run" AUTHORITY) == 0);
    CHECK_OK(standing_of(terminal, "alpha"));
    terminal->typed = "alpha\n";
    CHECK(terminal_run(terminal, "key revoke alpha" AUTHORITY) == 0);
    CHECK_ERR(standing_of(terminal, "alpha"), ERR_REVOKED);
    CHECK(says(terminal->out, "shop/beta/trust  was version 1"));
    CHECK(terminal_run(terminal, "key show shop/alpha/alpha.cert") == 1);
    CHECK(terminal_run(terminal, "key revoke 2 --yes" AUTHORITY) == 0);
    CHECK_ERR(standing_of(terminal, "beta"), ERR_REVOKED);
}

static void revokes_the_older_one_by_its_serial(void **state)
{
    struct terminal *terminal = *state;
    CHECK(terminal_run(terminal, "key renew alpha" AUTHORITY) == 0);
    CHECK(terminal_run(terminal, "key revoke 1 --yes" AUTHORITY) == 0);
    CHECK_OK(standing_of(terminal, "alpha"));
    CHECK(terminal_run(terminal, "key revoke alpha --yes" AUTHORITY) == 0);
    CHECK_ERR(standing_of(terminal, "alpha"), ERR_REVOKED);
}

static void leads_through_a_rotation(void **state)
{
    struct terminal *terminal = *state;
    CHECK(terminal_run(terminal, "key rotate --activate --yes" AUTHORITY) == 7);
    CHECK(terminal_run(terminal, "key rotate --stage" AUTHORITY) == 0);
    CHECK(says(terminal->talk, "--activate"));
    CHECK(terminal_run(terminal, "key rotate" AUTHORITY) == 0);
    CHECK(says(terminal->out, "staged"));
    CHECK(terminal_run(terminal, "key rotate --activate" AUTHORITY) == 7);
    CHECK(terminal_run(terminal, "key rotate --activate --yes" AUTHORITY) == 0);
    CHECK(terminal_run(terminal, "key rotate --retire --yes" AUTHORITY) == 7);
    CHECK(says(terminal->talk, "troupe key renew --all"));
    CHECK(terminal_run(terminal, "key renew --all" AUTHORITY) == 0);
    CHECK_OK(standing_of(terminal, "alpha"));
    CHECK(terminal_run(terminal, "key rotate --retire" AUTHORITY) == 7);
    terminal->typed = "retire\n";
    CHECK(terminal_run(terminal, "key rotate --retire" AUTHORITY) == 0);
    CHECK_OK(standing_of(terminal, "alpha"));
    CHECK_OK(standing_of(terminal, "operator"));
}

static void shows_whose_key_was_retired_by_force(void **state)
{
    struct terminal *terminal = *state;
    CHECK(terminal_run(terminal, "key rotate --stage" AUTHORITY) == 0);
    CHECK(terminal_run(terminal, "key rotate --activate --yes" AUTHORITY) == 0);
    CHECK(terminal_run(terminal,
                       "key rotate --retire --force --yes" AUTHORITY) == 0);
    CHECK(terminal_run(terminal, "key ls" AUTHORITY) == 1);
    CHECK(says(terminal->out, "KEY RETIRED"));
    CHECK(terminal_run(terminal, "key renew --all" AUTHORITY) == 0);
    CHECK(terminal_run(terminal, "key ls" AUTHORITY) == 0);
}

static void does_nothing_in_a_dry_run(void **state)
{
    struct terminal *terminal = *state;
    static const char *const lines[] = {
        "key issue web --role client --dry-run" AUTHORITY,
        "key renew alpha --dry-run" AUTHORITY,
        "key renew --all --dry-run" AUTHORITY,
        "key revoke alpha --dry-run --yes" AUTHORITY,
        "key rotate --stage --dry-run" AUTHORITY,
        "cluster init lab a=10.0.0.1 --dry-run",
    };
    struct memory_files before = {0};
    memory_files_copy(&before, &terminal->machine.memory);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        CHECK(terminal_run(terminal, lines[i]) == 0);
        CHECK(memory_files_are_equal(&before, &terminal->machine.memory));
    }
    memory_files_clear(&before);
}

static void does_not_show_secrets(void **state)
{
    struct terminal *terminal = *state;
    CHECK(terminal_run(terminal, "key show shop/alpha/alpha.key") == 7);
    CHECK(terminal->out[0] == '\0');
    CHECK(terminal_run(terminal, "key show shop/authority/authority.key") == 7);
    CHECK(terminal->out[0] == '\0');
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
static void sweep(struct terminal *terminal, const char *line)
{
    struct memory_files before = {0};
    memory_files_copy(&before, &terminal->machine.memory);
    uint32_t failure_count = 0;
    int code = -1;
    for (uint32_t i = 1; code != 0; i++) {
        terminal->machine.memory.write_count = 0;
        terminal->machine.memory.fail_at = i;
        code = terminal_run(terminal, line);
        terminal->machine.memory.fail_at = 0;
        CHECK(code == 0 || code == 8 || code == 9);
        CHECK((code == 8) == is_only_copies(terminal->talk));
        CHECK(code != 9 ||
              memory_files_are_equal(&before, &terminal->machine.memory));
        CHECK(code != 9 || says(terminal->talk, "no space left"));
        failure_count += code != 0;
        if (code == 8) {
            memory_files_clear(&terminal->machine.memory);
            memory_files_copy(&terminal->machine.memory, &before);
        }
    }
    CHECK(failure_count > 2);
    memory_files_clear(&before);
}

static void loses_nothing_on_a_full_disk(void **state)
{
    struct terminal *terminal = *state;
    sweep(terminal, "key issue web --role client" AUTHORITY);
    sweep(terminal, "key renew alpha" AUTHORITY);
    sweep(terminal, "key renew --all" AUTHORITY);
    sweep(terminal, "key revoke web --yes" AUTHORITY);
    sweep(terminal, "key rotate --stage" AUTHORITY);
    sweep(terminal, "key rotate --activate --yes" AUTHORITY);
    sweep(terminal, "key renew --all" AUTHORITY);
    sweep(terminal, "key rotate --retire --yes" AUTHORITY);
    sweep(terminal, "cluster init lab one=10.0.0.1 two=10.0.0.2");
    CHECK_OK(standing_of(terminal, "alpha"));
    CHECK_OK(standing_of(terminal, "beta"));
    CHECK_OK(standing_of(terminal, "operator"));
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
