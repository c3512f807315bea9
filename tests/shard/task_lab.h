/*
 * Tasks on a few nodes, in one thread, without a network: each shard has a
 * book on every node, whose outcomes are applied at once or when told to; a
 * message arrives when lab_run() delivers it.
 */

#ifndef TESTS_SHARD_TASK_LAB_H
#define TESTS_SHARD_TASK_LAB_H

#include "shard/task_agent.h"
#include "shard/task_dispatcher.h"

#define LAB_NODES_MAX 4
#define LAB_SHARDS_MAX 8

struct lab;

struct lab_config {
    uint32_t nodes;
    uint32_t shards;
    /* What a worker does with an attempt; NULL: it is done, with its payload
     * as output. */
    void (*work)(void *context,
                 uint32_t node,
                 const struct run *run,
                 struct run_result *result);
    void *context;
};

struct lab *lab_open(const struct lab_config *config);
void lab_close(struct lab **lab);

/* On all nodes. */
void lab_set_pool(struct lab *lab, const struct task_pool *pool);
void lab_remove_pool(struct lab *lab, const char *name);
struct task_pool lab_pool(const char *name);

/* This node leads a shard from now on; nobody did before. */
void lab_lead(struct lab *lab, uint32_t shard, uint32_t node);
/* Its leader is no more: nobody leads it. */
void lab_depose(struct lab *lab, uint32_t shard);
/* A node's process ends, and another begins: its books stay. */
void lab_restart(struct lab *lab, uint32_t node);

/* Submit to a shard; the reply's runs. The first's id is returned, 0 when that
 * is refused. */
uint64_t lab_submit(struct lab *lab,
                    uint32_t shard,
                    const char *pool,
                    uint64_t submission,
                    const struct task_spec *specs,
                    uint32_t count,
                    struct book_run *first);
uint64_t lab_submit_text(struct lab *lab,
                         uint32_t shard,
                         const char *pool,
                         const char *payload);
/* How many were changed. */
uint64_t lab_request(struct lab *lab,
                     uint32_t shard,
                     enum book_request_kind kind,
                     uint64_t id);
/* The same by a client that may use these pools. */
uint64_t lab_request_of(struct lab *lab,
                        uint32_t shard,
                        enum book_request_kind kind,
                        uint64_t id,
                        const char *pools);

/* Deliver messages and turn ends until nothing is left; workers finish when
 * lab_work() is called. */
void lab_run(struct lab *lab);
/* Let `count` attempts that were given to workers end, oldest first, then run.
 * Returns how many there were. */
uint32_t lab_work(struct lab *lab, uint32_t count);
/* Time passes in one step, or in steps of a millisecond. */
void lab_step(struct lab *lab, uint64_t ns);
void lab_advance(struct lab *lab, uint64_t ms);
/* The wall clock alone, of all nodes. */
void lab_jump(struct lab *lab, int64_t ms);
/* Until nothing is left to do at this time. */
void lab_work_all(struct lab *lab);

/* As the leader's book has it; NULL: nobody leads, or it is not there. */
const struct task *lab_task(struct lab *lab, uint64_t id);
struct coordinator *lab_coordinator(struct lab *lab,
                                    uint32_t node,
                                    uint32_t shard);
struct dispatcher *lab_dispatcher(struct lab *lab, uint32_t node);
struct agent *lab_agent(struct lab *lab, uint32_t node);
int64_t lab_wall_ms(const struct lab *lab);

/* So many commands of coordinators are refused (ERR_FULL) from now on. */
void lab_refuse(struct lab *lab, uint32_t count);

/* Messages between these are lost, both ways; or not any more. */
void lab_cut(struct lab *lab, uint32_t left, uint32_t right, bool is_cut);
/* Tell the agents what is ready where, as the bus does. */
void lab_tell_loads(struct lab *lab);

/* The same on all nodes, for all shards. */
bool lab_books_agree(struct lab *lab);

#endif
