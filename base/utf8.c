#include "base/utf8.h"

size_t utf8_decode(const char *text, uint32_t *code)
{
    const unsigned char *at = (const unsigned char *)text;
    if (at[0] < 0x80) {
        *code = at[0];
        return 1;
    }
    size_t length = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4) {
        return 0;
    }
    uint32_t value = at[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0; /* the terminating zero too */
        }
        value = value << 6 | (at[i] & 0x3fu);
    }
    if ((length == 3 && value < 0x800) || (length == 4 && value < 0x10000) ||
        (value >= 0xd800 && value <= 0xdfff) || value > 0x10ffff) {
        return 0;
    }
    *code = value;
    return length;
}

bool utf8_is_valid(const char *text)
{
    uint32_t code = 0;
    while (*text) {
        size_t length = utf8_decode(text, &code);
        if (length == 0) {
            return false;
        }
        text += length;
    }
    return true;
}

bool utf8_is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

bool utf8_is_printable(const char *text)
{
    uint32_t code = 0;
    while (*text) {
        size_t length = utf8_decode(text, &code);
        if (length == 0 || utf8_is_control(code)) {
            return false;
        }
        text += length;
    }
    return true;
}
