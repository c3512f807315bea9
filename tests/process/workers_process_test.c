/*
 * Commands and plug-ins in real processes.
 *
 *     workers_process_test TROUPE-RUNNER PLUGIN BROKEN-PLUGIN
 */

#include "tests/support/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/owner.h"
#include "base/posix/posix_clock.h"
#include "base/time_units.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_crew.h"

static char **arguments;

static void open_crew(struct test_crew *crew, enum task_handler handler)
{
    const struct workers_config config = {.runner = arguments[1],
                                          .allows_commands = true};
    test_crew_open(crew, &config, handler);
    (void)snprintf(crew->pool.function, sizeof crew->pool.function, "obey");
    crew->pool.plugin = arguments[2];
    test_crew_set_pool(crew);
}

static bool is_text(const struct test_run *run,
                    const char *key,
                    const char *expected)
{
    char text[4096];
    bool is_it = strcmp(test_run_text(run, text, key), expected) == 0;
    if (!is_it) {
        print_message("%s is: %s (%s)\n", key, text, run->why);
    }
    return is_it;
}

static bool says(const struct test_run *run, const char *word)
{
    bool is_said = strstr(run->why, word) != NULL;
    if (!is_said) {
        print_message("said: %s\n", run->why);
    }
    return is_said;
}

/* Until the process has ended, whoever its parent is. */
static void await_end(long pid)
{
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0u);
    CHECK(fd >= 0 || errno == ESRCH);
    if (fd >= 0) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        CHECK(poll(&wait, 1, 30000) == 1);
        (void)close(fd);
    }
}

static uint32_t count_descriptors(void)
{
    uint32_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    CHECK(folder);
    while (readdir(folder)) {
        count++;
    }
    (void)closedir(folder);
    return count;
}

/* ---- commands ---- */

static void a_command_has_its_output_and_its_status(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run runs[2];
    open_crew(&crew, TASK_EXEC);
    test_crew_command(&crew, &runs[0], (const char *[]){"echo", "hello", NULL});
    test_crew_shell(&crew, &runs[1], "echo out; echo err >&2; exit 3");
    test_crew_wait_all(&crew);
    CHECK(runs[0].status == RUN_DONE);
    CHECK(is_text(&runs[0], "stdout", "hello\n"));
    CHECK(is_text(&runs[0], "stderr", ""));
    CHECK(test_run_number(&runs[0], "exit") == 0);
    CHECK(runs[1].status == RUN_FAILED);
    CHECK(strcmp(runs[1].why, "exit status 3") == 0);
    CHECK(is_text(&runs[1], "stdout", "out\n"));
    CHECK(is_text(&runs[1], "stderr", "err\n"));
    CHECK(test_run_number(&runs[1], "exit") == 3);
    test_crew_close(&crew);
}

static void a_command_has_the_pool_s_surroundings_and_no_others(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run runs[3];
    char *variables[] = {(char[]){"COLOUR=red"}};
    char dir[] = "/usr";
    uint8_t payload[64];
    struct writer writer = writer_of(payload, sizeof payload);
    open_crew(&crew, TASK_EXEC);
    crew.pool.variables = variables;
    crew.pool.variable_count = 1;
    crew.pool.dir = dir;
    test_crew_command(&crew, &runs[0], (const char *[]){"env", NULL});
    test_crew_shell(&crew, &runs[1],
                    "pwd; cat; ls /proc/self/fd | wc -l; trap");
    pack_map(&writer, 2);
    pack_text(&writer, "argv");
    pack_array(&writer, 1);
    pack_text(&writer, "cat");
    pack_text(&writer, "stdin");
    pack_text(&writer, "from the payload");
    test_crew_start(&crew, &runs[2], writer_bytes(&writer));
    test_crew_wait_all(&crew);
    CHECK(is_text(&runs[0], "stdout",
                  "COLOUR=red\nPATH=/usr/local/bin:/usr/bin:/bin\n"
                  "TROUPE_TASK=1\nTROUPE_ATTEMPT=2\nTROUPE_FENCE=101\n"));
    /* 0, 1, 2 and that of the folder itself. */
    CHECK(is_text(&runs[1], "stdout", "/usr\n4\n"));
    CHECK(is_text(&runs[2], "stdout", "from the payload"));
    test_crew_close(&crew);
}

