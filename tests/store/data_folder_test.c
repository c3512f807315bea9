#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

#include "base/posix/posix_files.h"
#include "store/data_folder.h"
#include "tests/support/memory_files.h"
#include "tests/support/seeded.h"
#include "tests/support/temp_folder.h"

struct fixture {
    struct memory_files memory;
    struct files files;
    struct seeded random;
    struct entropy entropy;
    struct data_folder_config config;
    struct data_folder *folder;
    struct err_detail why;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    CHECK(fixture);
    fixture->files = memory_files_table(&fixture->memory);
    fixture->entropy = seeded_entropy(&fixture->random);
    fixture->config = (struct data_folder_config){
        .files = &fixture->files,
        .entropy = &fixture->entropy,
        .data_dir = "data",
        .node = "alpha",
        .cluster_id = {1, 2, 3},
    };
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    data_folder_close(&fixture->folder);
    memory_files_clear(&fixture->memory);
    free(fixture);
    return 0;
}

static enum err reopen(struct fixture *fixture)
{
    data_folder_close(&fixture->folder);
    fixture->why.text[0] = '\0';
    return data_folder_open(&fixture->folder, &fixture->config, &fixture->why);
}

static void put_identity(struct fixture *fixture, const char *text)
{
    CHECK_OK(fixture->files.write(fixture->files.context, "data/alpha/identity",
                                  FILE_PUBLIC, true, bytes_of_text(text)));
}

/* Refused, with these words, and nothing has changed. */
static void check_refused(struct fixture *fixture,
                          enum err err,
                          const char *words)
{
    struct memory_files before = {0};
    data_folder_close(&fixture->folder);
    memory_files_copy(&before, &fixture->memory);
    CHECK_ERR(reopen(fixture), err);
    CHECK(!fixture->folder);
    if (!strstr(fixture->why.text, words)) {
        fail_msg("'%s' lacks '%s'", fixture->why.text, words);
    }
    CHECK(memory_files_are_equal(&before, &fixture->memory));
    memory_files_clear(&before);
}

static void makes_the_folder_and_knows_it_again(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(reopen(fixture));
    uint64_t disk_id = data_folder_disk_id(fixture->folder);
    CHECK(disk_id != 0);
    assert_string_equal(data_folder_log(fixture->folder), "data/alpha/log");
    assert_string_equal(data_folder_state(fixture->folder), "data/alpha/state");
    CHECK(memory_files_find(&fixture->memory, "data/alpha/log"));
    CHECK(!data_folder_has_log(fixture->folder));
    CHECK_OK(data_folder_log_made(fixture->folder));
    CHECK_OK(reopen(fixture));
    CHECK(data_folder_disk_id(fixture->folder) == disk_id);
    CHECK(data_folder_has_log(fixture->folder));
    CHECK_OK(data_folder_log_made(fixture->folder));
    data_folder_close(&fixture->folder);
    CHECK(!memory_files_find(&fixture->memory, "data/alpha/lock"));
}

static void each_folder_has_its_own_disk_id(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(reopen(fixture));
    uint64_t disk_id = data_folder_disk_id(fixture->folder);
    fixture->config.node = "beta";
    CHECK_OK(reopen(fixture));
    CHECK(data_folder_disk_id(fixture->folder) != disk_id);
}

static void the_identity_is_readable_text(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(reopen(fixture));
    const struct memory_file *file =
        memory_files_find(&fixture->memory, "data/alpha/identity");
    CHECK(file);
    static const char begin[] = "troupe-data 1\n"
                                "cluster 01020300000000000000000000000000\n"
                                "node alpha\n"
                                "disk ";
    CHECK(file->length == sizeof begin - 1 + 16 + sizeof "\nlog no\n" - 1);
    CHECK(memcmp(file->data, begin, sizeof begin - 1) == 0);
}

static void refuses_a_second_process(void **state)
{
    struct fixture *fixture = *state;
    struct data_folder *second = NULL;
    CHECK_OK(reopen(fixture));
    CHECK_ERR(data_folder_open(&second, &fixture->config, &fixture->why),
              ERR_BUSY);
    CHECK(strstr(fixture->why.text, "running process"));
    CHECK(!second);
    CHECK_OK(reopen(fixture)); /* the first one still had its lock */
}

