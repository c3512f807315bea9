/*
 * What a node keeps on its disk: the data folder and its lock, the durable
 * log's files, the applied state, and the threads that write both.
 *
 * Opened before the groups (cluster/multiraft.h) and closed after them. Owned
 * by the thread that opens it.
 */

#ifndef NODE_STORAGE_H
#define NODE_STORAGE_H

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"
#include "cluster/multiraft.h"
#include "config/certificate.h"

struct storage;

/* Room for a segment of the log, and for the applied state to be written out
 * and merged, when nothing more is taken in. */
#define STORAGE_FREE_BYTES_MIN (UINT64_C(256) << 20)

struct storage_config {
    const struct entropy *entropy; /* chooses the disk id */
    const char *data_dir;          /* see store/data_folder.h */
    const char *node;
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint64_t free_bytes_min; /* of the disk; 0: STORAGE_FREE_BYTES_MIN */
    struct log *log;
};

/*
 * Take the node's folder and open what is in it. All rows of the applied state
 * are read: if one is damaged, or what was synced is gone, the applied state
 * is moved to "state.damaged", and begins anew, empty; the groups build it up
 * from the log and from their peers. The log says so. Blocks.
 *
 * what data_folder_open(), posix_disk_open() and rocks_kv_open() say, but
 * ERR_MALFORMED of the applied state
 */
FALLIBLE storage_open(struct storage **out,
                      const struct storage_config *config,
                      struct err_detail *why);

/* Set what multiraft_open() needs to know of the disk; it borrows it. */
void storage_fill(const struct storage *storage,
                  struct multiraft_config *config);

/*
 * Remember, durably, that there is a log: after multiraft_open() and before
 * anything is appended, which is before multiraft_start().
 *
 * what data_folder_log_made() says
 */
FALLIBLE storage_made(struct storage *storage, struct err_detail *why);

/* Let the log say what was found damaged: after multiraft_start(). */
void storage_tell(const struct storage *storage,
                  const struct wal_report *report);

/*
 * Gives the folder back. The groups must be closed, and before that have
 * nothing with the threads: turn their reactor until multiraft_is_idle(), also
 * when it was so before the reactor's last turn, which may give them work.
 * That reactor must still be there: a thread may be about to leave
 * reactor_post().
 */
void storage_close(struct storage **storage);

#endif
