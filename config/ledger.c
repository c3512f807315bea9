#include "config/ledger.h"

#include "base/scope.h"
#include "config/lines.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * The file, one fact per line, each line ended by \n:
 *
 *     troupe-ledger 1
 *     cluster <32 hex digits> <name>
 *     next <serial>
 *     trust <version>
 *     authority <64 hex digits> <state> <since>           1 to 4 times
 *     certificate <serial> <state> <role> <name> <not before> <not after>
 *                 <key> <authority> [<pools>]             one line; rising
 *     checksum <64 hex digits>     BLAKE2b-256 of all lines before
 *
 * The checksum finds damage and edits by hand; it is no signature: who can
 * write this file can write the folder in which the authority's key stands.
 */
#define KEY_BYTES 32
#define HEAD_BYTES_MAX 1024
#define ENTRY_BYTES_MAX 640
#define CHECKSUM_BYTES 32
#define CHECKSUM_LINE_BYTES (9 + 2 * CHECKSUM_BYTES + 1)

static const char *const state_names[LEDGER_STATE_COUNT] = {
    [LEDGER_ISSUED] = "issued",
    [LEDGER_SUPERSEDED] = "superseded",
    [LEDGER_REVOKED] = "revoked",
};

static const char *const authority_states[LEDGER_AUTHORITY_STATE_COUNT] = {
    [LEDGER_AUTHORITY_ACTIVE] = "active",
    [LEDGER_AUTHORITY_STAGED] = "staged",
    [LEDGER_AUTHORITY_RETIRING] = "retiring",
};

const char *ledger_state_text(enum ledger_state state)
{
    assert((unsigned)state < LEDGER_STATE_COUNT);
    return state_names[state];
}

const char *ledger_authority_state_text(enum ledger_authority_state state)
{
    assert((unsigned)state < LEDGER_AUTHORITY_STATE_COUNT);
    return authority_states[state];
}

void ledger_clear(struct ledger *ledger)
{
    free(ledger->entries);
    *ledger = (struct ledger){0};
}

enum err ledger_add(struct ledger *ledger, const struct ledger_entry *entry)
{
    uint32_t count = ledger->entry_count;
    assert(count == 0 || ledger->entries[count - 1].certificate.serial <
                             entry->certificate.serial);
    if (count == LEDGER_ENTRY_COUNT_MAX) {
        return ERR_FULL;
    }
    if (count == ledger->entry_capacity) {
        uint32_t capacity = count ? 2 * count : 16;
        struct ledger_entry *grown =
            reallocarray(ledger->entries, capacity, sizeof *grown);
        if (!grown) {
            return ERR_MEMORY;
        }
        ledger->entries = grown;
        ledger->entry_capacity = capacity;
    }
    ledger->entries[count] = *entry;
    ledger->entry_count = count + 1;
    return ERR_NONE;
}

const struct ledger_authority *ledger_find_authority(
    const struct ledger *ledger, enum ledger_authority_state state)
{
    for (uint32_t i = 0; i < ledger->authority_count; i++) {
        if (ledger->authorities[i].state == state) {
            return &ledger->authorities[i];
        }
    }
    return NULL;
}

