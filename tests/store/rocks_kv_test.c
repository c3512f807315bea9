/*
 * RocksDB behind store/kv.h: what it does about damage, kills and lost writes.
 * (What every store/kv.h does: kv_test.c.)
 *
 * The content is a row of numbered batches, so that what is found can be
 * compared with what must be there: all up to some batch, and nothing else.
 */

#include "store/rocks_kv.h"

#include "tests/support/check.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/posix/posix_files.h"
#include "tests/support/seeded.h"
#include "tests/support/temp_folder.h"

#define ROW_COUNT 70
#define VALUE_BYTES 200
#define FILE_COUNT_MAX 64
#define BALLAST "z" /* begins the keys of rows that do not count */

/* ------------------------------------------------- numbered batches */

/* Each row as the batches up to `number` leave it: the last to put it. */
static uint32_t last_to_put(uint32_t number, uint32_t row)
{
    if (number < row) {
        return 0;
    }
    return number - (number - row) % ROW_COUNT;
}

/* Batch `number`, from 1 on, puts row `number % ROW_COUNT` and the counter,
 * which sorts before all rows. */
static enum err write_batch(const struct kv *kv, uint32_t number)
{
    char key[8];
    uint8_t value[VALUE_BYTES];
    uint8_t counter[4];
    memset(value, (int)number, sizeof value);
    put_u32(value, number);
    put_u32(counter, number);
    (void)snprintf(key, sizeof key, "r%05u", (unsigned)(number % ROW_COUNT));
    struct kv_change changes[] = {
        {KV_PUT, bytes_of_text("n"), bytes_of(counter, sizeof counter)},
        {KV_PUT, bytes_of_text(key), bytes_of(value, sizeof value)},
    };
    return kv->write(kv->context, changes, 2);
}

static void write_batches(const struct kv *kv, uint32_t first, uint32_t last)
{
    for (uint32_t i = first; i <= last; i++) {
        CHECK_OK(write_batch(kv, i));
    }
}

struct found {
    uint32_t number; /* 0: nothing is there */
    uint32_t row_count;
};

static bool check_row(void *visitor, struct bytes key, struct bytes value)
{
    struct found *found = visitor;
    CHECK(value.length >= 4);
    if (bytes_are_equal(key, bytes_of_text("n"))) {
        found->number = get_u32(value.data);
        return true;
    }
    if (key.data[0] == BALLAST[0]) {
        return true;
    }
    uint32_t row = 0;
    char text[8] = {0};
    CHECK(key.length == 6);
    memcpy(text, key.data, 6);
    CHECK(sscanf(text, "r%5u", &row) == 1);
    CHECK(get_u32(value.data) == last_to_put(found->number, row));
    CHECK(value.length == VALUE_BYTES);
    for (size_t i = 4; i < value.length; i++) {
        CHECK(value.data[i] == (uint8_t)get_u32(value.data));
    }
    found->row_count++;
    return true;
}

/* Up to which batch all is there; nothing else may be. */
static enum err find_number(const struct kv *kv, uint32_t *out)
{
    struct found found = {0};
    enum err err = kv->scan(kv->context, bytes_of(NULL, 0), bytes_of(NULL, 0),
                            check_row, &found);
    if (err) {
        return err;
    }
    CHECK(found.row_count ==
          (found.number < ROW_COUNT ? found.number : ROW_COUNT));
    *out = found.number;
    return ERR_NONE;
}

/* -------------------------------------------------------- databases */

static enum err open_at(struct rocks_kv **out,
                        const char *path,
                        struct err_detail *why)
{
    struct rocks_kv_config config = {.folder = path,
                                     .write_buffer_bytes = 32 * 1024};
    return rocks_kv_open(out, &config, why);
}

/* What can be read there; damage may show at opening or at reading. */
static enum err read_at(const char *path, uint32_t *out_number)
{
    struct rocks_kv *rocks = NULL;
    enum err err = open_at(&rocks, path, NULL);
    if (!err) {
        err = find_number(rocks_kv_table(rocks), out_number);
    }
    rocks_kv_close(&rocks);
    return err;
}

struct names {
    char names[FILE_COUNT_MAX][64];
    size_t count;
};

static void add_name(void *visitor, const char *name)
{
    struct names *names = visitor;
    CHECK(names->count < FILE_COUNT_MAX && strlen(name) < 64);
    (void)snprintf(names->names[names->count++], 64, "%s", name);
}

static struct names list(const char *path)
{
    struct names names = {0};
    const struct files *files = posix_files();
    CHECK_OK(files->list(files->context, path, add_name, &names));
    return names;
}

