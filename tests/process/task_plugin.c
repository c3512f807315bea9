/*
 * A plug-in that does what its payload says.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "troupe/task.h"

TROUPE_API int obey(struct troupe_task *task);

static int is_told(struct troupe_task *task, const char *word)
{
    size_t length;
    const char *payload = troupe_task_payload(task, &length);
    return length == strlen(word) && memcmp(payload, word, length) == 0;
}

int obey(struct troupe_task *task)
{
    static int calls;
    calls++;
    if (is_told(task, "crash")) {
        (void)signal(SIGSEGV, SIG_DFL); /* sanitizers would have it */
        (void)raise(SIGSEGV);
    }
    if (is_told(task, "exit")) {
        _exit(5);
    }
    if (is_told(task, "hang")) {
        troupe_task_progress(task, 1, "hangs");
        for (;;) {
            (void)pause();
        }
    }
    if (is_told(task, "look")) {
        troupe_task_progress(task, 500, "looks");
        while (!troupe_task_is_cancelled(task)) {
        }
        return TROUPE_TASK_FAILED;
    }
    if (is_told(task, "rubbish")) {
        /* As one that writes over what is its host's: descriptor 3 or above. */
        for (int fd = 3; fd < 64; fd++) {
            (void)!write(fd, "\xff\xff\xff\xff rubbish", 12);
        }
    }
    if (is_told(task, "refuse")) {
        troupe_task_explain(task, "not on a Sunday");
        return TROUPE_TASK_REFUSED;
    }
    troupe_task_printf(task, "task %d token %d attempt %d call %d",
                       (int)troupe_task_id(task), (int)troupe_task_token(task),
                       (int)troupe_task_attempt(task), calls);
    return is_told(task, "fail") ? 42 : TROUPE_TASK_DONE;
}
