#include "config/authority.h"

#include "base/scope.h"
#include "base/time_units.h"
#include "config/armor.h"
#include "config/content.h"
#include "config/path.h"
#include "config/secret.h"
#include "config/trust.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>

/*
 * One block of authority.key; a file has one for each key that is held:
 *
 *      1  version, 1
 *     16  cluster id
 *     32  Ed25519 seed
 *     32  Ed25519 public key
 *
 * Keys that the ledger does not name are left from a step that did not end;
 * they are passed over and go with the next write.
 */
#define KEY_VERSION 1
#define KEY_BLOCK_BYTES (1 + CLUSTER_ID_BYTES + 64)
#define KEY_COUNT_MAX TRUST_AUTHORITY_COUNT_MAX
#define KEY_FILE_BYTES_MAX 4096
#define TRUST_BYTES_MAX (2u << 20)
#define CLOCK_BACK_SECONDS_MAX S_PER_DAY

struct authority_key {
    uint8_t secret[64]; /* seed, then public key: as libsodium has it */
};

struct authority {
    struct authority_world world;
    struct ledger ledger;
    void *lock; /* NULL: not locked */

    /* In guarded memory; NULL when it was opened for reading. */
    struct authority_key *keys;
    uint32_t key_count;
    bool has_new_key; /* that the file lacks */
    bool has_old_key; /* the file has one that is to go */

    bool trust_has_changed; /* its version has to rise */
    char *ledger_text;      /* as it stands in the folder; NULL: it does not */
    char *trust_text;
};

static void text_close(char **text)
{
    free(*text);
    *text = NULL;
}

void authority_close(struct authority **out)
{
    struct authority *authority = *out;
    if (!authority) {
        return;
    }
    *out = NULL;
    const struct files *files = authority->world.files;
    secret_close(authority->keys); /* wipes */
    ledger_clear(&authority->ledger);
    if (authority->lock) {
        files->unlock(files->context, authority->lock);
    }
    free(authority->ledger_text);
    free(authority->trust_text);
    free(authority);
}

const struct ledger *authority_ledger(const struct authority *authority)
{
    return &authority->ledger;
}

const char *authority_trust_text(const struct authority *authority)
{
    assert(authority->trust_text);
    return authority->trust_text;
}

static int64_t now_seconds(const struct authority *authority)
{
    return clock_wall_ms(authority->world.clock) / MS_PER_S;
}

static enum err make_empty(struct authority **out,
                           const struct authority_world *world)
{
    struct authority *authority = calloc(1, sizeof *authority);
    if (!authority) {
        return ERR_MEMORY;
    }
    authority->world = *world;
    *out = authority;
    return ERR_NONE;
}

static enum err guard_keys(struct authority *authority, struct err_detail *why)
{
    size_t size = KEY_COUNT_MAX * sizeof *authority->keys;
    authority->keys = secret_open(size);
    if (!authority->keys) {
        err_explain(why, "memory for keys cannot be locked: raise "
                         "`ulimit -l`");
        return ERR_LIMIT;
    }
    return ERR_NONE;
}

/* A new key, behind the others. Its public part is returned, borrowed. */
static const uint8_t *add_key(struct authority *authority)
{
    assert(authority->key_count < KEY_COUNT_MAX);
    struct authority_key *key = &authority->keys[authority->key_count];
    uint8_t seed[crypto_sign_SEEDBYTES];
    uint8_t public[crypto_sign_PUBLICKEYBYTES];
    entropy_fill(authority->world.entropy, seed, sizeof seed);
    (void)crypto_sign_seed_keypair(public, key->secret, seed);
    sodium_memzero(seed, sizeof seed);
    authority->key_count++;
    authority->has_new_key = true;
    return key->secret + 32;
}

/* NULL when it is not held. */
static struct authority_key *find_key(const struct authority *authority,
                                      const uint8_t public[static 32])
{
    for (uint32_t i = 0; i < authority->key_count; i++) {
        if (memcmp(authority->keys[i].secret + 32, public, 32) == 0) {
            return &authority->keys[i];
        }
    }
    return NULL;
}

