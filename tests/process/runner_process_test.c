/*
 * troupe-runner, spoken to as a node does.
 *
 *     runner_process_test TROUPE-RUNNER PLUGIN
 */

#include "tests/support/check.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/posix/posix_helper.h"
#include "base/posix/posix_reactor.h"
#include "base/spawn_wire.h"
#include "base/time_units.h"

#define WATCHDOG_NS (60 * NS_PER_S)
#define TEXT_BYTES 512

static char **arguments;

struct fixture {
    struct posix_reactor *runner;
    struct reactor *reactor;
    struct posix_helper *helper;
    const char *program[3];
    struct timer watchdog;
    uint32_t ended_count;
    uint32_t lost_count;
    enum spawn_end end; /* of the last that has ended */
    uint32_t ticket;
    int32_t code;
    char output[TEXT_BYTES];
    char why[TEXT_BYTES];
};

static void on_watchdog(struct timer *timer)
{
    (void)timer;
    fputs("waited in vain\n", stderr);
    abort();
}

static void on_message(void *context, struct bytes message)
{
    struct fixture *fixture = context;
    struct spawn_ended ended;
    CHECK(spawn_wire_kind(message) == SPAWN_ENDED);
    CHECK_OK(spawn_wire_get_ended(&ended, message));
    fixture->ended_count++;
    fixture->end = ended.end;
    fixture->ticket = ended.ticket;
    fixture->code = ended.code;
    (void)snprintf(fixture->output, TEXT_BYTES, "%.*s",
                   (int)ended.output.length, (const char *)ended.output.data);
    (void)snprintf(fixture->why, TEXT_BYTES, "%s", ended.why);
    reactor_stop(fixture->reactor);
}

static void on_lost(void *context, const char *why)
{
    struct fixture *fixture = context;
    fixture->lost_count++;
    (void)snprintf(fixture->why, TEXT_BYTES, "%s", why);
    reactor_stop(fixture->reactor);
}

static void open_fixture(struct fixture *fixture, const char *program)
{
    *fixture = (struct fixture){.program = {program, "--serve"},
                                .watchdog = {.fire = on_watchdog}};
    CHECK_OK(posix_reactor_open(&fixture->runner, "test"));
    fixture->reactor = posix_reactor_get(fixture->runner);
    const struct posix_helper_config config = {.name = "helper",
                                               .arguments = fixture->program,
                                               .reactor = fixture->reactor,
                                               .context = fixture,
                                               .on_message = on_message,
                                               .on_lost = on_lost};
    CHECK_OK(posix_helper_open(&fixture->helper, &config));
}

static void close_fixture(struct fixture *fixture)
{
    posix_helper_close(&fixture->helper);
    CHECK(fixture->helper == NULL);
    posix_reactor_close(&fixture->runner);
}

static void wait_for(struct fixture *fixture, uint32_t ended, uint32_t lost)
{
    while (fixture->ended_count < ended || fixture->lost_count < lost) {
        reactor_timer_set(fixture->reactor, &fixture->watchdog, WATCHDOG_NS);
        reactor_run(fixture->reactor);
        reactor_timer_cancel(fixture->reactor, &fixture->watchdog);
    }
    CHECK(fixture->ended_count == ended && fixture->lost_count == lost);
}

static void send_shell(struct fixture *fixture,
                       uint32_t ticket,
                       const char *shell)
{
    char texts[TEXT_BYTES];
    int length = snprintf(texts, sizeof texts, "/bin/sh%c-c%c%s", 0, 0, shell);
    const struct spawn_command command = {
        .ticket = ticket,
        .output_bytes_max = TEXT_BYTES,
        .arguments = {3, bytes_of(texts, (size_t)length + 1)},
        .user = "",
        .dir = "/"};
    CHECK_OK(
        spawn_wire_put_command(posix_helper_begin(fixture->helper), &command));
    posix_helper_end(fixture->helper);
}

