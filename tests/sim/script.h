/*
 * A cluster of one group in the simulator, driven step by step: who hears
 * whom, who stands for election, whose disk hangs. Nothing happens by chance
 * that would matter, and the promises of cluster_sim.h are checked all along.
 *
 * What is broken first, a promise or what the script itself demands, is kept;
 * then time stands still, and the rest of the script does nothing.
 *
 * Nodes are named by their index. The founders' replica numbers are one more.
 */

#ifndef TESTS_SIM_SCRIPT_H
#define TESTS_SIM_SCRIPT_H

#include "tests/sim/cluster_sim.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct script;

#define SCRIPT_EVERY_KIND ((1u << RAFT_MESSAGE_KIND_COUNT) - 1)
#define SCRIPT_KIND(kind) (1u << (kind))
#define SCRIPT_NO_LIMIT UINT64_MAX
#define SCRIPT_NOBODY UINT32_MAX

struct script_config {
    struct cluster_sim_config sim;
    uint32_t node_count;
    uint32_t founder_count;    /* on the first nodes */
    size_t snapshot_log_bytes; /* 0: no snapshot by itself */
};

/* All are on and the group is founded; nobody leads it. */
struct script *script_open(const struct script_config *config);
void script_close(struct script **script);

/* Everything heals, all nodes are on, and within some time the group has so
 * many replicas, all the same; what clients saw is linearizable. */
void script_finish(struct script *script, uint32_t replica_count);

/* What was broken first, or "", and who found it. Borrowed. */
const char *script_broken(const struct script *script);
const char *script_checker(const struct script *script);

/* ---- demands and time ---- */

void script_must(struct script *script,
                 bool condition,
                 const char *what,
                 int line);
#define MUST(script, condition) \
    script_must((script), (condition), #condition, __LINE__)

/* A little time; false: it is later than `end_ns`, or something is broken. */
bool script_pass(struct script *script, uint64_t end_ns);
uint64_t script_now_ns(const struct script *script);
void script_run(struct script *script, uint64_t ms);

/* Let time pass until it is so, at most ten seconds. */
#define UNTIL(script, condition)                                           \
    do {                                                                   \
        uint64_t until_ns = script_now_ns(script) + 10000000000u;          \
        while (!(condition) && script_pass((script), until_ns)) {          \
        }                                                                  \
        script_must((script), (condition), "until " #condition, __LINE__); \
    } while (0)

/* It is so all the time. */
#define DURING(script, ms, condition)                                       \
    do {                                                                    \
        uint64_t until_ns = script_now_ns(script) + (ms)*UINT64_C(1000000); \
        while ((condition) && script_pass((script), until_ns)) {            \
        }                                                                   \
        script_must((script), (condition), "during " #condition, __LINE__); \
    } while (0)

/* ---- nodes ---- */

/* The power goes; what is not durable is lost. */
void script_crash(struct script *script, uint32_t node);
void script_restart(struct script *script, uint32_t node);
/* It comes back with an empty disk. */
void script_replace_disk(struct script *script, uint32_t node);
/* Its log's next sync hangs, until it does no more. */
void script_hang_disk(struct script *script, uint32_t node, bool hangs);

/* ---- messages ---- */

struct script_way {
    uint32_t from;
    uint32_t to;
};

/* Lose these kinds from now on; 0: none. */
void script_lose(struct script *script, struct script_way way, uint32_t kinds);
/* Keep them back, until script_release(). */
void script_hold(struct script *script, struct script_way way, uint32_t kinds);
void script_release(struct script *script);
/* Appends are shortened: no entry behind this index passes. */
void script_limit(struct script *script, struct script_way way, uint64_t index);
/* The same for all that a node sends. */
void script_limit_all(struct script *script, uint32_t from, uint64_t index);

/* Both ways; nobody is told. */
void script_cut(struct script *script, struct script_way way);
void script_mend(struct script *script, struct script_way way);
void script_cut_off(struct script *script, uint32_t node);
void script_rejoin(struct script *script, uint32_t node);
/* No cuts, losses, limits, and nothing held back. */
void script_heal(struct script *script);

/* A node is told that its link with another has closed. */
void script_tell_closed(struct script *script, struct script_way way);

/* A message reaches a node, as from another. */
void script_forge(struct script *script, const struct raft_message *message);

/* ---- the group ---- */

/* All who hear nobody else believe that their leader is gone, and only this
 * one stands for election: until it leads. */
void script_elect(struct script *script, uint32_t node);

enum script_state {
    SCRIPT_WAITS,
    SCRIPT_DONE,    /* committed, or read */
    SCRIPT_REFUSED, /* it has not happened */
    SCRIPT_UNKNOWN, /* nobody knows */
};

/* Ask a node to add to the counter, or to read it; the request's number. */
size_t script_add(struct script *script, uint32_t node, int64_t value);
size_t script_read(struct script *script, uint32_t node);
enum script_state script_state(const struct script *script, size_t request);
int64_t script_answer(const struct script *script, size_t request);

/* Ask the leader on a node; what it says. */
enum err script_begin_replica(struct script *script,
                              uint32_t leader,
                              uint32_t node);
enum err script_promote(struct script *script, uint32_t leader, uint32_t node);
enum err script_remove(struct script *script, uint32_t leader, uint32_t node);
enum err script_transfer(struct script *script, uint32_t leader, uint32_t node);

/* ---- what is; 0 or false of a node without the group ---- */

bool script_leads(const struct script *script, uint32_t node);
/* The settled leader of the highest term, or SCRIPT_NOBODY. */
uint32_t script_leader(struct script *script);
bool script_is_settled(const struct script *script, uint32_t node);
uint64_t script_term(const struct script *script, uint32_t node);
uint64_t script_number(const struct script *script, uint32_t node);
uint64_t script_commit(const struct script *script, uint32_t node);
uint64_t script_last(const struct script *script, uint32_t node);
uint64_t script_stable(const struct script *script, uint32_t node);
uint64_t script_snapshot_index(const struct script *script, uint32_t node);
/* The counter, as far as it is applied. */
int64_t script_value(const struct script *script, uint32_t node);
/* How far a leader knows another one to be. */
uint64_t script_match(const struct script *script,
                      uint32_t leader,
                      uint32_t node);
/* Members by the newest configuration, and by the one that is committed. */
uint32_t script_members(const struct script *script, uint32_t node);
uint32_t script_members_committed(const struct script *script, uint32_t node);
/* One digit for each entry, its term: as in the paper's figures. */
bool script_has_log(const struct script *script,
                    uint32_t node,
                    const char *terms);

#endif
