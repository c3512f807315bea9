/*
 * What only the process itself can tell of itself, for who looks for a cause:
 * its newest log lines, its settings, its metrics, what it runs on.
 */

#include "node/control_core.h"

#include "base/metrics.h"
#include "base/pack.h"
#include "base/posix/posix_log_tail.h"
#include "base/posix/posix_machine.h"
#include "config/settings_values.h"

#include <stdlib.h>
#include <string.h>

/* ---- node.log ---- */

/* The newest `limit` of `count` lines. `text` is taken apart. */
static void write_lines(char *text,
                        uint64_t count,
                        uint64_t limit,
                        struct fields *fields)
{
    struct fields lines = fields_list(fields, "lines");
    for (char *line; (line = strsep(&text, "\n")) && text; count--) {
        if (count <= limit) {
            pack_text(fields_item(&lines), line);
        }
    }
    fields_end(&lines);
}

static uint64_t count_lines(const char *text)
{
    uint64_t count = 0;
    for (; (text = strchr(text, '\n')); text++) {
        count++;
    }
    return count;
}

enum err control_debug_log(const struct control_request *request,
                           const struct control_args *args,
                           struct fields *fields,
                           struct err_detail *why)
{
    (void)why;
    char *text = NULL;
    enum err err =
        posix_log_tail_read(request->control->config.log_tail, &text);
    if (err) {
        return err;
    }
    uint64_t count = count_lines(text);
    write_lines(text, count, args->given & ARG_LIMIT ? args->limit : count,
                fields);
    free(text);
    return ERR_NONE;
}

/* ---- node.config ---- */

static void write_setting(void *context, const char *key, const char *value)
{
    fields_text(context, key, value);
}

enum err control_debug_config(const struct control_request *request,
                              const struct control_args *args,
                              struct fields *fields,
                              struct err_detail *why)
{
    (void)args;
    (void)why;
    struct fields settings = fields_map(fields, "settings");
    settings_values(request->control->config.settings, write_setting,
                    &settings);
    fields_end(&settings);
    return ERR_NONE;
}

/* ---- node.metrics ---- */

enum err control_debug_metrics(const struct control_request *request,
                               const struct control_args *args,
                               struct fields *fields,
                               struct err_detail *why)
{
    (void)args;
    (void)why;
    char *text = NULL;
    size_t length = 0;
    enum err err =
        metrics_render(request->control->config.metrics, &text, &length);
    if (!err) {
        write_lines(text, 0, UINT64_MAX, fields);
    }
    free(text);
    return err;
}

/* ---- node.machine ---- */

/* Nil: no limit. */
static void write_limit(struct fields *limits, const char *key, uint64_t value)
{
    if (value == UINT64_MAX) {
        fields_nil(limits, key);
    } else {
        fields_uint(limits, key, value);
    }
}

enum err control_debug_machine(const struct control_request *request,
                               const struct control_args *args,
                               struct fields *fields,
                               struct err_detail *why)
{
    (void)args;
    (void)why;
    const struct control_config *config = &request->control->config;
    struct wal_stats log = host_log_stats(config->host);
    struct posix_machine machine;
    posix_machine_look(&machine);
    fields_text(fields, "system", machine.system);
    fields_text(fields, "kernel", machine.release);
    fields_text(fields, "machine", machine.machine);
    fields_uint(fields, "cores", machine.cores);
    fields_uint(fields, "memory_bytes", machine.memory_bytes);
    fields_uint(fields, "process", machine.process_id);
    fields_uint(fields, "resident_bytes", machine.resident_bytes);
    fields_uint(fields, "descriptors", machine.descriptor_count);
    fields_uint(fields, "disk_free_bytes", log.free_bytes);
    fields_uint(fields, "log_bytes", log.bytes);
    fields_int(fields, "at_ms", clock_wall_ms(config->clock));
    struct fields limits = fields_map(fields, "limits");
    write_limit(&limits, "descriptors", machine.descriptor_max);
    write_limit(&limits, "locked_bytes", machine.locked_bytes_max);
    write_limit(&limits, "core_bytes", machine.core_bytes_max);
    write_limit(&limits, "processes", machine.process_count_max);
    write_limit(&limits, "memory_bytes", machine.memory_bytes_max);
    fields_end(&limits);
    return ERR_NONE;
}
