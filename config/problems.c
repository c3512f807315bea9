#include "config/problems.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUOTED_BYTES_MAX 60

void problems_init(struct problems *problems, const char *file)
{
    *problems = (struct problems){.count = 0};
    size_t length = strlen(file);
    bool is_long = length >= sizeof problems->file;
    if (is_long) {
        file += length - (sizeof problems->file - 4);
    }
    problem_say(problems->file, sizeof problems->file, "%s%s",
                is_long ? "..." : "", file);
}

void problems_close(struct problems **problems)
{
    free(*problems);
    *problems = NULL;
}

struct problem *problems_add(struct problems *problems,
                             struct problem_place place,
                             const char *key)
{
    struct problem *problem = NULL;
    if (problems->count < PROBLEMS_COUNT_MAX) {
        problem = &problems->items[problems->count++];
    } else {
        problems->more_count++;
        problem = &problems->spare;
    }
    *problem = (struct problem){.place = place};
    problem_say(problem->key, sizeof problem->key, "%s", key);
    return problem;
}

static bool is_before(const struct problem *left, const struct problem *right)
{
    if (left->place.line != right->place.line) {
        return left->place.line < right->place.line;
    }
    return left->place.column < right->place.column;
}

void problems_sort(struct problems *problems)
{
    /* By insertion: short, nearly sorted, and equal places must stay. */
    for (uint32_t i = 1; i < problems->count; i++) {
        struct problem problem = problems->items[i];
        uint32_t to = i;
        for (; to > 0 && is_before(&problem, &problems->items[to - 1]); to--) {
            problems->items[to] = problems->items[to - 1];
        }
        problems->items[to] = problem;
    }
}

void problem_say(char *to, size_t capacity, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(to, capacity, format, arguments);
    va_end(arguments);
}

void problem_text(char out[static PROBLEM_TEXT_BYTES],
                  const struct problems *problems,
                  const struct problem *problem)
{
    char place[32] = "";
    if (problem->place.line) {
        problem_say(place, sizeof place, ":%u:%u", problem->place.line,
                    problem->place.column);
    }
    problem_say(out, PROBLEM_TEXT_BYTES, "%s%s: %s%sfound %s; allowed: %s",
                problems->file, place, problem->key, *problem->key ? ": " : "",
                problem->found, problem->allowed);
}

/* How long the UTF-8 character at the front is; 0: broken. */
static size_t character_bytes(struct bytes text)
{
    uint8_t first = text.data[0];
    size_t length = first < 0x80             ? 1
                    : (first & 0xe0) == 0xc0 ? 2
                    : (first & 0xf0) == 0xe0 ? 3
                    : (first & 0xf8) == 0xf0 ? 4
                                             : 0;
    if (length == 0 || length > text.length) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((text.data[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length;
}

/* C1 control characters steer terminals, too. */
static bool is_printable(const uint8_t *character, size_t length)
{
    if (length == 1) {
        return character[0] >= 0x20 && character[0] != 0x7f;
    }
    return !(length == 2 && character[0] == 0xc2 && character[1] < 0xa0);
}

void problem_quote(char out[static PROBLEM_QUOTE_BYTES], struct bytes text)
{
    struct writer writer = writer_of(out, PROBLEM_QUOTE_BYTES - 1);
    write_u8(&writer, '"');
    size_t at = 0;
    while (at < text.length && at < QUOTED_BYTES_MAX) {
        struct bytes rest = bytes_of(text.data + at, text.length - at);
        size_t length = character_bytes(rest);
        if (length && is_printable(rest.data, length)) {
            write_bytes(&writer, rest.data, length);
        } else {
            length = 1;
            char escaped[8];
            problem_say(escaped, sizeof escaped, "\\x%02x", rest.data[0]);
            write_bytes(&writer, escaped, strlen(escaped));
        }
        at += length;
    }
    write_bytes(&writer, "\"...", at < text.length ? 4 : 1);
    assert(!writer.failed); /* 4 bytes for each of them, and the quotes */
    *writer.next = '\0';
}
