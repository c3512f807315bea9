/*
 * Structured logging: a dotted event name and typed fields, as text for
 * people or as one JSON object per line for machines.
 *
 *     log_warn(log, "link.down", LOG_TEXT("peer", name),
 *              LOG_NUMBER("kept", count), LOG_TEXT("next", "dial again"));
 *
 * A log may be used by any thread; a line is written whole. NULL is a log
 * that writes nothing.
 */

#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/env.h"
#include "base/err.h"

#include <stdint.h>

enum log_level {
    LOG_DEBUG, /* all else */
    LOG_INFO,  /* a state has changed */
    LOG_WARN,  /* we coped */
    LOG_ERROR, /* a person must act */
};

enum log_format {
    LOG_FORMAT_TEXT,
    LOG_FORMAT_JSON, /* "time" RFC 3339 UTC, "level", "node", "event", fields */
};

/* W3C trace context; all zero: none. */
struct trace_id {
    uint8_t trace[16];
    uint8_t span[8];
};

enum log_field_kind {
    LOG_FIELD_END,
    LOG_FIELD_TEXT,
    LOG_FIELD_NUMBER,   /* int64_t */
    LOG_FIELD_UNSIGNED, /* uint64_t */
    LOG_FIELD_REAL,     /* double */
    LOG_FIELD_ERR,      /* enum err: its name and its text */
    LOG_FIELD_TRACE,    /* struct trace_id: "trace_id" and "span_id" */
};

struct log_field {
    const char *name;
    enum log_field_kind kind;
    union {
        const char *text; /* UTF-8 or any bytes: escaped on output */
        int64_t number;
        uint64_t unsigned_number;
        double real;
        enum err err;
        const struct trace_id *trace;
    } value;
};

#define LOG_TEXT(key, given) \
    ((struct log_field){     \
        .name = (key), .kind = LOG_FIELD_TEXT, .value.text = (given)})
#define LOG_NUMBER(key, given) \
    ((struct log_field){       \
        .name = (key), .kind = LOG_FIELD_NUMBER, .value.number = (given)})
#define LOG_UNSIGNED(key, given)                    \
    ((struct log_field){.name = (key),              \
                        .kind = LOG_FIELD_UNSIGNED, \
                        .value.unsigned_number = (given)})
#define LOG_REAL(key, given) \
    ((struct log_field){     \
        .name = (key), .kind = LOG_FIELD_REAL, .value.real = (given)})
#define LOG_ERR(given)   \
    ((struct log_field){ \
        .name = "err", .kind = LOG_FIELD_ERR, .value.err = (given)})
#define LOG_TRACE(given) \
    ((struct log_field){ \
        .name = "trace", .kind = LOG_FIELD_TRACE, .value.trace = (given)})

/* Where lines go: one call per line, newline included. */
struct log_sink {
    void *context;
    void (*write)(void *context, const char *line, size_t length);
};

struct log_config {
    const char *node; /* copied; "" when there is none */
    enum log_level level_min;
    enum log_format format;
    struct log_sink sink;
    const struct clock *clock; /* must outlive the log */
};

struct log;

/* ERR_MEMORY */
FALLIBLE log_open(struct log **out, const struct log_config *config);
void log_close(struct log **log);

/* May be called while others write. */
void log_set_level(struct log *log, enum log_level level_min);

/* Fields end with one of kind LOG_FIELD_END. A line longer than 4 KiB is cut
 * and marked so. Use the macros below. */
void log_write(struct log *log,
               enum log_level level,
               const char *event,
               const struct log_field *fields);

/* Whether a line of this level would be written. */
bool log_is_on(const struct log *log, enum log_level level);

/* At least one field must be given. */
#define LOG_AT(log, level, event, ...)                             \
    (log_is_on(log, level)                                         \
         ? log_write(log, level, event,                            \
                     (const struct log_field[]){__VA_ARGS__, {0}}) \
         : (void)0)
#define log_debug(log, event, ...) LOG_AT(log, LOG_DEBUG, event, __VA_ARGS__)
#define log_info(log, event, ...) LOG_AT(log, LOG_INFO, event, __VA_ARGS__)
#define log_warn(log, event, ...) LOG_AT(log, LOG_WARN, event, __VA_ARGS__)
#define log_error(log, event, ...) LOG_AT(log, LOG_ERROR, event, __VA_ARGS__)

#endif
