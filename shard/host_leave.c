#include "shard/host_core.h"

#include "base/pack.h"

#define QUESTION_BYTES 16

/* ---- ours ---- */

static void on_told(struct errand *errand, enum err err, struct bytes answer)
{
    (void)err;
    (void)answer;
    host_poke(errand->host);
}

static void tell_all(struct host *host)
{
    uint8_t buffer[QUESTION_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_record(&writer, 1);
    pack_uint(&writer, HOST_WIRE_VERSION);
    pack_record_end(&writer);
    for (struct known *known = host->known; known; known = known->next) {
        if (known->peer && peer_is_up(known->peer)) {
            struct errand *errand = host_errand(host);
            if (errand) {
                errand->done = on_told;
                (void)host_ask(errand, known->peer, HOST_SERVICE_LEAVING,
                               writer_bytes(&writer));
            }
        }
    }
}

/* The voter that has most of the log, of those that are there and stay; 0:
 * nobody. */
static uint64_t successor(const struct host *host, const struct raft *raft)
{
    const struct raft_configuration *members = raft_newest_configuration(raft);
    uint64_t best = 0;
    uint64_t best_match = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        const struct raft_member *member = &members->members[i];
        uint64_t match = raft_match_index(raft, member->number);
        if (member->is_voter && member->number != raft_number(raft) &&
            host_is_up(host, member->node) && match > best_match) {
            best = member->number;
            best_match = match;
        }
    }
    return best;
}

/* Who could lead the group instead of us; 0: nobody, or we do not lead it. */
static uint64_t heir(const struct host *host, uint32_t id)
{
    const struct group *group = host_group(host, id);
    const struct raft *raft = group ? group_raft(group) : NULL;
    return raft && raft_role(raft) == RAFT_LEADER ? successor(host, raft) : 0;
}

static uint32_t group_end(const struct host *host)
{
    return host->view ? host->view->map.shard_count + 1 : 0;
}

void host_leave(struct host *host)
{
    if (!host->is_leaving) {
        host->is_leaving = true;
        tell_all(host);
        host_poke(host);
    }
}

void leave_step(struct host *host)
{
    if (HAS_HOST_FAULT(&host->config, LEAVE_AT_ONCE)) {
        return;
    }
    for (uint32_t id = 0; host->is_leaving && id < group_end(host); id++) {
        uint64_t to = heir(host, id);
        if (to != 0) {
            /* Under way already, or tried again. */
            (void)!group_transfer(host_group(host, id), to);
        }
    }
}

bool host_has_left(const struct host *host)
{
    uint32_t count = 0;
    if (HAS_HOST_FAULT(&host->config, LEAVE_AT_ONCE)) {
        return true;
    }
    for (uint32_t id = 0; id < group_end(host); id++) {
        count += heir(host, id) != 0;
    }
    return count == 0;
}

/* ---- of others ---- */

static void on_leaving(void *context,
                       struct asked *asked,
                       struct bytes question)
{
    struct host *host = context;
    struct reader reader = reader_of(question);
    (void)host_read_head(&reader, 1);
    const struct certificate *from = asked_certificate(asked);
    struct known *known = from ? host_known(host, from->name) : NULL;
    bool is_good = !reader.failed;
    if (known && is_good) {
        known->is_leaving = true;
    }
    asked_answer(&asked, is_good ? ERR_NONE : ERR_MALFORMED, (struct bytes){0});
}

void leave_serve(struct host *host)
{
    calls_serve(host->config.calls, HOST_SERVICE_LEAVING, on_leaving, host,
                false);
}
