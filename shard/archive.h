/*
 * A shard's machine with what backups need around it.
 *
 * An export is a snapshot that is read piece by piece through the group, while
 * the machine goes on. Only the leader has it: when another leads it is gone,
 * and whoever reads it begins again.
 *
 * A restore comes through the log, piece by piece, so that all replicas take
 * it alike. Until it ends the machine has the state that it had: questions are
 * answered from that, commands hear ERR_BUSY. A restore that nobody goes on
 * with is given up by the first command that comes ARCHIVE_RESTORE_IDLE_MS
 * later. While it is under way no snapshot is made, for the log tells all of it
 * again after a restart.
 *
 * Every command, question and outcome begins with one byte that says for whom
 * it is; the machine within does not see it.
 *
 * Owned by the reactor of its group.
 */

#ifndef SHARD_ARCHIVE_H
#define SHARD_ARCHIVE_H

#include "base/env.h"
#include "base/machine.h"
#include "shard/archive_wire.h"

#define ARCHIVE_RESTORE_IDLE_MS 60000

struct archive;

/* `clock` is for exports alone, which no other replica knows of. Both outlive
 * it. NULL: no memory */
struct archive *archive_open(const struct machine *inner,
                             const struct clock *clock);
void archive_close(struct archive **archive);

/*
 * Besides what machine.h says:
 *
 * ERR_BUSY   decide: a restore is under way, nothing has happened. read: a
 *            snapshot is. snapshot_begin: a restore or an export is
 */
struct machine archive_machine(struct archive *archive);

#endif
