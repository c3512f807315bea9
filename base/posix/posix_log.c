#include "base/posix/posix_log.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define WRITABLE_TIMEOUT_MS 1000

static bool wait_writable(int fd)
{
    struct pollfd slot = {.fd = fd, .events = POLLOUT};
    int count = 0;
    do {
        count = poll(&slot, 1, WRITABLE_TIMEOUT_MS);
    } while (count < 0 && errno == EINTR);
    return count > 0;
}

static void write_line(void *context, const char *line, size_t length)
{
    int fd = (int)(intptr_t)context;
    while (length > 0) {
        ssize_t count = write(fd, line, length);
        if (count >= 0) {
            line += count;
            length -= (size_t)count;
        } else if (errno == EAGAIN) {
            if (!wait_writable(fd)) {
                return;
            }
        } else if (errno != EINTR) {
            return;
        }
    }
}

struct log_sink posix_log_sink(int fd)
{
    return (struct log_sink){.context = (void *)(intptr_t)fd,
                             .write = write_line};
}
