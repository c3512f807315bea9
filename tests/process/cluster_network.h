/*
 * Machines of a test: each a network namespace with an address of its own, on
 * one bridge. What may happen to cables happens to theirs.
 *
 * The test's process has a namespace of its own, too, with the bridge: nothing
 * of this is seen outside, and nothing is left when the process ends, however
 * it ends. What cannot be done fails the test.
 */

#ifndef TESTS_PROCESS_CLUSTER_NETWORK_H
#define TESTS_PROCESS_CLUSTER_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#define CLUSTER_MACHINES_MAX 6
#define CLUSTER_HOST_BYTES 24

struct cluster_network {
    uint32_t machine_count;
    int machines[CLUSTER_MACHINES_MAX]; /* their namespaces */
};

/*
 * Give this process namespaces of its own (network, mounts): once, before it
 * has threads. False when that is not possible here; `*why` says why.
 */
bool cluster_network_enter(const char **why);

void cluster_network_open(struct cluster_network *network,
                          uint32_t machine_count);
void cluster_network_close(struct cluster_network *network);

/* Of a machine; the test itself has another. */
void cluster_network_host(char out[static CLUSTER_HOST_BYTES],
                          uint32_t machine);

/* The calling thread is on that machine from now on; CLUSTER_MACHINES_MAX: on
 * none, as at first. False: it cannot. */
bool cluster_network_move_to(const struct cluster_network *network,
                             uint32_t machine);

/* Nothing passes between these two. */
void cluster_network_cut(const struct cluster_network *network,
                         uint32_t machine,
                         uint32_t other);

/* Nothing reaches a machine or leaves it. */
void cluster_network_isolate(const struct cluster_network *network,
                             uint32_t machine);

/* Of what reaches a machine, so many packets of 100 are lost. */
void cluster_network_lose(const struct cluster_network *network,
                          uint32_t machine,
                          uint32_t percent);

/* All that was done to a machine's cables is undone. */
void cluster_network_heal(const struct cluster_network *network,
                          uint32_t machine);

/* With the shell, in the namespace of the test; what fails, fails the test. */
__attribute__((format(printf, 1, 2))) void cluster_network_run(
    const char *format, ...);

/* A small disk at `path`, gone with this process; its size may be changed, but
 * not below what is used. */
void cluster_network_mount(const char *path, uint32_t mib);
void cluster_network_resize(const char *path, uint32_t mib);

/* Not a byte is left on it, or there is room again: so many MiB. */
void cluster_network_fill(const char *path);
void cluster_network_empty(const char *path, uint32_t mib);
void cluster_network_unmount(const char *path);

#endif
