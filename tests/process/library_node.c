/*
 * A node of a test, by the public library alone, until it is killed or told to
 * end (SIGTERM).
 *
 *     library_node CONFIG FILE
 *
 * Runs the tasks of pool `marks`: each run appends a line to FILE, the payload
 * and the task's id. Those of pool `tell` say how far they are, and go on when
 * the pipe that is their payload is opened for writing.
 */

#include "base/posix/posix_notify.h"
#include "troupe/node.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TELLERS 8 /* at the same time */

static const char *marks;

static int mark(struct troupe_task *task)
{
    size_t length;
    char line[64];
    const char *payload = troupe_task_payload(task, &length);
    int bytes = snprintf(line, sizeof line, "%.*s %" PRIu64 "\n", (int)length,
                         payload, troupe_task_id(task));
    int file = open(marks, O_WRONLY | O_APPEND | O_CREAT, 0644);
    int is_written = file >= 0 && write(file, line, (size_t)bytes) == bytes;
    if (file >= 0) {
        (void)close(file);
    }
    (void)troupe_task_write(task, payload, length);
    return is_written ? TROUPE_TASK_DONE : TROUPE_TASK_FAILED;
}

static int tell(struct troupe_task *task)
{
    size_t length;
    char path[256];
    const char *payload = troupe_task_payload(task, &length);
    (void)snprintf(path, sizeof path, "%.*s", (int)length, payload);
    troupe_task_progress(task, 500, "half");
    int file = open(path, O_RDONLY);
    if (file >= 0) {
        (void)close(file);
    }
    return file >= 0 ? TROUPE_TASK_DONE : TROUPE_TASK_FAILED;
}

int main(int count, char **values)
{
    struct troupe *troupe = NULL;
    struct troupe_why why;
    const struct troupe_handler handlers[] = {
        {.name = "marks", .run = mark},
        {.name = "tell", .run = tell, .workers = TELLERS}};
    struct troupe_node_options options = {.config = values[1],
                                          .handlers = handlers,
                                          .handler_count = 2,
                                          .ready_ms = 60000,
                                          .logs = 1};
    sigset_t ends;
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &ends, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    if (count != 3) {
        return EXIT_FAILURE;
    }
    marks = values[2];
    if (troupe_node_open(&troupe, &options, &why)) {
        (void)fprintf(stderr, "library_node: %s\n", why.text);
        return EXIT_FAILURE;
    }
    posix_notify("READY=1");
    int signal_number = 0;
    (void)sigwait(&ends, &signal_number);
    troupe_close(&troupe);
    return EXIT_SUCCESS;
}
