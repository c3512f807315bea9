/*
 * A plug-in for tests/process/kill_test.py. The payload is a text, " FILE ORDER
 * NUMBER": a line "ORDER NUMBER token id" is appended to FILE, and the result
 * is the number's square. What has the order "crash" crashes.
 */

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "troupe/task.h"

#define FIELD_BYTES 256

struct order {
    char file[FIELD_BYTES];
    char order[FIELD_BYTES];
    uint64_t number;
};

/* MessagePack has a head in front of the text, which begins with a space. */
static int read_order(const struct troupe_task *task, struct order *out)
{
    char text[2 * FIELD_BYTES];
    size_t length;
    const char *payload = troupe_task_payload(task, &length);
    const char *from = memchr(payload, ' ', length);
    size_t left = from ? length - (size_t)(from - payload) : 0;
    if (left == 0 || left >= sizeof text) {
        return 0;
    }
    memcpy(text, from, left);
    text[left] = '\0';
    return sscanf(text, "%255s %255s %" SCNu64, out->file, out->order,
                  &out->number) == 3;
}

static int append(const struct troupe_task *task, const struct order *order)
{
    FILE *file = fopen(order->file, "a");
    if (!file) {
        return 0;
    }
    int is_written = fprintf(file, "%s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
                             order->order, order->number,
                             troupe_task_token(task), troupe_task_id(task)) > 0;
    return fclose(file) == 0 && is_written;
}

TROUPE_API int mark(struct troupe_task *task);

TROUPE_API int mark(struct troupe_task *task)
{
    struct order order;
    if (!read_order(task, &order)) {
        troupe_task_explain(task, "FILE ORDER NUMBER is expected");
        return TROUPE_TASK_REFUSED;
    }
    if (strcmp(order.order, "crash") == 0) {
        (void)signal(SIGSEGV, SIG_DFL); /* sanitizers would have it */
        (void)raise(SIGSEGV);
    }
    if (!append(task, &order)) {
        return TROUPE_TASK_FAILED;
    }
    troupe_task_printf(task, "%" PRIu64, order.number * order.number);
    return TROUPE_TASK_DONE;
}