static const struct ledger_authority *find_state(
    const struct authority *authority, enum ledger_authority_state state)
{
    return ledger_find_authority(&authority->ledger, state);
}

static void add_to_ledger(struct authority *authority,
                          const uint8_t *public,
                          enum ledger_authority_state state)
{
    struct ledger *ledger = &authority->ledger;
    assert(ledger->authority_count < TRUST_AUTHORITY_COUNT_MAX);
    struct ledger_authority *entry =
        &ledger->authorities[ledger->authority_count];
    *entry = (struct ledger_authority){.state = state,
                                       .since = now_seconds(authority)};
    memcpy(entry->key, public, sizeof entry->key);
    ledger->authority_count++;
}

enum err authority_make(struct authority **out,
                        const struct authority_world *world,
                        const char *cluster_name,
                        struct err_detail *why)
{
    if (!certificate_name_is_valid(cluster_name)) {
        err_explain(why,
                    "cluster name `%s`: 1 to 63 of a-z 0-9 . _ - are "
                    "allowed, the first a letter or digit",
                    cluster_name);
        return ERR_INVALID;
    }
    scoped(authority_close) struct authority *authority = NULL;
    enum err err = make_empty(&authority, world);
    if (err) {
        return err;
    }
    err = guard_keys(authority, why);
    if (err) {
        return err;
    }
    struct ledger *ledger = &authority->ledger;
    entropy_fill(world->entropy, ledger->cluster_id, CLUSTER_ID_BYTES);
    (void)snprintf(ledger->cluster_name, sizeof ledger->cluster_name, "%s",
                   cluster_name);
    ledger->next_serial = 1;
    ledger->trust_version = 1;
    if (now_seconds(authority) < 0) {
        err_explain(why, "this machine's clock stands before 1970: set it");
        return ERR_INVALID;
    }
    add_to_ledger(authority, add_key(authority), LEDGER_AUTHORITY_ACTIVE);
    *out = authority;
    authority = NULL; /* the caller owns it now */
    return ERR_NONE;
}

/* Read a public text file of ours. */
static enum err read_text(char **out,
                          const struct files *files,
                          const char *path,
                          size_t length_max,
                          struct err_detail *why)
{
    struct content content = {0};
    enum err err =
        content_read(&content, files, path, FILE_PUBLIC, length_max, why);
    if (err) {
        return err;
    }
    if (memchr(content.text, '\0', content.length)) {
        content_clear(&content);
        err_explain(why, "%s: damaged", path);
        return ERR_MALFORMED;
    }
    *out = content.text; /* the caller frees it now */
    return ERR_NONE;
}

static enum err read_ledger(struct authority *authority,
                            const char *folder,
                            struct err_detail *why)
{
    struct path path;
    struct err_detail where = {0};
    enum err err = path_make(&path, "%s/ledger", folder);
    if (err) {
        return err;
    }
    err = read_text(&authority->ledger_text, authority->world.files, path.text,
                    LEDGER_FILE_BYTES_MAX, why);
    if (err == ERR_NOT_FOUND) {
        err_explain(why, "%s: not found: `%s` is not an authority's folder",
                    path.text, folder);
    }
    if (err) {
        return err;
    }
    err = ledger_decode(&authority->ledger,
                        bytes_of_text(authority->ledger_text), &where);
    if (err) {
        err_explain(why, "%s: %s", path.text, where.text);
    }
    return err;
}

