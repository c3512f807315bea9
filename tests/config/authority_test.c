#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "base/time_units.h"
#include "config/authority.h"
#include "config/bundle.h"
#include "config/trust.h"
#include "tests/support/fake_machine.h"

#define NOW_MS FAKE_MACHINE_NOW_MS

/* An authority in auth/, and what is issued beside it. */
struct fixture {
    struct fake_machine machine;
    struct err_detail why;
};

/* One change of the authority, as a command makes it. */
typedef enum err change(struct authority *authority,
                        struct changes *changes,
                        struct fixture *fixture);

static enum err change_once(struct fixture *fixture, change *make)
{
    scoped(authority_close) struct authority *authority = NULL;
    enum err err = authority_open(&authority, &fixture->machine.world, "auth",
                                  AUTHORITY_WRITE, &fixture->why);
    if (err) {
        return err;
    }
    scoped(changes_close) struct changes *changes = NULL;
    CHECK_OK(changes_open(&changes, &fixture->machine.files));
    err = make(authority, changes, fixture);
    if (!err) {
        changes_keep(changes);
    }
    return err;
}

static enum err save(struct authority *authority, struct changes *changes)
{
    return authority_save(authority, "auth", changes, NULL);
}

static enum err issue_named(struct authority *authority,
                            struct changes *changes,
                            struct fixture *fixture,
                            const char *name)
{
    scoped(identity_unref) const struct identity *identity = NULL;
    struct authority_request request = {.name = name, .role = ROLE_NODE};
    enum err err =
        authority_issue(authority, &request, &identity, &fixture->why);
    if (!err) {
        err = save(authority, changes);
    }
    if (err) {
        return err;
    }
    return bundle_make(changes, &fixture->machine.files, name, identity,
                       authority_trust_text(authority), &fixture->why);
}

static enum err issue_alpha(struct authority *authority,
                            struct changes *changes,
                            struct fixture *fixture)
{
    return issue_named(authority, changes, fixture, "alpha");
}

static enum err issue_beta(struct authority *authority,
                           struct changes *changes,
                           struct fixture *fixture)
{
    return issue_named(authority, changes, fixture, "beta");
}

static enum err renew_alpha(struct authority *authority,
                            struct changes *changes,
                            struct fixture *fixture)
{
    scoped(identity_unref) const struct identity *identity = NULL;
    enum err err =
        authority_renew(authority, "alpha", 0, &identity, &fixture->why);
    if (!err) {
        err = save(authority, changes);
    }
    if (err) {
        return err;
    }
    return bundle_renew(changes, &fixture->machine.files, "alpha", identity,
                        authority_trust_text(authority), &fixture->why);
}

static enum err revoke_first(struct authority *authority,
                             struct changes *changes,
                             struct fixture *fixture)
{
    enum err err = authority_revoke(authority, 1, &fixture->why);
    return err && err != ERR_REVOKED ? err : save(authority, changes);
}

static enum err stage(struct authority *authority,
                      struct changes *changes,
                      struct fixture *fixture)
{
    enum err err = authority_stage(authority, &fixture->why);
    return err ? err : save(authority, changes);
}

static enum err activate(struct authority *authority,
                         struct changes *changes,
                         struct fixture *fixture)
{
    enum err err = authority_activate(authority, &fixture->why);
    return err ? err : save(authority, changes);
}

static enum err retire(struct authority *authority,
                       struct changes *changes,
                       struct fixture *fixture)
{
    enum err err = authority_retire(authority, false, &fixture->why);
    return err ? err : save(authority, changes);
}

static enum err retire_by_force(struct authority *authority,
                                struct changes *changes,
                                struct fixture *fixture)
{
    enum err err = authority_retire(authority, true, &fixture->why);
    return err ? err : save(authority, changes);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    CHECK(fixture != NULL);
    fake_machine_init(&fixture->machine);
    scoped(changes_close) struct changes *changes = NULL;
    scoped(authority_close) struct authority *authority = NULL;
    CHECK_OK(authority_make(&authority, &fixture->machine.world, "shop", NULL));
    CHECK_OK(changes_open(&changes, &fixture->machine.files));
    CHECK_OK(changes_make_folder(changes, "auth", FILE_SECRET, NULL));
    CHECK_OK(save(authority, changes));
    changes_keep(changes);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    fake_machine_clear(&fixture->machine);
    free(fixture);
    return 0;
}