static void join(char to[static 512], const char *folder, const char *name)
{
    int length = snprintf(to, 512, "%s/%s", folder, name);
    CHECK(length > 0 && length < 512);
}

static void copy_file(const char *from, const char *to)
{
    uint8_t *content = NULL;
    size_t length = 0;
    const struct files *files = posix_files();
    CHECK_OK(files->read(files->context, from, FILE_PUBLIC, 64 << 20, &content,
                         &length));
    FILE *file = fopen(to, "wb");
    CHECK(file);
    CHECK(fwrite(content, 1, length, file) == length);
    CHECK(fclose(file) == 0);
    free(content);
}

static void copy_folder(const char *from, const char *to)
{
    struct names names = list(from);
    CHECK(mkdir(to, 0700) == 0);
    for (size_t i = 0; i < names.count; i++) {
        char source[512];
        char target[512];
        join(source, from, names.names[i]);
        join(target, to, names.names[i]);
        copy_file(source, target);
    }
}

static size_t size_of(const char *path)
{
    struct stat about;
    CHECK(stat(path, &about) == 0);
    return (size_t)about.st_size;
}

/* A database of 180 batches, in three files; all are synced. With a fourth
 * RocksDB would begin to merge them when it is opened, and wait for a second
 * whenever it finds one damaged. */
static void make_database(const char *path)
{
    struct rocks_kv *rocks = NULL;
    CHECK_OK(open_at(&rocks, path, NULL));
    const struct kv *kv = rocks_kv_table(rocks);
    write_batches(kv, 1, 180);
    CHECK_OK(kv->sync(kv->context));
    rocks_kv_close(&rocks);
}

/* ------------------------------------------------------------ tests */

static void refuses_a_second_opener(void **state)
{
    (void)state;
    struct temp_folder folder;
    char path[256];
    temp_folder_init(&folder);
    temp_folder_path(&folder, path, "state");
    struct rocks_kv *first = NULL;
    struct rocks_kv *second = NULL;
    struct err_detail why = {0};
    CHECK_OK(open_at(&first, path, NULL));
    CHECK_ERR(open_at(&second, path, &why), ERR_BUSY);
    CHECK(!second && why.text[0]);
    rocks_kv_close(&first);
    CHECK_OK(open_at(&second, path, NULL));
    rocks_kv_close(&second);
    temp_folder_clear(&folder);
}

static void can_be_read_while_another_has_it_open(void **state)
{
    (void)state;
    struct temp_folder folder;
    char path[256];
    temp_folder_init(&folder);
    temp_folder_path(&folder, path, "state");
    struct rocks_kv *writer = NULL;
    struct rocks_kv *reader = NULL;
    struct err_detail why = {0};
    struct rocks_kv_config config = {.folder = path};
    CHECK_ERR(rocks_kv_open_for_reading(&reader, &config, &why), ERR_NOT_FOUND);
    CHECK(access(path, F_OK) != 0); /* nothing was made */
    CHECK_OK(open_at(&writer, path, NULL));
    const struct kv *kv = rocks_kv_table(writer);
    write_batches(kv, 1, 5);
    CHECK_OK(kv->sync(kv->context));
    CHECK_OK(rocks_kv_open_for_reading(&reader, &config, &why));
    const struct kv *table = rocks_kv_table(reader);
    uint8_t *value = NULL;
    size_t length = 0;
    CHECK_OK(table->get(table->context, bytes_of_text("n"), &value, &length));
    CHECK(length == 4 && get_u32(value) == 5);
    free(value);
    CHECK_ERR(write_batch(table, 6), ERR_ACCESS);
    CHECK_ERR(table->sync(table->context), ERR_ACCESS);
    rocks_kv_close(&reader);
    rocks_kv_close(&writer);
    temp_folder_clear(&folder);
}

static void flip_bytes(const char *path, struct seeded *seeded)
{
    FILE *file = fopen(path, "r+b");
    CHECK(file);
    size_t size = size_of(path);
    for (uint64_t i = seeded_below(seeded, 4) + 1; i > 0 && size > 0; i--) {
        long at = (long)seeded_below(seeded, size);
        CHECK(fseek(file, at, SEEK_SET) == 0);
        int byte = fgetc(file);
        CHECK(fseek(file, at, SEEK_SET) == 0);
        CHECK(fputc(byte ^ 1 << seeded_below(seeded, 8), file) != EOF);
    }
    CHECK(fclose(file) == 0);
}

