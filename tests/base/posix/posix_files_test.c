#include "tests/support/check.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/posix/posix_files.h"
#include "tests/support/temp_folder.h"

struct fixture {
    const struct files *files;
    struct temp_folder folder;
    char path[256]; /* "file" in the folder */
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    CHECK(f);
    f->files = posix_files();
    temp_folder_init(&f->folder);
    (void)temp_folder_path(&f->folder, f->path, "file");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    temp_folder_clear(&f->folder);
    free(f);
    return 0;
}

static enum err write_text(const struct fixture *f,
                           enum file_access access,
                           bool replace,
                           const char *text)
{
    return f->files->write(f->files->context, f->path, access, replace,
                           bytes_of_text(text));
}

static enum err read_file(const struct fixture *f,
                          enum file_access access,
                          size_t length_max,
                          uint8_t **out)
{
    size_t length = 0;
    *out = NULL;
    enum err err = f->files->read(f->files->context, f->path, access,
                                  length_max, out, &length);
    CHECK((*out != NULL) == (err == ERR_NONE));
    if (!err) {
        CHECK(length <= length_max);
        CHECK((*out)[length] == 0);
    }
    return err;
}

static void check_content(const struct fixture *f, const char *text)
{
    uint8_t *content = NULL;
    CHECK_OK(read_file(f, FILE_PUBLIC, 1 << 20, &content));
    assert_string_equal((const char *)content, text);
    free(content);
}

struct names {
    size_t count;
    char text[256]; /* "a b c" */
};

static void add_name(void *visitor, const char *name)
{
    struct names *names = visitor;
    size_t length = strlen(names->text);
    (void)snprintf(names->text + length, sizeof names->text - length, "%s%s",
                   names->count++ ? " " : "", name);
}

/* All names in the folder: so no temporary file stays unseen. */
static void check_names(const struct fixture *f, const char *expected)
{
    struct names names = {0};
    CHECK_OK(
        f->files->list(f->files->context, f->folder.path, add_name, &names));
    assert_string_equal(names.text, expected);
}

static mode_t mode_of(const char *path)
{
    struct stat about;
    CHECK(lstat(path, &about) == 0);
    return about.st_mode & 07777;
}

static void reads_what_it_wrote(void **state)
{
    struct fixture *f = *state;
    CHECK_OK(write_text(f, FILE_PUBLIC, false, "one"));
    check_content(f, "one");
    CHECK_OK(write_text(f, FILE_PUBLIC, true, ""));
    check_content(f, "");
    check_names(f, "file");
}

static void reads_a_file_of_many_pages(void **state)
{
    struct fixture *f = *state;
    size_t length = 3 * 1024 * 1024 + 7;
    uint8_t *given = malloc(length);
    CHECK(given);
    for (size_t i = 0; i < length; i++) {
        given[i] = (uint8_t)(i * 31);
    }
    CHECK_OK(f->files->write(NULL, f->path, FILE_SECRET, false,
                             bytes_of(given, length)));
    uint8_t *content = NULL;
    CHECK_OK(read_file(f, FILE_SECRET, length, &content));
    CHECK(memcmp(content, given, length) == 0);
    free(content);
    free(given);
}

static void gives_exactly_the_modes_whatever_the_umask(void **state)
{
    struct fixture *f = *state;
    char folder[256];
    static const mode_t masks[] = {0, 022, 077};
    mode_t before = umask(0);
    for (size_t i = 0; i < 3; i++) {
        (void)umask(masks[i]);
        CHECK_OK(write_text(f, FILE_PUBLIC, true, "x"));
        CHECK(mode_of(f->path) == 0644);
        CHECK_OK(write_text(f, FILE_SECRET, true, "x"));
        CHECK(mode_of(f->path) == 0600);
        (void)temp_folder_path(&f->folder, folder, "sub");
        CHECK_OK(f->files->make_folder(NULL, folder, FILE_PUBLIC));
        CHECK(mode_of(folder) == 0755);
        CHECK_OK(f->files->remove(NULL, folder));
        CHECK_OK(f->files->make_folder(NULL, folder, FILE_SECRET));
        CHECK(mode_of(folder) == 0700);
        CHECK_OK(f->files->remove(NULL, folder));
    }
    (void)umask(before);
}