static void refuses_another_cluster(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(reopen(fixture));
    fixture->config.cluster_id[15] = 9;
    check_refused(fixture, ERR_OTHER_CLUSTER, "of the cluster 010203");
}

static void refuses_another_node(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(reopen(fixture));
    put_identity(fixture, "troupe-data 1\n"
                          "cluster 01020300000000000000000000000000\n"
                          "node beta\n"
                          "disk 0000000000000001\n"
                          "log no\n");
    check_refused(fixture, ERR_WRONG_NAME, "node 'beta'");
}

static void refuses_a_newer_format(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(reopen(fixture));
    put_identity(fixture, "troupe-data 2\nwho knows what\n");
    check_refused(fixture, ERR_VERSION, "newer release");
}

static void refuses_a_damaged_identity(void **state)
{
    struct fixture *fixture = *state;
#define GOOD_CLUSTER "cluster 01020300000000000000000000000000\n"
    static const char *const texts[] = {
        "",
        "troupe-data\n",
        "troupe-data 0\n",
        "troupe-data 1\n",
        "troupe-data 1\ncluster 0102\n",
        "troupe-data 1\n" GOOD_CLUSTER,
        "troupe-data 1\n" GOOD_CLUSTER "node alpha\ndisk 1\nlog no\n",
        "troupe-data 1\n" GOOD_CLUSTER
        "node alpha\ndisk 0000000000000000\nlog no\n",
        "troupe-data 1\n" GOOD_CLUSTER
        "node alpha\ndisk 0000000000000001\nlog maybe\n",
        "troupe-data 1\n" GOOD_CLUSTER
        "node alpha\ndisk 0000000000000001\nlog no\nmore\n",
        "troupe-data 1\n" GOOD_CLUSTER
        "node alpha\ndisk 0000000000000001\nlog no",
    };
    CHECK_OK(reopen(fixture));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put_identity(fixture, texts[i]);
        check_refused(fixture, ERR_MALFORMED, "data/alpha/identity: damaged");
    }
}

static void refuses_data_without_an_identity(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(reopen(fixture));
    data_folder_close(&fixture->folder);
    CHECK_OK(
        fixture->files.remove(fixture->files.context, "data/alpha/identity"));
    check_refused(fixture, ERR_MALFORMED, "'identity' is missing");
}

static void refuses_a_folder_with_other_things(void **state)
{
    struct fixture *fixture = *state;
    struct files *files = &fixture->files;
    CHECK_OK(files->make_folder(files->context, "data", FILE_PUBLIC));
    CHECK_OK(files->make_folder(files->context, "data/alpha", FILE_PUBLIC));
    CHECK_OK(files->write(files->context, "data/alpha/thesis.tex", FILE_PUBLIC,
                          false, bytes_of_text("x")));
    check_refused(fixture, ERR_EXISTS, "'thesis.tex'");
}

static void takes_a_folder_that_is_empty_but_for_leftovers(void **state)
{
    struct fixture *fixture = *state;
    struct files *files = &fixture->files;
    CHECK_OK(files->make_folder(files->context, "data", FILE_PUBLIC));
    CHECK_OK(files->make_folder(files->context, "data/alpha", FILE_PUBLIC));
    CHECK_OK(files->make_folder(files->context, "data/alpha/lost+found",
                                FILE_PUBLIC));
    CHECK_OK(files->write(files->context, "data/alpha/.new-0123", FILE_PUBLIC,
                          false, bytes_of_text("x")));
    CHECK_OK(reopen(fixture));
}

