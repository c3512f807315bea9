#include "base/posix/posix_inputs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct posix_input {
    int fd;
    bool is_ours; /* to close */
};

/* A folder can be opened, and not be read. */
static enum err check(int fd)
{
    struct stat about;
    if (fstat(fd, &about)) {
        return err_from_errno(errno);
    }
    return S_ISDIR(about.st_mode) ? ERR_ACCESS : ERR_NONE;
}

static void close_input(void *input)
{
    struct posix_input *own = input;
    if (own && own->is_ours) {
        (void)close(own->fd);
    }
    free(own);
}

static enum err open_input(void *context, const char *path, void **out)
{
    (void)context;
    struct posix_input *input = calloc(1, sizeof *input);
    if (!input) {
        return ERR_MEMORY;
    }
    input->is_ours = strcmp(path, "-") != 0;
    input->fd =
        input->is_ours ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    enum err err = input->fd < 0 && errno == ENOENT ? ERR_NOT_FOUND
                   : input->fd < 0                  ? err_from_errno(errno)
                                                    : check(input->fd);
    if (err) {
        input->is_ours = input->is_ours && input->fd >= 0;
        close_input(input);
        return err;
    }
    *out = input;
    return ERR_NONE;
}

static enum err read_input(
    void *input, void *to, size_t capacity, uint32_t wait_ms, size_t *length)
{
    const struct posix_input *own = input;
    struct pollfd waits = {.fd = own->fd, .events = POLLIN};
    int ready = poll(&waits, 1, (int)wait_ms);
    if (ready == 0 || (ready < 0 && errno == EINTR)) {
        return ERR_TIMEOUT;
    }
    ssize_t count = ready < 0 ? -1 : read(own->fd, to, capacity);
    if (count < 0) {
        return errno == EINTR || errno == EAGAIN ? ERR_TIMEOUT : ERR_IO;
    }
    *length = (size_t)count;
    return count == 0 ? ERR_CLOSED : ERR_NONE;
}

const struct inputs *posix_inputs(void)
{
    static const struct inputs table = {
        .open = open_input, .read = read_input, .close = close_input};
    return &table;
}