static void does_not_replace_unless_told(void **state)
{
    struct fixture *f = *state;
    CHECK_OK(write_text(f, FILE_PUBLIC, false, "old"));
    CHECK_ERR(write_text(f, FILE_PUBLIC, false, "new"), ERR_EXISTS);
    check_content(f, "old");
    CHECK_OK(write_text(f, FILE_PUBLIC, true, "new"));
    check_content(f, "new");
    check_names(f, "file");
}

static void does_not_write_through_a_symbolic_link(void **state)
{
    struct fixture *f = *state;
    char elsewhere[256];
    (void)temp_folder_path(&f->folder, elsewhere, "elsewhere");
    CHECK(symlink(elsewhere, f->path) == 0);
    CHECK_ERR(write_text(f, FILE_SECRET, false, "x"), ERR_EXISTS);
    check_names(f, "file");
    CHECK_OK(write_text(f, FILE_SECRET, true, "x"));
    check_names(f, "file"); /* the link was replaced, not followed */
    CHECK(mode_of(f->path) == 0600);
}

static void refuses_a_secret_that_others_may_read_or_write(void **state)
{
    struct fixture *f = *state;
    static const mode_t bad[] = {0640, 0604, 0620, 0602, 0666, 0660};
    static const mode_t good[] = {0600, 0400, 0700};
    uint8_t *content = NULL;
    CHECK_OK(write_text(f, FILE_SECRET, false, "key"));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(chmod(f->path, bad[i]) == 0);
        CHECK_ERR(read_file(f, FILE_SECRET, 100, &content), ERR_EXPOSED);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK(chmod(f->path, good[i]) == 0);
        CHECK_OK(read_file(f, FILE_SECRET, 100, &content));
        free(content);
    }
}

static void reads_no_secret_but_from_a_plain_file(void **state)
{
    struct fixture *f = *state;
    char elsewhere[256];
    uint8_t *content = NULL;
    CHECK_OK(write_text(f, FILE_SECRET, false, "key"));
    (void)temp_folder_path(&f->folder, elsewhere, "elsewhere");
    CHECK(rename(f->path, elsewhere) == 0);
    CHECK(symlink(elsewhere, f->path) == 0);
    CHECK_ERR(read_file(f, FILE_SECRET, 100, &content), ERR_IO);
    CHECK_OK(read_file(f, FILE_PUBLIC, 100, &content));
    free(content);
    CHECK(unlink(f->path) == 0);
    CHECK(mkfifo(f->path, 0600) == 0);
    CHECK_ERR(read_file(f, FILE_SECRET, 100, &content), ERR_IO);
}

static void refuses_a_file_that_is_too_long(void **state)
{
    struct fixture *f = *state;
    uint8_t *content = NULL;
    CHECK_OK(write_text(f, FILE_PUBLIC, false, "12345"));
    CHECK_ERR(read_file(f, FILE_PUBLIC, 4, &content), ERR_TOO_LARGE);
    CHECK_ERR(read_file(f, FILE_PUBLIC, 0, &content), ERR_TOO_LARGE);
    CHECK_OK(read_file(f, FILE_PUBLIC, 5, &content));
    free(content);
}

/* Its length is not known before: it must not fill the memory. */
static void stops_reading_an_endless_file(void **state)
{
    struct fixture *f = *state;
    uint8_t *content = NULL;
    CHECK(symlink("/dev/zero", f->path) == 0);
    CHECK_ERR(read_file(f, FILE_PUBLIC, 100000, &content), ERR_TOO_LARGE);
}

