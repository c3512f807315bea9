/*
 * RocksDB's write-ahead log is off. When one of its files is cut short or gone,
 * recovery may join what does not belong together (facebook/rocksdb#7701 and
 * #13226), and one flipped bit drops all that follows it, without a word.
 * Without it the database is what its manifest says, in sorted files with
 * checksums, which are written out in the order of the writes: whole batches,
 * a prefix of them all.
 *
 * A manifest that is cut short gives an older prefix. So sync() puts a row
 * with a number that rises, waits until all is written out, and notes the
 * number in the file SYNCED beside RocksDB's. Opening compares the two.
 */

#include "store/rocks_kv.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rocksdb/c.h>

#include "base/log.h"
#include "base/posix/posix_files.h"
#include "base/posix/posix_folder.h"
#include "base/scope.h"
#include "store/rocks_err.h"

#define CACHE_BYTES_DEFAULT ((size_t)32 << 20)
#define WRITE_BUFFER_BYTES_DEFAULT ((size_t)8 << 20)
#define OPEN_FILE_COUNT_DEFAULT 256
#define INFO_LOG_COUNT_MAX 1
#define BACKGROUND_JOB_COUNT_MAX 2
#define BLOOM_BITS_PER_KEY 10
#define PATH_BYTES_MAX 4096
#define SILENT_LEVEL 6 /* above all that RocksDB's info log knows */

/* The file SYNCED: its format's name and version, the number of the last
 * sync(), and that number's complement against damage. */
#define NOTE_NAME "SYNCED"
#define NOTE_MAGIC "TRPSYNC1"
#define NOTE_MAGIC_BYTES 8
#define NOTE_BYTES (NOTE_MAGIC_BYTES + 8 + 8)

/* The row with the number of the last sync(), behind all others. */
static const uint8_t number_key[KV_OWN_BYTES] = {0xff, 0xff, 0xff, 0xff};

struct rocks_kv {
    /* Set once by rocks_kv_open(). */
    struct kv table;
    struct log *log;
    rocksdb_t *db;
    rocksdb_readoptions_t *reading;
    rocksdb_writeoptions_t *writing;
    rocksdb_flushoptions_t *flushing;
    char note_path[PATH_BYTES_MAX + sizeof "/" NOTE_NAME];

    uint64_t sync_number; /* of the last sync() that was noted */
    bool is_dirty;        /* written to since then */
};

static void free_options(rocksdb_options_t **options)
{
    if (*options) {
        rocksdb_options_destroy(*options);
        *options = NULL;
    }
}

static void free_batch(rocksdb_writebatch_t **batch)
{
    if (*batch) {
        rocksdb_writebatch_destroy(*batch);
        *batch = NULL;
    }
}

static void free_reading(rocksdb_readoptions_t **reading)
{
    if (*reading) {
        rocksdb_readoptions_destroy(*reading);
        *reading = NULL;
    }
}

static void free_iterator(rocksdb_iterator_t **iterator)
{
    if (*iterator) {
        rocksdb_iter_destroy(*iterator);
        *iterator = NULL;
    }
}

static void free_slice(rocksdb_pinnableslice_t **slice)
{
    if (*slice) {
        rocksdb_pinnableslice_destroy(*slice);
        *slice = NULL;
    }
}

static void free_message(char **message)
{
    if (*message) {
        rocksdb_free(*message);
        *message = NULL;
    }
}

/* RocksDB copies from here even when there is nothing to copy. */
static const char *text_of(struct bytes bytes)
{
    return bytes.length > 0 ? (const char *)bytes.data : "";
}

static bool is_own(struct bytes key)
{
    return bytes_compare(key, bytes_of(number_key, sizeof number_key)) >= 0;
}

static bool is_key(struct bytes key)
{
    return key.length > 0 && key.length <= KV_KEY_BYTES_MAX && !is_own(key);
}

static enum err failed(const struct rocks_kv *kv,
                       const char *what,
                       const char *message)
{
    enum err err = err_from_rocksdb(message);
    if (err) {
        log_warn(kv->log, "applied_state.failed", LOG_TEXT("while", what),
                 LOG_ERR(err), LOG_TEXT("said", message));
    }
    return err;
}

