/*
 * What runs in a shard, as one machine: its counters and its tasks.
 *
 * Whose a command, an outcome or a piece of a snapshot is says its first byte:
 * all that tasks write are MessagePack arrays, which begin with 0x90 or more;
 * counters (shard/counter_map.h) write nothing that does.
 *
 * Owned by the reactor of its group.
 */

#ifndef SHARD_SHARD_MACHINE_H
#define SHARD_SHARD_MACHINE_H

#include "base/machine.h"

struct shard_machine;

/* Both are borrowed. NULL: no memory */
struct shard_machine *shard_machine_open(const struct machine *counters,
                                         const struct machine *tasks);
void shard_machine_close(struct shard_machine **machine);
struct machine shard_machine_of(struct shard_machine *machine);

/* Whether a command is about tasks. */
bool shard_machine_is_task(struct bytes command);

/* Whether what the coordinator alone may propose may be proposed now: between
 * both calls it is the one who does. Who else proposes that hears ERR_DENIED.
 */
void shard_machine_trust(struct shard_machine *machine, bool is_coordinator);

/* What was said to the coordinator's last command; ERR_BUSY: it has not come
 * here, since a restore is under way (shard/archive.h). */
enum err shard_machine_decided(const struct shard_machine *machine);

#endif