static void zero_page(const char *path, struct seeded *seeded)
{
    static const uint8_t zeros[512];
    FILE *file = fopen(path, "r+b");
    CHECK(file);
    size_t size = size_of(path);
    size_t at = size > 0 ? (size_t)seeded_below(seeded, size) : 0;
    size_t length = size - at < sizeof zeros ? size - at : sizeof zeros;
    CHECK(fseek(file, (long)at, SEEK_SET) == 0);
    CHECK(fwrite(zeros, 1, length, file) == length);
    CHECK(fclose(file) == 0);
}

static void cut_off(const char *path, struct seeded *seeded)
{
    CHECK(truncate(path, (off_t)seeded_below(seeded, size_of(path) + 1)) == 0);
}

static void remove_file(const char *path, struct seeded *seeded)
{
    (void)seeded;
    CHECK(unlink(path) == 0);
}

static void (*const damages[])(const char *path, struct seeded *seeded) = {
    flip_bytes,
    zero_page,
    cut_off,
    remove_file,
};
#define DAMAGE_COUNT (sizeof damages / sizeof damages[0])

static void never_gives_wrong_rows_when_a_file_is_damaged(void **state)
{
    (void)state;
    struct temp_folder folder;
    char whole[256];
    char path[256];
    char file[512];
    size_t whole_count = 0;
    size_t damaged_count = 0;
    temp_folder_init(&folder);
    make_database(temp_folder_path(&folder, whole, "whole"));
    struct names names = list(whole);
    temp_folder_path(&folder, path, "damaged");
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct seeded seeded = {seed};
        const char *name = names.names[seeded_below(&seeded, names.count)];
        copy_folder(whole, path);
        join(file, path, name);
        damages[seeded_below(&seeded, DAMAGE_COUNT)](file, &seeded);
        uint32_t number = 0;
        enum err err = read_at(path, &number);
        if (err ? err != ERR_MALFORMED : number != 180) {
            fail_msg("seed %d, %s: %s, batch %u", (int)seed, name,
                     err_name(err), (unsigned)number);
        }
        whole_count += !err;
        damaged_count += err == ERR_MALFORMED;
        CHECK_OK(posix_folder_remove(path));
    }
    /* Some files, such as RocksDB's own log, do not matter. */
    CHECK(whole_count > 20 && damaged_count > 100);
    temp_folder_clear(&folder);
}

static void has_all_that_was_synced_in_its_files(void **state)
{
    (void)state;
    struct temp_folder folder;
    char path[256];
    char image[256];
    temp_folder_init(&folder);
    temp_folder_path(&folder, path, "state");
    temp_folder_path(&folder, image, "image");
    struct rocks_kv *rocks = NULL;
    CHECK_OK(open_at(&rocks, path, NULL));
    const struct kv *kv = rocks_kv_table(rocks);
    /* Few files: those that RocksDB merges go away as they are copied. */
    for (uint32_t last = 30; last <= 60; last += 30) {
        write_batches(kv, last - 29, last);
        CHECK_OK(kv->sync(kv->context));
        copy_folder(path, image); /* as a crash would leave it */
        uint32_t number = 0;
        CHECK_OK(read_at(image, &number));
        CHECK(number == last);
        CHECK_OK(posix_folder_remove(image));
    }
    rocks_kv_close(&rocks);
    temp_folder_clear(&folder);
}

static void refuses_rows_that_are_older_than_the_last_sync(void **state)
{
    (void)state;
    struct temp_folder folder;
    char path[256];
    char image[256];
    char from[512];
    char to[512];
    temp_folder_init(&folder);
    temp_folder_path(&folder, path, "state");
    temp_folder_path(&folder, image, "image");
    struct rocks_kv *rocks = NULL;
    CHECK_OK(open_at(&rocks, path, NULL));
    const struct kv *kv = rocks_kv_table(rocks);
    write_batches(kv, 1, 10);
    CHECK_OK(kv->sync(kv->context));
    copy_folder(path, image);
    write_batches(kv, 11, 20);
    CHECK_OK(kv->sync(kv->context));
    rocks_kv_close(&rocks);
    join(from, path, "SYNCED");
    join(to, image, "SYNCED");
    copy_file(from, to);
    struct err_detail why = {0};
    CHECK_ERR(open_at(&rocks, image, &why), ERR_MALFORMED);
    CHECK(strstr(why.text, "what the last 1"));
    temp_folder_clear(&folder);
}

