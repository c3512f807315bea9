#include "config/lines.h"

#include <stdarg.h>
#include <stdio.h>

void lines_init(struct lines *lines, struct bytes text)
{
    *lines = (struct lines){.rest = text};
}

/* Cut `buffer` into words. False when a word is empty or there are too many. */
static bool split(struct lines *lines)
{
    char *next = lines->buffer;
    lines->word_count = 0;
    while (next) {
        if (lines->word_count == LINES_WORD_COUNT_MAX) {
            return false;
        }
        char *word = next;
        next = strchr(word, ' ');
        if (next) {
            *next = '\0';
            next++;
        }
        if (word[0] == '\0') {
            return false;
        }
        lines->words[lines->word_count] = word;
        lines->word_count++;
    }
    return true;
}

static bool is_printable(struct bytes line)
{
    for (size_t i = 0; i < line.length; i++) {
        if (line.data[i] < ' ' || line.data[i] > '~') {
            return false;
        }
    }
    return true;
}

bool lines_next(struct lines *lines)
{
    lines->word_count = 0;
    if (lines->failed || lines->rest.length == 0) {
        return false;
    }
    lines->number++;
    lines->start = lines->end;
    const uint8_t *end = memchr(lines->rest.data, '\n', lines->rest.length);
    size_t length = end ? (size_t)(end - lines->rest.data) : 0;
    struct bytes line = bytes_of(lines->rest.data, length);
    if (!end || length >= sizeof lines->buffer || !is_printable(line)) {
        lines->failed = true;
        return false;
    }
    memcpy(lines->buffer, line.data, length);
    lines->buffer[length] = '\0';
    lines->rest = bytes_of(lines->rest.data + length + 1,
                           lines->rest.length - length - 1);
    lines->end += length + 1;
    lines->failed = !split(lines);
    return !lines->failed;
}

bool lines_is(const struct lines *lines, const char *first, uint32_t word_count)
{
    return lines->word_count == word_count &&
           strcmp(lines->words[0], first) == 0;
}

bool lines_u64(uint64_t *out, const char *text)
{
    uint64_t value = 0;
    if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0')) {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') {
            return false;
        }
        uint64_t digit = (uint64_t)(*text - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

bool lines_i64(int64_t *out, const char *text)
{
    uint64_t value = 0;
    if (!lines_u64(&value, text) || value > INT64_MAX) {
        return false;
    }
    *out = (int64_t)value;
    return true;
}

bool lines_hex(uint8_t *to, size_t length, const char *text)
{
    return strpbrk(text, "ABCDEF") == NULL && hex_decode(to, length, text);
}

void lines_write(struct writer *writer, const char *format, ...)
{
    char text[LINES_LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof text) {
        writer->failed = true;
        return;
    }
    write_bytes(writer, text, (size_t)length);
}
