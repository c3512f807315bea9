/*
 * Child processes for measurements, and what the system says about them.
 *
 * Used by the one thread of troupe-bench. Children are forked before any
 * library is used, end with their parent, and write nothing to stdout.
 */

#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_CPU_MAX 256

/* Zeroed memory that is shared with children; NULL: out of memory. */
void *process_shared_open(size_t bytes);
void process_shared_close(void *shared, size_t bytes);

/*
 * Run `serve(job)` in one child and `drive(job)` in another until drive
 * returns, or either fails; then end both.
 *
 * ERR_MEMORY    no process
 * ERR_TIMEOUT   drive has not ended in time
 * ERR_CLOSED    a child was ended by a signal
 * ...           what serve or drive has returned
 */
struct process_pair {
    enum err (*serve)(void *job); /* returns on failure only */
    enum err (*drive)(void *job);
    void *job;
    uint64_t timeout_ns;
};
FALLIBLE process_pair_run(const struct process_pair *pair);

/*
 * Run `run(job)` in a child, whose exit code is what it returns; -1: no
 * process. The child has a copy of the job.
 */
pid_t process_start(enum err (*run)(void *job), void *job);

/* End a child with SIGKILL, and wait for that. Nothing happens for 0 or -1. */
void process_end(pid_t child);

/* Whether a child has ended by itself; it must not be ended again then. */
bool process_has_ended(pid_t child);

/*
 * Keeps every CPU awake with one busy loop of priority "nice 19" on each, so
 * that latencies hold no wake-up of an idle CPU.
 */
struct process_busy {
    pid_t children[PROCESS_CPU_MAX];
    unsigned child_count;
};
FALLIBLE process_busy_start(struct process_busy *busy);
void process_busy_stop(struct process_busy *busy);

uint64_t process_now_ns(void);
void process_sleep_ns(uint64_t duration_ns);

/* User and system time of this process, all its threads. */
uint64_t process_cpu_ns(void);

/* Resident memory of this process. */
uint64_t process_resident_bytes(void);

/*
 * The first of `count` neighbouring TCP ports of 127.0.0.1 that are free now,
 * outside of the range that the kernel gives out itself; 0: none.
 */
uint16_t process_free_ports(unsigned count);

#endif
