/*
 * Any text as a cron line: what is taken is due some time, on whole minutes,
 * ever later.
 */

#include <stdlib.h>
#include <string.h>

#include "base/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    char text[2 * CRON_TEXT_BYTES] = {0};
    struct err_detail why = {{0}};
    struct cron cron;
    memcpy(text, data, length < sizeof text ? length : sizeof text - 1);
    if (cron_parse(&cron, text, &why)) {
        MUST(why.text[0] != '\0');
        return 0;
    }
    int64_t at_s = -1;
    for (int i = 0; i < 16 && at_s < CRON_NEVER; i++) {
        int64_t next_s = cron_next(&cron, at_s);
        MUST(next_s > at_s);
        MUST(i > 0 || next_s < CRON_NEVER);
        MUST(next_s == CRON_NEVER || next_s % 60 == 0);
        MUST(cron_next(&cron, next_s - 1) == next_s);
        at_s = next_s;
    }
    return 0;
}