static void tells_what_is_missing_from_what_fails(void **state)
{
    struct fixture *f = *state;
    uint8_t *content = NULL;
    CHECK_ERR(read_file(f, FILE_PUBLIC, 100, &content), ERR_NOT_FOUND);
    CHECK_ERR(f->files->remove(NULL, f->path), ERR_NOT_FOUND);
    CHECK_ERR(f->files->list(NULL, f->path, add_name, NULL), ERR_NOT_FOUND);
    CHECK_OK(write_text(f, FILE_PUBLIC, false, "x"));
    CHECK_ERR(f->files->list(NULL, f->path, add_name, NULL), ERR_NOT_FOUND);
    CHECK_ERR(f->files->make_folder(NULL, f->path, FILE_PUBLIC), ERR_EXISTS);

    (void)temp_folder_path(&f->folder, f->path, "none/file");
    CHECK_ERR(write_text(f, FILE_PUBLIC, true, "x"), ERR_NOT_FOUND);
    CHECK_ERR(f->files->make_folder(NULL, f->path, FILE_PUBLIC), ERR_NOT_FOUND);
    (void)temp_folder_path(&f->folder, f->path, "file/below");
    CHECK_ERR(write_text(f, FILE_PUBLIC, true, "x"), ERR_NOT_FOUND);
    CHECK_ERR(f->files->write(NULL, "", FILE_PUBLIC, true, bytes_of("", 0)),
              ERR_IO);
    CHECK_ERR(f->files->make_folder(NULL, "/", FILE_PUBLIC), ERR_IO);
    check_names(f, "file");
}

static void does_not_replace_a_folder_by_a_file(void **state)
{
    struct fixture *f = *state;
    char below[256];
    CHECK_OK(f->files->make_folder(NULL, f->path, FILE_PUBLIC));
    CHECK_ERR(write_text(f, FILE_PUBLIC, true, "x"), ERR_IO);
    CHECK_ERR(write_text(f, FILE_PUBLIC, false, "x"), ERR_EXISTS);
    (void)temp_folder_path(&f->folder, below, "file/below");
    CHECK_OK(f->files->write(NULL, below, FILE_PUBLIC, false, bytes_of("", 0)));
    CHECK_ERR(write_text(f, FILE_PUBLIC, true, "x"), ERR_IO);
    CHECK_ERR(f->files->remove(NULL, f->path), ERR_IO); /* not empty */
    check_names(f, "file");
}

static void makes_a_folder_named_with_a_slash_at_its_end(void **state)
{
    struct fixture *f = *state;
    char path[256];
    (void)temp_folder_path(&f->folder, path, "keys//");
    CHECK_OK(f->files->make_folder(NULL, path, FILE_SECRET));
    CHECK_ERR(f->files->make_folder(NULL, path, FILE_SECRET), ERR_EXISTS);
    (void)temp_folder_path(&f->folder, f->path, "file/");
    CHECK_ERR(write_text(f, FILE_PUBLIC, true, "x"), ERR_NOT_FOUND);
    check_names(f, "keys");
}

static void lists_names_sorted_by_their_bytes(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"b", "a", ".c", "B", "aa"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)temp_folder_path(&f->folder, f->path, names[i]);
        CHECK_OK(write_text(f, FILE_PUBLIC, false, "x"));
    }
    check_names(f, ".c B a aa b");
}

/* The limit on a file's length stands for a full disk: a first part is
 * written, the rest is not. */
static void changes_nothing_when_there_is_no_space(void **state)
{
    struct fixture *f = *state;
    static char text[20000];
    memset(text, 'x', sizeof text - 1);
    CHECK_OK(write_text(f, FILE_SECRET, false, "old"));

    struct rlimit before;
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    struct rlimit tight = {.rlim_cur = 8192, .rlim_max = before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &tight) == 0);
    enum err replaced = write_text(f, FILE_SECRET, true, text);
    (void)temp_folder_path(&f->folder, f->path, "other");
    enum err made = write_text(f, FILE_SECRET, false, text);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    (void)signal(SIGXFSZ, handler);

    CHECK_ERR(replaced, ERR_NO_SPACE);
    CHECK_ERR(made, ERR_NO_SPACE);
    check_names(f, "file");
    (void)temp_folder_path(&f->folder, f->path, "file");
    check_content(f, "old");
}