static enum err write_note(struct rocks_kv *kv, uint64_t number)
{
    uint8_t note[NOTE_BYTES];
    struct writer writer = writer_of(note, sizeof note);
    write_bytes(&writer, NOTE_MAGIC, NOTE_MAGIC_BYTES);
    write_u64(&writer, number);
    write_u64(&writer, ~number);
    assert(!writer.failed);
    const struct files *files = posix_files();
    enum err err = files->write(files->context, kv->note_path, FILE_SECRET,
                                true, writer_bytes(&writer));
    if (err) {
        return err;
    }
    kv->sync_number = number;
    return ERR_NONE;
}

static void free_bytes(uint8_t **bytes)
{
    free(*bytes);
    *bytes = NULL;
}

static enum err read_note(struct rocks_kv *kv)
{
    scoped(free_bytes) uint8_t *note = NULL;
    size_t length = 0;
    const struct files *files = posix_files();
    enum err err = files->read(files->context, kv->note_path, FILE_PUBLIC,
                               NOTE_BYTES, &note, &length);
    if (err) {
        return err == ERR_NOT_FOUND || err == ERR_TOO_LARGE ? ERR_MALFORMED
                                                            : err;
    }
    struct reader reader = reader_of(bytes_of(note, length));
    struct bytes magic = read_bytes(&reader, NOTE_MAGIC_BYTES);
    uint64_t number = read_u64(&reader);
    uint64_t complement = read_u64(&reader);
    if (reader.failed || reader_left(&reader) > 0 ||
        !bytes_are_equal(magic, bytes_of(NOTE_MAGIC, NOTE_MAGIC_BYTES)) ||
        complement != ~number) {
        return ERR_MALFORMED;
    }
    kv->sync_number = number;
    return ERR_NONE;
}

/* The end of a range that leaves our own row out. */
static struct bytes end_before_own(struct bytes end)
{
    return end.length == 0 || is_own(end)
               ? bytes_of(number_key, sizeof number_key)
               : end;
}

static void delete_range(rocksdb_writebatch_t *batch,
                         struct bytes from,
                         struct bytes given_end)
{
    assert(given_end.length > 0 && given_end.length <= KV_KEY_BYTES_MAX);
    struct bytes end = end_before_own(given_end);
    if (bytes_compare(from, end) < 0) { /* else RocksDB refuses it */
        rocksdb_writebatch_delete_range(batch, text_of(from), from.length,
                                        text_of(end), end.length);
    }
}

static void add_change(rocksdb_writebatch_t *batch,
                       const struct kv_change *change)
{
    assert(is_key(change->key));
    switch (change->kind) {
    case KV_PUT:
        rocksdb_writebatch_put(batch, text_of(change->key), change->key.length,
                               text_of(change->value), change->value.length);
        break;
    case KV_DELETE:
        rocksdb_writebatch_delete(batch, text_of(change->key),
                                  change->key.length);
        break;
    case KV_DELETE_RANGE:
        delete_range(batch, change->key, change->value);
        break;
    }
}

static enum err rocks_write(void *context,
                            const struct kv_change *changes,
                            size_t count)
{
    struct rocks_kv *kv = context;
    scoped(free_batch) rocksdb_writebatch_t *batch =
        rocksdb_writebatch_create();
    for (size_t i = 0; i < count; i++) {
        add_change(batch, &changes[i]);
    }
    kv->is_dirty = true;
    scoped(free_message) char *message = NULL;
    rocksdb_write(kv->db, kv->writing, batch, &message);
    return failed(kv, "writing", message);
}

static enum err read_row(const struct rocks_kv *kv,
                         struct bytes key,
                         uint8_t **out,
                         size_t *out_length)
{
    scoped(free_message) char *message = NULL;
    scoped(free_slice) rocksdb_pinnableslice_t *slice = rocksdb_get_pinned(
        kv->db, kv->reading, text_of(key), key.length, &message);
    if (message) {
        return failed(kv, "reading", message);
    }
    if (!slice) {
        return ERR_NOT_FOUND;
    }
    size_t length = 0;
    const char *value = rocksdb_pinnableslice_value(slice, &length);
    uint8_t *copy = malloc(length + 1);
    if (!copy) {
        return ERR_MEMORY;
    }
    memcpy(copy, value, length);
    *out = copy;
    *out_length = length;
    return ERR_NONE;
}

static enum err rocks_get(void *context,
                          struct bytes key,
                          uint8_t **out,
                          size_t *out_length)
{
    assert(is_key(key));
    return read_row(context, key, out, out_length);
}

