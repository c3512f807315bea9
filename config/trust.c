#include "config/trust.h"

#include "base/scope.h"
#include "base/time_units.h"
#include "config/content.h"
#include "config/lines.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * The file, one fact per line, nothing else, each line ended by \n:
 *
 *     troupe-trust 1
 *     cluster <32 hex digits>
 *     version <decimal>
 *     authority <64 hex digits>               1 to 4 times
 *     revoked <decimal>                       rising; any number up to 65536
 *     signature <authority> <128 hex digits>  1 to 4 times
 *
 * A signature is Ed25519 over the domain (with its zero) and all lines before
 * the first signature. Every signer must be named above, in the same order,
 * and every signature must hold; so facts and signers have one text.
 */
#define KEY_BYTES 32
#define SIGNATURE_BYTES crypto_sign_BYTES
#define HEAD_BYTES_MAX 512 /* the lines before the revocations */
#define REVOKED_BYTES_MAX 29
#define SIGNATURES_BYTES_MAX (TRUST_AUTHORITY_COUNT_MAX * 224)

static const char domain[] = "troupe trust v1";

static_assert(HEAD_BYTES_MAX + TRUST_REVOKED_COUNT_MAX * REVOKED_BYTES_MAX +
                      SIGNATURES_BYTES_MAX <=
                  TRUST_TEXT_BYTES_MAX,
              "the longest trust file can be read");

struct trust {
    _Atomic uint32_t holder_count;

    /* Immutable. */
    struct trust_facts facts;
    uint64_t *revoked;                          /* `facts.revoked`, rising */
    bool has_signed[TRUST_AUTHORITY_COUNT_MAX]; /* none when it was made */
    char *text;                                 /* NULL when it was made */
    size_t text_length;
};

static int compare_serials(const void *left, const void *right)
{
    const uint64_t *a = left;
    const uint64_t *b = right;
    return (*a > *b) - (*a < *b);
}

/* authority_count when it is not named. */
static uint32_t find_authority(const struct trust_facts *facts,
                               const uint8_t key[static KEY_BYTES])
{
    uint32_t i = 0;
    while (i < facts->authority_count &&
           memcmp(facts->authorities[i], key, KEY_BYTES) != 0) {
        i++;
    }
    return i;
}

static bool facts_are_valid(const struct trust_facts *facts)
{
    if (facts->authority_count == 0 ||
        facts->authority_count > TRUST_AUTHORITY_COUNT_MAX ||
        facts->revoked_count > TRUST_REVOKED_COUNT_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < facts->authority_count; i++) {
        if (find_authority(facts, facts->authorities[i]) != i) {
            return false;
        }
    }
    return true;
}

/* Sorted, each once, without the 0 that no certificate has. */
static void copy_serials(struct trust *trust, const struct trust_facts *facts)
{
    memcpy(trust->revoked, facts->revoked,
           facts->revoked_count * sizeof *trust->revoked);
    qsort(trust->revoked, facts->revoked_count, sizeof *trust->revoked,
          compare_serials);
    uint64_t before = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < facts->revoked_count; i++) {
        if (trust->revoked[i] != before) {
            before = trust->revoked[i];
            trust->revoked[count] = before;
            count++;
        }
    }
    trust->facts.revoked_count = count;
}

enum err trust_make(struct trust **out, const struct trust_facts *facts)
{
    if (!facts_are_valid(facts)) {
        return ERR_INVALID;
    }
    scoped(trust_unref) struct trust *trust = calloc(1, sizeof *trust);
    if (!trust) {
        return ERR_MEMORY;
    }
    atomic_init(&trust->holder_count, 1);
    trust->facts = *facts;
    trust->facts.revoked = NULL;
    if (facts->revoked_count > 0) {
        trust->revoked = calloc(facts->revoked_count, sizeof *trust->revoked);
        if (!trust->revoked) {
            return ERR_MEMORY;
        }
        copy_serials(trust, facts);
        trust->facts.revoked = trust->revoked;
    }
    *out = trust;
    trust = NULL; /* the caller holds it now */
    return ERR_NONE;
}

static void write_facts(struct writer *out, const struct trust_facts *facts)
{
    char hex[2 * KEY_BYTES + 1];
    hex_encode(hex, bytes_of(facts->cluster_id, CLUSTER_ID_BYTES));
    lines_write(out, "troupe-trust 1\ncluster %s\n", hex);
    lines_write(out, "version %" PRIu64 "\n", facts->version);
    for (uint32_t i = 0; i < facts->authority_count; i++) {
        hex_encode(hex, bytes_of(facts->authorities[i], KEY_BYTES));
        lines_write(out, "authority %s\n", hex);
    }
    for (uint32_t i = 0; i < facts->revoked_count; i++) {
        lines_write(out, "revoked %" PRIu64 "\n", facts->revoked[i]);
    }
}