static void makes_a_new_one_when_the_folder_is_gone(void **state)
{
    (void)state;
    struct temp_folder folder;
    char path[256];
    temp_folder_init(&folder);
    make_database(temp_folder_path(&folder, path, "state"));
    CHECK_OK(posix_folder_remove(path));
    uint32_t number = 1;
    CHECK_OK(read_at(path, &number));
    CHECK(number == 0);
    temp_folder_clear(&folder);
}

static void lives_on_without_its_folder(void **state)
{
    (void)state;
    struct temp_folder folder;
    char path[256];
    temp_folder_init(&folder);
    temp_folder_path(&folder, path, "state");
    struct rocks_kv *rocks = NULL;
    CHECK_OK(open_at(&rocks, path, NULL));
    const struct kv *kv = rocks_kv_table(rocks);
    write_batches(kv, 1, 300);
    /* RocksDB may be making files there meanwhile. */
    enum err err = ERR_IO;
    for (int i = 0; err && i < 1000; i++) {
        err = posix_folder_remove(path);
    }
    CHECK_OK(err);
    for (uint32_t i = 301; !err && i < 10000; i++) {
        err = write_batch(kv, i);
    }
    CHECK_ERR(err ? err : kv->sync(kv->context), ERR_MALFORMED);
    rocks_kv_close(&rocks);
    temp_folder_clear(&folder);
}

static void reset_moves_the_damaged_one_aside(void **state)
{
    (void)state;
    struct temp_folder folder;
    char path[256];
    char aside[256];
    char file[512];
    temp_folder_init(&folder);
    temp_folder_path(&folder, path, "state");
    temp_folder_path(&folder, aside, "state.damaged");
    for (int i = 0; i < 3; i++) { /* an older one gives way */
        make_database(path);
        join(file, path, i == 0 ? "first" : "later");
        CHECK(mkdir(file, 0700) == 0);
        join(file, path, "CURRENT");
        CHECK(truncate(file, 3) == 0);
        struct rocks_kv *rocks = NULL;
        struct rocks_kv_config config = {.folder = path};
        struct err_detail why = {0};
        CHECK_ERR(rocks_kv_open(&rocks, &config, &why), ERR_MALFORMED);
        CHECK(strstr(why.text, path));
        CHECK_OK(rocks_kv_reset(&rocks, &config, &why));
        uint32_t number = 1;
        CHECK_OK(find_number(rocks_kv_table(rocks), &number));
        CHECK(number == 0);
        rocks_kv_close(&rocks);
        join(file, aside, i == 0 ? "first" : "later");
        CHECK(access(file, F_OK) == 0);
        CHECK_OK(posix_folder_remove(path));
    }
    join(file, aside, "first");
    CHECK(access(file, F_OK) != 0);
    temp_folder_clear(&folder);
}

static void refuses_a_folder_that_holds_something_else(void **state)
{
    (void)state;
    struct temp_folder folder;
    char path[256];
    temp_folder_init(&folder);
    copy_file("/proc/self/cmdline", temp_folder_path(&folder, path, "other"));
    uint32_t number = 0;
    CHECK_ERR(read_at(folder.path, &number), ERR_MALFORMED);
    CHECK(list(folder.path).count >= 1 && access(path, F_OK) == 0);
    temp_folder_clear(&folder);
}

static void refuses_a_path_that_is_too_long(void **state)
{
    (void)state;
    static char path[5000];
    memset(path, 'x', sizeof path - 1);
    uint32_t number = 0;
    CHECK_ERR(read_at(path, &number), ERR_TOO_LARGE);
}

/* --------------------------------------------- processes that are killed */

/*
 * A process of this program that runs `role` over the database: RocksDB's
 * threads do not survive a fork. `*out_pipe` is its standard output.
 */
static pid_t start(const char *role, const char *path, int *out_pipe)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)close(ends[0]);
        (void)close(ends[1]);
        (void)execl("/proc/self/exe", "rocks_kv_test", role, path, NULL);
        _exit(127);
    }
    CHECK(close(ends[1]) == 0);
    *out_pipe = ends[0];
    return child;
}

/* Write batches for ever; say which is written, and that one was synced by
 * saying it twice. */
static int run_writer(const char *path)
{
    struct rocks_kv *rocks = NULL;
    uint32_t number = 0;
    if (open_at(&rocks, path, NULL) ||
        find_number(rocks_kv_table(rocks), &number)) {
        return 1;
    }
    const struct kv *kv = rocks_kv_table(rocks);
    for (;;) {
        number++;
        bool is_synced = number % 97 == 0;
        uint32_t said[2] = {number, number};
        size_t length = is_synced ? sizeof said : sizeof said[0];
        if (write_batch(kv, number) || (is_synced && kv->sync(kv->context)) ||
            write(STDOUT_FILENO, said, length) != (ssize_t)length) {
            return 1;
        }
    }
}