/* Let the n-th open() fail, for n = 1, 2, ... until none does. */
static void changes_nothing_when_descriptors_run_out(void **state)
{
    struct fixture *f = *state;
    struct rlimit before;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK_OK(write_text(f, FILE_PUBLIC, false, "old"));
    int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(lowest >= 0);
    CHECK(close(lowest) == 0);
    rlim_t passes = 0;
    for (enum err err = ERR_IO; err; passes++) {
        struct rlimit tight = {.rlim_cur = (rlim_t)lowest + passes,
                               .rlim_max = before.rlim_max};
        CHECK(setrlimit(RLIMIT_NOFILE, &tight) == 0);
        err = write_text(f, FILE_PUBLIC, true, "new");
        CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
        CHECK(err == ERR_NONE || err == ERR_IO);
        check_names(f, "file");
        check_content(f, err ? "old" : "new");
    }
    CHECK(passes == 3); /* the folder and the file, each failed once */
}

static void leaves_no_descriptor_open(void **state)
{
    struct fixture *f = *state;
    int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(before >= 0 && close(before) == 0);
    uint8_t *content = NULL;
    CHECK_OK(write_text(f, FILE_PUBLIC, false, "x"));
    CHECK_ERR(write_text(f, FILE_PUBLIC, false, "x"), ERR_EXISTS);
    CHECK_ERR(read_file(f, FILE_SECRET, 100, &content), ERR_EXPOSED);
    CHECK_ERR(read_file(f, FILE_PUBLIC, 0, &content), ERR_TOO_LARGE);
    CHECK_OK(read_file(f, FILE_PUBLIC, 100, &content));
    free(content);
    void *lock = NULL;
    void *other = NULL;
    CHECK_OK(f->files->lock(f->files->context, f->path, &lock));
    CHECK_ERR(f->files->lock(f->files->context, f->path, &other), ERR_BUSY);
    f->files->unlock(f->files->context, lock);
    check_names(f, "");
    int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(after == before);
    CHECK(close(after) == 0);
}

static enum err lock_file(const struct fixture *f, void **out)
{
    return f->files->lock(f->files->context, f->path, out);
}

static void unlock_file(const struct fixture *f, void *lock)
{
    f->files->unlock(f->files->context, lock);
}

static void locks_others_out_until_it_unlocks(void **state)
{
    const struct fixture *f = *state;
    void *lock = NULL;
    void *other = NULL;
    CHECK_OK(lock_file(f, &lock));
    check_names(f, "file");
    CHECK_ERR(lock_file(f, &other), ERR_BUSY);
    CHECK(other == NULL);
    check_names(f, "file"); /* who failed has not removed it */
    CHECK_ERR(lock_file(f, &other), ERR_BUSY);
    unlock_file(f, lock);
    check_names(f, "");
    CHECK_OK(lock_file(f, &lock));
    unlock_file(f, lock);
}

static void tells_whether_a_lock_is_held_and_leaves_nothing(void **state)
{
    const struct fixture *f = *state;
    void *lock = NULL;
    CHECK_OK(posix_files_look_at_lock(f->path));
    CHECK(access(f->path, F_OK) != 0);
    CHECK_OK(lock_file(f, &lock));
    CHECK_ERR(posix_files_look_at_lock(f->path), ERR_BUSY);
    unlock_file(f, lock);
    CHECK_OK(posix_files_look_at_lock(f->path));
    CHECK_OK(f->files->write(f->files->context, f->path, FILE_PUBLIC, false,
                             bytes_of_text("left behind")));
    CHECK_OK(posix_files_look_at_lock(f->path));
    CHECK_OK(lock_file(f, &lock)); /* looking holds nothing */
    unlock_file(f, lock);
}

static void takes_a_lock_file_that_nobody_holds(void **state)
{
    const struct fixture *f = *state;
    void *lock = NULL;
    CHECK_OK(write_text(f, FILE_PUBLIC, false, "left"));
    CHECK_OK(lock_file(f, &lock));
    unlock_file(f, lock);
    check_names(f, "");
}

/* Lock, say so, and wait to be killed. */
static void hold_for_ever(const struct fixture *f, int tell)
{
    void *lock = NULL;
    char err = (char)lock_file(f, &lock);
    if (write(tell, &err, 1) == 1) {
        for (;;) {
            (void)pause();
        }
    }
    _exit(1);
}

