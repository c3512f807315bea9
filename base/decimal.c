#include "base/decimal.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void decimal_text(char text[static DECIMAL_TEXT_BYTES], double real)
{
    assert(isfinite(real));
    char digits[DECIMAL_TEXT_BYTES];
    (void)snprintf(digits, sizeof digits, "%.15g", real);
    if (strtod(digits, NULL) != real) {
        (void)snprintf(digits, sizeof digits, "%.17g", real);
    }
    /* What is none of these is the decimal point of some locale. */
    char *odd = digits + strspn(digits, "-0123456789.e+");
    if (*odd) {
        const char *rest = odd + strcspn(odd, "0123456789");
        *odd = '.';
        memmove(odd + 1, rest, strlen(rest) + 1);
    }
    memcpy(text, digits, strlen(digits) + 1);
}
