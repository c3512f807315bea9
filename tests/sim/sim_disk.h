/*
 * A disk in memory that may lose what was not synced.
 *
 * At a crash each sector of 512 bytes that was written since the file's last
 * sync is there or is not, by the seed; so is each name made or removed since
 * the last sync of the folder, and a length that has changed. Operations are
 * counted, so that a test can cut the power at each of them.
 */

#ifndef TESTS_SIM_SIM_DISK_H
#define TESTS_SIM_SIM_DISK_H

#include "store/disk.h"

#include <stdbool.h>
#include <stdint.h>

#define SIM_DISK_SECTOR_BYTES 512

struct sim_disk;

/* Empty, 1 GiB, powered. NULL: out of memory. */
struct sim_disk *sim_disk_open(uint64_t seed);

/* Files that are open may be closed later. */
void sim_disk_close(struct sim_disk **disk);

/* Valid until sim_disk_close(). */
const struct disk *sim_disk_table(struct sim_disk *disk);

/*
 * The power goes and comes back: what is not durable may be lost. Files that
 * were open give ERR_IO from now on and are still to be closed. A cut, full
 * disk or failing sync that was asked for is no more.
 */
void sim_disk_crash(struct sim_disk *disk);

/* The program alone is killed: nothing is lost, as the system lives on. Open
 * files as with sim_disk_crash(). */
void sim_disk_kill(struct sim_disk *disk);

/* Cut the power in the middle of the `count`-th operation from now (from 1)
 * that changes or syncs something: it may have happened in part, it fails,
 * and so does every one after it until sim_disk_crash(). */
void sim_disk_cut_after(struct sim_disk *disk, uint64_t count);
bool sim_disk_is_cut(const struct sim_disk *disk);

/* Operations so far that change or sync something. */
uint64_t sim_disk_operations(const struct sim_disk *disk);

/* Room for that many bytes more, then ERR_NO_SPACE. */
void sim_disk_fill(struct sim_disk *disk, uint64_t free_bytes);

/* The next sync of a file or the folder, or the next write, fails. What is
 * durable of it then, a crash decides. */
void sim_disk_fail_next_sync(struct sim_disk *disk);
void sim_disk_fail_next_write(struct sim_disk *disk);

/* Syncs do nothing and say that they did: for controls of tests. */
void sim_disk_ignore_syncs(struct sim_disk *disk);

/* Flip one bit of a byte, also of what is durable. False: no such byte. */
bool sim_disk_flip(struct sim_disk *disk, const char *name, uint64_t at);

/* Remove a file, or cut off its end, durably. False: no such file. */
bool sim_disk_delete(struct sim_disk *disk, const char *name);
bool sim_disk_shorten(struct sim_disk *disk, const char *name, uint64_t size);

/* Remove all files, durably: another disk. */
void sim_disk_wipe(struct sim_disk *disk);

/* The file's bytes, borrowed until the next operation; {NULL, 0}: none. */
struct bytes sim_disk_content(const struct sim_disk *disk, const char *name);

#endif