static void a_lock_ends_with_its_process(void **state)
{
    const struct fixture *f = *state;
    int pipe_ends[2];
    CHECK(pipe2(pipe_ends, O_CLOEXEC) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        hold_for_ever(f, pipe_ends[1]);
    }
    char err = -1;
    CHECK(read(pipe_ends[0], &err, 1) == 1);
    CHECK(err == ERR_NONE);
    void *lock = NULL;
    CHECK_ERR(lock_file(f, &lock), ERR_BUSY);
    CHECK(kill(child, SIGKILL) == 0);
    CHECK(waitpid(child, NULL, 0) == child);
    check_names(f, "file"); /* it is left, and does no harm */
    CHECK_OK(lock_file(f, &lock));
    unlock_file(f, lock);
    check_names(f, "");
    CHECK(close(pipe_ends[0]) == 0 && close(pipe_ends[1]) == 0);
}

#define CONTENDER_COUNT 3
#define TURN_COUNT 500

struct contest {
    const struct fixture *fixture;
    _Atomic int holder_count;
    _Atomic int crowd_count; /* how often somebody else held it as well */
    _Atomic int failure_count;
};

static void *contend(void *context)
{
    struct contest *contest = context;
    for (int done = 0; done < TURN_COUNT;) {
        void *lock = NULL;
        enum err err = lock_file(contest->fixture, &lock);
        if (err) {
            if (err != ERR_BUSY) {
                contest->failure_count++;
                return NULL;
            }
            continue;
        }
        contest->crowd_count += contest->holder_count++ != 0;
        contest->holder_count--;
        unlock_file(contest->fixture, lock);
        done++;
    }
    return NULL;
}

/* The file is removed and made anew all the time. */
static void has_one_holder_whoever_else_comes_and_goes(void **state)
{
    struct contest contest = {.fixture = *state};
    pthread_t threads[CONTENDER_COUNT];
    for (int i = 0; i < CONTENDER_COUNT; i++) {
        CHECK(pthread_create(&threads[i], NULL, contend, &contest) == 0);
    }
    for (int i = 0; i < CONTENDER_COUNT; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK(contest.failure_count == 0);
    CHECK(contest.crowd_count == 0);
    check_names(contest.fixture, "");
}

static void tells_why_it_cannot_lock(void **state)
{
    const struct fixture *f = *state;
    char path[256];
    void *lock = NULL;
    CHECK_ERR(f->files->lock(f->files->context, "/nowhere/lock", &lock),
              ERR_NOT_FOUND);
    CHECK_ERR(f->files->lock(f->files->context, f->folder.path, &lock), ERR_IO);
    CHECK(symlink("/dev/null", f->path) == 0);
    CHECK_ERR(lock_file(f, &lock), ERR_IO);
    CHECK(unlink(f->path) == 0);
    (void)temp_folder_path(&f->folder, path, "none/lock");
    CHECK_ERR(f->files->lock(f->files->context, path, &lock), ERR_NOT_FOUND);
    CHECK(lock == NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_what_it_wrote),
        TEST(reads_a_file_of_many_pages),
        TEST(gives_exactly_the_modes_whatever_the_umask),
        TEST(does_not_replace_unless_told),
        TEST(does_not_write_through_a_symbolic_link),
        TEST(refuses_a_secret_that_others_may_read_or_write),
        TEST(reads_no_secret_but_from_a_plain_file),
        TEST(refuses_a_file_that_is_too_long),
        TEST(stops_reading_an_endless_file),
        TEST(tells_what_is_missing_from_what_fails),
        TEST(does_not_replace_a_folder_by_a_file),
        TEST(makes_a_folder_named_with_a_slash_at_its_end),
        TEST(lists_names_sorted_by_their_bytes),
        TEST(changes_nothing_when_there_is_no_space),
        TEST(changes_nothing_when_descriptors_run_out),
        TEST(leaves_no_descriptor_open),
        TEST(locks_others_out_until_it_unlocks),
        TEST(tells_whether_a_lock_is_held_and_leaves_nothing),
        TEST(takes_a_lock_file_that_nobody_holds),
        TEST(a_lock_ends_with_its_process),
        TEST(has_one_holder_whoever_else_comes_and_goes),
        TEST(tells_why_it_cannot_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