/* Keep one key of the file, if the ledger names it. */
static enum err keep_key(struct authority *authority,
                         const uint8_t block[static KEY_BLOCK_BYTES],
                         struct err_detail *why)
{
    const uint8_t *secret = block + 1 + CLUSTER_ID_BYTES;
    const struct ledger *ledger = &authority->ledger;
    if (memcmp(block + 1, ledger->cluster_id, CLUSTER_ID_BYTES) != 0) {
        err_explain(why, "the key is of another cluster than the ledger");
        return ERR_INVALID;
    }
    struct authority_key *key = &authority->keys[authority->key_count];
    uint8_t public[crypto_sign_PUBLICKEYBYTES];
    (void)crypto_sign_seed_keypair(public, key->secret, secret);
    if (sodium_memcmp(public, secret + 32, sizeof public) != 0) {
        err_explain(why, "damaged: a key's halves do not belong together");
        return ERR_MALFORMED;
    }
    if (ledger_names_authority(ledger, public) &&
        !find_key(authority, public)) {
        authority->key_count++;
    } else {
        authority->has_old_key = true;
        sodium_memzero(key, sizeof *key);
    }
    return ERR_NONE;
}

static enum err parse_keys(struct authority *authority,
                           struct bytes text,
                           struct err_detail *why)
{
    struct armor armor = armor_of(text);
    enum err err = ERR_NONE;
    uint8_t block[KEY_BLOCK_BYTES];
    uint32_t count = 0;
    while (!err && !armor_is_at_end(&armor)) {
        struct writer writer = writer_of(block, sizeof block);
        err = armor_read(&armor, ARMOR_AUTHORITY_KEY, &writer, why);
        if (!err && (writer_bytes(&writer).length != sizeof block ||
                     block[0] != KEY_VERSION || count == KEY_COUNT_MAX)) {
            err_explain(why, "line %u: of an unknown version, or too many",
                        armor.line);
            err = ERR_MALFORMED;
        }
        if (!err) {
            err = keep_key(authority, block, why);
            count++;
        }
    }
    sodium_memzero(block, sizeof block);
    return err;
}

static enum err read_keys(struct authority *authority,
                          const char *folder,
                          struct err_detail *why)
{
    struct path path;
    struct err_detail where = {0};
    enum err err = path_make(&path, "%s/authority.key", folder);
    if (err) {
        return err;
    }
    scoped(content_clear) struct content content = {0};
    err = content_read(&content, authority->world.files, path.text, FILE_SECRET,
                       KEY_FILE_BYTES_MAX, why);
    if (err) {
        return err;
    }
    err = parse_keys(authority, content_bytes(&content), &where);
    if (!err &&
        !find_key(authority,
                  find_state(authority, LEDGER_AUTHORITY_ACTIVE)->key)) {
        err_explain(&where, "lacks the key that the ledger names as active");
        err = ERR_INVALID;
    }
    if (err) {
        err_explain(why, "%s: %s", path.text, where.text);
    }
    return err;
}

/* The trust beside the ledger, so as to know whether it must be written. */
static enum err read_trust(struct authority *authority,
                           const char *folder,
                           struct err_detail *why)
{
    struct path path;
    enum err err = path_make(&path, "%s/trust", folder);
    if (err) {
        return err;
    }
    err = read_text(&authority->trust_text, authority->world.files, path.text,
                    TRUST_BYTES_MAX, why);
    if (err) {
        return err == ERR_NOT_FOUND ? ERR_NONE : err;
    }
    scoped(trust_unref) struct trust *trust = NULL;
    struct bytes text = bytes_of_text(authority->trust_text);
    if (trust_decode(&trust, text, NULL) == ERR_NONE &&
        trust_version(trust) > authority->ledger.trust_version) {
        err_explain(why,
                    "%s/ledger is older than %s: an old copy was put back. "
                    "Put the newest back, or serials would be given twice",
                    folder, path.text);
        return ERR_SUPERSEDED;
    }
    return ERR_NONE;
}

static enum err lock(struct authority *authority,
                     const char *folder,
                     struct err_detail *why)
{
    struct path path;
    const struct files *files = authority->world.files;
    enum err err = path_make(&path, "%s/lock", folder);
    if (err) {
        return err;
    }
    err = files->lock(files->context, path.text, &authority->lock);
    if (err == ERR_BUSY) {
        err_explain(why,
                    "%s: another troupe command writes here: wait until it "
                    "has ended",
                    path.text);
    } else if (err) {
        content_explain(why, path.text, err);
    }
    return err;
}

