/*
 * A task as a line of JSON says it.
 *
 * Pure; the line may come from anybody.
 */

#ifndef ADMIN_TASK_LINE_H
#define ADMIN_TASK_LINE_H

#include "base/buffer.h"
#include "shard/task.h"

#include <jansson.h>

#define TASK_LINE_BYTES_MAX (1u << 20)

/* All zero is empty. */
struct task_line {
    struct task_spec
        spec; /* what it borrows is the line's, or the standard's */
    struct buffer payload;
    json_t *root;
};

void task_line_clear(struct task_line *line);

/*
 * Read `text` into `line`, in place of what it has: the payload alone, any
 * JSON; or with `is_spec` an object {"payload": ..., "key"?: text, "order"?:
 * text, "tenant"?: text, "priority"?: 0 to 7, "delay_ms"?, "ttl_ms"?,
 * "timeout_ms"?, "attempts_max"?: numbers, "after"?: [id]}. What it does not
 * say is as in `standard`.
 *
 * ERR_INVALID   `why` says what is wrong
 * ERR_MEMORY
 */
FALLIBLE task_line_read(struct task_line *line,
                        struct bytes text,
                        bool is_spec,
                        const struct task_spec *standard,
                        struct err_detail *why);

#endif