struct ledger_entry *ledger_find(const struct ledger *ledger, uint64_t serial)
{
    uint32_t low = 0;
    uint32_t high = ledger->entry_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint64_t found = ledger->entries[middle].certificate.serial;
        if (found == serial) {
            return &ledger->entries[middle];
        }
        if (found < serial) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

struct ledger_entry *ledger_find_issued(const struct ledger *ledger,
                                        const char *name)
{
    for (uint32_t i = ledger->entry_count; i > 0; i--) {
        struct ledger_entry *entry = &ledger->entries[i - 1];
        if (entry->state == LEDGER_ISSUED &&
            strcmp(entry->certificate.name, name) == 0) {
            return entry;
        }
    }
    return NULL;
}

bool ledger_names_authority(const struct ledger *ledger,
                            const uint8_t key[static KEY_BYTES])
{
    for (uint32_t i = 0; i < ledger->authority_count; i++) {
        if (memcmp(ledger->authorities[i].key, key, KEY_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

enum err ledger_trust_facts(struct trust_facts *out,
                            uint64_t **revoked,
                            const struct ledger *ledger)
{
    struct trust_facts facts = {.version = ledger->trust_version,
                                .authority_count = ledger->authority_count};
    uint64_t *serials = calloc(ledger->entry_count + 1, sizeof *serials);
    if (!serials) {
        return ERR_MEMORY;
    }
    memcpy(facts.cluster_id, ledger->cluster_id, CLUSTER_ID_BYTES);
    for (uint32_t i = 0; i < ledger->authority_count; i++) {
        memcpy(facts.authorities[i], ledger->authorities[i].key, KEY_BYTES);
    }
    for (uint32_t i = 0; i < ledger->entry_count; i++) {
        const struct ledger_entry *entry = &ledger->entries[i];
        if (entry->state == LEDGER_REVOKED &&
            ledger_names_authority(ledger, entry->authority)) {
            serials[facts.revoked_count] = entry->certificate.serial;
            facts.revoked_count++;
        }
    }
    if (facts.revoked_count > TRUST_REVOKED_COUNT_MAX) {
        free(serials);
        return ERR_FULL;
    }
    facts.revoked = serials;
    *revoked = serials;
    *out = facts;
    return ERR_NONE;
}

static void write_entry(struct writer *out, const struct ledger_entry *entry)
{
    const struct certificate *certificate = &entry->certificate;
    char key[2 * KEY_BYTES + 1];
    char authority[2 * KEY_BYTES + 1];
    hex_encode(key, bytes_of(certificate->key, KEY_BYTES));
    hex_encode(authority, bytes_of(entry->authority, KEY_BYTES));
    lines_write(out, "certificate %" PRIu64 " %s %s %s %" PRId64 " %" PRId64,
                certificate->serial, ledger_state_text(entry->state),
                role_text(certificate->role), certificate->name,
                certificate->not_before, certificate->not_after);
    lines_write(out, " %s %s%s%s\n", key, authority,
                certificate->pools[0] ? " " : "", certificate->pools);
}

/* CHECKSUM_LINE_BYTES and a terminating zero. */
static void make_checksum(char out[static CHECKSUM_LINE_BYTES + 1],
                          struct bytes text)
{
    uint8_t checksum[CHECKSUM_BYTES];
    char hex[2 * CHECKSUM_BYTES + 1];
    (void)crypto_generichash(checksum, sizeof checksum, text.data, text.length,
                             NULL, 0);
    hex_encode(hex, bytes_of(checksum, sizeof checksum));
    (void)snprintf(out, CHECKSUM_LINE_BYTES + 1, "checksum %s\n", hex);
}

enum err ledger_encode(char **out, const struct ledger *ledger)
{
    size_t size = HEAD_BYTES_MAX + CHECKSUM_LINE_BYTES + 1 +
                  (size_t)ledger->entry_count * ENTRY_BYTES_MAX;
    char *text = calloc(1, size);
    if (!text) {
        return ERR_MEMORY;
    }
    struct writer writer = writer_of(text, size - 1);
    char hex[2 * KEY_BYTES + 1];
    hex_encode(hex, bytes_of(ledger->cluster_id, CLUSTER_ID_BYTES));
    lines_write(&writer, "troupe-ledger 1\ncluster %s %s\n", hex,
                ledger->cluster_name);
    lines_write(&writer, "next %" PRIu64 "\ntrust %" PRIu64 "\n",
                ledger->next_serial, ledger->trust_version);
    for (uint32_t i = 0; i < ledger->authority_count; i++) {
        const struct ledger_authority *authority = &ledger->authorities[i];
        hex_encode(hex, bytes_of(authority->key, KEY_BYTES));
        lines_write(&writer, "authority %s %s %" PRId64 "\n", hex,
                    ledger_authority_state_text(authority->state),
                    authority->since);
    }
    for (uint32_t i = 0; i < ledger->entry_count; i++) {
        write_entry(&writer, &ledger->entries[i]);
    }
    char line[CHECKSUM_LINE_BYTES + 1];
    make_checksum(line, writer_bytes(&writer));
    lines_write(&writer, "%s", line);
    assert(!writer.failed);
    *out = text;
    return ERR_NONE;
}

static enum err refuse(const struct lines *lines,
                       const char *expected,
                       struct err_detail *why)
{
    err_explain(why, "line %u: %s is expected here", lines->number, expected);
    return ERR_MALFORMED;
}

/* Cut the last line off `text` and compare it. */
static enum err check_sum(struct bytes *text, struct err_detail *why)
{
    char line[CHECKSUM_LINE_BYTES + 1];
    if (text->length >= CHECKSUM_LINE_BYTES) {
        text->length -= CHECKSUM_LINE_BYTES;
        make_checksum(line, *text);
        if (memcmp(text->data + text->length, line, CHECKSUM_LINE_BYTES) == 0) {
            return ERR_NONE;
        }
    }
    err_explain(why, "damaged, or changed by hand: its checksum is wrong; "
                     "take the newest copy");
    return ERR_MALFORMED;
}

static enum err parse_head(struct ledger *out,
                           struct lines *lines,
                           struct err_detail *why)
{
    if (!lines_next(lines) || !lines_is(lines, "troupe-ledger", 2) ||
        strcmp(lines->words[1], "1") != 0) {
        return refuse(lines, "`troupe-ledger 1`", why);
    }
    if (!lines_next(lines) || !lines_is(lines, "cluster", 3) ||
        !lines_hex(out->cluster_id, CLUSTER_ID_BYTES, lines->words[1]) ||
        !certificate_name_is_valid(lines->words[2])) {
        return refuse(lines, "`cluster` with its id and name", why);
    }
    (void)snprintf(out->cluster_name, sizeof out->cluster_name, "%s",
                   lines->words[2]);
    if (!lines_next(lines) || !lines_is(lines, "next", 2) ||
        !lines_u64(&out->next_serial, lines->words[1])) {
        return refuse(lines, "`next` with a serial", why);
    }
    if (!lines_next(lines) || !lines_is(lines, "trust", 2) ||
        !lines_u64(&out->trust_version, lines->words[1])) {
        return refuse(lines, "`trust` with a version", why);
    }
    (void)lines_next(lines);
    return ERR_NONE;
}

/* The index of `text`, or `count`. */
static uint32_t find_text(const char *const *texts,
                          uint32_t count,
                          const char *text)
{
    uint32_t i = 0;
    while (i < count && strcmp(texts[i], text) != 0) {
        i++;
    }
    return i;
}

static enum err parse_authorities(struct ledger *out,
                                  struct lines *lines,
                                  struct err_detail *why)
{
    for (; lines_is(lines, "authority", 4); (void)lines_next(lines)) {
        struct ledger_authority each = {0};
        uint32_t state = find_text(
            authority_states, LEDGER_AUTHORITY_STATE_COUNT, lines->words[2]);
        if (out->authority_count == TRUST_AUTHORITY_COUNT_MAX ||
            state == LEDGER_AUTHORITY_STATE_COUNT ||
            !lines_hex(each.key, sizeof each.key, lines->words[1]) ||
            !lines_i64(&each.since, lines->words[3]) ||
            ledger_names_authority(out, each.key)) {
            return refuse(lines, "`authority` with key, state and time", why);
        }
        each.state = (enum ledger_authority_state)state;
        out->authorities[out->authority_count] = each;
        out->authority_count++;
    }
    if (!ledger_find_authority(out, LEDGER_AUTHORITY_ACTIVE)) {
        return refuse(lines, "an active `authority`", why);
    }
    return ERR_NONE;
}

/* False: the words of the line are not that of a certificate. */
static bool parse_entry(struct ledger_entry *out,
                        const struct ledger *ledger,
                        const struct lines *lines)
{
    const char *const *words = lines->words;
    struct certificate *certificate = &out->certificate;
    uint32_t state = find_text(state_names, LEDGER_STATE_COUNT, words[2]);
    const char *pools = lines->word_count == 10 ? words[9] : "";
    *out = (struct ledger_entry){.state = (enum ledger_state)state};
    if (state == LEDGER_STATE_COUNT ||
        !lines_u64(&certificate->serial, words[1]) ||
        !role_from_text(&certificate->role, words[3]) ||
        strlen(words[4]) >= sizeof certificate->name ||
        !lines_i64(&certificate->not_before, words[5]) ||
        !lines_i64(&certificate->not_after, words[6]) ||
        !lines_hex(certificate->key, KEY_BYTES, words[7]) ||
        !lines_hex(out->authority, KEY_BYTES, words[8]) ||
        strlen(pools) >= sizeof certificate->pools) {
        return false;
    }
    memcpy(certificate->cluster_id, ledger->cluster_id, CLUSTER_ID_BYTES);
    (void)snprintf(certificate->name, sizeof certificate->name, "%s", words[4]);
    (void)snprintf(certificate->pools, sizeof certificate->pools, "%s", pools);
    return certificate_validate(certificate, NULL) == ERR_NONE;
}

static enum err parse_entries(struct ledger *out,
                              struct lines *lines,
                              struct err_detail *why)
{
    uint64_t before = 0;
    for (; lines->word_count > 0; (void)lines_next(lines)) {
        struct ledger_entry entry;
        if ((!lines_is(lines, "certificate", 9) &&
             !lines_is(lines, "certificate", 10)) ||
            !parse_entry(&entry, out, lines) ||
            entry.certificate.serial <= before ||
            entry.certificate.serial >= out->next_serial) {
            return refuse(lines, "`certificate` with its eight or nine fields",
                          why);
        }
        before = entry.certificate.serial;
        enum err err = ledger_add(out, &entry);
        if (err) {
            return err == ERR_FULL ? ERR_MALFORMED : err;
        }
    }
    return lines->failed ? refuse(lines, "the end", why) : ERR_NONE;
}

enum err ledger_decode(struct ledger *out,
                       struct bytes text,
                       struct err_detail *why)
{
    enum err err = check_sum(&text, why);
    if (err) {
        return err;
    }
    struct lines lines;
    scoped(ledger_clear) struct ledger ledger = {0};
    lines_init(&lines, text);
    err = parse_head(&ledger, &lines, why);
    if (!err) {
        err = parse_authorities(&ledger, &lines, why);
    }
    if (!err) {
        err = parse_entries(&ledger, &lines, why);
    }
    if (!err) {
        *out = ledger;
        ledger = (struct ledger){0}; /* the caller owns its entries now */
    }
    return err;
}