static void refuses_what_can_never_run(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run runs[5];
    char missing_dir[] = "/no/such/folder";
    char missing_user[] = "no-such-user";
    open_crew(&crew, TASK_EXEC);
    test_crew_command(&crew, &runs[0],
                      (const char *[]){"no-such-command", NULL});
    test_crew_command(&crew, &runs[1], (const char *[]){"/etc/passwd", NULL});
    test_crew_start(&crew, &runs[2], bytes_of_text("echo hello"));
    test_crew_wait_all(&crew);
    crew.pool.dir = missing_dir;
    test_crew_shell(&crew, &runs[3], ":");
    test_crew_wait_all(&crew);
    crew.pool.dir = NULL;
    crew.pool.user = missing_user;
    test_crew_shell(&crew, &runs[4], ":");
    test_crew_wait_all(&crew);
    for (uint32_t i = 0; i < 5; i++) {
        CHECK(runs[i].status == RUN_REFUSED);
    }
    CHECK(says(&runs[0], "cannot run `no-such-command`: No such file"));
    CHECK(says(&runs[1], "cannot run `/etc/passwd`: Permission denied"));
    CHECK(says(&runs[2], "MessagePack map"));
    CHECK(says(&runs[3], "folder `/no/such/folder`: No such file"));
    CHECK(says(&runs[4], "no user `no-such-user`"));
    test_crew_close(&crew);
}

static void refuses_what_the_pool_or_the_node_does_not_allow(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run runs[4];
    char *commands[] = {(char[]){"echo"}};
    static const char with_env[] = "\x82\xa4"
                                   "argv\x91\xa4"
                                   "echo\xa3"
                                   "env\x81\xa1"
                                   "A\xa1"
                                   "b";
    const struct workers_config off = {.runner = arguments[1]};
    open_crew(&crew, TASK_EXEC);
    crew.pool.any_command = false;
    crew.pool.commands = commands;
    crew.pool.command_count = 1;
    test_crew_command(&crew, &runs[0], (const char *[]){"echo", NULL});
    test_crew_command(&crew, &runs[1], (const char *[]){"/bin/echo", NULL});
    test_crew_start(&crew, &runs[2], bytes_of(with_env, sizeof with_env - 1));
    test_crew_wait_all(&crew);
    CHECK(runs[0].status == RUN_DONE);
    CHECK(runs[1].status == RUN_REFUSED && says(&runs[1], "`/bin/echo`"));
    CHECK(runs[2].status == RUN_REFUSED && says(&runs[2], "`env`"));
    test_crew_close(&crew);

    test_crew_open(&crew, &off, TASK_EXEC);
    test_crew_command(&crew, &runs[3], (const char *[]){"echo", NULL});
    test_crew_wait_all(&crew);
    CHECK(runs[3].status == RUN_REFUSED && says(&runs[3], "`node.exec`"));
    CHECK(workers_runner_starts(crew.crew) == 0);
    test_crew_close(&crew);
}

static void runs_as_the_pool_s_user(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run run;
    char user[] = "nobody";
    open_crew(&crew, TASK_EXEC);
    crew.pool.user = user;
    test_crew_shell(&crew, &run, "id -u -n; id -G -n; id -r -u -n");
    test_crew_wait_all(&crew);
    if (geteuid() == 0) {
        CHECK(is_text(&run, "stdout", "nobody\nnogroup\nnobody\n"));
    } else {
        CHECK(run.status == RUN_REFUSED && says(&run, "`nobody`"));
    }
    test_crew_close(&crew);
}