/* What the trust in `folder` says of the certificate of `name`. */
static enum err check_as(struct fixture *fixture,
                         const char *folder,
                         const char *name)
{
    char path[64];
    struct certificate certificate;
    scoped(trust_unref) struct trust *trust = NULL;
    scoped(identity_unref) const struct identity *identity = NULL;
    (void)snprintf(path, sizeof path, "%s/trust", folder);
    CHECK_OK(trust_open(&trust, &fixture->machine.files, path, &fixture->why));
    CHECK_OK(identity_open(&identity, &fixture->machine.files, name, name,
                           &fixture->why));
    return trust_check(trust,
                       bytes_of(identity->encoded, identity->encoded_length),
                       fixture->machine.fake.wall_ms, 0, &certificate, NULL);
}

static uint64_t serial_of(struct fixture *fixture, const char *name)
{
    scoped(identity_unref) const struct identity *identity = NULL;
    CHECK_OK(identity_open(&identity, &fixture->machine.files, name, name,
                           &fixture->why));
    return identity->certificate.serial;
}

static uint64_t version_of(struct fixture *fixture, const char *path)
{
    scoped(trust_unref) struct trust *trust = NULL;
    CHECK_OK(trust_open(&trust, &fixture->machine.files, path, &fixture->why));
    return trust_version(trust);
}

static bool is_locked(struct fixture *fixture)
{
    const struct memory_file *lock =
        memory_files_find(&fixture->machine.memory, "auth/lock");
    return lock && lock->is_locked;
}

static void issues_what_its_trust_accepts(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(change_once(fixture, issue_alpha));
    CHECK_OK(change_once(fixture, issue_beta));
    CHECK_OK(check_as(fixture, "alpha", "alpha"));
    CHECK_OK(check_as(fixture, "alpha", "beta"));
    CHECK(serial_of(fixture, "alpha") == 1);
    CHECK(serial_of(fixture, "beta") == 2);
    CHECK(!is_locked(fixture));
}

static void makes_secret_files_secret(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(change_once(fixture, issue_alpha));
    struct memory_files *memory = &fixture->machine.memory;
    const char *const secret[] = {"auth", "auth/authority.key", "alpha",
                                  "alpha/alpha.key"};
    for (size_t i = 0; i < 4; i++) {
        CHECK(memory_files_find(memory, secret[i])->access == FILE_SECRET);
    }
    memory_files_find(memory, "auth/authority.key")->access = FILE_PUBLIC;
    CHECK_ERR(change_once(fixture, issue_beta), ERR_EXPOSED);
    CHECK(strstr(fixture->why.text, "chmod 600 auth/authority.key") != NULL);
    CHECK(!is_locked(fixture));
}

static void is_valid_a_little_before_and_a_year_after(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(change_once(fixture, issue_alpha));
    fixture->machine.fake.wall_ms = NOW_MS - 3599 * 1000;
    CHECK_OK(check_as(fixture, "alpha", "alpha"));
    fixture->machine.fake.wall_ms = NOW_MS - 3601 * 1000;
    CHECK_ERR(check_as(fixture, "alpha", "alpha"), ERR_NOT_YET_VALID);
    fixture->machine.fake.wall_ms = NOW_MS + 365 * S_PER_DAY * MS_PER_S - 1;
    CHECK_OK(check_as(fixture, "alpha", "alpha"));
    fixture->machine.fake.wall_ms = NOW_MS + 365 * S_PER_DAY * MS_PER_S;
    CHECK_ERR(check_as(fixture, "alpha", "alpha"), ERR_EXPIRED);
}