static enum err open_for_writing(struct authority *authority,
                                 const char *folder,
                                 struct err_detail *why)
{
    enum err err = guard_keys(authority, why);
    if (!err) {
        err = lock(authority, folder, why);
    }
    if (!err) {
        err = read_ledger(authority, folder, why);
    }
    if (!err) {
        err = read_keys(authority, folder, why);
    }
    if (!err) {
        err = read_trust(authority, folder, why);
    }
    return err;
}

enum err authority_open(struct authority **out,
                        const struct authority_world *world,
                        const char *folder,
                        enum authority_use use,
                        struct err_detail *why)
{
    scoped(authority_close) struct authority *authority = NULL;
    enum err err = make_empty(&authority, world);
    if (err) {
        return err;
    }
    /* Reading first also finds out whether this is such a folder at all. */
    err = read_ledger(authority, folder, why);
    if (!err && use == AUTHORITY_WRITE) {
        ledger_clear(&authority->ledger);
        text_close(&authority->ledger_text);
        err = open_for_writing(authority, folder, why);
    }
    if (!err) {
        *out = authority;
        authority = NULL; /* the caller owns it now */
    }
    return err;
}

/* Digits alone would be taken for a serial; the other for its folder. */
bool authority_may_name(const char *name)
{
    return certificate_name_is_valid(name) &&
           name[strspn(name, "0123456789")] != '\0' &&
           strcmp(name, "authority") != 0;
}

/* Describe what is asked for. The key is filled in later. */
static enum err describe(struct certificate *out,
                         const struct authority *authority,
                         const struct authority_request *request,
                         struct err_detail *why)
{
    int64_t now = now_seconds(authority);
    int64_t valid = request->valid_seconds;
    const struct ledger_authority *active =
        find_state(authority, LEDGER_AUTHORITY_ACTIVE);
    if (now < active->since - CLOCK_BACK_SECONDS_MAX) {
        err_explain(why, "this machine's clock stands more than a day before "
                         "the authority's key was made: set it");
        return ERR_INVALID;
    }
    valid = valid ? valid : AUTHORITY_VALID_SECONDS_DEFAULT;
    if (valid < AUTHORITY_VALID_SECONDS_MIN ||
        valid > AUTHORITY_VALID_SECONDS_MAX) {
        err_explain(why, "validity: 1 minute to 100 years are allowed");
        return ERR_INVALID;
    }
    if (!authority_may_name(request->name)) {
        err_explain(why,
                    "name `%s`: 1 to 63 of a-z 0-9 . _ - are allowed, the "
                    "first a letter or digit; not digits alone, and not "
                    "`authority`",
                    request->name);
        return ERR_INVALID;
    }
    *out = (struct certificate){.serial = authority->ledger.next_serial,
                                .role = request->role,
                                .not_before = now - AUTHORITY_BACKDATE_SECONDS,
                                .not_after = now + valid};
    out->not_before = out->not_before < 0 ? 0 : out->not_before;
    memcpy(out->cluster_id, authority->ledger.cluster_id, CLUSTER_ID_BYTES);
    (void)snprintf(out->name, sizeof out->name, "%s", request->name);
    const char *pools = request->pools ? request->pools : "";
    if (strlen(pools) >= sizeof out->pools) {
        err_explain(why, "pools: 255 bytes at most");
        return ERR_INVALID;
    }
    (void)snprintf(out->pools, sizeof out->pools, "%s", pools);
    return certificate_validate(out, why);
}