static void ends_one_that_hangs_when_its_time_is_over(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run runs[2];
    open_crew(&crew, TASK_EXEC);
    crew.pool.timeout_ms = 100;
    test_crew_shell(&crew, &runs[0], "exec sleep 1000");
    /* One that does not want to end, nor do its children. */
    test_crew_shell(&crew, &runs[1],
                    "trap '' TERM; while :; do sleep 1000; done");
    test_crew_wait_all(&crew);
    for (uint32_t i = 0; i < 2; i++) {
        CHECK(runs[i].status == RUN_TIMED_OUT);
        CHECK(says(&runs[i], "killed after 100 ms"));
    }
    CHECK(is_text(&runs[0], "signal", "SIGTERM"));
    CHECK(is_text(&runs[1], "signal", "SIGKILL"));
    test_crew_close(&crew);
}

static void keeps_the_beginning_of_a_flood_and_counts_the_rest(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run run;
    open_crew(&crew, TASK_EXEC);
    test_crew_shell(&crew, &run,
                    "head -c 10000000 /dev/zero | tr '\\0' x; echo end >&2");
    test_crew_wait_all(&crew);
    CHECK(run.status == RUN_DONE);
    CHECK(test_run_number(&run, "cut") == 10000000 - 4096);
    CHECK(is_text(&run, "stderr", "end\n"));
    CHECK(says(&run, "9995904 bytes of output were cut"));
    test_crew_close(&crew);
}

/* ---- looking at what they write ---- */

struct test_look {
    struct run_look look;
    struct test_crew *crew;
    bool is_over;
    enum err err;
    char output[8192];
    char errors[8192];
    uint64_t cut_bytes;
};

static void copy_text(char *to, struct bytes bytes)
{
    CHECK(bytes.length < 8192);
    if (bytes.length > 0) {
        memcpy(to, bytes.data, bytes.length);
    }
    to[bytes.length] = '\0';
}

static void on_looked(struct run_look *of,
                      enum err err,
                      const struct run_written *written)
{
    struct test_look *look = OWNER_OF(of, struct test_look, look);
    CHECK(!look->is_over && (err != ERR_NONE) == !written);
    look->is_over = true;
    look->err = err;
    if (written) {
        copy_text(look->output, written->output);
        copy_text(look->errors, written->errors);
        look->cut_bytes = written->cut_bytes;
    }
    reactor_stop(look->crew->reactor);
}

static enum err begin_look(struct test_look *look,
                           struct test_run *run,
                           uint64_t from)
{
    const struct workers *workers = run->crew->workers;
    *look = (struct test_look){
        .look = {.done = on_looked, .output_from = from, .errors_from = from},
        .crew = run->crew};
    return workers->look(workers->context, &run->run, &look->look);
}

/* What it has written from there on, when it is so much. */
static void await_output(struct test_look *look,
                         struct test_run *run,
                         uint64_t from,
                         size_t bytes)
{
    do {
        CHECK_OK(begin_look(look, run, from));
        while (!look->is_over) {
            test_crew_turn(run->crew);
        }
        CHECK_OK(look->err);
    } while (strlen(look->output) < bytes);
}

static void shows_what_a_command_has_written_so_far(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run run;
    struct test_look look;
    open_crew(&crew, TASK_EXEC);
    test_crew_shell(&crew, &run,
                    "echo to-err >&2; echo one; echo two; exec sleep 1000");
    await_output(&look, &run, 0, strlen("one\ntwo\n"));
    CHECK(strcmp(look.output, "one\ntwo\n") == 0);
    CHECK(strcmp(look.errors, "to-err\n") == 0 && look.cut_bytes == 0);
    await_output(&look, &run, 4, strlen("two\n"));
    CHECK(strcmp(look.output, "two\n") == 0);
    CHECK(strcmp(look.errors, "rr\n") == 0);
    await_output(&look, &run, 1000, 0);
    CHECK(look.output[0] == '\0' && look.errors[0] == '\0');
    crew.workers->cancel(crew.workers->context, &run.run);
    test_crew_wait_all(&crew);
    test_crew_close(&crew);
}

