/*
 * How far what takes long has come, by the reports.
 */

#include "node/control_core.h"

/* ---- a node that gives all away ---- */

static const struct host_replica *find_replica(
    const struct host_shard_report *report, uint32_t number)
{
    for (uint32_t i = 0; i < report->replica_count; i++) {
        if (report->replicas[i].node == number) {
            return &report->replicas[i];
        }
    }
    return NULL;
}

enum err control_leaving_look(const struct control *control,
                              const struct member *member,
                              struct control_leaving *out)
{
    const struct shard_map *map = &control_view(control)->map;
    struct control_leaving leaving = {0};
    enum err err = control_staying(control, member->number, &leaving.staying);
    if (err) {
        return err;
    }
    for (uint32_t i = 0; i < map->shard_count; i++) {
        const struct shard_place *place = &map->places[i];
        struct control_shard look = control_look(control, i);
        leaving.owners += place->replicas[0] == member->number ||
                          look.report.leader == member->number;
        leaving.replicas += shard_place_has(place, member->number) ||
                            find_replica(&look.report, member->number);
        leaving.unknown += !look.is_heard;
    }
    struct control_meta meta = control_meta_of(control);
    for (uint32_t i = 0; i < meta.voter_count; i++) {
        leaving.is_voter = leaving.is_voter || meta.voters[i] == member->number;
    }
    *out = leaving;
    return ERR_NONE;
}

/* ---- a shard that moves ---- */

/* A replica counts twice: it has caught up, and it votes. */
static uint32_t joined(const struct host_shard_report *report, uint32_t number)
{
    const struct host_replica *replica = find_replica(report, number);
    if (!replica || replica->is_voter) {
        return replica ? 2 * CONTROL_STEP : 0;
    }
    uint64_t last = report->applied_index;
    if (replica->lag == UINT64_MAX || replica->lag >= last) {
        return 0;
    }
    return (uint32_t)((last - replica->lag) * CONTROL_STEP / last);
}

static uint32_t count_steps(const struct host_shard_report *report,
                            const struct shard_place *from,
                            const struct shard_place *to,
                            struct control_progress *progress)
{
    uint32_t done = 0;
    for (uint32_t i = 0; i < to->replica_count; i++) {
        if (!shard_place_has(from, to->replicas[i])) {
            progress->total += 2 * CONTROL_STEP;
            done += joined(report, to->replicas[i]);
        }
    }
    for (uint32_t i = 0; i < from->replica_count; i++) {
        if (!shard_place_has(to, from->replicas[i])) {
            progress->total += CONTROL_STEP;
            done += find_replica(report, from->replicas[i]) ? 0 : CONTROL_STEP;
        }
    }
    progress->total += CONTROL_STEP; /* who leads */
    done += report->leader == to->replicas[0] ? CONTROL_STEP : 0;
    return done;
}

bool control_is_moving(const struct control *control,
                       uint32_t shard,
                       const struct control_shard *look)
{
    const struct shard_place *place = &control_view(control)->map.places[shard];
    const struct history_line *move =
        history_last_move(host_history(control->config.host), shard);
    bool is_open = control_leads(control) && move && !move->is_settled &&
                   shard_place_is_equal(&move->to, place);
    return look->state == SHARD_MOVING ||
           (is_open && look->report.leader != place->replicas[0]);
}

/* Where it came from is not known when it moved before this node looked: then
 * all of the place counts. */
struct control_progress control_move_progress(const struct control *control,
                                              uint32_t shard,
                                              const struct control_shard *look)
{
    static const struct shard_place nowhere = {0};
    const struct shard_place *place = &control_view(control)->map.places[shard];
    const struct history_line *move =
        history_last_move(host_history(control->config.host), shard);
    bool is_known = move && shard_place_is_equal(&move->to, place);
    struct control_progress progress = {.since_ms = is_known ? move->at_ms : 0};
    progress.done = count_steps(
        &look->report, is_known ? &move->from : &nowhere, place, &progress);
    return progress;
}

uint32_t control_percent(const struct control_progress *progress)
{
    return progress->total == 0
               ? 100
               : (uint32_t)(100 * (uint64_t)progress->done / progress->total);
}

/* By what it has done so far. */
bool control_left_for(const struct control *control,
                      const struct control_progress *progress,
                      uint64_t *out_ms)
{
    int64_t now_ms = clock_wall_ms(control->config.clock);
    if (progress->since_ms == 0 || now_ms <= progress->since_ms ||
        progress->done == 0) {
        return false;
    }
    *out_ms = (uint64_t)(now_ms - progress->since_ms) *
              (progress->total - progress->done) / progress->done;
    return true;
}