struct said {
    uint32_t written;
    uint32_t synced;
};

static bool hear(int pipe_end, struct said *said)
{
    uint32_t number = 0;
    if (read(pipe_end, &number, sizeof number) != sizeof number) {
        return false;
    }
    if (number == said->written) {
        said->synced = number;
    }
    said->written = number;
    return true;
}

static void keeps_what_a_writer_has_synced_that_is_killed(void **state)
{
    (void)state;
    struct temp_folder folder;
    char path[256];
    struct seeded seeded = {11};
    struct said said = {0};
    uint32_t number = 0;
    temp_folder_init(&folder);
    temp_folder_path(&folder, path, "state");
    for (int i = 0; i < 10; i++) {
        int pipe_end = -1;
        pid_t child = start("writer", path, &pipe_end);
        uint32_t last = number + 20 + (uint32_t)seeded_below(&seeded, 600);
        while (said.written < last) {
            CHECK(hear(pipe_end, &said));
        }
        CHECK(kill(child, SIGKILL) == 0);
        while (hear(pipe_end, &said)) {
        }
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
        CHECK(close(pipe_end) == 0);
        CHECK_OK(read_at(path, &number));
        CHECK(number >= said.synced && number <= said.written + 1);
        said.written = 0;
    }
    temp_folder_clear(&folder);
}

/* Rows that cannot be compressed, beside the batches. */
static enum err write_ballast(const struct kv *kv, struct seeded *seeded)
{
    uint8_t value[VALUE_BYTES];
    char key[8];
    seeded_fill(seeded, value, sizeof value);
    (void)snprintf(key, sizeof key, BALLAST "%05u",
                   (unsigned)seeded_below(seeded, 100000));
    struct kv_change change = {KV_PUT, bytes_of_text(key),
                               bytes_of(value, sizeof value)};
    return kv->write(kv->context, &change, 1);
}

/* Write until files may not grow: that is an error, now and later. */
static int run_limited(const char *path)
{
    const struct rlimit limit = {.rlim_cur = 20000, .rlim_max = 20000};
    struct rocks_kv *rocks = NULL;
    struct seeded seeded = {5};
    if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR ||
        setrlimit(RLIMIT_FSIZE, &limit) || open_at(&rocks, path, NULL)) {
        return 1;
    }
    const struct kv *kv = rocks_kv_table(rocks);
    write_batches(kv, 1, 20);
    if (kv->sync(kv->context)) {
        return 1;
    }
    enum err err = ERR_NONE;
    for (int i = 0; i < 10000 && !err; i++) {
        err = write_ballast(kv, &seeded);
    }
    enum err later = write_ballast(kv, &seeded);
    rocks_kv_close(&rocks);
    return err == ERR_NO_SPACE && later ? 0 : 1;
}

static void says_that_the_disk_is_full_and_keeps_what_it_has(void **state)
{
    (void)state;
    struct temp_folder folder;
    char path[256];
    int pipe_end = -1;
    int status = 1;
    uint32_t number = 0;
    temp_folder_init(&folder);
    temp_folder_path(&folder, path, "state");
    pid_t child = start("limited", path, &pipe_end);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(close(pipe_end) == 0);
    CHECK_OK(read_at(path, &number));
    CHECK(number == 20);
    temp_folder_clear(&folder);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "writer") == 0) {
        return run_writer(argv[2]);
    }
    if (argc == 3 && strcmp(argv[1], "limited") == 0) {
        return run_limited(argv[2]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_a_second_opener),
        cmocka_unit_test(can_be_read_while_another_has_it_open),
        cmocka_unit_test(never_gives_wrong_rows_when_a_file_is_damaged),
        cmocka_unit_test(has_all_that_was_synced_in_its_files),
        cmocka_unit_test(refuses_rows_that_are_older_than_the_last_sync),
        cmocka_unit_test(makes_a_new_one_when_the_folder_is_gone),
        cmocka_unit_test(lives_on_without_its_folder),
        cmocka_unit_test(reset_moves_the_damaged_one_aside),
        cmocka_unit_test(refuses_a_folder_that_holds_something_else),
        cmocka_unit_test(refuses_a_path_that_is_too_long),
        cmocka_unit_test(keeps_what_a_writer_has_synced_that_is_killed),
        cmocka_unit_test(says_that_the_disk_is_full_and_keeps_what_it_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
