/*
 * Any bytes as a line of `troupe task submit`: it is refused with a reason, or
 * becomes a task that is the same after it was written and read.
 */

#include <stdlib.h>
#include <string.h>

#include "admin/task_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static void check_spec(const struct task_spec *spec)
{
    struct task_spec read;
    size_t bytes = task_spec_bytes_max(spec);
    uint8_t *buffer = malloc(bytes);
    MUST(buffer);
    struct writer writer = writer_of(buffer, bytes);
    task_spec_encode(spec, &writer);
    MUST(!writer.failed);
    struct reader reader = reader_of(writer_bytes(&writer));
    task_spec_decode(&read, &reader);
    MUST(!reader.failed && reader_left(&reader) == 0);
    MUST(bytes_are_equal(read.payload, spec->payload));
    MUST(bytes_are_equal(read.key, spec->key));
    MUST(read.priority == spec->priority);
    MUST(read.after_count == spec->after_count);
    free(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct task_line line = {.root = NULL};
    const struct task_spec standard = task_spec_of((struct bytes){0});
    for (int is_spec = 0; is_spec < 2; is_spec++) {
        struct err_detail why = {{0}};
        enum err err = task_line_read(&line, bytes_of(data, length), is_spec,
                                      &standard, &why);
        MUST(!err || err == ERR_MEMORY || why.text[0] != '\0');
        if (!err) {
            check_spec(&line.spec);
        }
    }
    task_line_clear(&line);
    return 0;
}