static void refuses_what_it_should_not_issue(void **state)
{
    struct fixture *fixture = *state;
    const struct identity *identity = NULL;
    CHECK_OK(change_once(fixture, issue_alpha));
    CHECK_ERR(change_once(fixture, issue_alpha), ERR_EXISTS);
    CHECK(strstr(fixture->why.text, "serial 1") != NULL);
    scoped(authority_close) struct authority *authority = NULL;
    CHECK_OK(authority_open(&authority, &fixture->machine.world, "auth",
                            AUTHORITY_WRITE, NULL));
    const struct authority_request bad[] = {
        {.name = "12", .role = ROLE_NODE},
        {.name = "A", .role = ROLE_NODE},
        {.name = "x", .role = ROLE_NODE, .pools = "a"},
        {.name = "x", .role = ROLE_CLIENT, .pools = "a,,b"},
        {.name = "x", .role = ROLE_NODE, .valid_seconds = 59},
        {.name = "x", .role = ROLE_NODE, .valid_seconds = INT64_MAX},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fixture->why.text[0] = '\0';
        CHECK_ERR(authority_issue(authority, &bad[i], &identity, &fixture->why),
                  ERR_INVALID);
        CHECK(fixture->why.text[0] != '\0');
    }
    fixture->machine.fake.wall_ms = 1000; /* a battery that is empty */
    CHECK_ERR(authority_issue(authority,
                              &(struct authority_request){.name = "x"},
                              &identity, &fixture->why),
              ERR_INVALID);
    CHECK(identity == NULL);
    CHECK(authority_ledger(authority)->entry_count == 1);
}

static void issues_again_to_a_name_that_has_expired(void **state)
{
    struct fixture *fixture = *state;
    struct files *files = &fixture->machine.files;
    CHECK_OK(change_once(fixture, issue_alpha));
    fixture->machine.fake.wall_ms += 366 * S_PER_DAY * MS_PER_S;
    CHECK_ERR(change_once(fixture, issue_alpha), ERR_EXISTS); /* the files */
    CHECK(strstr(fixture->why.text, "alpha/alpha.key") != NULL);
    CHECK_OK(files->remove(files->context, "alpha/alpha.key"));
    CHECK_OK(files->remove(files->context, "alpha/alpha.cert"));
    CHECK_OK(change_once(fixture, issue_alpha));
    CHECK(serial_of(fixture, "alpha") == 2);
    CHECK_OK(check_as(fixture, "auth", "alpha"));
}

static void renews_without_a_moment_without_a_key(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(change_once(fixture, issue_alpha));
    struct memory_files old = {0};
    memory_files_copy(&old, &fixture->machine.memory);
    CHECK_OK(change_once(fixture, renew_alpha));
    CHECK(serial_of(fixture, "alpha") == 2);
    CHECK_OK(check_as(fixture, "auth", "alpha"));

    /* The new key file works with the old certificate, too: whatever is
     * copied first, or wherever a crash fell, there is a key. */
    struct memory_file *certificate =
        memory_files_find(&old, "alpha/alpha.cert");
    CHECK_OK(fixture->machine.files.write(
        fixture->machine.files.context, "alpha/alpha.cert", FILE_PUBLIC, true,
        bytes_of(certificate->data, certificate->length)));
    CHECK(serial_of(fixture, "alpha") == 1);
    CHECK_OK(check_as(fixture, "auth", "alpha")); /* valid until it expires */
    memory_files_clear(&old);
}

static void renews_what_was_lost_or_damaged(void **state)
{
    struct fixture *fixture = *state;
    struct files *files = &fixture->machine.files;
    CHECK_OK(change_once(fixture, issue_alpha));
    CHECK_OK(files->remove(files->context, "alpha/alpha.key"));
    CHECK_OK(change_once(fixture, renew_alpha));
    CHECK(serial_of(fixture, "alpha") == 2);
    memory_files_find(&fixture->machine.memory, "alpha/alpha.key")->data[40] ^=
        1;
    CHECK_OK(change_once(fixture, renew_alpha));
    CHECK(serial_of(fixture, "alpha") == 3);
}

static void renews_only_what_was_issued(void **state)
{
    struct fixture *fixture = *state;
    CHECK_ERR(change_once(fixture, renew_alpha), ERR_NOT_FOUND);
    CHECK_OK(change_once(fixture, issue_alpha));
    CHECK_OK(change_once(fixture, revoke_first));
    CHECK_ERR(change_once(fixture, renew_alpha), ERR_NOT_FOUND);
}