static void is_started_when_there_is_something_to_do(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, arguments[1]);
    CHECK(posix_helper_start_count(fixture.helper) == 0);
    send_shell(&fixture, 7, "echo hi; exit 4");
    wait_for(&fixture, 1, 0);
    CHECK(fixture.ticket == 7);
    CHECK(fixture.end == SPAWN_EXITED && fixture.code == 4);
    CHECK(strcmp(fixture.output, "hi\n") == 0);
    send_shell(&fixture, 8, ":");
    wait_for(&fixture, 2, 0);
    CHECK(fixture.ticket == 8 && fixture.code == 0);
    CHECK(posix_helper_start_count(fixture.helper) == 1);
    close_fixture(&fixture);
}

static void is_started_again_when_it_was_killed(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, arguments[1]);
    for (uint32_t i = 1; i <= 2; i++) {
        send_shell(&fixture, i, "kill -KILL $PPID; exec sleep 1000");
        wait_for(&fixture, i - 1, i);
        CHECK(strstr(fixture.why, "Killed"));
        send_shell(&fixture, 10 + i, ":");
        wait_for(&fixture, i, i);
        CHECK(fixture.ticket == 10 + i);
    }
    CHECK(posix_helper_start_count(fixture.helper) == 3);
    close_fixture(&fixture);
}

static bool is_zombie(long pid)
{
    char path[64];
    char text[256] = "";
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *file = fopen(path, "re");
    CHECK(file && fgets(text, sizeof text, file));
    (void)fclose(file);
    return strstr(text, ") Z ") != NULL;
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

/* The leader of a session of its own starts another process, and ends. */
static void a_daemon_lives_until_the_node_ends(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, arguments[1]);
    send_shell(&fixture, 1,
               "(setsid sh -c 'sleep 1000 >/dev/null 2>&1 & echo $$ $!' &)"
               " | head -n 1");
    wait_for(&fixture, 1, 0);
    char *end = NULL;
    long leader = strtol(fixture.output, &end, 10);
    long daemon = strtol(end, NULL, 10);
    CHECK(leader > 1 && daemon > 1);
    await_end(leader);
    send_shell(&fixture, 2, ":"); /* whose end is reaped after the leader's */
    wait_for(&fixture, 2, 0);
    CHECK(kill((pid_t)leader, 0) && errno == ESRCH);
    CHECK(kill((pid_t)daemon, 0) == 0);
    CHECK(!is_zombie(daemon));
    close_fixture(&fixture);
    await_end(daemon);
}

static void says_that_it_cannot_be_started(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, "/no/such/runner");
    send_shell(&fixture, 1, ":");
    wait_for(&fixture, 0, 1);
    CHECK(strstr(fixture.why, "`/no/such/runner`"));
    send_shell(&fixture, 2, ":");
    wait_for(&fixture, 0, 2);
    close_fixture(&fixture);
}

static void calls_the_function_of_a_plugin(void **state)
{
    (void)state;
    struct fixture fixture;
    const struct spawn_plugin plugin = {.ticket = 3,
                                        .output_bytes_max = TEXT_BYTES,
                                        .path = arguments[2],
                                        .function = "obey",
                                        .task = 5,
                                        .token = 6,
                                        .attempt = 7};
    open_fixture(&fixture, arguments[1]);
    for (uint32_t i = 1; i <= 2; i++) {
        char expected[TEXT_BYTES];
        CHECK_OK(
            spawn_wire_put_plugin(posix_helper_begin(fixture.helper), &plugin));
        posix_helper_end(fixture.helper);
        wait_for(&fixture, i, 0);
        CHECK(fixture.end == SPAWN_EXITED && fixture.code == 0);
        (void)snprintf(expected, sizeof expected,
                       "task 5 token 6 attempt 7 call %u", i);
        CHECK(strcmp(fixture.output, expected) == 0);
    }
    close_fixture(&fixture);
}

static void closes_without_having_been_needed(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, arguments[1]);
    close_fixture(&fixture);
}

int main(int count, char **values)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_started_when_there_is_something_to_do),
        cmocka_unit_test(is_started_again_when_it_was_killed),
        cmocka_unit_test(a_daemon_lives_until_the_node_ends),
        cmocka_unit_test(says_that_it_cannot_be_started),
        cmocka_unit_test(calls_the_function_of_a_plugin),
        cmocka_unit_test(closes_without_having_been_needed),
    };
    arguments = values;
    return count == 3 ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
