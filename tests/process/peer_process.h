/*
 * A link_peer of a test: started, told what to do, stopped, killed.
 *
 * Its tally lies in shared memory and can be read while it lives and after.
 * What cannot be done at all (no pipe, no process) ends the test's process.
 */

#ifndef TESTS_PROCESS_PEER_PROCESS_H
#define TESTS_PROCESS_PEER_PROCESS_H

#include "tests/support/traffic.h"

#include <stdint.h>
#include <sys/types.h>

struct peer_process;

/*
 * Start `program` with "key=value" arguments, ended by NULL, and wait until
 * it says that it is ready, or not: then it has ended and this is NULL.
 */
struct peer_process *peer_process_open(const char *program,
                                       const char *const *arguments);

/* Tell it a line, wait for its "ok". False when it is no more. */
__attribute__((format(printf, 2, 3))) bool peer_process_tell(
    struct peer_process *process, const char *format, ...);

const struct traffic_tally *peer_process_tally(
    const struct peer_process *process);

/* For kill() and /proc. */
pid_t peer_process_id(const struct peer_process *process);

/* What it uses now. */
uint64_t peer_process_resident_bytes(const struct peer_process *process);
unsigned peer_process_descriptor_count(const struct peer_process *process);

/* SIGKILL; gone on return. The tally stays till peer_process_close(). */
void peer_process_kill(struct peer_process *process);

/* Let it end by itself, unless it was killed. Its exit status; -1: a signal.
 * Accepts NULL and nulls. */
int peer_process_close(struct peer_process **process);

/* For a cleanup attribute: kill and close. */
void peer_process_discard(struct peer_process **process);

#endif