static enum err rocks_scan(void *context,
                           struct bytes from,
                           struct bytes given_end,
                           bool (*visit)(void *visitor,
                                         struct bytes key,
                                         struct bytes value),
                           void *visitor)
{
    const struct rocks_kv *kv = context;
    struct bytes end = end_before_own(given_end);
    if (bytes_compare(from, end) >= 0) {
        return ERR_NONE;
    }
    scoped(free_reading) rocksdb_readoptions_t *reading =
        rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(reading, 1);
    rocksdb_readoptions_set_iterate_upper_bound(reading, text_of(end),
                                                end.length);
    scoped(free_iterator) rocksdb_iterator_t *iterator =
        rocksdb_create_iterator(kv->db, reading);
    rocksdb_iter_seek(iterator, text_of(from), from.length);
    while (rocksdb_iter_valid(iterator)) {
        size_t key_length = 0;
        size_t value_length = 0;
        const char *key = rocksdb_iter_key(iterator, &key_length);
        const char *value = rocksdb_iter_value(iterator, &value_length);
        if (!visit(visitor, bytes_of(key, key_length),
                   bytes_of(value, value_length))) {
            return ERR_NONE;
        }
        rocksdb_iter_next(iterator);
    }
    scoped(free_message) char *message = NULL;
    rocksdb_iter_get_error(iterator, &message);
    return failed(kv, "scanning", message);
}

static enum err put_number(struct rocks_kv *kv, uint64_t number)
{
    uint8_t value[8];
    put_u64(value, number);
    scoped(free_message) char *message = NULL;
    rocksdb_put(kv->db, kv->writing, (const char *)number_key,
                sizeof number_key, (const char *)value, sizeof value, &message);
    return failed(kv, "writing", message);
}

static enum err get_number(const struct rocks_kv *kv, uint64_t *out)
{
    scoped(free_bytes) uint8_t *value = NULL;
    size_t length = 0;
    enum err err =
        read_row(kv, bytes_of(number_key, sizeof number_key), &value, &length);
    if (err) {
        return err == ERR_NOT_FOUND ? ERR_MALFORMED : err;
    }
    if (length != 8) {
        return ERR_MALFORMED;
    }
    *out = get_u64(value);
    return ERR_NONE;
}

/* Write out all, under a number, and note that number. */
static enum err write_out(struct rocks_kv *kv, uint64_t number)
{
    enum err err = put_number(kv, number);
    if (err) {
        return err;
    }
    scoped(free_message) char *message = NULL;
    rocksdb_flush(kv->db, kv->flushing, &message);
    if (message) {
        return failed(kv, "syncing", message);
    }
    return write_note(kv, number);
}

static enum err rocks_sync(void *context)
{
    struct rocks_kv *kv = context;
    if (!kv->is_dirty) {
        return ERR_NONE;
    }
    enum err err = write_out(kv, kv->sync_number + 1);
    if (err) {
        return err;
    }
    kv->is_dirty = false;
    return ERR_NONE;
}

static void set_tables(rocksdb_options_t *options,
                       const struct rocks_kv_config *config)
{
    rocksdb_block_based_table_options_t *tables =
        rocksdb_block_based_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru(
        config->cache_bytes ? config->cache_bytes : CACHE_BYTES_DEFAULT);
    rocksdb_block_based_options_set_block_cache(tables, cache);
    /* Else they are held beside the cache, without a limit. */
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(tables, 1);
    rocksdb_block_based_options_set_filter_policy(
        tables, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS_PER_KEY));
    rocksdb_options_set_block_based_table_factory(options, tables);
    rocksdb_block_based_options_destroy(tables);
    rocksdb_cache_destroy(cache); /* the database shares it */
}

static void set_limits(rocksdb_options_t *options,
                       const struct rocks_kv_config *config)
{
    rocksdb_options_set_write_buffer_size(
        options, config->write_buffer_bytes ? config->write_buffer_bytes
                                            : WRITE_BUFFER_BYTES_DEFAULT);
    rocksdb_options_set_max_write_buffer_number(options, 2);
    /* One thread writes; with more, each core would hold a part of its own. */
    rocksdb_options_set_allow_concurrent_memtable_write(options, 0);
    rocksdb_options_set_max_open_files(
        options, config->open_file_count_max ? (int)config->open_file_count_max
                                             : OPEN_FILE_COUNT_DEFAULT);
    rocksdb_options_set_max_file_opening_threads(options, 1);
    rocksdb_options_set_max_background_jobs(options, BACKGROUND_JOB_COUNT_MAX);
    rocksdb_options_set_keep_log_file_num(options, INFO_LOG_COUNT_MAX);
    /* On a full disk Debian's 7.8 fails an assertion when it writes there
     * again: facebook/rocksdb#12448 has the like. */
    rocksdb_options_set_info_log_level(options, SILENT_LEVEL);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_stats_persist_period_sec(options, 0);
}

