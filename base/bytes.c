#include "base/bytes.h"

bool bytes_are_equal(struct bytes left, struct bytes right)
{
    return left.length == right.length &&
           (left.length == 0 ||
            memcmp(left.data, right.data, left.length) == 0);
}

int bytes_compare(struct bytes left, struct bytes right)
{
    size_t common = left.length < right.length ? left.length : right.length;
    int order = common > 0 ? memcmp(left.data, right.data, common) : 0;
    return order != 0
               ? order
               : (left.length > right.length) - (left.length < right.length);
}

void read_into(struct reader *reader, void *to, size_t length)
{
    struct bytes bytes = read_bytes(reader, length);
    if (bytes.data) {
        memcpy(to, bytes.data, length);
    } else {
        memset(to, 0, length);
    }
}

uint16_t read_u16(struct reader *reader)
{
    uint8_t raw[2];
    read_into(reader, raw, sizeof raw);
    return get_u16(raw);
}

uint32_t read_u32(struct reader *reader)
{
    uint8_t raw[4];
    read_into(reader, raw, sizeof raw);
    return get_u32(raw);
}

uint64_t read_u64(struct reader *reader)
{
    uint8_t raw[8];
    read_into(reader, raw, sizeof raw);
    return get_u64(raw);
}

void write_u8(struct writer *writer, uint8_t value)
{
    write_bytes(writer, &value, 1);
}

void write_u16(struct writer *writer, uint16_t value)
{
    uint8_t raw[2];
    put_u16(raw, value);
    write_bytes(writer, raw, sizeof raw);
}

void write_u32(struct writer *writer, uint32_t value)
{
    uint8_t raw[4];
    put_u32(raw, value);
    write_bytes(writer, raw, sizeof raw);
}

void write_u64(struct writer *writer, uint64_t value)
{
    uint8_t raw[8];
    put_u64(raw, value);
    write_bytes(writer, raw, sizeof raw);
}

void hex_encode(char *text, struct bytes bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.length; i++) {
        text[2 * i] = digits[bytes.data[i] >> 4];
        text[2 * i + 1] = digits[bytes.data[i] & 15];
    }
    text[2 * bytes.length] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

bool hex_decode(uint8_t *to, size_t length, const char *text)
{
    if (strlen(text) != 2 * length) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        int high = hex_digit(text[2 * i]);
        int low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        to[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
