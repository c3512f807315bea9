/*
 * Messages between the nodes of a script: cut off, lost, kept back, shortened,
 * forged.
 */

#include "tests/sim/script_core.h"

#include <stdlib.h>
#include <string.h>

static void keep_back(struct script *script,
                      struct world_pair pair,
                      struct bytes message)
{
    assert(script->held_count < SCRIPT_HELD_MAX);
    struct held *held = &script->held[script->held_count++];
    *held = (struct held){.pair = pair, .length = message.length};
    held->bytes = malloc(message.length);
    assert(held->bytes);
    memcpy(held->bytes, message.data, message.length);
}

static void send_message(struct script *script,
                         struct world_pair pair,
                         const struct raft_message *message,
                         void (*send)(struct script *script,
                                      struct world_pair pair,
                                      struct bytes message))
{
    size_t size = raft_wire_bytes_max(message);
    uint8_t *bytes = malloc(size);
    assert(bytes);
    struct writer writer = writer_of(bytes, size);
    raft_wire_write(&writer, SCRIPT_SHARD, message);
    send(script, pair, writer_bytes(&writer));
    free(bytes);
}

static void send_on(struct script *script,
                    struct world_pair pair,
                    struct bytes message)
{
    sim_mesh_send(script->sim.mesh, pair, message);
}

static void send_at_once(struct script *script,
                         struct world_pair pair,
                         struct bytes message)
{
    deliver_message(&script->sim, pair, message);
}

static uint32_t entries_that_pass(const struct rule *rule,
                                  const struct raft_message *message)
{
    uint64_t count =
        rule->behind > message->index ? rule->behind - message->index : 0;
    return count < message->entry_count ? (uint32_t)count
                                        : message->entry_count;
}

/* The nodes send one of Raft's messages in each of theirs. */
bool script_lets_pass(struct sim *sim,
                      struct world_pair pair,
                      struct bytes message)
{
    struct script *script = script_of(sim);
    const struct rule *rule = &script->rules[pair.from][pair.to];
    struct raft_message *raft = &script->wire.message;
    struct reader reader = reader_of(message);
    enum err err = raft_wire_read(&script->wire, &reader);
    assert(!err && reader_left(&reader) == 0);
    if (rule->lost & SCRIPT_KIND(raft->kind)) {
        return false;
    }
    if (rule->held & SCRIPT_KIND(raft->kind)) {
        keep_back(script, pair, message);
        return false;
    }
    uint32_t count = entries_that_pass(rule, raft);
    if (count < raft->entry_count) {
        raft->entry_count = count;
        send_message(script, pair, raft, send_on);
        return false;
    }
    return true;
}

void script_lose(struct script *script, struct script_way way, uint32_t kinds)
{
    script->rules[way.from][way.to].lost = kinds;
}

void script_hold(struct script *script, struct script_way way, uint32_t kinds)
{
    script->rules[way.from][way.to].held = kinds;
}

void script_limit(struct script *script, struct script_way way, uint64_t index)
{
    script->rules[way.from][way.to].behind = index;
}

void script_limit_all(struct script *script, uint32_t from, uint64_t index)
{
    for (uint32_t to = 0; to < NODES_MAX; to++) {
        script_limit(script, (struct script_way){from, to}, index);
    }
}

void script_release(struct script *script)
{
    for (uint32_t from = 0; from < NODES_MAX; from++) {
        for (uint32_t to = 0; to < NODES_MAX; to++) {
            script->rules[from][to].held = 0;
        }
    }
    for (size_t i = 0; i < script->held_count; i++) {
        struct held *held = &script->held[i];
        if (!script_is_broken(script)) {
            sim_mesh_send(script->sim.mesh, held->pair,
                          bytes_of(held->bytes, held->length));
        }
        free(held->bytes);
    }
    script->held_count = 0;
}

static void block(struct script *script, struct script_way way, bool is_blocked)
{
    struct world_pair there = {.from = way.from, .to = way.to};
    struct world_pair back = {.from = way.to, .to = way.from};
    sim_mesh_path(script->sim.mesh, there)->is_blocked = is_blocked;
    sim_mesh_path(script->sim.mesh, back)->is_blocked = is_blocked;
}

void script_cut(struct script *script, struct script_way way)
{
    block(script, way, true);
}

void script_mend(struct script *script, struct script_way way)
{
    block(script, way, false);
}

void script_cut_off(struct script *script, uint32_t node)
{
    for (uint32_t i = 0; i < script->sim.plan.node_count; i++) {
        block(script, (struct script_way){node, i}, true);
    }
}

void script_rejoin(struct script *script, uint32_t node)
{
    for (uint32_t i = 0; i < script->sim.plan.node_count; i++) {
        block(script, (struct script_way){node, i}, false);
    }
}

void script_heal(struct script *script)
{
    for (uint32_t i = 0; i < script->sim.plan.node_count; i++) {
        script_rejoin(script, i);
        script_limit_all(script, i, SCRIPT_NO_LIMIT);
        for (uint32_t to = 0; to < NODES_MAX; to++) {
            script->rules[i][to].lost = 0;
        }
    }
    script_release(script);
}

void script_tell_closed(struct script *script, struct script_way way)
{
    if (!script_is_broken(script)) {
        sim_mesh_tell_now(script->sim.mesh,
                          (struct world_pair){.from = way.to, .to = way.from},
                          false);
    }
}

void script_forge(struct script *script, const struct raft_message *message)
{
    struct world_pair pair = {.from = (uint32_t)message->from - 1,
                              .to = (uint32_t)message->to - 1};
    if (!script_is_broken(script)) {
        send_message(script, pair, message, send_at_once);
    }
}
