#include "node/readiness.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

/*
 * A sequence lock: who hears looks again when something was said meanwhile.
 * All is sequentially consistent; it is said four times a second.
 */

#define ATTEMPTS_MAX 1000

static_assert(sizeof(struct err_detail) % sizeof(uint64_t) == 0,
              "a text is whole words");

void readiness_say(struct readiness *readiness,
                   bool is_ready,
                   const struct err_detail *why)
{
    uint64_t words[READINESS_WORD_COUNT];
    memcpy(words, why, sizeof words);
    atomic_fetch_add(&readiness->turn, 1);
    atomic_store(&readiness->is_ready, is_ready);
    for (size_t i = 0; i < READINESS_WORD_COUNT; i++) {
        atomic_store(&readiness->words[i], words[i]);
    }
    atomic_fetch_add(&readiness->turn, 1);
}

bool readiness_hear(const struct readiness *readiness, struct err_detail *why)
{
    for (uint32_t attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        uint64_t words[READINESS_WORD_COUNT];
        uint32_t turn = atomic_load(&readiness->turn);
        bool is_ready = atomic_load(&readiness->is_ready);
        for (size_t i = 0; i < READINESS_WORD_COUNT; i++) {
            words[i] = atomic_load(&readiness->words[i]);
        }
        if (turn % 2 == 0 && turn == atomic_load(&readiness->turn)) {
            memcpy(why, words, sizeof words);
            return is_ready;
        }
    }
    err_explain(why, "that is changing just now: ask again");
    return atomic_load(&readiness->is_ready);
}
