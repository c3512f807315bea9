/*
 * A thousand tasks, done by a C function of this program.
 *
 *     tasks             a cluster of this process alone, in ./tasks-example
 *     tasks FILE.yaml   one of the nodes of a cluster
 */

#include "troupe/tasks.h"
#include "troupe/node.h"

#include <stdio.h>
#include <string.h>

#define COUNT 1000

static int square(struct troupe_task *task)
{
    size_t length;
    int number;
    const void *payload = troupe_task_payload(task, &length);
    if (length != sizeof number) { /* anybody may have submitted it */
        troupe_task_explain(task, "%zu bytes are no number", length);
        return TROUPE_TASK_REFUSED;
    }
    memcpy(&number, payload, length);
    troupe_task_printf(task, "%d * %d = %d", number, number, number * number);
    return TROUPE_TASK_DONE;
}

static void print(void *context, const struct troupe_result *result)
{
    (void)context;
    printf("%s: %.*s%s\n", troupe_state_name(result->state),
           (int)result->output_length, (const char *)result->output,
           result->why);
}

int main(int count, char **values)
{
    static int numbers[COUNT];
    static struct troupe_spec specs[COUNT];
    static struct troupe_receipt receipts[COUNT];
    static uint64_t ids[COUNT];
    const struct troupe_handler squares = {.name = "squares", .run = square};
    const struct troupe_node_options options = {
        .config = count > 1 ? values[1] : NULL,
        .folder = count > 1 ? NULL : "tasks-example",
        .handlers = &squares,
        .handler_count = 1};
    struct troupe *troupe = NULL;
    struct troupe_why why;
    if (troupe_node_open(&troupe, &options, &why)) {
        fprintf(stderr, "tasks: %s\n", why.text);
        return 1;
    }
    for (int i = 0; i < COUNT; i++) {
        numbers[i] = i;
        specs[i] = (struct troupe_spec){.pool = "squares",
                                        .payload = &numbers[i],
                                        .payload_length = sizeof numbers[i]};
    }
    enum troupe_error error =
        troupe_submit(troupe, specs, COUNT, 10000, receipts);
    for (int i = 0; i < COUNT; i++) {
        ids[i] = receipts[i].id;
    }
    if (!error) {
        error = troupe_await(troupe, ids, COUNT, 60000, print, NULL);
    }
    if (error) {
        fprintf(stderr, "tasks: %s\n", troupe_error_text(error));
    }
    troupe_close(&troupe);
    return error ? 1 : 0;
}
