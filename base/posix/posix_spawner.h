/*
 * The process that runs a node's commands and the hosts of its plug-ins.
 *
 * It is a small program of its own with one thread, started by the node
 * (base/posix/posix_helper.h), and not a fork of it: exec takes nothing along
 * of the node's threads, locks and memory, so that it can be started, and
 * started again, at any time; and its children begin as copies of something
 * small.
 *
 *     node --- socket --- spawner --- pipes --- commands
 *                             \------ socket -- hosts of plug-ins
 *
 * Each command has a process group of its own, which is killed when it ends,
 * however it does. What has left its group is adopted (PR_SET_CHILD_SUBREAPER)
 * and reaped when it ends. When the node has ended (the socket says so) all are
 * killed; when the spawner is killed, the kernel kills its children.
 */

#ifndef BASE_POSIX_POSIX_SPAWNER_H
#define BASE_POSIX_POSIX_SPAWNER_H

#include <stdatomic.h>
#include <stdint.h>

struct posix_spawner_host {
    /* In a process of its own, whose end is the function's: take what the
     * spawner sends (SPAWN_PLUGIN, one at a time) from `fd`, say how it ends.
     * `*is_cancelled` turns to 1 when what runs ought to end. */
    void (*run)(int fd, const _Atomic uint32_t *is_cancelled);
};

/* Serve the node at the other end of `fd` until it has ended. Returns the
 * exit status of the process. */
int posix_spawner_run(int fd, const struct posix_spawner_host *host);

#endif
