#include "admin/ustar.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Where a header has what; all numbers are octal text. */
#define MODE_AT 100
#define OWNER_AT 108
#define GROUP_AT 116
#define SIZE_AT 124
#define TIME_AT 136
#define SUM_AT 148
#define KIND_AT 156
#define MAGIC_AT 257
#define PREFIX_AT 345
#define SIZE_DIGITS 11
#define SUM_DIGITS 6

static size_t padding_of(size_t length)
{
    return (USTAR_BLOCK_BYTES - length % USTAR_BLOCK_BYTES) % USTAR_BLOCK_BYTES;
}

size_t ustar_bytes(size_t content_length)
{
    return USTAR_BLOCK_BYTES + content_length + padding_of(content_length);
}

/* Of all bytes, those of the sum itself taken as blanks. */
static uint32_t sum_of(const uint8_t header[static USTAR_BLOCK_BYTES])
{
    uint32_t sum = 0;
    for (size_t i = 0; i < USTAR_BLOCK_BYTES; i++) {
        sum += i >= SUM_AT && i < SUM_AT + 8 ? ' ' : header[i];
    }
    return sum;
}

/* ---- writing ---- */

static void put_octal(uint8_t *to, int digits, uint64_t value)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%0*" PRIo64, digits, value);
    memcpy(to, text, (size_t)digits);
}

void ustar_write(struct writer *writer, const struct ustar_entry *entry)
{
    static const uint8_t zeros[USTAR_BLOCK_BYTES];
    uint8_t header[USTAR_BLOCK_BYTES] = {0};
    assert(entry->content.length <= USTAR_SIZE_MAX);
    memcpy(header, entry->name, strnlen(entry->name, USTAR_NAME_BYTES));
    put_octal(header + MODE_AT, 7, 0600);
    put_octal(header + OWNER_AT, 7, 0);
    put_octal(header + GROUP_AT, 7, 0);
    put_octal(header + SIZE_AT, SIZE_DIGITS, entry->content.length);
    put_octal(header + TIME_AT, SIZE_DIGITS,
              entry->at_s > 0 ? (uint64_t)entry->at_s : 0);
    header[KIND_AT] = '0';
    memcpy(header + MAGIC_AT, "ustar\00000", 8);
    put_octal(header + SUM_AT, SUM_DIGITS, sum_of(header));
    header[SUM_AT + SUM_DIGITS + 1] = ' ';
    write_bytes(writer, header, sizeof header);
    write_bytes(writer, entry->content.data, entry->content.length);
    write_bytes(writer, zeros, padding_of(entry->content.length));
}

void ustar_write_end(struct writer *writer)
{
    static const uint8_t zeros[USTAR_END_BYTES];
    write_bytes(writer, zeros, sizeof zeros);
}

/* ---- reading ---- */

/* False: no number. */
static bool get_octal(uint64_t *out, const uint8_t *from, int digits)
{
    *out = 0;
    int i = 0;
    while (i < digits && from[i] == ' ') {
        i++;
    }
    int first = i;
    for (; i < digits && from[i] >= '0' && from[i] <= '7'; i++) {
        *out = *out << 3 | (uint64_t)(from[i] - '0');
    }
    return i > first && (i == digits || from[i] == ' ' || from[i] == '\0');
}

static bool is_zero(struct bytes block)
{
    for (size_t i = 0; i < block.length; i++) {
        if (block.data[i] != 0) {
            return false;
        }
    }
    return true;
}

/* The name in the header, without what other programs put before it. */
static void take_name(struct ustar_entry *out, const uint8_t *header)
{
    const char *name = (const char *)header;
    size_t length = strnlen(name, USTAR_NAME_BYTES);
    if (length >= 2 && strncmp(name, "./", 2) == 0) {
        name += 2;
        length -= 2;
    }
    length = length < USTAR_NAME_BYTES ? length : USTAR_NAME_BYTES - 1;
    memcpy(out->name, name, length);
    out->name[length] = '\0';
}

/* One header and what belongs to it. */
static enum err read_one(struct reader *reader,
                         struct ustar_entry *out,
                         char *kind,
                         struct err_detail *why)
{
    uint64_t sum = 0;
    uint64_t size = 0;
    uint64_t at_s = 0;
    struct bytes header = read_bytes(reader, USTAR_BLOCK_BYTES);
    if (reader->failed || !get_octal(&sum, header.data + SUM_AT, 8) ||
        sum != sum_of(header.data) ||
        memcmp(header.data + MAGIC_AT, "ustar", 5) != 0 ||
        !get_octal(&size, header.data + SIZE_AT, SIZE_DIGITS + 1)) {
        err_explain(why, "no tar file, or one that is damaged");
        return ERR_MALFORMED;
    }
    take_name(out, header.data);
    (void)get_octal(&at_s, header.data + TIME_AT, SIZE_DIGITS + 1);
    out->at_s = (int64_t)at_s;
    out->content = (struct bytes){0};
    *kind = header.data[PREFIX_AT] ? '?' : (char)header.data[KIND_AT];
    if (size > reader_left(reader)) {
        err_explain(why, "%s: the tar file ends in it", out->name);
        return ERR_MALFORMED;
    }
    out->content = read_bytes(reader, (size_t)size);
    size_t padding = padding_of((size_t)size);
    size_t left = reader_left(reader);
    (void)read_bytes(reader, padding < left ? padding : left);
    return ERR_NONE;
}

enum err ustar_read(struct reader *reader,
                    struct ustar_entry *out,
                    bool *has_entry,
                    struct err_detail *why)
{
    *has_entry = false;
    while (reader_left(reader) > 0) {
        char kind = '\0';
        struct reader ahead = *reader;
        struct bytes block = read_bytes(&ahead, USTAR_BLOCK_BYTES);
        if (!ahead.failed && is_zero(block)) {
            return ERR_NONE;
        }
        enum err err = read_one(reader, out, &kind, why);
        if (err) {
            return err;
        }
        if (kind == '0' || kind == '\0') {
            *has_entry = true;
            return ERR_NONE;
        }
    }
    err_explain(why, "the tar file has no end");
    return ERR_MALFORMED;
}
