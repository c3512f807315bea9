#include "bench/ceiling.h"

#include "base/time_units.h"
#include "bench/process.h"

#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES (64u * 1024)
#define PIECE_COUNT 4 /* of one message of 256 KiB */
#define TAG_BYTES crypto_aead_chacha20poly1305_ietf_ABYTES
#define WARM_PART 5 /* one fifth of the time is not counted */
#define TIMEOUT_EXTRA_NS UINT64_C(20000000000)

struct work {
    uint64_t begins_at_ns; /* the same for both, so that they run together */
    uint64_t duration_ns;
    double seal_mb_per_s;
    double open_mb_per_s;
    _Atomic bool is_opened;
};

struct pieces {
    uint8_t key[crypto_aead_chacha20poly1305_ietf_KEYBYTES];
    uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];
    uint8_t head[16]; /* as long as a frame's */
    uint8_t plain[PIECE_COUNT][PIECE_BYTES];
    uint8_t sealed[PIECE_COUNT][PIECE_BYTES + TAG_BYTES];
};

static bool seal(struct pieces *pieces, size_t i)
{
    unsigned long long length = 0;
    return crypto_aead_chacha20poly1305_ietf_encrypt(
               pieces->sealed[i], &length, pieces->plain[i], PIECE_BYTES,
               pieces->head, sizeof pieces->head, NULL, pieces->nonce,
               pieces->key) == 0;
}

static bool open_again(struct pieces *pieces, size_t i)
{
    unsigned long long length = 0;
    return crypto_aead_chacha20poly1305_ietf_decrypt(
               pieces->plain[i], &length, NULL, pieces->sealed[i],
               PIECE_BYTES + TAG_BYTES, pieces->head, sizeof pieces->head,
               pieces->nonce, pieces->key) == 0;
}

/* MB/s of one operation over the whole time, warm-up excluded; 0: failed. */
static double rate_of(const struct work *work,
                      struct pieces *pieces,
                      bool (*operation)(struct pieces *, size_t))
{
    uint64_t counts_from_ns =
        work->begins_at_ns + work->duration_ns / WARM_PART;
    uint64_t ends_at_ns = counts_from_ns + work->duration_ns;
    uint64_t piece_count = 0;
    uint64_t first_ns = 0;
    for (uint64_t i = 0;; i++) {
        uint64_t now_ns = process_now_ns();
        if (first_ns == 0 && now_ns >= counts_from_ns) {
            first_ns = now_ns;
            piece_count = 0;
        }
        if (now_ns >= ends_at_ns) {
            double seconds = (double)(now_ns - first_ns) / 1e9;
            return (double)piece_count * PIECE_BYTES / 1e6 / seconds;
        }
        if (!operation(pieces, i % PIECE_COUNT)) {
            return 0;
        }
        piece_count++;
    }
}

static struct pieces *pieces_make(void)
{
    struct pieces *pieces = calloc(1, sizeof *pieces);
    bool is_made = pieces && sodium_init() >= 0;
    for (size_t i = 0; is_made && i < PIECE_COUNT; i++) {
        memset(pieces->plain[i], (int)i + 1, PIECE_BYTES);
        is_made = seal(pieces, i);
    }
    if (!is_made) {
        free(pieces);
        return NULL;
    }
    return pieces;
}

static enum err run_open(void *context)
{
    struct work *work = context;
    struct pieces *pieces = pieces_make();
    if (!pieces) {
        return ERR_MEMORY;
    }
    work->open_mb_per_s = rate_of(work, pieces, open_again);
    work->is_opened = true;
    process_sleep_ns(TIMEOUT_EXTRA_NS); /* ended by the parent */
    return ERR_TIMEOUT;
}

static enum err run_seal(void *context)
{
    struct work *work = context;
    struct pieces *pieces = pieces_make();
    if (!pieces) {
        return ERR_MEMORY;
    }
    work->seal_mb_per_s = rate_of(work, pieces, seal);
    free(pieces);
    while (!work->is_opened) {
        process_sleep_ns(NS_PER_MS);
    }
    return ERR_NONE;
}

enum err ceiling_measure(struct ceiling *out, uint64_t duration_ns)
{
    struct work *work = process_shared_open(sizeof *work);
    if (!work) {
        return ERR_MEMORY;
    }
    work->duration_ns = duration_ns;
    work->begins_at_ns = process_now_ns() + 10 * NS_PER_MS;
    struct process_pair pair = {.serve = run_open,
                                .drive = run_seal,
                                .job = work,
                                .timeout_ns =
                                    2 * duration_ns + TIMEOUT_EXTRA_NS};
    enum err err = process_pair_run(&pair);
    if (!err && (work->seal_mb_per_s <= 0 || work->open_mb_per_s <= 0)) {
        err = ERR_FORGED;
    }
    if (!err) {
        out->seal_mb_per_s = work->seal_mb_per_s;
        out->open_mb_per_s = work->open_mb_per_s;
    }
    process_shared_close(work, sizeof *work);
    return err;
}
