/*
 * UTF-8, as RFC 3629 has it.
 */

#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The length in bytes of the character that `text` (terminated) begins with,
 * and its code; 0, with `*code` as it was, when it is none: overlong forms,
 * surrogates and what is above U+10FFFF are none.
 */
size_t utf8_decode(const char *text, uint32_t *code);

bool utf8_is_valid(const char *text);

/* C0 and C1 control characters, and delete: what steers terminals. */
bool utf8_is_control(uint32_t code);

/* Valid, and without control characters. */
bool utf8_is_printable(const char *text);

#endif