static void revokes_in_a_higher_version_of_trust(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(change_once(fixture, issue_alpha));
    CHECK(version_of(fixture, "auth/trust") == 1);
    CHECK_OK(change_once(fixture, revoke_first));
    CHECK(version_of(fixture, "auth/trust") == 2);
    CHECK_ERR(check_as(fixture, "auth", "alpha"), ERR_REVOKED);
    CHECK_OK(change_once(fixture, revoke_first)); /* again: nothing changes */
    CHECK(version_of(fixture, "auth/trust") == 2);
}

static void never_uses_a_serial_twice(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(change_once(fixture, issue_alpha));
    CHECK_OK(change_once(fixture, revoke_first));
    struct files *files = &fixture->machine.files;
    CHECK_OK(files->remove(files->context, "alpha/alpha.key"));
    CHECK_OK(files->remove(files->context, "alpha/alpha.cert"));
    CHECK_OK(change_once(fixture, issue_alpha));
    CHECK(serial_of(fixture, "alpha") == 2);
    CHECK_OK(check_as(fixture, "auth", "alpha"));
}

static void rotates_without_a_stop(void **state)
{
    struct fixture *fixture = *state;
    struct files *files = &fixture->machine.files;
    CHECK_OK(change_once(fixture, issue_alpha));
    CHECK_ERR(change_once(fixture, activate), ERR_INVALID);
    CHECK_ERR(change_once(fixture, retire), ERR_INVALID);
    CHECK_OK(change_once(fixture, stage));
    CHECK_ERR(change_once(fixture, stage), ERR_INVALID);
    CHECK_OK(check_as(fixture, "auth", "alpha"));
    CHECK_OK(change_once(fixture, issue_beta)); /* by the old key still */
    CHECK_OK(change_once(fixture, activate));

    /* Old and new live side by side, as long as they like. */
    CHECK_ERR(change_once(fixture, retire), ERR_IN_USE);
    CHECK_OK(change_once(fixture, renew_alpha));
    CHECK_OK(check_as(fixture, "auth", "alpha"));
    CHECK_OK(check_as(fixture, "auth", "beta"));
    CHECK_OK(check_as(fixture, "beta", "alpha")); /* beta has staged trust */
    CHECK_ERR(change_once(fixture, retire), ERR_IN_USE);

    CHECK_OK(change_once(fixture, retire_by_force));
    CHECK_OK(check_as(fixture, "auth", "alpha"));
    CHECK_ERR(check_as(fixture, "auth", "beta"), ERR_FORGED);
    CHECK(version_of(fixture, "auth/trust") == 3);
    CHECK_OK(files->remove(files->context, "beta/beta.cert"));
    CHECK_OK(change_once(fixture, stage)); /* and the next one can begin */
}

static void retires_when_nothing_needs_the_old_key(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(change_once(fixture, issue_alpha));
    CHECK_OK(change_once(fixture, stage));
    CHECK_OK(change_once(fixture, activate));
    CHECK_OK(change_once(fixture, renew_alpha));
    size_t before =
        memory_files_find(&fixture->machine.memory, "auth/authority.key")
            ->length;
    CHECK_OK(change_once(fixture, retire));
    struct memory_file *keys =
        memory_files_find(&fixture->machine.memory, "auth/authority.key");
    CHECK(keys->length == before / 2); /* the old secret is gone */
    CHECK_OK(check_as(fixture, "auth", "alpha"));
}

static void lets_a_host_that_missed_versions_follow(void **state)
{
    struct fixture *fixture = *state;
    struct memory_files first = {0};
    CHECK_OK(change_once(fixture, issue_alpha));
    memory_files_copy(&first, &fixture->machine.memory);
    CHECK_OK(change_once(fixture, stage));
    CHECK_OK(change_once(fixture, activate));
    CHECK_OK(change_once(fixture, revoke_first));
    struct files old_files = memory_files_table(&first);
    scoped(trust_unref) struct trust *old = NULL;
    scoped(trust_unref) struct trust *new = NULL;
    CHECK_OK(trust_open(&old, &old_files, "auth/trust", NULL));
    CHECK_OK(trust_open(&new, &fixture->machine.files, "auth/trust", NULL));
    CHECK(trust_version(new) == trust_version(old) + 2);
    CHECK_OK(trust_check_next(old, new, NULL));
    memory_files_clear(&first);
}

