#include "bench/log_host.h"

#include "base/posix/posix_executor.h"
#include "base/posix/posix_reactor.h"
#include "bench/process.h"
#include "store/posix_disk.h"

#include <stdio.h>
#include <stdlib.h>

#define DISK_ID UINT64_C(0xbe7c4)
#define STAGED_BYTES_MAX ((size_t)16 << 20)
#define RECORD_BYTES_MAX ((size_t)1 << 20)
#define DRAIN_NS 50000

bool log_host_folder(char path[static LOG_HOST_PATH_BYTES])
{
    const char *parent = getenv("TROUPE_BENCH_FOLDER");
    int length = snprintf(path, LOG_HOST_PATH_BYTES, "%s/troupe-bench-XXXXXX",
                          parent ? parent : "/var/tmp");
    return length > 0 && length < LOG_HOST_PATH_BYTES && mkdtemp(path);
}

static void on_durable(void *context, uint64_t number)
{
    struct log_host *host = context;
    host->durable = number;
    if (number == host->appended && host->next && !host->next(host)) {
        reactor_stop(host->reactor);
    }
}

static void on_failed(void *context, enum err err, const char *what)
{
    struct log_host *host = context;
    (void)fprintf(stderr, "troupe-bench: the log: %s: %s\n", what,
                  err_text(err));
    host->failed = err;
    reactor_stop(host->reactor);
}

enum err log_host_init(struct log_host *host, const char *path)
{
    *host = (struct log_host){0};
    enum err err = posix_disk_open(&host->disk, path);
    if (!err) {
        err = posix_executor_open(&host->executor, "log writer");
    }
    if (!err) {
        err = posix_reactor_open(&host->runner, "bench");
    }
    if (err) {
        log_host_clear(host);
        return err;
    }
    host->reactor = posix_reactor_get(host->runner);
    host->config = (struct wal_config){
        .disk = posix_disk_table(host->disk),
        .executor = posix_executor_table(host->executor),
        .reactor = host->reactor,
        .disk_id = DISK_ID,
        .record_bytes_max = RECORD_BYTES_MAX,
        .staged_bytes_max = STAGED_BYTES_MAX,
        .context = host,
        .on_durable = on_durable,
        .on_failed = on_failed,
    };
    return ERR_NONE;
}

void log_host_clear(struct log_host *host)
{
    log_host_close(host);
    posix_executor_close(&host->executor);
    posix_reactor_close(&host->runner);
    posix_disk_close(&host->disk);
}

enum err log_host_open(struct log_host *host)
{
    struct wal_report report;
    host->appended = 0;
    host->durable = 0;
    enum err err = wal_open(&host->log, &host->config, &report, NULL);
    if (!err && report.what[0] != '\0') {
        (void)fprintf(stderr, "troupe-bench: the log: %s\n", report.what);
        return ERR_MALFORMED;
    }
    return err;
}

void log_host_close(struct log_host *host)
{
    while (host->log && !host->failed && !wal_is_idle(host->log)) {
        (void)reactor_turn(host->reactor);
        process_sleep_ns(DRAIN_NS);
    }
    wal_close(&host->log);
}

void log_host_append(struct log_host *host, const struct wal_record *record)
{
    host->appended = wal_append(host->log, record);
}

enum err log_host_run(struct log_host *host)
{
    if (!host->failed) {
        reactor_run(host->reactor);
    }
    return host->failed;
}
