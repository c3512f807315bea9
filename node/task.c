#include "node/task.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/posix/posix_clock.h"
#include "base/time_units.h"

#define PROGRESS_NS (20 * NS_PER_MS) /* between two that are passed on */
#define DONE_OF_MAX 1000
#define PRINT_BYTES 256

static uint64_t now_ns(void)
{
    return clock_now_ns(posix_clock());
}

void task_clear(struct troupe_task *task)
{
    buffer_clear(&task->output);
}

bool task_is_late(const struct troupe_task *task)
{
    return task->deadline_ns != 0 && now_ns() >= task->deadline_ns;
}

const void *troupe_task_payload(const struct troupe_task *task, size_t *length)
{
    if (length) {
        *length = task->payload.length;
    }
    return task->payload.data;
}

uint64_t troupe_task_id(const struct troupe_task *task)
{
    return task->id;
}

uint32_t troupe_task_attempt(const struct troupe_task *task)
{
    return task->attempt;
}

uint64_t troupe_task_token(const struct troupe_task *task)
{
    return task->token;
}

int troupe_task_is_cancelled(const struct troupe_task *task)
{
    return atomic_load(task->is_cancelled) != 0 || task_is_late(task);
}

int troupe_task_write(struct troupe_task *task, const void *data, size_t length)
{
    size_t room = task->output_bytes_max - buffer_length(&task->output);
    size_t kept = length < room ? length : room;
    if (buffer_append(&task->output, bytes_of(data, kept))) {
        kept = 0;
    }
    task->cut_bytes += length - kept;
    return kept < length;
}

int troupe_task_printf(struct troupe_task *task, const char *format, ...)
{
    char text[PRINT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0) {
        return 1;
    }
    if ((size_t)length < sizeof text) {
        return troupe_task_write(task, text, (size_t)length);
    }
    /* Longer than most: into the output, where there is room for its zero. */
    uint8_t *to = NULL;
    size_t room = task->output_bytes_max - buffer_length(&task->output);
    if (buffer_reserve(&task->output, (size_t)length + 1, &to)) {
        task->cut_bytes += (size_t)length;
        return 1;
    }
    va_start(arguments, format);
    (void)vsnprintf((char *)to, (size_t)length + 1, format, arguments);
    va_end(arguments);
    size_t kept = (size_t)length < room ? (size_t)length : room;
    buffer_grow(&task->output, kept);
    task->cut_bytes += (size_t)length - kept;
    return kept < (size_t)length;
}

void troupe_task_progress(struct troupe_task *task,
                          unsigned done_of_1000,
                          const char *text)
{
    char cut[TASK_PROGRESS_BYTES];
    uint64_t at_ns = now_ns();
    if (task->progress_ns != 0 && at_ns - task->progress_ns < PROGRESS_NS) {
        return;
    }
    task->progress_ns = at_ns;
    (void)snprintf(cut, sizeof cut, "%s", text ? text : "");
    task->progress(task->context,
                   done_of_1000 < DONE_OF_MAX ? done_of_1000 : DONE_OF_MAX,
                   cut);
}

void troupe_task_explain(struct troupe_task *task, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(task->why, sizeof task->why, format, arguments);
    va_end(arguments);
}