static void forgets_revocations_with_the_key_that_signed(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(change_once(fixture, issue_alpha));
    CHECK_OK(change_once(fixture, revoke_first));
    CHECK_OK(change_once(fixture, stage));
    CHECK_OK(change_once(fixture, activate));
    CHECK_OK(change_once(fixture, retire));
    scoped(trust_unref) struct trust *trust = NULL;
    CHECK_OK(trust_open(&trust, &fixture->machine.files, "auth/trust", NULL));
    CHECK(trust_facts(trust).revoked_count == 0);
    CHECK_ERR(check_as(fixture, "auth", "alpha"), ERR_FORGED);
}

static void lets_only_one_command_write(void **state)
{
    struct fixture *fixture = *state;
    struct authority *writer = NULL;
    CHECK_OK(authority_open(&writer, &fixture->machine.world, "auth",
                            AUTHORITY_WRITE, NULL));
    CHECK_ERR(change_once(fixture, issue_alpha), ERR_BUSY);
    CHECK(strstr(fixture->why.text, "auth/lock") != NULL);
    CHECK(is_locked(fixture)); /* it is not ours */
    scoped(authority_close) struct authority *reader = NULL;
    CHECK_OK(authority_open(&reader, &fixture->machine.world, "auth",
                            AUTHORITY_READ, NULL));
    authority_close(&writer);
    CHECK(!is_locked(fixture));
    CHECK_OK(change_once(fixture, issue_alpha));
}

static void takes_no_notice_of_a_lock_file_that_was_left(void **state)
{
    struct fixture *fixture = *state;
    struct files *files = &fixture->machine.files;
    CHECK_OK(files->write(files->context, "auth/lock", FILE_PUBLIC, false,
                          bytes_of_text("of a command that was killed\n")));
    CHECK_OK(change_once(fixture, issue_alpha));
    CHECK(!memory_files_find(&fixture->machine.memory, "auth/lock"));
}

static void refuses_a_ledger_older_than_its_trust(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(change_once(fixture, issue_alpha));
    struct memory_file *ledger =
        memory_files_find(&fixture->machine.memory, "auth/ledger");
    char *copy = calloc(1, ledger->length + 1);
    CHECK(copy != NULL);
    memcpy(copy, ledger->data, ledger->length);
    CHECK_OK(change_once(fixture, revoke_first));
    CHECK_OK(fixture->machine.files.write(fixture->machine.files.context,
                                          "auth/ledger", FILE_PUBLIC, true,
                                          bytes_of_text(copy)));
    CHECK_ERR(change_once(fixture, issue_beta), ERR_SUPERSEDED);
    CHECK(!is_locked(fixture));
    free(copy);
}

static void refuses_every_changed_byte_of_its_ledger(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(change_once(fixture, issue_alpha));
    CHECK_OK(change_once(fixture, revoke_first));
    struct memory_file *ledger =
        memory_files_find(&fixture->machine.memory, "auth/ledger");
    for (size_t i = 0; i < ledger->length; i++) {
        struct authority *authority = NULL;
        ledger->data[i] ^= 1;
        CHECK_ERR(authority_open(&authority, &fixture->machine.world, "auth",
                                 AUTHORITY_READ, NULL),
                  ERR_MALFORMED);
        CHECK(authority == NULL);
        ledger->data[i] ^= 1;
    }
    ledger->length--;
    CHECK_ERR(change_once(fixture, issue_beta), ERR_MALFORMED);
}

static void refuses_every_changed_character_of_its_key(void **state)
{
    struct fixture *fixture = *state;
    struct memory_file *keys =
        memory_files_find(&fixture->machine.memory, "auth/authority.key");
    for (size_t i = 0; i < keys->length; i++) {
        uint8_t before = keys->data[i];
        if (before == '\n') {
            continue;
        }
        keys->data[i] = before == 'B' ? 'C' : 'B';
        enum err err = change_once(fixture, issue_alpha);
        CHECK(err == ERR_MALFORMED || err == ERR_INVALID);
        keys->data[i] = before;
    }
    CHECK_OK(change_once(fixture, issue_alpha));
}