static void shows_no_more_of_a_command_than_is_kept(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run run;
    struct test_look look;
    open_crew(&crew, TASK_EXEC);
    test_crew_shell(&crew, &run,
                    "head -c 10000 /dev/zero | tr '\\0' x; exec sleep 1000");
    do {
        await_output(&look, &run, 0, 4096);
    } while (look.cut_bytes < 10000 - 4096);
    CHECK(strlen(look.output) == 4096 && look.cut_bytes == 10000 - 4096);
    crew.workers->cancel(crew.workers->context, &run.run);
    test_crew_wait_all(&crew);
    test_crew_close(&crew);
}

static void who_looks_is_told_that_a_command_has_ended(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run runs[2];
    struct test_look looks[3];
    open_crew(&crew, TASK_EXEC);
    crew.pool.workers = 1;
    test_crew_set_pool(&crew);
    test_crew_shell(&crew, &runs[0], "exec sleep 1000");
    test_crew_shell(&crew, &runs[1], "echo");
    CHECK_ERR(begin_look(&looks[0], &runs[1], 0), ERR_NOT_FOUND);
    crew.workers->cancel(crew.workers->context, &runs[0].run);
    /* Whether it is seen before the end or not: both hear something; who does
     * not want to know any more does not. */
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_OK(begin_look(&looks[i], &runs[0], 0));
    }
    crew.workers->unlook(crew.workers->context, &looks[1].look);
    crew.workers->unlook(crew.workers->context, &looks[1].look);
    test_crew_wait_all(&crew);
    CHECK(looks[0].is_over && !looks[1].is_over && looks[2].is_over);
    test_crew_close(&crew);
}

static void only_so_many_look_at_a_time(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run run;
    static struct test_look looks[65];
    open_crew(&crew, TASK_EXEC);
    test_crew_shell(&crew, &run, "exec sleep 1000");
    for (uint32_t i = 0; i < 64; i++) {
        CHECK_OK(begin_look(&looks[i], &run, 0));
    }
    CHECK_ERR(begin_look(&looks[64], &run, 0), ERR_FULL);
    crew.workers->cancel(crew.workers->context, &run.run);
    test_crew_wait_all(&crew);
    test_crew_close(&crew);
}

static void nothing_is_seen_of_a_plugin_before_its_end(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run run;
    struct test_look look;
    open_crew(&crew, TASK_PLUGIN);
    test_crew_start(&crew, &run, bytes_of_text("echo"));
    CHECK_ERR(begin_look(&look, &run, 0), ERR_REFUSED);
    test_crew_wait_all(&crew);
    test_crew_close(&crew);
}

/* ---- what they leave ---- */

static void kills_what_a_command_has_left_in_its_group(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run run;
    char text[4096];
    open_crew(&crew, TASK_EXEC);
    test_crew_shell(&crew, &run, "sleep 1000 & echo $!");
    test_crew_wait_all(&crew);
    CHECK(run.status == RUN_DONE);
    await_end(strtol(test_run_text(&run, text, "stdout"), NULL, 10));
    test_crew_close(&crew);
}

static void what_has_left_its_group_ends_with_the_node(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run run;
    char text[4096];
    open_crew(&crew, TASK_EXEC);
    test_crew_shell(&crew, &run,
                    "(setsid sh -c 'echo $$; exec sleep 1000 >/dev/null' &) |"
                    " head -n 1");
    test_crew_wait_all(&crew);
    CHECK(run.status == RUN_DONE);
    long pid = strtol(test_run_text(&run, text, "stdout"), NULL, 10);
    CHECK(pid > 1);
    CHECK(kill((pid_t)pid, 0) == 0);
    test_crew_close(&crew);
    await_end(pid);
}

