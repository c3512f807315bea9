/*
 * The settings of `cluster` as all have agreed on them: keys and values in the
 * form of settings_cluster_values(), with the version of the view since which
 * they are so.
 *
 * Plain data; pure.
 */

#ifndef SHARD_VIEW_SETTINGS_H
#define SHARD_VIEW_SETTINGS_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/pack.h"
#include "config/settings.h"

#include <stdint.h>

#define VIEW_SETTINGS_MAX 64 /* a newer release may have more than we */
#define VIEW_SETTING_KEY_BYTES 96
#define VIEW_SETTING_VALUE_BYTES 256

struct view_setting {
    char key[VIEW_SETTING_KEY_BYTES];
    char value[VIEW_SETTING_VALUE_BYTES];
};

struct view_settings {
    uint64_t version; /* 0: nothing is founded yet */
    uint32_t count;
    struct view_setting *list; /* NULL: none */
};

/* All values of `cluster`, into `out` that holds nothing. ERR_MEMORY */
FALLIBLE view_settings_make(struct view_settings *out,
                            const struct settings *from);
void view_settings_clear(struct view_settings *settings);
/* ERR_MEMORY */
FALLIBLE view_settings_copy(struct view_settings *out,
                            const struct view_settings *from);

/* Add or replace one; both texts are copied. ERR_FULL, ERR_TOO_LARGE,
 * ERR_MEMORY */
FALLIBLE view_settings_set(struct view_settings *settings,
                           const char *key,
                           const char *value);

/* NULL: there is no such key. Valid until the next change. */
const char *view_settings_find(const struct view_settings *settings,
                               const char *key);

/* Call `on_waiting` (may be NULL) for each key that counts when a node starts
 * next, with the value in use and the agreed one, which differs. Returns how
 * many there are. */
uint32_t view_settings_waiting(const struct view_settings *agreed,
                               const struct settings *in_use,
                               settings_on_difference *on_waiting,
                               void *context);

/* Whether they can be those of a view with that many shards; sets the
 * replication that they call for. ERR_INVALID */
FALLIBLE view_settings_check(const struct view_settings *settings,
                             uint32_t shard_count,
                             uint32_t *replication,
                             struct err_detail *why);

/* [version, {key: value, ...}, ...] */
size_t view_settings_bytes_max(const struct view_settings *settings);
void view_settings_encode(const struct view_settings *settings,
                          struct writer *writer);

/* Into `out` that holds nothing. What is wrong with the bytes makes the reader
 * fail, too. ERR_MALFORMED, ERR_MEMORY */
FALLIBLE view_settings_decode(struct view_settings *out, struct reader *reader);

#endif