static void keeps_another_clusters_trust(void **state)
{
    struct fixture *fixture = *state;
    struct fake_machine other;
    fake_machine_init(&other);
    other.seeded.state = 99;
    scoped(changes_close) struct changes *changes = NULL;
    scoped(authority_close) struct authority *authority = NULL;
    CHECK_OK(authority_make(&authority, &other.world, "other", NULL));
    CHECK_OK(changes_open(&changes, &fixture->machine.files));
    CHECK_OK(changes_make_folder(changes, "alpha", FILE_SECRET, NULL));
    CHECK_OK(authority_save(authority, "alpha", changes, NULL));
    changes_keep(changes);
    CHECK_ERR(change_once(fixture, issue_alpha), ERR_OTHER_CLUSTER);
    struct bundle_trust found = {0};
    char *text = NULL;
    scoped(authority_close) struct authority *ours = NULL;
    CHECK_OK(authority_open(&ours, &fixture->machine.world, "auth",
                            AUTHORITY_WRITE, NULL));
    CHECK_OK(authority_encode_trust(&text, ours));
    CHECK_OK(
        bundle_put_trust(&found, &fixture->machine.files, "alpha", text, NULL));
    CHECK(!found.is_there && !found.is_replaced);
    free(text);
}

static void brings_older_trust_up_to_date(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(change_once(fixture, issue_alpha));
    CHECK_OK(change_once(fixture, revoke_first));
    scoped(authority_close) struct authority *authority = NULL;
    CHECK_OK(authority_open(&authority, &fixture->machine.world, "auth",
                            AUTHORITY_WRITE, NULL));
    const char *text = authority_trust_text(authority);
    struct bundle_trust found = {0};
    CHECK_OK(
        bundle_put_trust(&found, &fixture->machine.files, "alpha", text, NULL));
    CHECK(found.is_there && found.is_replaced && found.old_version == 1);
    CHECK(version_of(fixture, "alpha/trust") == 2);
    CHECK_OK(
        bundle_put_trust(&found, &fixture->machine.files, "alpha", text, NULL));
    CHECK(found.is_there && !found.is_replaced && found.old_version == 2);
    CHECK_OK(
        bundle_put_trust(&found, &fixture->machine.files, "beta", text, NULL));
    CHECK(!found.is_there);
}

/*
 * Make each write of `make` fail once; nothing may change. Then make all
 * writes and removals from each on fail, as a crash would: what is left must
 * be usable, and trying again must succeed.
 */
static void sweep(struct fixture *fixture, change *make, uint32_t writes)
{
    struct memory_files before = {0};
    memory_files_copy(&before, &fixture->machine.memory);
    uint32_t failures = 0;
    enum err err = ERR_NO_SPACE;
    for (uint32_t i = 1; err; i++) {
        fixture->machine.memory.write_count = 0;
        fixture->machine.memory.fail_at = i;
        err = change_once(fixture, make);
        CHECK(err == ERR_NONE || err == ERR_NO_SPACE);
        CHECK(!err ||
              memory_files_are_equal(&before, &fixture->machine.memory));
        failures += err != ERR_NONE;
    }
    CHECK(failures == writes);
    CHECK(!is_locked(fixture));
    memory_files_clear(&fixture->machine.memory);
    for (uint32_t i = 1; i <= failures; i++) {
        memory_files_copy(&fixture->machine.memory, &before);
        fixture->machine.memory.fail_at = i;
        fixture->machine.memory.fails_on = true;
        fixture->machine.memory.fails_removal = true;
        CHECK_ERR(change_once(fixture, make), ERR_NO_SPACE);
        if (memory_files_find(&fixture->machine.memory, "alpha/alpha.cert")) {
            fixture->machine.memory.fail_at = 0;
            CHECK(serial_of(fixture, "alpha") > 0); /* key and certificate */
        }
        memory_files_clear(&fixture->machine.memory);
    }
    memory_files_copy(&fixture->machine.memory, &before);
    memory_files_clear(&before);
}

/* After such a crash at each write try again: no lock is in the way. */
static void sweep_crashes(struct fixture *fixture, change *make, change *again)
{
    struct memory_files before = {0};
    memory_files_copy(&before, &fixture->machine.memory);
    enum err err = ERR_NO_SPACE;
    for (uint32_t i = 1; err; i++) {
        memory_files_clear(&fixture->machine.memory);
        memory_files_copy(&fixture->machine.memory, &before);
        fixture->machine.memory.fail_at = i;
        fixture->machine.memory.fails_on = true;
        fixture->machine.memory.fails_removal = true;
        err = change_once(fixture, make);
        fixture->machine.memory.fail_at = 0;
        fixture->machine.memory.fails_on = false;
        fixture->machine.memory.fails_removal = false;
        if (err) {
            CHECK_OK(change_once(fixture, again));
        }
    }
    memory_files_clear(&before);
}

