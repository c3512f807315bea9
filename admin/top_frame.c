#include "admin/top_frame.h"

#include "admin/answer.h"
#include "admin/human.h"
#include "admin/pool_verbs.h"
#include "admin/table.h"
#include "base/scope.h"
#include "base/time_units.h"

#include <inttypes.h>
#include <string.h>

#define SHARDS_SHOWN 10

void top_look_clear(struct top_look *look)
{
    answer_clear(&look->status);
    answer_clear(&look->nodes);
    answer_clear(&look->pools);
    answer_clear(&look->map);
    look->at_ns = 0;
}

/* As the leader of the meta group knows it; without one, as one node does. */
static enum exit_code ask(struct remote *remote,
                          const char *verb,
                          json_t **answer)
{
    struct err_detail why = {{0}};
    struct remote_question fresh = {.verb = verb};
    if (!remote_try(remote, &fresh, answer, &why)) {
        return EXIT_CODE_OK;
    }
    struct remote_question question = {.verb = verb,
                                       .args = json_pack("{s:b}", "stale", 1)};
    return remote_ask(remote, &question, answer);
}

enum exit_code top_look_take(struct top_look *out,
                             const struct command *command,
                             struct remote *remote)
{
    struct top_look look = {.at_ns = clock_now_ns(command->world->clock)};
    enum exit_code code = ask(remote, "cluster.status", &look.status);
    if (!code) {
        code = ask(remote, "node.ls", &look.nodes);
    }
    if (!code) {
        code = ask(remote, "shard.map", &look.map);
    }
    if (!code) {
        code = pool_ls_fetch(command, remote, &look.pools);
    }
    if (code) {
        top_look_clear(&look);
        return code;
    }
    *out = look;
    return EXIT_CODE_OK;
}

/* ---- rates ---- */

static const json_t *find_named(const json_t *list,
                                const char *key,
                                const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (strcmp(answer_name(item, key), name) == 0) {
            return item;
        }
    }
    return NULL;
}

struct rates {
    const json_t *before; /* NULL: none */
    const json_t *now;
    double seconds;
};

/* A total that began anew, with a process, counts from there. */
static void add_rate(struct table *table,
                     const struct rates *rates,
                     const char *path)
{
    int64_t now = answer_number(rates->now, path);
    int64_t before = answer_number(rates->before, path);
    double more = (double)(now < before ? now : now - before);
    if (!rates->before || rates->seconds <= 0) {
        table_cell(table, TABLE_PLAIN, "-");
    } else {
        table_cell(table, TABLE_PLAIN, "%s",
                   human_real(more / rates->seconds).text);
    }
}

static void add_count(struct table *table, const json_t *of, const char *path)
{
    table_cell(table, TABLE_PLAIN, "%s",
               human_count((uint64_t)answer_number(of, path)).text);
}

static void add_size(struct table *table, const json_t *of, const char *path)
{
    uint64_t bytes = (uint64_t)answer_number(of, path);
    table_cell(table, TABLE_PLAIN, "%s",
               bytes > 0 ? human_size(bytes).text : "-");
}

static double seconds_of(const struct top_look *before,
                         const struct top_look *now)
{
    return before->at_ns ? (double)(now->at_ns - before->at_ns) / NS_PER_S : 0;
}

/* ---- nodes ---- */

static const struct table_column node_columns[] = {
    {"NODE", false},     {"STATE", false},
    {"LEADS", true},     {"LEASED", true},
    {"GIVEN/s", true},   {"DONE/s", true},
    {"STOLEN/s", true},  {"MEMORY", true},
    {"DISK FREE", true}, {0}};

static int64_t held_by(const json_t *said)
{
    int64_t held = 0;
    for (size_t i = 0; i < answer_count(said, "pools"); i++) {
        held += answer_number(answer_item(said, "pools", i), "here.held");
    }
    return held;
}

static void add_node(struct table *table,
                     const json_t *node,
                     const struct rates *rates)
{
    bool is_up = answer_is(node, "is_up");
    table_cell(table, TABLE_PLAIN, "%s", answer_name(node, "name"));
    table_cell(table, TABLE_PLAIN, "%s%s", answer_name(node, "state"),
               is_up ? "" : ", away");
    add_count(table, node, "leads");
    table_cell(table, TABLE_PLAIN, "%" PRId64, held_by(rates->now));
    add_rate(table, rates, "coordinators.given");
    add_rate(table, rates, "agent.finished");
    add_rate(table, rates, "agent.stolen");
    table_cell(
        table, TABLE_PLAIN, "%s",
        human_size((uint64_t)answer_number(node, "resident_bytes")).text);
    table_cell(table, TABLE_PLAIN, "%s",
               human_size((uint64_t)answer_number(node, "free_bytes")).text);
}