/* The state of a signature over the domain and `text`. */
static crypto_sign_state begin_signature(struct bytes text)
{
    crypto_sign_state state;
    (void)crypto_sign_init(&state);
    (void)crypto_sign_update(&state, (const uint8_t *)domain, sizeof domain);
    (void)crypto_sign_update(&state, text.data, text.length);
    return state;
}

static void write_signature(struct writer *out,
                            struct bytes text,
                            const uint8_t *secret)
{
    char key[2 * KEY_BYTES + 1];
    char hex[2 * SIGNATURE_BYTES + 1];
    uint8_t signature[SIGNATURE_BYTES];
    crypto_sign_state state = begin_signature(text);
    (void)crypto_sign_final_create(&state, signature, NULL, secret);
    sodium_memzero(&state, sizeof state);
    hex_encode(key, bytes_of(secret + 32, KEY_BYTES));
    hex_encode(hex, bytes_of(signature, sizeof signature));
    lines_write(out, "signature %s %s\n", key, hex);
}

enum err trust_encode(char **out,
                      const struct trust_facts *facts,
                      const uint8_t *const *signers,
                      uint32_t signer_count)
{
    scoped(trust_unref) struct trust *trust = NULL;
    enum err err = trust_make(&trust, facts); /* sorts */
    if (err) {
        return err;
    }
    size_t size = HEAD_BYTES_MAX + SIGNATURES_BYTES_MAX + 1 +
                  (size_t)facts->revoked_count * REVOKED_BYTES_MAX;
    char *text = calloc(1, size);
    if (!text) {
        return ERR_MEMORY;
    }
    struct writer writer = writer_of(text, size - 1);
    write_facts(&writer, &trust->facts);
    struct bytes body = writer_bytes(&writer);
    for (uint32_t i = 0; i < facts->authority_count; i++) {
        for (uint32_t j = 0; j < signer_count; j++) {
            if (memcmp(signers[j] + 32, facts->authorities[i], KEY_BYTES) ==
                0) {
                write_signature(&writer, body, signers[j]);
            }
        }
    }
    assert(!writer.failed);
    *out = text;
    return ERR_NONE;
}

/* Where the reading of a trust file stands. */
struct parse {
    struct lines lines;
    struct bytes text;
    struct trust_facts facts;
    uint64_t *revoked;
    uint32_t revoked_capacity;
    bool has_signed[TRUST_AUTHORITY_COUNT_MAX];
    struct err_detail *why;
};

static void parse_clear(struct parse *parse)
{
    free(parse->revoked);
    parse->revoked = NULL;
}

static enum err refuse(const struct parse *parse, const char *expected)
{
    err_explain(parse->why, "line %u: %s is expected here", parse->lines.number,
                expected);
    return ERR_MALFORMED;
}

static enum err parse_head(struct parse *parse)
{
    struct lines *lines = &parse->lines;
    if (!lines_next(lines) || !lines_is(lines, "troupe-trust", 2) ||
        strcmp(lines->words[1], "1") != 0) {
        return refuse(parse, "`troupe-trust 1`");
    }
    if (!lines_next(lines) || !lines_is(lines, "cluster", 2) ||
        !lines_hex(parse->facts.cluster_id, CLUSTER_ID_BYTES,
                   lines->words[1])) {
        return refuse(parse, "`cluster` with 32 hexadecimal digits");
    }
    if (!lines_next(lines) || !lines_is(lines, "version", 2) ||
        !lines_u64(&parse->facts.version, lines->words[1])) {
        return refuse(parse, "`version` with a number");
    }
    (void)lines_next(lines);
    return ERR_NONE;
}

/* From here on a line has been read that the one before did not want. */
static enum err parse_authorities(struct parse *parse)
{
    struct trust_facts *facts = &parse->facts;
    struct lines *lines = &parse->lines;
    for (; lines_is(lines, "authority", 2); (void)lines_next(lines)) {
        uint8_t key[KEY_BYTES];
        if (!lines_hex(key, sizeof key, lines->words[1]) ||
            facts->authority_count == TRUST_AUTHORITY_COUNT_MAX ||
            find_authority(facts, key) != facts->authority_count) {
            return refuse(parse, "`authority` with 64 hexadecimal digits, once "
                                 "each and at most four times,");
        }
        memcpy(facts->authorities[facts->authority_count], key, sizeof key);
        facts->authority_count++;
    }
    return facts->authority_count > 0 ? ERR_NONE : refuse(parse, "`authority`");
}

