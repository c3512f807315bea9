/*
 * A line is built in a buffer of fixed size, so that logging allocates
 * nothing. Room for what closes a line is kept free behind `limit`: a line
 * that is cut is still a whole one, and valid JSON.
 */

#include "base/log.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/decimal.h"
#include "base/utf8.h"

#define LINE_BYTES_MAX 4096 /* what a pipe takes in one piece, too */
#define CLOSING_BYTES_MAX 16
#define NODE_BYTES_MAX 128
#define ESCAPED_BYTES_MAX 16
#define WALL_MS_MAX INT64_C(253402300799999) /* RFC 3339 ends with 9999 */

struct log {
    /* Set once by log_open(). */
    char node[NODE_BYTES_MAX + 1];
    enum log_format format;
    struct log_sink sink;
    const struct clock *clock;

    /* Any thread, atomically. */
    _Atomic int level_min;
};

struct line {
    enum log_format format;
    bool is_cut; /* something was left out: nothing may follow */
    size_t length;
    size_t limit;
    char text[LINE_BYTES_MAX];
};

static const char *const level_words[] = {
    [LOG_DEBUG] = "debug",
    [LOG_INFO] = "info",
    [LOG_WARN] = "warn",
    [LOG_ERROR] = "error",
};

static const char *const level_columns[] = {
    [LOG_DEBUG] = "DEBUG",
    [LOG_INFO] = "INFO ",
    [LOG_WARN] = "WARN ",
    [LOG_ERROR] = "ERROR",
};

/* All of `text` or nothing: then the line is cut here. */
static bool append(struct line *line, const char *text)
{
    size_t length = strlen(text);
    if (line->is_cut || line->limit - line->length < length) {
        line->is_cut = true;
        return false;
    }
    memcpy(line->text + line->length, text, length);
    line->length += length;
    return true;
}

/*
 * What a terminal or a viewer would obey or not show: controls of ASCII and
 * Latin 1, line separators, marks that turn the direction of writing, and the
 * byte order mark.
 */
static bool is_deceptive(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) ||
           (code >= 0x200e && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

static const char *short_escape(uint32_t code)
{
    switch (code) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        return NULL;
    }
}

/* The first character of `text`, harmless; returns how many bytes it had. */
static size_t escape(char escaped[static ESCAPED_BYTES_MAX],
                     const char *text,
                     enum log_format format)
{
    uint32_t code = 0;
    size_t length = utf8_decode(text, &code);
    if (length == 0) {
        /* JSON has no bytes, only characters: there it is U+FFFD. */
        (void)snprintf(escaped, ESCAPED_BYTES_MAX,
                       format == LOG_FORMAT_JSON ? "\\ufffd" : "\\x%02x",
                       (unsigned)(unsigned char)text[0]);
        return 1;
    }
    const char *known = short_escape(code);
    if (known) {
        (void)snprintf(escaped, ESCAPED_BYTES_MAX, "%s", known);
    } else if (is_deceptive(code)) {
        (void)snprintf(escaped, ESCAPED_BYTES_MAX, "\\u%04" PRIx32, code);
    } else {
        (void)snprintf(escaped, ESCAPED_BYTES_MAX, "%.*s", (int)length, text);
    }
    return length;
}

static bool append_escaped(struct line *line, const char *text)
{
    while (*text) {
        char escaped[ESCAPED_BYTES_MAX];
        text += escape(escaped, text, line->format);
        if (!append(line, escaped)) {
            return false;
        }
    }
    return true;
}

/* False when not even the quotes fit; else as much as fits is there. */
static bool append_quoted(struct line *line, const char *text)
{
    if (line->limit - line->length < 2) {
        line->is_cut = true;
    }
    if (line->is_cut) {
        return false;
    }
    line->limit--; /* for the closing quote */
    (void)append(line, "\"");
    (void)append_escaped(line, text);
    line->limit++;
    line->text[line->length++] = '"';
    return true;
}

static bool needs_quotes(const char *text)
{
    if (!*text) {
        return true;
    }
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c <= ' ' || c >= 0x7f || strchr("\"\\=", c)) {
            return true;
        }
    }
    return false;
}

static bool append_string(struct line *line, const char *text)
{
    if (!text) {
        return append(line, "null");
    }
    if (line->format == LOG_FORMAT_JSON || needs_quotes(text)) {
        return append_quoted(line, text);
    }
    /* A part of a plain word is worth keeping as well. */
    (void)append_escaped(line, text);
    return true;
}

static bool append_name(struct line *line, const char *name)
{
    if (line->format == LOG_FORMAT_JSON) {
        return append(line, ",\"") && append_escaped(line, name) &&
               append(line, "\":");
    }
    return append(line, " ") && append_escaped(line, name) && append(line, "=");
}

static void append_text_field(struct line *line,
                              const char *name,
                              const char *text)
{
    size_t start = line->length;
    if (!append_name(line, name) || !append_string(line, text)) {
        line->length = start;
    }
}

/* `text` is a number or word of JSON. */
static void append_bare_field(struct line *line,
                              const char *name,
                              const char *text)
{
    size_t start = line->length;
    if (!append_name(line, name) || !append(line, text)) {
        line->length = start;
    }
}