/* Make the key, sign, and remember the certificate. */
static enum err sign(struct authority *authority,
                     struct certificate *certificate,
                     const struct identity **out,
                     struct err_detail *why)
{
    uint8_t secret[CERTIFICATE_KEY_BYTES];
    uint8_t encoded[CERTIFICATE_BYTES_MAX];
    size_t length = 0;
    const struct ledger_authority *active =
        find_state(authority, LEDGER_AUTHORITY_ACTIVE);
    entropy_fill(authority->world.entropy, secret, sizeof secret);
    (void)crypto_scalarmult_base(certificate->key, secret);
    certificate_issue(encoded, &length, certificate,
                      find_key(authority, active->key)->secret);
    const struct identity *identity = NULL;
    enum err err = identity_make(&identity, secret, bytes_of(encoded, length));
    sodium_memzero(secret, sizeof secret);
    if (err) {
        err_explain(why, "the key cannot be kept in memory: %s (`ulimit -l`)",
                    err_text(err));
        return err;
    }
    struct ledger_entry entry = {.certificate = *certificate};
    memcpy(entry.authority, active->key, sizeof entry.authority);
    err = ledger_add(&authority->ledger, &entry);
    if (err) {
        identity_unref(&identity);
        return err;
    }
    authority->ledger.next_serial++;
    *out = identity;
    return ERR_NONE;
}

/* All but the newest of this name are superseded. */
static void supersede(struct ledger *ledger, const char *name)
{
    struct ledger_entry *newest = ledger_find_issued(ledger, name);
    for (struct ledger_entry *each = ledger->entries; each != newest; each++) {
        if (each->state == LEDGER_ISSUED &&
            strcmp(each->certificate.name, name) == 0) {
            each->state = LEDGER_SUPERSEDED;
        }
    }
}

enum err authority_issue(struct authority *authority,
                         const struct authority_request *request,
                         const struct identity **out,
                         struct err_detail *why)
{
    struct certificate certificate;
    enum err err = describe(&certificate, authority, request, why);
    if (err) {
        return err;
    }
    const struct ledger_entry *issued =
        ledger_find_issued(&authority->ledger, request->name);
    if (issued && issued->certificate.not_after > now_seconds(authority)) {
        err_explain(why,
                    "`%s` has a certificate that is valid, serial %" PRIu64
                    ": renew it (`troupe key renew %s`), or revoke it first",
                    request->name, issued->certificate.serial, request->name);
        return ERR_EXISTS;
    }
    err = sign(authority, &certificate, out, why);
    if (!err) {
        supersede(&authority->ledger, certificate.name);
    }
    return err;
}

enum err authority_renew(struct authority *authority,
                         const char *name,
                         int64_t valid_seconds,
                         const struct identity **out,
                         struct err_detail *why)
{
    const struct ledger_entry *issued =
        ledger_find_issued(&authority->ledger, name);
    if (!issued) {
        err_explain(why,
                    "`%s` has no certificate that could be renewed: issue one "
                    "(`troupe key issue %s --role ...`)",
                    name, name);
        return ERR_NOT_FOUND;
    }
    struct certificate older = issued->certificate;
    struct certificate certificate;
    struct authority_request request = {.name = older.name,
                                        .role = older.role,
                                        .pools = older.pools,
                                        .valid_seconds = valid_seconds};
    if (valid_seconds == 0) {
        request.valid_seconds =
            older.not_after - older.not_before - AUTHORITY_BACKDATE_SECONDS;
    }
    enum err err = describe(&certificate, authority, &request, why);
    if (!err) {
        err = sign(authority, &certificate, out, why);
    }
    if (!err) {
        supersede(&authority->ledger, certificate.name);
    }
    return err;
}

enum err authority_revoke(struct authority *authority,
                          uint64_t serial,
                          struct err_detail *why)
{
    struct ledger_entry *entry = ledger_find(&authority->ledger, serial);
    if (!entry) {
        err_explain(why, "serial %" PRIu64 " was never issued", serial);
        return ERR_NOT_FOUND;
    }
    if (entry->state == LEDGER_REVOKED) {
        err_explain(why, "serial %" PRIu64 " is revoked already", serial);
        return ERR_REVOKED;
    }
    entry->state = LEDGER_REVOKED;
    authority->trust_has_changed = true;
    return ERR_NONE;
}