static enum err add_revoked(struct parse *parse, uint64_t serial)
{
    uint32_t count = parse->facts.revoked_count;
    if (count == parse->revoked_capacity) {
        uint32_t capacity = count ? 2 * count : 64;
        uint64_t *grown = reallocarray(parse->revoked, capacity, sizeof *grown);
        if (!grown) {
            return ERR_MEMORY;
        }
        parse->revoked = grown;
        parse->revoked_capacity = capacity;
    }
    parse->revoked[count] = serial;
    parse->facts.revoked_count = count + 1;
    return ERR_NONE;
}

static enum err parse_revoked(struct parse *parse)
{
    uint64_t before = 0;
    struct lines *lines = &parse->lines;
    for (; lines_is(lines, "revoked", 2); (void)lines_next(lines)) {
        uint64_t serial = 0;
        if (!lines_u64(&serial, lines->words[1]) || serial <= before ||
            parse->facts.revoked_count == TRUST_REVOKED_COUNT_MAX) {
            return refuse(parse,
                          "`revoked` with a serial above the one before, at "
                          "most 65536 times,");
        }
        before = serial;
        enum err err = add_revoked(parse, serial);
        if (err) {
            return err;
        }
    }
    return ERR_NONE;
}

/* `text` is what is signed. */
static enum err parse_signature(struct parse *parse, struct bytes text)
{
    uint8_t key[KEY_BYTES];
    uint8_t signature[SIGNATURE_BYTES];
    const struct lines *lines = &parse->lines;
    if (!lines_is(lines, "signature", 3) ||
        !lines_hex(key, sizeof key, lines->words[1]) ||
        !lines_hex(signature, sizeof signature, lines->words[2])) {
        return refuse(parse, "`signature` with an authority and 128 "
                             "hexadecimal digits");
    }
    uint32_t signer = find_authority(&parse->facts, key);
    for (uint32_t i = signer; i < parse->facts.authority_count; i++) {
        if (parse->has_signed[i]) {
            return refuse(parse, "one signature for each signer, in the "
                                 "authorities' order,");
        }
    }
    crypto_sign_state state = begin_signature(text);
    if (signer == parse->facts.authority_count ||
        crypto_sign_final_verify(&state, signature, key) != 0) {
        err_explain(parse->why,
                    "line %u: not signed by an authority that it names: it "
                    "was changed or damaged",
                    parse->lines.number);
        return ERR_FORGED;
    }
    parse->has_signed[signer] = true;
    return ERR_NONE;
}

static enum err parse_signatures(struct parse *parse)
{
    struct lines *lines = &parse->lines;
    struct bytes text = bytes_of(parse->text.data, lines->start);
    do {
        enum err err = parse_signature(parse, text);
        if (err) {
            return err;
        }
    } while (lines_next(lines));
    return lines->failed ? refuse(parse, "the end of the file") : ERR_NONE;
}

static enum err parse_all(struct parse *parse)
{
    enum err err = parse_head(parse);
    if (!err) {
        err = parse_authorities(parse);
    }
    if (!err) {
        err = parse_revoked(parse);
    }
    if (!err) {
        err = parse_signatures(parse);
    }
    return err;
}

enum err trust_decode(struct trust **out,
                      struct bytes text,
                      struct err_detail *why)
{
    scoped(parse_clear) struct parse parse = {.text = text, .why = why};
    lines_init(&parse.lines, text);
    enum err err = parse_all(&parse);
    if (err) {
        return err;
    }
    parse.facts.revoked = parse.revoked;
    scoped(trust_unref) struct trust *trust = NULL;
    err = trust_make(&trust, &parse.facts);
    if (err) {
        return err;
    }
    memcpy(trust->has_signed, parse.has_signed, sizeof trust->has_signed);
    trust->text = malloc(text.length); /* it is not empty: it was read */
    if (!trust->text) {
        return ERR_MEMORY;
    }
    memcpy(trust->text, text.data, text.length);
    trust->text_length = text.length;
    *out = trust;
    trust = NULL;
    return ERR_NONE;
}

enum err trust_open(struct trust **out,
                    const struct files *files,
                    const char *path,
                    struct err_detail *why)
{
    scoped(content_clear) struct content content = {0};
    enum err err = content_read(&content, files, path, FILE_PUBLIC,
                                TRUST_TEXT_BYTES_MAX, why);
    if (err) {
        return err;
    }
    struct err_detail where = {0};
    err = trust_decode(out, content_bytes(&content), &where);
    if (err) {
        err_explain(why, "%s: %s", path,
                    where.text[0] ? where.text : err_text(err));
    }
    return err;
}

struct trust *trust_ref(struct trust *trust)
{
    /* Relaxed: who refs has a reference already, which orders all before. */
    (void)atomic_fetch_add_explicit(&trust->holder_count, 1,
                                    memory_order_relaxed);
    return trust;
}

void trust_unref(struct trust **trust)
{
    struct trust *held = *trust;
    *trust = NULL;
    if (held && atomic_fetch_sub(&held->holder_count, 1) == 1) {
        free(held->revoked);
        free(held->text);
        free(held);
    }
}

