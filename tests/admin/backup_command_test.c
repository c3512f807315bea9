/*
 * `troupe backup` without a cluster: what a folder says, and what is refused
 * before anybody is asked.
 */

#include "tests/support/check.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/backup_command.h"
#include "admin/backup_file.h"
#include "admin/backup_manifest.h"
#include "base/hash.h"
#include "base/posix/posix_files.h"
#include "store/posix_disk.h"
#include "tests/support/terminal.h"

#define SHARD_COUNT 8

struct fixture {
    struct terminal terminal;
    struct backup_manifest manifest;
};

static const struct command_noun *const nouns[] = {&backup_command, NULL};

/* "troupe backup " and `line`. */
static int run(struct fixture *fixture, const char *line)
{
    char whole[256];
    (void)snprintf(whole, sizeof whole, "backup %s", line);
    return terminal_run(&fixture->terminal, whole);
}

static void write_shard(struct fixture *fixture,
                        const struct disk *disk,
                        uint32_t shard)
{
    struct backup_writer writer = {0};
    CHECK_OK(backup_writer_init(&writer, disk, shard));
    CHECK_OK(backup_writer_begin(&writer));
    CHECK_OK(backup_writer_add(&writer, bytes_of_text("first")));
    CHECK_OK(backup_writer_add(&writer, bytes_of_text("second")));
    CHECK_OK(backup_writer_end(&writer));
    fixture->manifest.shards[fixture->manifest.count++] =
        (struct backup_shard){.shard = shard,
                              .index = 10,
                              .piece_count = 2,
                              .bytes = writer.at,
                              .digest = writer.digest};
    backup_writer_clear(&writer);
}

static void write_manifest(struct fixture *fixture)
{
    char path[256];
    char *text = NULL;
    size_t length = 0;
    const struct files *files = posix_files();
    CHECK_OK(backup_manifest_encode(&fixture->manifest, &text, &length));
    CHECK_OK(files->write(
        files->context,
        temp_folder_path(&fixture->terminal.folder, path, "manifest"),
        FILE_PUBLIC, true, bytes_of(text, length)));
    free(text);
}

/* A backup of the shards 0, 1 and 5. */
static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct posix_disk *disk = NULL;
    terminal_init(&fixture->terminal, nouns);
    fixture->manifest = (struct backup_manifest){
        .cluster_id = "00112233445566778899aabbccddeeff",
        .cluster_name = "orders",
        .release = "0.1.0",
        .created_ms = 1795260600250,
        .shard_count = SHARD_COUNT,
        .shards = calloc(SHARD_COUNT, sizeof(struct backup_shard)),
        .map = json_object()};
    CHECK_OK(posix_disk_open(&disk, fixture->terminal.folder.path));
    write_shard(fixture, posix_disk_table(disk), 0);
    write_shard(fixture, posix_disk_table(disk), 1);
    write_shard(fixture, posix_disk_table(disk), 5);
    posix_disk_close(&disk);
    write_manifest(fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    terminal_clear(&fixture->terminal);
    backup_manifest_clear(&fixture->manifest);
    free(fixture);
    return 0;
}

static void check_says(const char *where, const char *what)
{
    if (!strstr(where, what)) {
        print_error("%s\nis not in\n%s\n", what, where);
    }
    CHECK(strstr(where, what));
}

static void flip_byte(const struct fixture *fixture, const char *name, long at)
{
    char path[256];
    FILE *file =
        fopen(temp_folder_path(&fixture->terminal.folder, path, name), "r+");
    CHECK(file);
    CHECK(fseek(file, at, SEEK_SET) == 0);
    int byte = fgetc(file);
    CHECK(byte != EOF && fseek(file, at, SEEK_SET) == 0);
    CHECK(fputc(byte ^ 1, file) != EOF && fclose(file) == 0);
}

static void delete_file(const struct fixture *fixture, const char *name)
{
    char path[256];
    CHECK(remove(temp_folder_path(&fixture->terminal.folder, path, name)) == 0);
}

/* ---- verify ---- */