static void append_real(struct line *line, const char *name, double real)
{
    if (!isfinite(real)) {
        const char *word = isnan(real) ? "nan" : real < 0 ? "-inf" : "inf";
        /* JSON has no such numbers. */
        append_bare_field(line, name,
                          line->format == LOG_FORMAT_JSON ? "null" : word);
        return;
    }
    char digits[DECIMAL_TEXT_BYTES];
    decimal_text(digits, real);
    append_bare_field(line, name, digits);
}

static void append_trace(struct line *line, const struct trace_id *trace)
{
    static const struct trace_id none = {0};
    char text[2 * sizeof trace->trace + 1];
    if (!trace || memcmp(trace, &none, sizeof none) == 0) {
        return;
    }
    hex_encode(text, bytes_of(trace->trace, sizeof trace->trace));
    append_text_field(line, "trace_id", text);
    hex_encode(text, bytes_of(trace->span, sizeof trace->span));
    append_text_field(line, "span_id", text);
}

static void append_field(struct line *line, const struct log_field *field)
{
    char digits[32];
    switch (field->kind) {
    case LOG_FIELD_END:
        return;
    case LOG_FIELD_TEXT:
        append_text_field(line, field->name, field->value.text);
        return;
    case LOG_FIELD_NUMBER:
        (void)snprintf(digits, sizeof digits, "%" PRId64, field->value.number);
        append_bare_field(line, field->name, digits);
        return;
    case LOG_FIELD_UNSIGNED:
        (void)snprintf(digits, sizeof digits, "%" PRIu64,
                       field->value.unsigned_number);
        append_bare_field(line, field->name, digits);
        return;
    case LOG_FIELD_REAL:
        append_real(line, field->name, field->value.real);
        return;
    case LOG_FIELD_ERR:
        append_text_field(line, field->name, err_name(field->value.err));
        append_text_field(line, "err_text", err_text(field->value.err));
        return;
    case LOG_FIELD_TRACE:
        append_trace(line, field->value.trace);
        return;
    }
}

/* RFC 3339, UTC, milliseconds. */
static void time_text(char text[static 32], int64_t wall_ms)
{
    int64_t ms = wall_ms < 0             ? 0
                 : wall_ms > WALL_MS_MAX ? WALL_MS_MAX
                                         : wall_ms;
    time_t seconds = (time_t)(ms / 1000);
    struct tm date = {0};
    (void)gmtime_r(&seconds, &date);
    size_t length = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &date);
    (void)snprintf(text + length, 32 - length, ".%03dZ", (int)(ms % 1000));
}

static void append_head(struct line *line,
                        const struct log *log,
                        enum log_level level,
                        const char *event)
{
    char time[32];
    time_text(time, clock_wall_ms(log->clock));
    if (line->format == LOG_FORMAT_TEXT) {
        (void)(append(line, time) && append(line, " ") &&
               append(line, level_columns[level]) && append(line, " "));
        (void)append_escaped(line, event);
        return;
    }
    (void)(append(line, "{\"time\":\"") && append(line, time) &&
           append(line, "\""));
    append_text_field(line, "level", level_words[level]);
    append_text_field(line, "node", log->node);
    append_text_field(line, "event", event);
}

static void append_tail(struct line *line)
{
    bool is_cut = line->is_cut;
    line->is_cut = false;
    line->limit = sizeof line->text;
    if (line->format == LOG_FORMAT_JSON) {
        (void)append(line, is_cut ? ",\"cut\":true}\n" : "}\n");
    } else {
        (void)append(line, is_cut ? " cut=true\n" : "\n");
    }
    assert(!line->is_cut);
}

enum err log_open(struct log **out, const struct log_config *config)
{
    assert(config->clock);
    assert(config->sink.write);
    struct log *log = calloc(1, sizeof *log);
    if (!log) {
        return ERR_MEMORY;
    }
    log->format = config->format;
    log->sink = config->sink;
    log->clock = config->clock;
    (void)snprintf(log->node, sizeof log->node, "%s",
                   config->node ? config->node : "");
    atomic_init(&log->level_min, (int)config->level_min);
    *out = log;
    return ERR_NONE;
}

void log_close(struct log **log)
{
    free(*log);
    *log = NULL;
}

void log_set_level(struct log *log, enum log_level level_min)
{
    if (log) {
        /* Relaxed, as its load is: no other data depends on it. */
        atomic_store_explicit(&log->level_min, (int)level_min,
                              memory_order_relaxed);
    }
}

bool log_is_on(const struct log *log, enum log_level level)
{
    /* Relaxed: see log_set_level(). */
    return log && (int)level >= atomic_load_explicit(&log->level_min,
                                                     memory_order_relaxed);
}

void log_write(struct log *log,
               enum log_level level,
               const char *event,
               const struct log_field *fields)
{
    assert(level <= LOG_ERROR);
    if (!log_is_on(log, level)) {
        return;
    }
    struct line line;
    line.format = log->format;
    line.is_cut = false;
    line.length = 0;
    line.limit = sizeof line.text - CLOSING_BYTES_MAX;
    append_head(&line, log, level, event);
    for (; fields->kind != LOG_FIELD_END; fields++) {
        append_field(&line, fields);
    }
    append_tail(&line);
    log->sink.write(log->sink.context, line.text, line.length);
}
