/*
 * The outside world, as tables of functions.
 *
 * Pure code gets these from its caller and calls nothing else, so that the
 * simulator can put a virtual world in their place. The real ones stand in
 * base/posix; the network's real one in transport/nng_network.c.
 *
 * Every function takes the table's `context` first.
 */

#ifndef BASE_ENV_H
#define BASE_ENV_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Any thread. */
struct clock {
    void *context;
    /* Never goes back; its zero means nothing. */
    uint64_t (*now_ns)(void *context);
    /* Unix time. May jump either way: only for what people and certificates
     * read. */
    int64_t (*wall_ms)(void *context);
};

/* Any thread. */
struct entropy {
    void *context;
    /* Fill with bytes that nobody can predict (in the simulator: that the
     * seed decides). */
    void (*fill)(void *context, void *to, size_t length);
};

/* Who may read a file that is written. */
enum file_access {
    FILE_PUBLIC, /* 0644 */
    FILE_SECRET, /* 0600 */
};

/*
 * Small whole files: configuration, keys, certificates. (The durable log has
 * its own table in `store`.) Any thread. Each may also fail with ERR_MEMORY.
 */
struct files {
    void *context;

    /*
     * Read a whole file. `*out` is freed by the caller with free(), after
     * wiping when it is secret; one zero byte follows the content.
     *
     * ERR_NOT_FOUND   no such file
     * ERR_TOO_LARGE   longer than `length_max`
     * ERR_EXPOSED     `access` is FILE_SECRET and the group or others may
     *                 read or write the file
     * ERR_ACCESS      we may not
     * ERR_IO          anything else
     */
    enum err (*read)(void *context,
                     const char *path,
                     enum file_access access,
                     size_t length_max,
                     uint8_t **out,
                     size_t *out_length);

    /*
     * Write a whole file so that a crash leaves the old one or the new one:
     * temporary file, fdatasync, rename, sync of the folder. On failure
     * nothing has changed and no temporary file is left.
     *
     * ERR_EXISTS      `replace` is false and the file exists
     * ERR_NOT_FOUND   there is no such folder, or it is a file
     * ERR_NO_SPACE    the device or quota is full
     * ERR_ACCESS      we may not
     * ERR_IO          anything else
     */
    enum err (*write)(void *context,
                      const char *path,
                      enum file_access access,
                      bool replace,
                      struct bytes content);

    /*
     * Make a folder (0755, FILE_SECRET: 0700); its parent must exist.
     *
     * ERR_EXISTS, ERR_NOT_FOUND, ERR_NO_SPACE, ERR_ACCESS, ERR_IO
     */
    enum err (*make_folder)(void *context,
                            const char *path,
                            enum file_access access);

    /* Remove a file or an empty folder. ERR_NOT_FOUND, ERR_ACCESS,
     * ERR_IO */
    enum err (*remove)(void *context, const char *path);

    /*
     * Call `visit` with the name of each entry of a folder, sorted, without
     * "." and "..". ERR_NOT_FOUND, ERR_IO
     */
    enum err (*list)(void *context,
                     const char *path,
                     void (*visit)(void *visitor, const char *name),
                     void *visitor);

    /*
     * Lock others out who would lock the same path, until unlock() or the
     * end of the process, however it ends. Does not wait. The file is made
     * when it is not there; that it is there means nothing. `*out` is for
     * unlock().
     *
     * ERR_BUSY       somebody holds it, this process perhaps
     * ERR_NOT_FOUND  there is no such folder
     * ERR_NO_SPACE, ERR_ACCESS, ERR_IO
     */
    enum err (*lock)(void *context, const char *path, void **out);

    /* Give `lock` back, remove its file. */
    void (*unlock)(void *context, void *lock);
};

/* How a reactor sleeps. One sleeper; wake() from any thread. */
struct waker {
    void *context;
    /* Sleep until wake() or for `timeout_ns`. A wake() before counts. */
    void (*wait)(void *context, uint64_t timeout_ns);
    void (*wake)(void *context);
};

static inline uint64_t clock_now_ns(const struct clock *clock)
{
    return clock->now_ns(clock->context);
}

static inline int64_t clock_wall_ms(const struct clock *clock)
{
    return clock->wall_ms(clock->context);
}

static inline void entropy_fill(const struct entropy *entropy,
                                void *to,
                                size_t length)
{
    entropy->fill(entropy->context, to, length);
}

uint64_t entropy_u64(const struct entropy *entropy);

/* Evenly spread in 0 .. bound-1; `bound` > 0. */
uint64_t entropy_below(const struct entropy *entropy, uint64_t bound);

#endif
