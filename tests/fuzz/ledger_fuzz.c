/*
 * Any bytes as an authority's ledger, with the checksum that belongs to them:
 * what is accepted and written again gives the same text, and trust follows.
 */

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "config/ledger.h"
#include "config/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define CHECKSUM_LINE_BYTES_MAX 128

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static void check(struct bytes text)
{
    struct ledger ledger = {0};
    if (ledger_decode(&ledger, text, NULL)) {
        MUST(ledger.entries == NULL);
        return;
    }
    char *again = NULL;
    uint64_t *revoked = NULL;
    struct trust_facts facts;
    struct trust *trust = NULL;
    MUST(ledger_encode(&again, &ledger) == ERR_NONE);
    MUST(bytes_are_equal(bytes_of_text(again), text));
    MUST(ledger_trust_facts(&facts, &revoked, &ledger) == ERR_NONE);
    MUST(trust_make(&trust, &facts) == ERR_NONE);
    trust_unref(&trust);
    free(revoked);
    free(again);
    ledger_clear(&ledger);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    uint8_t checksum[32];
    char hex[65];
    size_t capacity = length + CHECKSUM_LINE_BYTES_MAX;
    uint8_t *text = malloc(capacity);
    if (!text) {
        return 0;
    }
    struct writer writer = writer_of(text, capacity);
    write_bytes(&writer, data, length);
    check(writer_bytes(&writer));
    (void)crypto_generichash(checksum, sizeof checksum, data, length, NULL, 0);
    hex_encode(hex, bytes_of(checksum, sizeof checksum));
    lines_write(&writer, "checksum %s\n", hex);
    MUST(!writer.failed);
    check(writer_bytes(&writer));
    free(text);
    return 0;
}