static void a_full_disk_is_said_so_at_each_step(void **state)
{
    struct fixture *fixture = *state;
    uint32_t passes = 0;
    enum err err = ERR_NO_SPACE;
    uint64_t disk_id = 0;
    while (err) {
        passes++;
        memory_files_clear(&fixture->memory);
        fixture->memory.fail_at = passes;
        fixture->memory.write_count = 0;
        err = reopen(fixture);
        CHECK(!err == !!fixture->folder);
        if (err) {
            CHECK_ERR(err, ERR_NO_SPACE);
            CHECK(strstr(fixture->why.text, "no space"));
            fixture->memory.fail_at = 0;
            CHECK_OK(reopen(fixture)); /* what was begun goes on */
            disk_id = data_folder_disk_id(fixture->folder);
            CHECK(disk_id != 0);
            data_folder_close(&fixture->folder);
        }
    }
    CHECK(passes == 6); /* two folders, the lock, the identity, the log */
}

static void a_log_that_could_not_be_noted_is_not(void **state)
{
    struct fixture *fixture = *state;
    CHECK_OK(reopen(fixture));
    fixture->memory.fail_at = fixture->memory.write_count + 1;
    CHECK_ERR(data_folder_log_made(fixture->folder), ERR_NO_SPACE);
    CHECK(!data_folder_has_log(fixture->folder));
    fixture->memory.fail_at = 0;
    CHECK_OK(reopen(fixture));
    CHECK(!data_folder_has_log(fixture->folder));
}

static void works_on_a_real_disk(void **state)
{
    struct fixture *fixture = *state;
    struct temp_folder temp;
    char path[256];
    temp_folder_init(&temp);
    fixture->config.files = posix_files();
    fixture->config.data_dir = temp_folder_path(&temp, path, "data");
    CHECK_OK(reopen(fixture));
    uint64_t disk_id = data_folder_disk_id(fixture->folder);
    CHECK_OK(data_folder_log_made(fixture->folder));
    struct data_folder *second = NULL;
    CHECK_ERR(data_folder_open(&second, &fixture->config, NULL), ERR_BUSY);
    CHECK_OK(reopen(fixture));
    CHECK(data_folder_disk_id(fixture->folder) == disk_id);
    data_folder_close(&fixture->folder);
    fixture->config.data_dir = "/proc/troupe"; /* nobody may write there */
    CHECK(reopen(fixture) != ERR_NONE);
    CHECK(strstr(fixture->why.text, "/proc/troupe"));
    temp_folder_clear(&temp);
}

static void can_be_looked_at_without_taking_it(void **state)
{
    struct fixture *fixture = *state;
    struct data_folder_facts facts;
    struct err_detail why = {0};
    CHECK_ERR(data_folder_look(&facts, &fixture->files, "data/alpha", &why),
              ERR_NOT_FOUND);
    CHECK_OK(reopen(fixture));
    CHECK_OK(data_folder_log_made(fixture->folder));
    /* While it is held, by whoever holds it. */
    CHECK_OK(data_folder_look(&facts, &fixture->files, "data/alpha", &why));
    CHECK(strcmp(facts.node, "alpha") == 0 && facts.has_log);
    CHECK(facts.disk_id == data_folder_disk_id(fixture->folder));
    CHECK(memcmp(facts.cluster_id, fixture->config.cluster_id,
                 CLUSTER_ID_BYTES) == 0);
    put_identity(fixture, "troupe-data 2\n");
    CHECK_ERR(data_folder_look(&facts, &fixture->files, "data/alpha", &why),
              ERR_VERSION);
    put_identity(fixture, "troupe-data 1\ncluster 00\n");
    CHECK_ERR(data_folder_look(&facts, &fixture->files, "data/alpha", &why),
              ERR_MALFORMED);
    CHECK(strstr(why.text, "data/alpha/identity: damaged"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(makes_the_folder_and_knows_it_again),
        TEST(each_folder_has_its_own_disk_id),
        TEST(the_identity_is_readable_text),
        TEST(refuses_a_second_process),
        TEST(refuses_another_cluster),
        TEST(refuses_another_node),
        TEST(refuses_a_newer_format),
        TEST(refuses_a_damaged_identity),
        TEST(refuses_data_without_an_identity),
        TEST(refuses_a_folder_with_other_things),
        TEST(takes_a_folder_that_is_empty_but_for_leftovers),
        TEST(a_full_disk_is_said_so_at_each_step),
        TEST(a_log_that_could_not_be_noted_is_not),
        TEST(can_be_looked_at_without_taking_it),
        TEST(works_on_a_real_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