static rocksdb_options_t *make_options(const struct rocks_kv_config *config,
                                       bool is_new)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, is_new);
    rocksdb_options_set_error_if_exists(options, is_new);
    rocksdb_options_set_paranoid_checks(options, 1);
    /* There is nothing in its log. */
    rocksdb_options_set_wal_recovery_mode(
        options, rocksdb_absolute_consistency_recovery);
    set_limits(options, config);
    set_tables(options, config);
    return options;
}

static void count_entry(void *visitor, const char *name)
{
    (void)name;
    size_t *count = visitor;
    (*count)++;
}

/* Whether the folder holds nothing yet; it is made when it is missing. */
static enum err look_at_folder(const char *folder, bool *out_is_new)
{
    size_t entry_count = 0;
    const struct files *files = posix_files();
    enum err err =
        files->list(files->context, folder, count_entry, &entry_count);
    if (err == ERR_NOT_FOUND) {
        err = files->make_folder(files->context, folder, FILE_SECRET);
    }
    if (err) {
        return err;
    }
    *out_is_new = entry_count == 0;
    return ERR_NONE;
}

/* RocksDB makes a new database where CURRENT is missing, whatever else lies
 * there: so it may make one in an empty folder only. */
static enum err open_database(struct rocks_kv *kv,
                              const struct rocks_kv_config *config,
                              bool is_new,
                              struct err_detail *why)
{
    scoped(free_options) rocksdb_options_t *options =
        make_options(config, is_new);
    scoped(free_message) char *message = NULL;
    kv->db = rocksdb_open(options, config->folder, &message);
    if (message) {
        assert(!kv->db);
        err_explain(why, "%s: %s", config->folder, message);
        return err_from_rocksdb(message);
    }
    return ERR_NONE;
}

/* Compare what is there with what was noted to be there. */
static enum err check_number(struct rocks_kv *kv, struct err_detail *why)
{
    uint64_t number = 0;
    enum err err = read_note(kv);
    if (err) {
        err_explain(why, "%s: %s", kv->note_path, err_text(err));
        return err;
    }
    err = get_number(kv, &number);
    if (err) {
        err_explain(why, "%s: the row with the number of the last sync: %s",
                    kv->note_path, err_text(err));
        return err;
    }
    if (number < kv->sync_number) {
        err_explain(why,
                    "%s: synced %" PRIu64 " times, and what the last %" PRIu64
                    " have written is gone",
                    kv->note_path, kv->sync_number, kv->sync_number - number);
        return ERR_MALFORMED;
    }
    kv->sync_number = number; /* the note may have been written too late */
    kv->is_dirty = true;      /* more may be there than was there then */
    return ERR_NONE;
}

static void set_table(struct rocks_kv *kv)
{
    kv->table = (struct kv){
        .context = kv,
        .write = rocks_write,
        .get = rocks_get,
        .scan = rocks_scan,
        .sync = rocks_sync,
    };
    kv->reading = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(kv->reading, 1);
    kv->writing = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(kv->writing, 1);
    kv->flushing = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(kv->flushing, 1);
}

static enum err refuse_write(void *context,
                             const struct kv_change *changes,
                             size_t count)
{
    (void)context;
    (void)changes;
    (void)count;
    return ERR_ACCESS;
}

static enum err refuse_sync(void *context)
{
    (void)context;
    return ERR_ACCESS;
}

/* All but the database. */
static enum err make(struct rocks_kv **out,
                     const struct rocks_kv_config *config,
                     struct err_detail *why)
{
    assert(config->folder && config->folder[0]);
    if (strlen(config->folder) > PATH_BYTES_MAX) {
        err_explain(why, "the path is longer than %d bytes", PATH_BYTES_MAX);
        return ERR_TOO_LARGE;
    }
    struct rocks_kv *kv = calloc(1, sizeof *kv);
    if (!kv) {
        return ERR_MEMORY;
    }
    kv->log = config->log;
    (void)snprintf(kv->note_path, sizeof kv->note_path, "%s/" NOTE_NAME,
                   config->folder);
    set_table(kv);
    *out = kv;
    return ERR_NONE;
}