static void names_the_signal_that_ended_a_command(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run run;
    open_crew(&crew, TASK_EXEC);
    test_crew_shell(&crew, &run, "kill -SEGV $$");
    test_crew_wait_all(&crew);
    CHECK(run.status == RUN_CRASHED);
    CHECK(says(&run, "ended by the signal SIGSEGV"));
    CHECK(is_text(&run, "signal", "SIGSEGV"));
    test_crew_close(&crew);
}

static void holds_commands_to_the_pool_s_limits(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run runs[3];
    open_crew(&crew, TASK_EXEC);
    crew.pool.limits = (struct task_limits){.cpu_ms = 900,
                                            .memory_bytes = 64u << 20,
                                            .file_bytes = 4096,
                                            .files = 20};
    test_crew_shell(&crew, &runs[0],
                    "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo $x");
    test_crew_shell(&crew, &runs[1], "while :; do :; done");
    test_crew_shell(&crew, &runs[2], "ulimit -c; ulimit -n; ulimit -f");
    test_crew_wait_all(&crew);
    CHECK(runs[0].status == RUN_FAILED || runs[0].status == RUN_CRASHED);
    CHECK(runs[1].status == RUN_CRASHED && says(&runs[1], "SIGXCPU"));
    CHECK(is_text(&runs[2], "stdout", "0\n20\n8\n"));
    test_crew_close(&crew);
}

static void cancels_what_runs_and_what_waits(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run runs[3];
    open_crew(&crew, TASK_EXEC);
    crew.pool.workers = 1;
    test_crew_set_pool(&crew);
    test_crew_shell(&crew, &runs[0], "exec sleep 1000");
    test_crew_shell(&crew, &runs[1], "echo one");
    test_crew_shell(&crew, &runs[2], "echo two");
    crew.workers->cancel(crew.workers->context, &runs[1].run);
    CHECK(runs[1].has_ended && runs[1].status == RUN_CANCELLED);
    CHECK(!runs[0].has_ended && !runs[2].has_ended);
    crew.workers->cancel(crew.workers->context, &runs[0].run);
    test_crew_wait_all(&crew);
    CHECK(runs[0].status == RUN_CANCELLED);
    CHECK(runs[2].status == RUN_DONE && is_text(&runs[2], "stdout", "two\n"));
    test_crew_close(&crew);
}

static void loses_no_run_when_its_spawner_is_killed(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run runs[4];
    open_crew(&crew, TASK_EXEC);
    test_crew_shell(&crew, &runs[0], "exec sleep 1000");
    test_crew_shell(&crew, &runs[1], "kill -KILL $PPID; exec sleep 1000");
    test_crew_wait_all(&crew);
    CHECK(runs[0].status == RUN_FAILED && runs[1].status == RUN_FAILED);
    CHECK(says(&runs[0], "ended by the signal Killed"));
    test_crew_shell(&crew, &runs[2], "echo again");
    test_crew_wait_all(&crew);
    CHECK(runs[2].status == RUN_DONE);
    CHECK(workers_runner_starts(crew.crew) == 2);
    test_crew_close(&crew);
}

static void fails_runs_when_there_is_no_runner(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run run;
    const struct workers_config config = {.runner = "/no/such/runner",
                                          .allows_commands = true};
    test_crew_open(&crew, &config, TASK_EXEC);
    test_crew_shell(&crew, &run, ":");
    test_crew_wait_all(&crew);
    CHECK(run.status == RUN_FAILED);
    CHECK(says(&run, "cannot be started (`/no/such/runner`)"));
    test_crew_close(&crew);
}

