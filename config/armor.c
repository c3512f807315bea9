#include "config/armor.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>

#define LINE_CHARACTERS 64
#define LABEL_LINE_BYTES 80
#define BASE64_BYTES_MAX                               \
    sodium_base64_ENCODED_LEN(ARMOR_CONTENT_BYTES_MAX, \
                              sodium_base64_VARIANT_ORIGINAL)

void armor_write(struct writer *out, const char *label, struct bytes content)
{
    char base64[BASE64_BYTES_MAX];
    assert(content.length <= ARMOR_CONTENT_BYTES_MAX);
    (void)sodium_bin2base64(base64, sizeof base64, content.data, content.length,
                            sodium_base64_VARIANT_ORIGINAL);
    char edge[LABEL_LINE_BYTES];
    int length = snprintf(edge, sizeof edge, "-----BEGIN %s-----\n", label);
    assert(length > 0 && (size_t)length < sizeof edge);
    write_bytes(out, edge, (size_t)length);
    size_t left = strlen(base64);
    for (const char *next = base64; left > 0;) {
        size_t part = left < LINE_CHARACTERS ? left : LINE_CHARACTERS;
        write_bytes(out, next, part);
        write_u8(out, '\n');
        next += part;
        left -= part;
    }
    length = snprintf(edge, sizeof edge, "-----END %s-----\n", label);
    write_bytes(out, edge, (size_t)length);
    sodium_memzero(base64, sizeof base64);
}

struct armor armor_of(struct bytes text)
{
    return (struct armor){.rest = text, .line = 1};
}

/* Take the next line, without its end. */
static struct bytes next_line(struct armor *armor)
{
    struct bytes line = armor->rest;
    const uint8_t *end =
        line.length ? memchr(line.data, '\n', line.length) : NULL;
    size_t taken = line.length;
    if (end) {
        line.length = (size_t)(end - line.data);
        taken = line.length + 1;
    }
    if (taken > 0) {
        armor->rest =
            bytes_of(armor->rest.data + taken, armor->rest.length - taken);
    }
    armor->line++;
    if (line.length > 0 && line.data[line.length - 1] == '\r') {
        line.length--;
    }
    return line;
}

static bool is_blank(struct bytes line)
{
    for (size_t i = 0; i < line.length; i++) {
        if (line.data[i] != ' ' && line.data[i] != '\t') {
            return false;
        }
    }
    return true;
}

bool armor_is_at_end(struct armor *armor)
{
    while (armor->rest.length > 0) {
        struct armor ahead = *armor;
        if (!is_blank(next_line(&ahead))) {
            return false;
        }
        *armor = ahead;
    }
    return true;
}

static enum err expect_edge(struct bytes line,
                            uint32_t number,
                            const char *wanted,
                            struct err_detail *why)
{
    if (!bytes_are_equal(line, bytes_of_text(wanted))) {
        err_explain(why, "line %u: `%s` is expected here", number, wanted);
        return ERR_MALFORMED;
    }
    return ERR_NONE;
}

enum err armor_read(struct armor *armor,
                    const char *label,
                    struct writer *to,
                    struct err_detail *why)
{
    char begin[LABEL_LINE_BYTES];
    char end[LABEL_LINE_BYTES];
    (void)snprintf(begin, sizeof begin, "-----BEGIN %s-----", label);
    (void)snprintf(end, sizeof end, "-----END %s-----", label);
    (void)armor_is_at_end(armor); /* passes over blank lines */
    uint32_t number = armor->line;
    enum err err = expect_edge(next_line(armor), number, begin, why);
    if (err) {
        return err;
    }
    struct bytes body = bytes_of(armor->rest.data, 0);
    struct bytes line = next_line(armor);
    while (line.length > 0 && line.data[0] != '-') {
        body.length = (size_t)(line.data + line.length - body.data);
        line = next_line(armor);
    }
    err = expect_edge(line, armor->line - 1, end, why);
    if (err) {
        return err;
    }
    size_t length = 0;
    size_t room = to->failed ? 0 : (size_t)(to->end - to->next);
    if (sodium_base642bin(to->next, room, (const char *)body.data, body.length,
                          "\r\n", &length, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0) {
        err_explain(why,
                    "lines %u to %u: damaged, or not base64 of at most %zu "
                    "bytes",
                    number + 1, armor->line - 1, room);
        return ERR_MALFORMED;
    }
    to->next += length;
    return ERR_NONE;
}