static void loses_nothing_when_issuing_fails(void **state)
{
    struct fixture *fixture = *state;
    /* lock, ledger, folder, trust, key, certificate */
    sweep(fixture, issue_alpha, 6);
}

static void loses_nothing_when_renewing_fails(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(change_once(fixture, issue_alpha));
    /* lock, ledger, folder (there), key, certificate */
    sweep(fixture, renew_alpha, 5);
    sweep_crashes(fixture, renew_alpha, renew_alpha);
    CHECK_OK(check_as(fixture, "auth", "alpha"));
}

static void loses_nothing_when_revoking_fails(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(change_once(fixture, issue_alpha));
    /* lock, ledger, trust */
    sweep(fixture, revoke_first, 3);
    sweep_crashes(fixture, revoke_first, revoke_first);
    CHECK_ERR(check_as(fixture, "auth", "alpha"), ERR_REVOKED);
}

/* Where a step may have been taken, its being refused as taken is fine. */
static enum err stage_if_not(struct authority *authority,
                             struct changes *changes,
                             struct fixture *fixture)
{
    enum err err = authority_stage(authority, &fixture->why);
    return err && err != ERR_INVALID ? err : save(authority, changes);
}

static enum err retire_if_not(struct authority *authority,
                              struct changes *changes,
                              struct fixture *fixture)
{
    enum err err = authority_retire(authority, false, &fixture->why);
    return err && err != ERR_INVALID ? err : save(authority, changes);
}

static void loses_nothing_when_rotating_fails(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(change_once(fixture, issue_alpha));
    sweep(fixture, stage, 4); /* lock, key, ledger, trust */
    sweep_crashes(fixture, stage, stage_if_not);
    CHECK(version_of(fixture, "auth/trust") == 2);
    sweep(fixture, activate, 3); /* lock, ledger, trust: signed by both */
}

static void loses_nothing_when_retiring_fails(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(change_once(fixture, issue_alpha));
    CHECK_OK(change_once(fixture, stage));
    CHECK_OK(change_once(fixture, activate));
    CHECK_OK(change_once(fixture, renew_alpha));
    sweep(fixture, retire, 4); /* lock, ledger, trust, key */
    sweep_crashes(fixture, retire, retire_if_not);
    CHECK_OK(change_once(fixture, retire_if_not)); /* tidies, if need be */
    CHECK_OK(check_as(fixture, "auth", "alpha"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(issues_what_its_trust_accepts),
        TEST(makes_secret_files_secret),
        TEST(is_valid_a_little_before_and_a_year_after),
        TEST(refuses_what_it_should_not_issue),
        TEST(issues_again_to_a_name_that_has_expired),
        TEST(renews_without_a_moment_without_a_key),
        TEST(renews_what_was_lost_or_damaged),
        TEST(renews_only_what_was_issued),
        TEST(revokes_in_a_higher_version_of_trust),
        TEST(never_uses_a_serial_twice),
        TEST(rotates_without_a_stop),
        TEST(retires_when_nothing_needs_the_old_key),
        TEST(lets_a_host_that_missed_versions_follow),
        TEST(forgets_revocations_with_the_key_that_signed),
        TEST(lets_only_one_command_write),
        TEST(takes_no_notice_of_a_lock_file_that_was_left),
        TEST(refuses_a_ledger_older_than_its_trust),
        TEST(refuses_every_changed_byte_of_its_ledger),
        TEST(refuses_every_changed_character_of_its_key),
        TEST(keeps_another_clusters_trust),
        TEST(brings_older_trust_up_to_date),
        TEST(loses_nothing_when_issuing_fails),
        TEST(loses_nothing_when_renewing_fails),
        TEST(loses_nothing_when_revoking_fails),
        TEST(loses_nothing_when_rotating_fails),
        TEST(loses_nothing_when_retiring_fails),
    };
    if (identity_library_init()) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
