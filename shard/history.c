#include "shard/history.h"

#include <assert.h>
#include <stdlib.h>

struct history {
    uint64_t count; /* of lines that there ever were */
    uint32_t shard_count;
    struct history_line *last_moves; /* of each shard; number 0: none */
    struct history_leaving leaving[MEMBER_NUMBERS_MAX];
    struct history_line lines[HISTORY_LINES_MAX]; /* a ring */
};

enum err history_open(struct history **out)
{
    struct history *history = calloc(1, sizeof *history);
    if (!history) {
        return ERR_MEMORY;
    }
    *out = history;
    return ERR_NONE;
}

void history_close(struct history **history)
{
    if (!*history) {
        return;
    }
    free((*history)->last_moves);
    free(*history);
    *history = NULL;
}

static struct history_line *add(struct history *history,
                                const struct history_line *line)
{
    struct history_line *to =
        &history->lines[history->count % HISTORY_LINES_MAX];
    *to = *line;
    to->number = ++history->count;
    return to;
}

/* ---- moves ---- */

static bool has_room(struct history *history, uint32_t shard_count)
{
    if (history->shard_count == shard_count) {
        return history->last_moves != NULL;
    }
    free(history->last_moves);
    history->last_moves = calloc(shard_count, sizeof *history->last_moves);
    history->shard_count = history->last_moves ? shard_count : 0;
    return history->last_moves != NULL;
}

static void note_map(struct history *history,
                     const struct shard_map *before,
                     const struct shard_map *now,
                     int64_t at_ms)
{
    if (before->shard_count != now->shard_count ||
        before->version == now->version ||
        !has_room(history, now->shard_count)) {
        return;
    }
    for (uint32_t i = 0; i < now->shard_count; i++) {
        struct shard_place from = before->places[i];
        if (from.generation != now->places[i].generation) {
            from.generation = now->places[i].generation; /* that is no move */
            history->last_moves[i].to.generation = from.generation;
        }
        if (!shard_place_is_equal(&from, &now->places[i])) {
            history->last_moves[i] = *add(
                history, &(struct history_line){.at_ms = at_ms,
                                                .shard = i,
                                                .kind = HISTORY_MOVED,
                                                .map_version = now->version,
                                                .from = from,
                                                .to = now->places[i]});
        }
    }
}

void history_note_settled(struct history *history, uint32_t shard)
{
    if (shard < history->shard_count) {
        history->last_moves[shard].is_settled = true;
    }
}

void history_note_all_settled(struct history *history)
{
    for (uint32_t i = 0; i < history->shard_count; i++) {
        history->last_moves[i].is_settled = true;
    }
}

/* ---- members ---- */

static uint32_t count_replicas(const struct shard_map *map, uint32_t number)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < map->shard_count; i++) {
        count += shard_place_has(&map->places[i], number);
    }
    return count;
}

/* One that was draining and is down goes on leaving. */
static void note_members(struct history *history,
                         const struct view *now,
                         int64_t at_ms)
{
    for (uint32_t number = 0; number < MEMBER_NUMBERS_MAX; number++) {
        const struct member *member = members_find(&now->members, number);
        struct history_leaving *leaving = &history->leaving[number];
        bool leaves = member && (member->state == MEMBER_DRAINING ||
                                 member->state == MEMBER_DOWN);
        if (!leaves) {
            *leaving = (struct history_leaving){0};
        } else if (leaving->since_ms == 0) {
            *leaving = (struct history_leaving){
                .since_ms = at_ms,
                .replica_count = count_replicas(&now->map, number)};
        }
    }
}

void history_note_view(struct history *history,
                       const struct view *before,
                       const struct view *now,
                       int64_t at_ms)
{
    if (before) {
        note_map(history, &before->map, &now->map, at_ms);
    }
    note_members(history, now, at_ms);
}

void history_note_leader(struct history *history,
                         const struct history_line *line)
{
    assert(line->kind == HISTORY_LED);
    (void)add(history, line);
}

/* ---- looking ---- */

void history_each(const struct history *history,
                  void (*visit)(void *context, const struct history_line *line),
                  void *context)
{
    uint64_t first = history->count > HISTORY_LINES_MAX
                         ? history->count - HISTORY_LINES_MAX
                         : 0;
    for (uint64_t i = first; i < history->count; i++) {
        visit(context, &history->lines[i % HISTORY_LINES_MAX]);
    }
}

const struct history_line *history_last_move(const struct history *history,
                                             uint32_t shard)
{
    return shard < history->shard_count &&
                   history->last_moves[shard].number != 0
               ? &history->last_moves[shard]
               : NULL;
}

struct history_leaving history_leaving(const struct history *history,
                                       uint32_t number)
{
    return number < MEMBER_NUMBERS_MAX ? history->leaving[number]
                                       : (struct history_leaving){0};
}
