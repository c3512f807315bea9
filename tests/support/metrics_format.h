/*
 * Whether a text is Prometheus' text format 0.0.4 ("Exposition formats",
 * section "Text-based format"), strictly: what `promtool check metrics` would
 * refuse, and what we promise beyond: HELP and TYPE of every name, once, before
 * its samples, which stand together, and no series twice.
 */

#ifndef TESTS_SUPPORT_METRICS_FORMAT_H
#define TESTS_SUPPORT_METRICS_FORMAT_H

#include "base/utf8.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METRICS_FORMAT_SERIES_MAX 8192

struct metrics_format {
    char help[160]; /* the name that HELP was said of */
    char name[160]; /* and TYPE */
    char type[16];
    double buckets; /* the last of a histogram's, which rise */
    char *seen[METRICS_FORMAT_SERIES_MAX]; /* names, and series */
    size_t seen_count;
};

/* False: it was there already, or there are too many. */
static inline bool metrics_format_note(struct metrics_format *format,
                                       const char *start,
                                       size_t length)
{
    for (size_t i = 0; i < format->seen_count; i++) {
        if (strlen(format->seen[i]) == length &&
            strncmp(format->seen[i], start, length) == 0) {
            return false;
        }
    }
    if (format->seen_count == METRICS_FORMAT_SERIES_MAX) {
        return false;
    }
    format->seen[format->seen_count++] = strndup(start, length);
    return true;
}

static inline size_t metrics_format_name(const char *at, bool is_label)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    static const char rest[] = "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789:";
    size_t length = strspn(at, rest);
    bool is_well = length > 0 && (strchr(first, *at) || *at == ':') &&
                   !(is_label && memchr(at, ':', length));
    return is_well ? length : 0;
}

/* {name="value",...}: behind it; NULL: it is none. */
static inline const char *metrics_format_labels(const char *at)
{
    for (at++; *at != '}'; at += *at == ',') {
        size_t length = metrics_format_name(at, true);
        if (length == 0 || strncmp(at + length, "=\"", 2) != 0) {
            return NULL;
        }
        for (at += length + 2; *at != '"'; at++) {
            if (*at == '\0' || (*at == '\\' && !strchr("\\\"n", *++at))) {
                return NULL;
            }
        }
        at++;
        if (*at != ',' && *at != '}') {
            return NULL;
        }
    }
    return at + 1;
}

/* "# HELP name text" or "# TYPE name type" */
static inline const char *metrics_format_about(struct metrics_format *format,
                                               const char *line)
{
    const char *name = line + strlen("# HELP ");
    size_t length = metrics_format_name(name, false);
    if (length == 0 || length >= sizeof format->name || name[length] != ' ') {
        return "no name, or nothing behind it";
    }
    const char *text = name + length + 1;
    if (strncmp(line, "# HELP ", 7) == 0) {
        (void)snprintf(format->help, sizeof format->help, "%.*s", (int)length,
                       name);
        for (; *text; text++) {
            if (*text == '\\' && !strchr("\\n", *++text)) {
                return "HELP with an escape that there is not";
            }
        }
        return metrics_format_note(format, line, 7 + length)
                   ? NULL
                   : "HELP of one name twice";
    }
    (void)snprintf(format->name, sizeof format->name, "%.*s", (int)length,
                   name);
    (void)snprintf(format->type, sizeof format->type, "%s", text);
    format->buckets = 0;
    if (strcmp(format->help, format->name) != 0) {
        return "TYPE without HELP before it";
    }
    bool is_counter = strcmp(text, "counter") == 0;
    if (!is_counter && strcmp(text, "gauge") != 0 &&
        strcmp(text, "histogram") != 0) {
        return "a type that we do not have";
    }
    if (is_counter &&
        (length < 7 || strncmp(name + length - 6, "_total", 6) != 0)) {
        return "a counter whose name does not end with _total";
    }
    return metrics_format_note(format, line, 7 + length)
               ? NULL
               : "TYPE of one name twice";
}

/* name{labels} value, of the family that TYPE has begun. */
static inline const char *metrics_format_sample(struct metrics_format *format,
                                                const char *line)
{
    size_t length = metrics_format_name(line, false);
    size_t family = strlen(format->name);
    const char *labels = line + length;
    const char *end = *labels == '{' ? metrics_format_labels(labels) : labels;
    char *behind = NULL;
    if (length == 0 || !end || *end != ' ') {
        return "no sample";
    }
    double value = strtod(end + 1, &behind);
    if (behind == end + 1 || *behind != '\0' || end[1] == ' ') {
        return "no value";
    }
    const char *tail = line + family;
    bool is_histogram = strcmp(format->type, "histogram") == 0;
    bool is_ours = family > 0 && length >= family &&
                   strncmp(line, format->name, family) == 0;
    bool is_bucket =
        is_histogram && is_ours && strncmp(tail, "_bucket{", 8) == 0;
    bool is_part =
        is_bucket ||
        (is_histogram && is_ours &&
         (strncmp(tail, "_sum", 4) == 0 || strncmp(tail, "_count", 6) == 0));
    if (!is_ours || (is_histogram ? !is_part : length != family)) {
        return "a sample without its TYPE just before";
    }
    if (is_bucket) {
        const char *bound = strstr(line, "le=\"");
        if (!bound || value < format->buckets) {
            return "a bucket without bound, or less than the one before";
        }
        format->buckets = strncmp(bound, "le=\"+Inf\"", 9) == 0 ? 0 : value;
    }
    return metrics_format_note(format, line, (size_t)(end - line))
               ? NULL
               : "a series twice";
}

/* What is wrong, and the line is in `line`; NULL: nothing. */
static inline const char *metrics_format_check(const char *text,
                                               char line[static 1024])
{
    struct metrics_format *format = calloc(1, sizeof *format);
    const char *wrong = !format                ? "no memory"
                        : !utf8_is_valid(text) ? "no UTF-8"
                        : *text && text[strlen(text) - 1] != '\n'
                            ? "no line end at the end"
                            : NULL;
    line[0] = '\0';
    while (!wrong && *text) {
        size_t length = strcspn(text, "\n");
        (void)snprintf(line, 1024, "%.*s", (int)length, text);
        text += length + 1;
        bool is_about = strncmp(line, "# HELP ", 7) == 0 ||
                        strncmp(line, "# TYPE ", 7) == 0;
        wrong = length >= 1024   ? "a line too long for this check"
                : is_about       ? metrics_format_about(format, line)
                : line[0] == '#' ? "a comment that is neither"
                                 : metrics_format_sample(format, line);
    }
    for (size_t i = 0; format && i < format->seen_count; i++) {
        free(format->seen[i]);
    }
    free(format);
    return wrong;
}

#endif