static void a_sound_backup_is_well(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(run(fixture, "verify DIR"), EXIT_CODE_OK);
    check_says(fixture->terminal.out,
               "3 of 8 shards of cluster orders, made at "
               "2026-11-21T11:30:00.250Z");
    check_says(fixture->terminal.out, "all is well");
}

static void damage_is_named_with_file_and_offset(void **state)
{
    struct fixture *fixture = *state;
    flip_byte(fixture, "shard-0001", 24 + 16 + 2);
    assert_int_equal(run(fixture, "verify DIR"), EXIT_CODE_FOUND);
    check_says(fixture->terminal.out,
               "shard-0001:24: a piece fails its checksum\n");
    check_says(fixture->terminal.out, " damaged\n");
}

static void damage_is_told_as_json(void **state)
{
    struct fixture *fixture = *state;
    delete_file(fixture, "shard-0005");
    assert_int_equal(run(fixture, "verify DIR --json"), EXIT_CODE_FOUND);
    json_t *document = json_loads(fixture->terminal.out, 0, NULL);
    CHECK(document);
    assert_string_equal(json_string_value(json_object_get(document, "schema")),
                        "troupe.backup.verify");
    const json_t *damage =
        json_array_get(json_object_get(document, "damages"), 0);
    assert_string_equal(json_string_value(json_object_get(damage, "file")),
                        "shard-0005");
    assert_string_equal(json_string_value(json_object_get(damage, "what")),
                        "the file is not there");
    json_decref(document);
}

static void a_sound_file_of_another_backup_is_noticed(void **state)
{
    struct fixture *fixture = *state;
    fixture->manifest.shards[1].digest++;
    write_manifest(fixture);
    assert_int_equal(run(fixture, "verify DIR"), EXIT_CODE_FOUND);
    check_says(fixture->terminal.out,
               "shard-0001: it is not the file of the manifest\n");
}

static void a_folder_without_manifest_is_unfinished(void **state)
{
    struct fixture *fixture = *state;
    delete_file(fixture, "manifest");
    assert_int_equal(run(fixture, "verify DIR"), EXIT_CODE_FOUND);
    check_says(fixture->terminal.talk, "unfinished");
    assert_int_equal(run(fixture, "restore DIR --yes"), EXIT_CODE_FOUND);
}

static void any_changed_byte_of_the_manifest_is_noticed(void **state)
{
    struct fixture *fixture = *state;
    char *text = NULL;
    size_t length = 0;
    CHECK_OK(backup_manifest_encode(&fixture->manifest, &text, &length));
    free(text);
    for (long at = 0; at < (long)length; at += 7) {
        flip_byte(fixture, "manifest", at);
        assert_int_equal(run(fixture, "verify DIR"), EXIT_CODE_FOUND);
        flip_byte(fixture, "manifest", at);
    }
    assert_int_equal(run(fixture, "verify DIR"), EXIT_CODE_OK);
}

static void no_folder_is_no_backup(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(run(fixture, "verify /nowhere/at/all"), EXIT_CODE_FAILED);
    check_says(fixture->terminal.talk, "/nowhere/at/all: not found");
}

/* ---- the manifest ---- */

static enum err decode(const char *line, struct err_detail *why)
{
    char text[2048];
    struct backup_manifest manifest = {0};
    int length =
        snprintf(text, sizeof text, "%s\nxxh3 %016llx\n", line,
                 (unsigned long long)hash_bytes(bytes_of_text(line), 0));
    CHECK(length > 0 && (size_t)length < sizeof text);
    enum err err = backup_manifest_decode(&manifest, bytes_of_text(text), why);
    backup_manifest_clear(&manifest);
    return err;
}

#define MANIFEST(format, count, shards)                                  \
    "{\"format\":" format ",\"release\":\"x\",\"created_ms\":1,"         \
    "\"cluster\":{\"id\":\"00112233445566778899aabbccddeeff\",\"name\":" \
    "\"a\"},\"shard_count\":" count ",\"shards\":[" shards "]}"
#define SHARD(number)                                                \
    "{\"shard\":" number ",\"index\":1,\"term\":1,\"generation\":0," \
    "\"pieces\":1,\"bytes\":1,\"digest\":\"0011223344556677\"}"