static enum err print_nodes(FILE *out,
                            const struct top_look *before,
                            const struct top_look *now)
{
    scoped(table_close) struct table *table = NULL;
    enum err err = table_open(&table, node_columns);
    for (size_t i = 0; !err && i < answer_count(now->nodes, "members"); i++) {
        const json_t *node = answer_item(now->nodes, "members", i);
        const char *name = answer_name(node, "name");
        struct rates rates = {
            .before =
                find_named(answer_at(before->pools, "nodes"), "node", name),
            .now = find_named(answer_at(now->pools, "nodes"), "node", name),
            .seconds = seconds_of(before, now)};
        add_node(table, node, &rates);
    }
    return err ? err : table_print(table, out, false);
}

/* ---- pools ---- */

static const struct table_column pool_columns[] = {
    {"POOL", false},   {"STATE", false},
    {"WORKERS", true}, {"WAITING", true},
    {"LEASED", true},  {"IN/s", true},
    {"DONE/s", true},  {"RETRIED/s", true},
    {"DEAD", true},    {0}};

static void add_pool(struct table *table, const struct rates *rates)
{
    const json_t *pool = rates->now;
    table_cell(table, TABLE_PLAIN, "%s", answer_name(pool, "name"));
    table_cell(table, TABLE_PLAIN, "%s",
               answer_is(pool, "paused") ? "paused" : "active");
    add_count(table, pool, "workers_total");
    add_count(table, pool, "waiting");
    add_count(table, pool, "held");
    add_rate(table, rates, "accepted_total");
    add_rate(table, rates, "done_total");
    add_rate(table, rates, "retried_total");
    add_count(table, pool, "dead");
}

static enum err print_pools(FILE *out,
                            const struct top_look *before,
                            const struct top_look *now)
{
    scoped(table_close) struct table *table = NULL;
    enum err err = table_open(&table, pool_columns);
    for (size_t i = 0; !err && i < answer_count(now->pools, "pools"); i++) {
        const json_t *pool = answer_item(now->pools, "pools", i);
        add_pool(table, &(struct rates){.before = find_named(
                                            answer_at(before->pools, "pools"),
                                            "name", answer_name(pool, "name")),
                                        .now = pool,
                                        .seconds = seconds_of(before, now)});
    }
    return err ? err : table_print(table, out, false);
}

/* ---- shards ---- */

static const struct table_column shard_columns[] = {
    {"SHARD", true},     {"LEADER", false}, {"STATE", false},
    {"COMMITS/s", true}, {"LOG", true},     {0}};

static bool is_busier(const json_t *left, const json_t *right)
{
    return answer_real(left, "rate") > answer_real(right, "rate");
}

/* The busiest, busiest first. */
static size_t choose(const json_t *map, const json_t *to[SHARDS_SHOWN])
{
    size_t count = 0;
    for (size_t i = 0; i < answer_count(map, "shards"); i++) {
        const json_t *shard = answer_item(map, "shards", i);
        size_t at = count;
        while (at > 0 && is_busier(shard, to[at - 1])) {
            at--;
        }
        if (at == SHARDS_SHOWN) {
            continue;
        }
        count += count < SHARDS_SHOWN;
        memmove(&to[at + 1], &to[at], (count - at - 1) * sizeof *to);
        to[at] = shard;
    }
    return count;
}

static enum err print_shards(FILE *out, const struct top_look *now)
{
    const json_t *shown[SHARDS_SHOWN];
    size_t count = choose(now->map, shown);
    scoped(table_close) struct table *table = NULL;
    enum err err = table_open(&table, shard_columns);
    for (size_t i = 0; !err && i < count; i++) {
        table_cell(table, TABLE_PLAIN, "%" PRId64,
                   answer_number(shown[i], "shard"));
        table_cell(table, TABLE_PLAIN, "%s", answer_name(shown[i], "leader"));
        table_cell(table, TABLE_PLAIN, "%s", answer_name(shown[i], "state"));
        table_cell(table, TABLE_PLAIN, "%s",
                   human_real(answer_real(shown[i], "rate")).text);
        add_size(table, shown[i], "log_bytes");
    }
    return err ? err : table_print(table, out, false);
}

/* ---- all of it ---- */

static void print_head(FILE *out, const json_t *status)
{
    fprintf(out,
            "%s: %" PRId64 " of %" PRId64 " nodes heard; %" PRId64
            " shards: %" PRId64 " led, %" PRId64 " whole, %" PRId64 " moving\n",
            answer_name(status, "cluster.name"),
            answer_number(status, "members.heard"),
            answer_number(status, "members.total"),
            answer_number(status, "shards.total"),
            answer_number(status, "shards.led"),
            answer_number(status, "shards.whole"),
            answer_number(status, "shards.moving"));
    for (size_t i = 0; i < answer_count(status, "problems"); i++) {
        const json_t *problem = answer_item(status, "problems", i);
        fprintf(out, "! %s\n", json_string_value(problem));
    }
    fputc('\n', out);
}

enum err top_frame_print(FILE *out,
                         const struct top_look *before,
                         const struct top_look *now)
{
    print_head(out, now->status);
    enum err err = print_nodes(out, before, now);
    (void)fputc('\n', out);
    if (!err) {
        err = print_pools(out, before, now);
    }
    (void)fputc('\n', out);
    return err ? err : print_shards(out, now);
}