const uint8_t *trust_cluster_id(const struct trust *trust)
{
    return trust->facts.cluster_id;
}

uint64_t trust_version(const struct trust *trust)
{
    return trust->facts.version;
}

struct bytes trust_text(const struct trust *trust)
{
    return bytes_of(trust->text, trust->text_length);
}

struct trust_facts trust_facts(const struct trust *trust)
{
    return trust->facts;
}

bool trust_is_revoked(const struct trust *trust, uint64_t serial)
{
    return trust->revoked &&
           bsearch(&serial, trust->revoked, trust->facts.revoked_count,
                   sizeof serial, compare_serials) != NULL;
}

enum err trust_check_next(const struct trust *current,
                          const struct trust *next,
                          struct err_detail *why)
{
    if (memcmp(current->facts.cluster_id, next->facts.cluster_id,
               CLUSTER_ID_BYTES) != 0) {
        err_explain(why, "the new trust is for another cluster");
        return ERR_OTHER_CLUSTER;
    }
    if (next->facts.version <= current->facts.version) {
        err_explain(why,
                    "trust of version %" PRIu64 " is not newer than %" PRIu64,
                    next->facts.version, current->facts.version);
        return ERR_SUPERSEDED;
    }
    for (uint32_t i = 0; i < next->facts.authority_count; i++) {
        if (next->has_signed[i] &&
            find_authority(&current->facts, next->facts.authorities[i]) !=
                current->facts.authority_count) {
            return ERR_NONE;
        }
    }
    err_explain(why,
                "trust of version %" PRIu64 " is not signed by an authority "
                "that version %" PRIu64 " names",
                next->facts.version, current->facts.version);
    return ERR_FORGED;
}

static int64_t add_capped(int64_t value, int64_t more)
{
    int64_t sum = 0;
    if (__builtin_add_overflow(value, more, &sum)) {
        return more < 0 ? INT64_MIN : INT64_MAX;
    }
    return sum;
}

/* `certificate` is decoded: its times are far from overflow in ms. */
static enum err check_time(const struct certificate *certificate,
                           int64_t wall_ms,
                           uint64_t skew_ms)
{
    int64_t skew = skew_ms > INT64_MAX ? INT64_MAX : (int64_t)skew_ms;
    if (add_capped(wall_ms, skew) < certificate->not_before * MS_PER_S) {
        return ERR_NOT_YET_VALID;
    }
    if (add_capped(wall_ms, -skew) >= certificate->not_after * MS_PER_S) {
        return ERR_EXPIRED;
    }
    return ERR_NONE;
}

static bool is_signed(const struct trust *trust, struct bytes encoded)
{
    for (uint32_t i = 0; i < trust->facts.authority_count; i++) {
        if (certificate_is_signed_by(encoded, trust->facts.authorities[i])) {
            return true;
        }
    }
    return false;
}

static void explain_check(struct err_detail *why,
                          enum err err,
                          const struct certificate *certificate)
{
    err_explain(why, "%s: %s `%s`, serial %" PRIu64, err_text(err),
                role_text(certificate->role), certificate->name,
                certificate->serial);
}

enum err trust_check(const struct trust *trust,
                     struct bytes encoded,
                     int64_t wall_ms,
                     uint64_t clock_skew_ms_max,
                     struct certificate *out,
                     struct err_detail *why)
{
    struct certificate certificate;
    enum err err = certificate_decode(&certificate, encoded);
    if (err) {
        err_explain(why, "not a certificate, or of an unknown version");
        return err;
    }
    if (memcmp(certificate.cluster_id, trust->facts.cluster_id,
               CLUSTER_ID_BYTES) != 0) {
        explain_check(why, ERR_OTHER_CLUSTER, &certificate);
        return ERR_OTHER_CLUSTER;
    }
    if (!is_signed(trust, encoded)) {
        explain_check(why, ERR_FORGED, &certificate);
        return ERR_FORGED;
    }
    *out = certificate;
    err = check_time(&certificate, wall_ms, clock_skew_ms_max);
    if (!err && trust_is_revoked(trust, certificate.serial)) {
        err = ERR_REVOKED;
    }
    if (err) {
        explain_check(why, err, &certificate);
    }
    return err;
}

enum err trust_check_again(const struct trust *trust,
                           const struct certificate *certificate,
                           int64_t wall_ms,
                           uint64_t clock_skew_ms_max)
{
    if (trust_is_revoked(trust, certificate->serial)) {
        return ERR_REVOKED;
    }
    enum err err = check_time(certificate, wall_ms, clock_skew_ms_max);
    /* It was valid before: a clock that was set back does no harm. */
    return err == ERR_NOT_YET_VALID ? ERR_NONE : err;
}
