/*
 * A simulated key-value store: the table of store/kv.h in memory.
 *
 * Batches are atomic. A crash loses any suffix of those that were not synced.
 * It outlives its user's crashes, as a disk does. One thread.
 */

#ifndef TESTS_SIM_SIM_KV_H
#define TESTS_SIM_SIM_KV_H

#include "base/env.h"
#include "store/kv.h"

#include <stddef.h>

struct sim_kv;

/* NULL when memory is out. */
struct sim_kv *sim_kv_open(void);
void sim_kv_close(struct sim_kv **kv);

/* Lives as long as `kv`. */
const struct kv *sim_kv_table(const struct sim_kv *kv);

/* The power goes: lose a suffix of the unsynced batches, of a length that
 * `entropy` decides. How many batches are lost. */
size_t sim_kv_crash(struct sim_kv *kv, const struct entropy *entropy);

/* From now on get() and scan() find damage, until sim_kv_wipe(). */
void sim_kv_damage(struct sim_kv *kv);

/* Lose all rows, and what damage there is: the folder was deleted. */
void sim_kv_wipe(struct sim_kv *kv);

/*
 * From now on fail: with ERR_NO_SPACE write() and sync(), with ERR_IO all.
 * ERR_NONE ends it. Nothing is written by what fails.
 */
void sim_kv_fail(struct sim_kv *kv, enum err err);

/* Batches that a crash may lose. */
size_t sim_kv_unsynced_count(const struct sim_kv *kv);

#endif
