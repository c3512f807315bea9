#include "base/posix/posix_entropy.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static void fill(void *context, void *to, size_t length)
{
    (void)context;
    uint8_t *next = to;
    while (length > 0) {
        ssize_t count = getrandom(next, length, 0);
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            abort(); /* to go on with bytes one can guess would be worse */
        }
        next += count;
        length -= (size_t)count;
    }
}

const struct entropy *posix_entropy(void)
{
    static const struct entropy entropy = {.fill = fill};
    return &entropy;
}