uint32_t authority_count_signed(const struct ledger *ledger,
                                const uint8_t key[static 32],
                                enum ledger_state state,
                                int64_t now)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < ledger->entry_count; i++) {
        const struct ledger_entry *entry = &ledger->entries[i];
        count += entry->state == state && entry->certificate.not_after > now &&
                 memcmp(entry->authority, key, 32) == 0;
    }
    return count;
}

static void enter(struct authority *authority,
                  const struct ledger_authority *which,
                  enum ledger_authority_state state)
{
    struct ledger *ledger = &authority->ledger;
    struct ledger_authority *each =
        &ledger->authorities[which - ledger->authorities];
    each->state = state;
    each->since = now_seconds(authority);
}

enum err authority_stage(struct authority *authority, struct err_detail *why)
{
    if (find_state(authority, LEDGER_AUTHORITY_STAGED)) {
        err_explain(why, "a new key is staged already: activate it");
        return ERR_INVALID;
    }
    if (find_state(authority, LEDGER_AUTHORITY_RETIRING)) {
        err_explain(why, "the rotation before is not finished: retire the "
                         "old key first");
        return ERR_INVALID;
    }
    add_to_ledger(authority, add_key(authority), LEDGER_AUTHORITY_STAGED);
    authority->trust_has_changed = true;
    return ERR_NONE;
}

enum err authority_activate(struct authority *authority, struct err_detail *why)
{
    const struct ledger_authority *staged =
        find_state(authority, LEDGER_AUTHORITY_STAGED);
    if (!staged) {
        err_explain(why, "no new key is staged: stage one first");
        return ERR_INVALID;
    }
    if (!find_key(authority, staged->key)) {
        err_explain(why, "the staged key is not in authority.key: put the "
                         "newest copy of it back");
        return ERR_INVALID;
    }
    enter(authority, find_state(authority, LEDGER_AUTHORITY_ACTIVE),
          LEDGER_AUTHORITY_RETIRING);
    enter(authority, staged, LEDGER_AUTHORITY_ACTIVE);
    return ERR_NONE;
}

/* Forget a key that is held. */
static void drop_key(struct authority *authority, const uint8_t *public)
{
    struct authority_key *key = find_key(authority, public);
    if (key) {
        struct authority_key *last = &authority->keys[authority->key_count - 1];
        *key = *last;
        sodium_memzero(last, sizeof *last);
        authority->key_count--;
        authority->has_old_key = true;
    }
}

enum err authority_retire(struct authority *authority,
                          bool force,
                          struct err_detail *why)
{
    struct ledger *ledger = &authority->ledger;
    const struct ledger_authority *retiring =
        find_state(authority, LEDGER_AUTHORITY_RETIRING);
    if (!retiring) {
        err_explain(why, "no old key is retiring: %s first",
                    find_state(authority, LEDGER_AUTHORITY_STAGED)
                        ? "activate the new one"
                        : "stage and activate a new one");
        return ERR_INVALID;
    }
    uint32_t count = authority_count_signed(
        ledger, retiring->key, LEDGER_ISSUED, now_seconds(authority));
    if (count > 0 && !force) {
        err_explain(why,
                    "%u certificates in use are signed by the old key: renew "
                    "them (`troupe key renew --all`), copy them to their "
                    "hosts, then retire",
                    count);
        return ERR_IN_USE;
    }
    drop_key(authority, retiring->key);
    uint32_t index = (uint32_t)(retiring - ledger->authorities);
    ledger->authority_count--;
    for (uint32_t i = index; i < ledger->authority_count; i++) {
        ledger->authorities[i] = ledger->authorities[i + 1];
    }
    authority->trust_has_changed = true;
    return ERR_NONE;
}

