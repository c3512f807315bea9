/*
 * A log on the real disk, with its thread, in a folder that is gone
 * afterwards. The reactor runs on the caller's thread.
 *
 * Used by the one thread of troupe-bench.
 */

#ifndef BENCH_LOG_HOST_H
#define BENCH_LOG_HOST_H

#include "base/err.h"
#include "store/wal.h"

#include <stdbool.h>
#include <stdint.h>

#define LOG_HOST_PATH_BYTES 256

/* Make a folder where disks are: TROUPE_BENCH_FOLDER, else /var/tmp. False:
 * it cannot be made. */
bool log_host_folder(char path[static LOG_HOST_PATH_BYTES]);

struct log_host {
    struct posix_disk *disk;
    struct posix_executor *executor;
    struct posix_reactor *runner;
    struct reactor *reactor;
    struct wal *log;
    struct wal_config config;

    enum err failed;

    /* Called when all that was appended is durable; false: stop. */
    bool (*next)(struct log_host *host);
    uint64_t appended;
    uint64_t durable;
};

/* Everything but the log. ERR_MEMORY, ERR_LIMIT, ERR_IO, ... */
FALLIBLE log_host_init(struct log_host *host, const char *path);
void log_host_clear(struct log_host *host);

/* As wal_open(); anything damaged is ERR_MALFORMED. */
FALLIBLE log_host_open(struct log_host *host);

/* Waits until the log is idle. */
void log_host_close(struct log_host *host);

void log_host_append(struct log_host *host, const struct wal_record *record);

/* Run until `next` says stop, or the log fails. */
FALLIBLE log_host_run(struct log_host *host);

#endif