static void a_manifest_that_makes_no_sense_is_refused(void **state)
{
    struct err_detail why = {0};
    (void)state;
    CHECK_OK(decode(MANIFEST("1", "8", SHARD("3")), &why));
    CHECK_OK(decode(MANIFEST("1", "8", SHARD("3") "," SHARD("7")), &why));
    static const char *const bad[] = {
        "",
        "{}",
        "[1]",
        MANIFEST("1", "8", ""),
        MANIFEST("1", "8", SHARD("8")),
        MANIFEST("1", "8", SHARD("-1")),
        MANIFEST("1", "8", SHARD("3") "," SHARD("3")),
        MANIFEST("1", "8", SHARD("3") "," SHARD("2")),
        MANIFEST("1", "0", SHARD("0")),
        MANIFEST("1", "5000", SHARD("0")),
        MANIFEST("1", "8", "{}"),
        MANIFEST("\"1\"", "8", SHARD("0")),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_ERR(decode(bad[i], &why), ERR_MALFORMED);
    }
}

static void a_newer_manifest_is_said_to_be_one(void **state)
{
    struct err_detail why = {0};
    (void)state;
    CHECK_ERR(decode(MANIFEST("2", "8", SHARD("3")), &why), ERR_VERSION);
    check_says(why.text, "format 2, this release reads format 1");
}

/* ---- restore and create ---- */

static void a_damaged_backup_is_not_restored(void **state)
{
    struct fixture *fixture = *state;
    flip_byte(fixture, "shard-0001", 24 + 16 + 2);
    assert_int_equal(run(fixture, "restore DIR --yes"), EXIT_CODE_REFUSED);
    check_says(fixture->terminal.talk,
               "shard-0001:24: a piece fails its checksum");
    check_says(fixture->terminal.talk, "nothing was restored");
    /* Others of it are: then it is asked for a cluster. */
    assert_int_equal(run(fixture, "restore DIR --shards 0,5 --yes"),
                     EXIT_CODE_USAGE);
    check_says(fixture->terminal.talk, "which cluster?");
}

static void shards_that_are_not_in_it_are_refused(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(run(fixture, "restore DIR --shards 0-2 --yes"),
                     EXIT_CODE_REFUSED);
    check_says(fixture->terminal.talk, "shard 2 is not in the backup");
    assert_int_equal(run(fixture, "restore DIR --group 3 --yes"),
                     EXIT_CODE_REFUSED);
    check_says(fixture->terminal.talk, "shard 2 is not in the backup");
}

static void wrong_lists_of_shards_are_refused(void **state)
{
    static const char *const lines[] = {
        "restore DIR --shards 8",   "restore DIR --shards 3-1",
        "restore DIR --shards 1,,", "restore DIR --shards a",
        "restore DIR --group 0",    "restore DIR --group 9",
        "restore DIR --group x",    "restore DIR --group 1 --shards 1",
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        assert_int_equal(run(fixture, lines[i]), EXIT_CODE_USAGE);
    }
    check_says(fixture->terminal.talk, "one of them");
}

static void a_command_without_its_folder_is_misused(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(run(fixture, "create"), EXIT_CODE_USAGE);
    assert_int_equal(run(fixture, "restore"), EXIT_CODE_USAGE);
    assert_int_equal(run(fixture, "verify"), EXIT_CODE_USAGE);
    assert_int_equal(run(fixture, "create a b"), EXIT_CODE_USAGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sound_backup_is_well),
        TEST(damage_is_named_with_file_and_offset),
        TEST(damage_is_told_as_json),
        TEST(a_sound_file_of_another_backup_is_noticed),
        TEST(a_folder_without_manifest_is_unfinished),
        TEST(any_changed_byte_of_the_manifest_is_noticed),
        TEST(no_folder_is_no_backup),
        TEST(a_manifest_that_makes_no_sense_is_refused),
        TEST(a_newer_manifest_is_said_to_be_one),
        TEST(a_damaged_backup_is_not_restored),
        TEST(shards_that_are_not_in_it_are_refused),
        TEST(wrong_lists_of_shards_are_refused),
        TEST(a_command_without_its_folder_is_misused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