static void runs_many_and_leaves_nothing_behind(void **state)
{
    (void)state;
    static struct test_run runs[300];
    struct test_crew crew;
    uint32_t before = count_descriptors();
    open_crew(&crew, TASK_EXEC);
    crew.pool.workers = 8;
    test_crew_set_pool(&crew);
    for (uint32_t i = 0; i < 300; i++) {
        test_crew_command(&crew, &runs[i], (const char *[]){"true", NULL});
    }
    CHECK(workers_look(crew.crew, "test").running == 8);
    CHECK(workers_look(crew.crew, "test").waiting == 292);
    test_crew_wait_all(&crew);
    for (uint32_t i = 0; i < 300; i++) {
        CHECK(runs[i].status == RUN_DONE);
    }
    /* 0 to 3, three of its own, and two pipes of this command. */
    test_crew_shell(&crew, &runs[0], "ls /proc/$PPID/fd | wc -l");
    test_crew_wait_all(&crew);
    CHECK(is_text(&runs[0], "stdout", "9\n"));
    test_crew_shell(&crew, &runs[1],
                    "cat /proc/[0-9]*/stat | grep -c \") Z $PPID \"");
    test_crew_wait_all(&crew);
    CHECK(is_text(&runs[1], "stdout", "0\n"));
    test_crew_close(&crew);
    CHECK(count_descriptors() == before);
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

static void closes_while_commands_run(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run runs[2];
    char text[4096];
    open_crew(&crew, TASK_EXEC);
    test_crew_shell(&crew, &runs[0], "echo $PPID");
    test_crew_wait_all(&crew);
    test_crew_shell(&crew, &runs[1], "trap '' TERM; while :; do sleep 9; done");
    test_crew_close(&crew);
    CHECK(!runs[1].has_ended);
    long pid = strtol(test_run_text(&runs[0], text, "stdout"), NULL, 10);
    CHECK(kill((pid_t)pid, 0) && errno == ESRCH);
}

/* A node with a command that says which process it is, until it is killed. */
static void be_a_node(const char *fifo)
{
    struct test_crew crew;
    struct test_run run;
    char shell[512];
    (void)snprintf(shell, sizeof shell, "echo $$ >%s; exec sleep 1000", fifo);
    open_crew(&crew, TASK_EXEC);
    test_crew_shell(&crew, &run, shell);
    test_crew_wait_all(&crew);
    _exit(1);
}

static void commands_end_when_their_node_is_killed(void **state)
{
    (void)state;
    struct temp_folder folder;
    char fifo[256];
    char text[32] = "";
    temp_folder_init(&folder);
    CHECK(mkfifo(temp_folder_path(&folder, fifo, "fifo"), 0600) == 0);
    pid_t node = fork();
    CHECK(node >= 0);
    if (node == 0) {
        be_a_node(fifo);
    }
    int fd = open(fifo, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK(read(fd, text, sizeof text - 1) > 0);
    (void)close(fd);
    long command = strtol(text, NULL, 10);
    CHECK(command > 1 && kill((pid_t)command, 0) == 0);
    CHECK(kill(node, SIGKILL) == 0);
    CHECK(waitpid(node, NULL, 0) == node);
    await_end(command);
    temp_folder_clear(&folder);
}

/* ---- plug-ins ---- */

static bool wrote(const struct test_run *run, const char *expected)
{
    bool is_it = bytes_are_equal(bytes_of(run->output, run->output_bytes),
                                 bytes_of_text(expected));
    if (!is_it) {
        print_message("wrote: %.*s (%s)\n", (int)run->output_bytes,
                      (const char *)run->output, run->why);
    }
    return is_it;
}

static void a_plugin_runs_in_one_process_after_the_other(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run runs[4];
    open_crew(&crew, TASK_PLUGIN);
    crew.pool.workers = 1;
    test_crew_set_pool(&crew);
    test_crew_start(&crew, &runs[0], bytes_of_text("go"));
    test_crew_start(&crew, &runs[1], bytes_of_text("fail"));
    test_crew_start(&crew, &runs[2], bytes_of_text("refuse"));
    test_crew_wait_all(&crew);
    CHECK(runs[0].status == RUN_DONE);
    CHECK(wrote(&runs[0], "task 1 token 101 attempt 2 call 1"));
    CHECK(runs[1].status == RUN_FAILED);
    CHECK(says(&runs[1], "the function returned 42"));
    CHECK(wrote(&runs[1], "task 2 token 102 attempt 2 call 2"));
    CHECK(runs[2].status == RUN_REFUSED);
    CHECK(says(&runs[2], "not on a Sunday"));
    test_crew_set_pool(&crew); /* another version: loaded anew */
    test_crew_start(&crew, &runs[3], bytes_of_text("go"));
    test_crew_wait_all(&crew);
    CHECK(wrote(&runs[3], "task 4 token 104 attempt 2 call 1"));
    test_crew_close(&crew);
}

static void a_crash_costs_its_own_task_alone(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run runs[4];
    open_crew(&crew, TASK_PLUGIN);
    crew.pool.workers = 2;
    test_crew_set_pool(&crew);
    test_crew_start(&crew, &runs[0], bytes_of_text("look"));
    test_crew_wait_progress(&crew, &runs[0]);
    CHECK(runs[0].done_of_1000 == 500);
    CHECK(strcmp(runs[0].progress_text, "looks") == 0);
    test_crew_start(&crew, &runs[1], bytes_of_text("crash"));
    test_crew_start(&crew, &runs[2], bytes_of_text("exit"));
    test_crew_start(&crew, &runs[3], bytes_of_text("go"));
    test_crew_wait(&crew, 3);
    CHECK(runs[1].status == RUN_CRASHED);
    CHECK(says(&runs[1], "ended by the signal SIGSEGV"));
    CHECK(runs[2].status == RUN_FAILED);
    CHECK(says(&runs[2], "ended its process, with status 5"));
    CHECK(runs[3].status == RUN_DONE);
    CHECK(!runs[0].has_ended);
    crew.workers->cancel(crew.workers->context, &runs[0].run);
    test_crew_wait_all(&crew);
    CHECK(runs[0].status == RUN_CANCELLED);
    CHECK(workers_runner_starts(crew.crew) == 1);
    test_crew_close(&crew);
}

static void a_host_that_speaks_rubbish_is_ended(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run runs[2];
    open_crew(&crew, TASK_PLUGIN);
    test_crew_start(&crew, &runs[0], bytes_of_text("rubbish"));
    test_crew_start(&crew, &runs[1], bytes_of_text("go"));
    test_crew_wait_all(&crew);
    CHECK(runs[0].status == RUN_FAILED);
    CHECK(says(&runs[0], "makes no sense"));
    CHECK(runs[1].status == RUN_DONE);
    CHECK(workers_runner_starts(crew.crew) == 1);
    test_crew_close(&crew);
}

static void kills_a_plugin_that_hangs(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run runs[2];
    open_crew(&crew, TASK_PLUGIN);
    test_crew_start(&crew, &runs[1], bytes_of_text("hang"));
    test_crew_wait_progress(&crew, &runs[1]);
    crew.workers->cancel(crew.workers->context, &runs[1].run);
    crew.pool.timeout_ms = 100;
    test_crew_start(&crew, &runs[0], bytes_of_text("hang"));
    test_crew_wait_all(&crew);
    CHECK(runs[0].status == RUN_TIMED_OUT);
    CHECK(says(&runs[0], "killed after 100 ms"));
    CHECK(runs[1].status == RUN_CANCELLED);
    test_crew_close(&crew);
}

static void refuses_a_plugin_that_is_missing_or_lacks_its_function(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run runs[3];
    char missing[] = "/no/such/plugin.so";
    char relative[] = "plugin.so";
    open_crew(&crew, TASK_PLUGIN);
    crew.pool.plugin = missing;
    test_crew_start(&crew, &runs[0], (struct bytes){0});
    test_crew_wait_all(&crew);
    CHECK(runs[0].status == RUN_REFUSED);
    CHECK(says(&runs[0], "/no/such/plugin.so: cannot open"));
    crew.pool.plugin = relative;
    test_crew_start(&crew, &runs[2], (struct bytes){0});
    test_crew_wait_all(&crew);
    CHECK(runs[2].status == RUN_REFUSED);
    CHECK(says(&runs[2], "`plugin.so` must begin with /"));
    crew.pool.plugin = arguments[2];
    (void)snprintf(crew.pool.function, sizeof crew.pool.function, "rebel");
    test_crew_set_pool(&crew);
    test_crew_start(&crew, &runs[1], (struct bytes){0});
    test_crew_wait_all(&crew);
    CHECK(runs[1].status == RUN_REFUSED);
    CHECK(says(&runs[1], "has no function `rebel`"));
    test_crew_close(&crew);
}

static void waits_between_hosts_that_crash_at_their_start(void **state)
{
    (void)state;
    struct test_crew crew;
    struct test_run runs[3];
    open_crew(&crew, TASK_PLUGIN);
    crew.pool.plugin = arguments[3];
    crew.pool.workers = 1;
    test_crew_set_pool(&crew);
    uint64_t began_ns = clock_now_ns(posix_clock());
    for (uint32_t i = 0; i < 3; i++) {
        test_crew_start(&crew, &runs[i], (struct bytes){0});
    }
    test_crew_wait_all(&crew);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK(runs[i].status == RUN_CRASHED);
        CHECK(says(&runs[i], "SIGBUS"));
    }
    /* 100 and 200 ms. */
    CHECK(clock_now_ns(posix_clock()) - began_ns >= 300 * NS_PER_MS);
    test_crew_close(&crew);
}

int main(int count, char **values)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_has_its_output_and_its_status),
        cmocka_unit_test(a_command_has_the_pool_s_surroundings_and_no_others),
        cmocka_unit_test(refuses_what_can_never_run),
        cmocka_unit_test(refuses_what_the_pool_or_the_node_does_not_allow),
        cmocka_unit_test(runs_as_the_pool_s_user),
        cmocka_unit_test(ends_one_that_hangs_when_its_time_is_over),
        cmocka_unit_test(keeps_the_beginning_of_a_flood_and_counts_the_rest),
        cmocka_unit_test(shows_what_a_command_has_written_so_far),
        cmocka_unit_test(shows_no_more_of_a_command_than_is_kept),
        cmocka_unit_test(who_looks_is_told_that_a_command_has_ended),
        cmocka_unit_test(only_so_many_look_at_a_time),
        cmocka_unit_test(nothing_is_seen_of_a_plugin_before_its_end),
        cmocka_unit_test(kills_what_a_command_has_left_in_its_group),
        cmocka_unit_test(what_has_left_its_group_ends_with_the_node),
        cmocka_unit_test(names_the_signal_that_ended_a_command),
        cmocka_unit_test(holds_commands_to_the_pool_s_limits),
        cmocka_unit_test(cancels_what_runs_and_what_waits),
        cmocka_unit_test(loses_no_run_when_its_spawner_is_killed),
        cmocka_unit_test(fails_runs_when_there_is_no_runner),
        cmocka_unit_test(runs_many_and_leaves_nothing_behind),
        cmocka_unit_test(closes_while_commands_run),
        cmocka_unit_test(commands_end_when_their_node_is_killed),
        cmocka_unit_test(a_plugin_runs_in_one_process_after_the_other),
        cmocka_unit_test(a_crash_costs_its_own_task_alone),
        cmocka_unit_test(a_host_that_speaks_rubbish_is_ended),
        cmocka_unit_test(kills_a_plugin_that_hangs),
        cmocka_unit_test(
            refuses_a_plugin_that_is_missing_or_lacks_its_function),
        cmocka_unit_test(waits_between_hosts_that_crash_at_their_start),
    };
    arguments = values;
    return count == 4 ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