enum err rocks_kv_open(struct rocks_kv **out,
                       const struct rocks_kv_config *config,
                       struct err_detail *why)
{
    scoped(rocks_kv_close) struct rocks_kv *kv = NULL;
    bool is_new = false;
    enum err err = make(&kv, config, why);
    if (err) {
        return err;
    }
    err = look_at_folder(config->folder, &is_new);
    if (err) {
        err_explain(why, "%s: %s", config->folder, err_text(err));
        return err;
    }
    err = open_database(kv, config, is_new, why);
    if (!err) {
        err = is_new ? write_out(kv, 1) : check_number(kv, why);
    }
    if (err) {
        return err;
    }
    *out = kv;
    kv = NULL;
    return ERR_NONE;
}

static enum err open_database_for_reading(struct rocks_kv *kv,
                                          const struct rocks_kv_config *config,
                                          struct err_detail *why)
{
    scoped(free_options) rocksdb_options_t *options =
        make_options(config, false);
    scoped(free_message) char *message = NULL;
    kv->db =
        rocksdb_open_for_read_only(options, config->folder, false, &message);
    if (message) {
        assert(!kv->db);
        err_explain(why, "%s: %s", config->folder, message);
        return err_from_rocksdb(message);
    }
    return ERR_NONE;
}

enum err rocks_kv_open_for_reading(struct rocks_kv **out,
                                   const struct rocks_kv_config *config,
                                   struct err_detail *why)
{
    scoped(rocks_kv_close) struct rocks_kv *kv = NULL;
    enum err err = make(&kv, config, why);
    if (err) {
        return err;
    }
    kv->table.write = refuse_write;
    kv->table.sync = refuse_sync;
    size_t entry_count = 0;
    const struct files *files = posix_files();
    err =
        files->list(files->context, config->folder, count_entry, &entry_count);
    if (!err && entry_count == 0) {
        err = ERR_NOT_FOUND;
    }
    if (err) {
        err_explain(why, "%s: %s", config->folder, err_text(err));
        return err;
    }
    err = open_database_for_reading(kv, config, why);
    if (!err) {
        err = check_number(kv, why);
    }
    if (err) {
        return err;
    }
    *out = kv;
    kv = NULL;
    return ERR_NONE;
}

/* The folder's content is worth nothing but to whoever looks for the cause:
 * one such is kept. */
static enum err move_aside(const char *folder, struct err_detail *why)
{
    char aside[PATH_BYTES_MAX + sizeof ".damaged"];
    int length = snprintf(aside, sizeof aside, "%s.damaged", folder);
    if (length < 0 || (size_t)length >= sizeof aside) {
        err_explain(why, "the path is longer than %d bytes", PATH_BYTES_MAX);
        return ERR_TOO_LARGE;
    }
    if (rename(folder, aside) == 0 || errno == ENOENT) {
        return ERR_NONE;
    }
    if (errno == ENOTEMPTY || errno == EEXIST) {
        enum err err = posix_folder_remove(aside);
        if (err) {
            err_explain(why, "%s: cannot be removed", aside);
            return err;
        }
        if (rename(folder, aside) == 0) {
            return ERR_NONE;
        }
    }
    int cause = errno;
    err_explain(why, "%s: cannot be moved to %s: %s", folder, aside,
                strerror(cause));
    return cause == EACCES || cause == EPERM || cause == EROFS ? ERR_ACCESS
           : cause == ENOSPC || cause == EDQUOT                ? ERR_NO_SPACE
                                                               : ERR_IO;
}

enum err rocks_kv_reset(struct rocks_kv **out,
                        const struct rocks_kv_config *config,
                        struct err_detail *why)
{
    enum err err = move_aside(config->folder, why);
    if (err) {
        return err;
    }
    return rocks_kv_open(out, config, why);
}

void rocks_kv_close(struct rocks_kv **kv)
{
    if (!*kv) {
        return;
    }
    if ((*kv)->db) {
        rocksdb_close((*kv)->db);
    }
    free_reading(&(*kv)->reading);
    if ((*kv)->writing) {
        rocksdb_writeoptions_destroy((*kv)->writing);
    }
    if ((*kv)->flushing) {
        rocksdb_flushoptions_destroy((*kv)->flushing);
    }
    free(*kv);
    *kv = NULL;
}

const struct kv *rocks_kv_table(const struct rocks_kv *kv)
{
    return &kv->table;
}
