/*
 * Whether the node serves and what it waits for, told by the reactor to the
 * gateway's thread, which may not wait for it.
 *
 * Plain data; one thread says, any thread hears.
 */

#ifndef NODE_READINESS_H
#define NODE_READINESS_H

#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define READINESS_WORD_COUNT (sizeof(struct err_detail) / sizeof(uint64_t))

struct readiness {
    _Atomic uint32_t turn; /* odd while it is being said */
    _Atomic bool is_ready;
    _Atomic uint64_t words[READINESS_WORD_COUNT];
};

void readiness_say(struct readiness *readiness,
                   bool is_ready,
                   const struct err_detail *why);

/* `why` says what is waited for when it is not ready. */
bool readiness_hear(const struct readiness *readiness, struct err_detail *why);

#endif
