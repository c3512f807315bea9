/*
 * Any bytes as a view: what is taken is the same after it was written and read
 * again.
 */

#include <stdlib.h>

#include "shard/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static void check(const struct view *view)
{
    size_t capacity = view_bytes_max(view);
    uint8_t *buffer = malloc(capacity);
    struct view *again = NULL;
    MUST(buffer);
    struct writer writer = writer_of(buffer, capacity);
    view_encode(view, &writer);
    MUST(!writer.failed);
    MUST(view_decode(&again, writer_bytes(&writer)) == ERR_NONE);
    MUST(view_digest(again) == view_digest(view));
    view_close(&again);
    free(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct view *view = NULL;
    if (view_decode(&view, bytes_of(data, length))) {
        MUST(!view);
        return 0;
    }
    check(view);
    view_close(&view);
    return 0;
}
