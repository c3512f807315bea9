#include "base/posix/posix_limits.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* Raise the soft limit; returns what holds then. */
static rlim_t raise_limit(int resource)
{
    struct rlimit limit = {0};
    int failed = getrlimit((__rlimit_resource_t)resource, &limit);
    assert(!failed);
    if (limit.rlim_cur == limit.rlim_max) {
        return limit.rlim_cur;
    }
    struct rlimit raised = {.rlim_cur = limit.rlim_max,
                            .rlim_max = limit.rlim_max};
    if (setrlimit((__rlimit_resource_t)resource, &raised)) {
        return limit.rlim_cur;
    }
    return raised.rlim_cur;
}

static bool is_enough(rlim_t limit, uint64_t needed)
{
    return limit == RLIM_INFINITY || limit >= needed;
}

/* A process with CAP_IPC_LOCK is not held to its limit: so try. */
static bool can_lock(uint64_t length)
{
    void *memory = mmap(NULL, (size_t)length, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return false;
    }
    bool is_locked = mlock(memory, (size_t)length) == 0;
    (void)munmap(memory, (size_t)length); /* unlocks, too */
    return is_locked;
}

enum err posix_limits_check(const struct posix_limits_needed *needed,
                            struct err_detail *why)
{
    rlim_t descriptors = raise_limit(RLIMIT_NOFILE);
    if (!is_enough(descriptors, needed->descriptor_count)) {
        err_explain(why,
                    "open files: this process may have %" PRIu64
                    ", but needs %" PRIu64
                    "; raise the limit with `ulimit -n %" PRIu64
                    "` before the start, or with `LimitNOFILE=%" PRIu64
                    "` in the systemd unit",
                    (uint64_t)descriptors, needed->descriptor_count,
                    needed->descriptor_count, needed->descriptor_count);
        return ERR_LIMIT;
    }
    rlim_t locked = raise_limit(RLIMIT_MEMLOCK);
    if (!is_enough(locked, needed->locked_bytes) &&
        !can_lock(needed->locked_bytes)) {
        uint64_t kibibytes = (needed->locked_bytes + 1023) / 1024;
        err_explain(why,
                    "locked memory, where keys are kept: this process may "
                    "lock %" PRIu64 " KiB, but needs %" PRIu64
                    " KiB; raise the limit with `ulimit -l %" PRIu64
                    "` before the start, or with `LimitMEMLOCK=%" PRIu64
                    "K` in the systemd unit",
                    (uint64_t)locked / 1024, kibibytes, kibibytes, kibibytes);
        return ERR_LIMIT;
    }
    return ERR_NONE;
}