static enum err write_keys(const struct authority *authority,
                           const char *folder,
                           struct changes *changes,
                           struct err_detail *why)
{
    struct path path;
    enum err err = path_make(&path, "%s/authority.key", folder);
    if (err) {
        return err;
    }
    uint8_t text[KEY_FILE_BYTES_MAX];
    uint8_t block[KEY_BLOCK_BYTES] = {KEY_VERSION};
    struct writer writer = writer_of(text, sizeof text);
    memcpy(block + 1, authority->ledger.cluster_id, CLUSTER_ID_BYTES);
    for (uint32_t i = 0; i < authority->key_count; i++) {
        memcpy(block + 1 + CLUSTER_ID_BYTES, authority->keys[i].secret, 64);
        armor_write(&writer, ARMOR_AUTHORITY_KEY,
                    bytes_of(block, sizeof block));
    }
    assert(!writer.failed);
    err = changes_write_file(changes, path.text, FILE_SECRET,
                             writer_bytes(&writer), why);
    sodium_memzero(block, sizeof block);
    sodium_memzero(text, sizeof text);
    return err;
}

/* Write `text` to folder/name unless `*known` says that it is there; takes
 * `text`. */
static enum err write_text(char **known,
                           char *text,
                           const struct path *path,
                           struct changes *changes,
                           struct err_detail *why)
{
    enum err err = ERR_NONE;
    if (!*known || strcmp(*known, text) != 0) {
        err = changes_write_file(changes, path->text, FILE_PUBLIC,
                                 bytes_of_text(text), why);
    }
    free(*known);
    *known = text;
    return err;
}

static enum err write_ledger(struct authority *authority,
                             const char *folder,
                             struct changes *changes,
                             struct err_detail *why)
{
    struct path path;
    char *text = NULL;
    enum err err = path_make(&path, "%s/ledger", folder);
    if (!err) {
        err = ledger_encode(&text, &authority->ledger);
    }
    return err ? err
               : write_text(&authority->ledger_text, text, &path, changes, why);
}

/* Trust is signed by the active key and, while it is trusted, the old one,
 * so that hosts which missed a version still take the next. */
enum err authority_encode_trust(char **out, const struct authority *authority)
{
    struct trust_facts facts;
    uint64_t *revoked = NULL;
    const uint8_t *signers[TRUST_AUTHORITY_COUNT_MAX];
    uint32_t signer_count = 0;
    const struct ledger *ledger = &authority->ledger;
    for (uint32_t i = 0; i < ledger->authority_count; i++) {
        const struct ledger_authority *each = &ledger->authorities[i];
        struct authority_key *key = find_key(authority, each->key);
        if (key && each->state != LEDGER_AUTHORITY_STAGED) {
            signers[signer_count] = key->secret;
            signer_count++;
        }
    }
    enum err err = ledger_trust_facts(&facts, &revoked, ledger);
    if (!err) {
        err = trust_encode(out, &facts, signers, signer_count);
    }
    free(revoked);
    return err;
}

static enum err write_trust(struct authority *authority,
                            const char *folder,
                            struct changes *changes,
                            struct err_detail *why)
{
    struct path path;
    char *text = NULL;
    enum err err = path_make(&path, "%s/trust", folder);
    if (!err) {
        err = authority_encode_trust(&text, authority);
    }
    return err ? err
               : write_text(&authority->trust_text, text, &path, changes, why);
}

enum err authority_save(struct authority *authority,
                        const char *folder,
                        struct changes *changes,
                        struct err_detail *why)
{
    assert(authority->keys);
    if (authority->trust_has_changed) {
        authority->ledger.trust_version++;
        authority->trust_has_changed = false;
    }
    /* A key before it is named; and deleted only when it is not any more. */
    enum err err = ERR_NONE;
    if (authority->has_new_key) {
        err = write_keys(authority, folder, changes, why);
    }
    if (!err) {
        err = write_ledger(authority, folder, changes, why);
    }
    if (!err) {
        err = write_trust(authority, folder, changes, why);
    }
    if (!err && authority->has_old_key) {
        err = write_keys(authority, folder, changes, why);
    }
    authority->has_new_key = false;
    authority->has_old_key = false;
    return err;
}
