#include "bench/link_peer.h"

#include "base/bytes.h"
#include "bench/process.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

/* The head of a message: its number, and what the sink is to do. */
#define HEAD_ASKS_ANSWER (UINT64_C(1) << 63)
#define HEAD_IS_MARK (UINT64_C(1) << 62)
#define HEAD_NUMBER (HEAD_IS_MARK - 1)

/* How often the flow looks at the clock, which takes as long as a small
 * message itself. */
#define BYTES_PER_LOOK (8u * 1024)

#define SETTLE_NS UINT64_C(300000000)

void link_report_mark(struct link_report *report)
{
    assert(report->mark_count < LINK_MARK_MAX);
    report->marks[report->mark_count++] = (struct link_mark){
        .at_ns = process_now_ns(),
        .cpu_ns = process_cpu_ns(),
        .resident_bytes = process_resident_bytes(),
    };
}

void link_flow_init(struct link_flow *flow,
                    const struct link_job *job,
                    struct link_report *report)
{
    *flow = (struct link_flow){.job = job, .report = report};
}

/* Whether the next message is the last of its phase. */
static bool flow_phase_ends(struct link_flow *flow)
{
    const struct link_job *job = flow->job;
    if (flow->ends_at_ns == 0) {
        bool is_warm = flow->report->mark_count > 0;
        flow->ends_at_ns =
            process_now_ns() + (is_warm ? job->duration_ns : job->warm_up_ns);
    }
    uint64_t per_look = BYTES_PER_LOOK / job->message_bytes + 1;
    return flow->sent_count % per_look == 0 &&
           process_now_ns() >= flow->ends_at_ns;
}

enum link_step link_flow_next(struct link_flow *flow, uint8_t *message)
{
    if (flow->report->mark_count == LINK_MARK_MAX) {
        return LINK_DONE;
    }
    if (flow->awaits_answer) {
        return LINK_WAIT;
    }
    uint64_t head = flow->sent_count;
    if (flow_phase_ends(flow)) {
        head |= HEAD_ASKS_ANSWER | HEAD_IS_MARK;
        flow->awaits_answer = true;
    }
    put_u64(message, head);
    flow->sent_count++;
    return LINK_SEND;
}

enum err link_flow_answered(struct link_flow *flow,
                            const void *answer,
                            size_t answer_bytes)
{
    struct link_report *report = flow->report;
    if (!flow->awaits_answer || answer_bytes != LINK_ANSWER_BYTES ||
        get_u64(answer) != flow->sent_count) {
        err_explain(&report->why, "not all messages were acknowledged");
        return ERR_MALFORMED;
    }
    link_report_mark(report);
    flow->awaits_answer = false;
    flow->ends_at_ns = 0;
    if (report->mark_count == 1) {
        flow->warm_count = flow->sent_count;
    } else {
        report->message_count = flow->sent_count - flow->warm_count;
    }
    return ERR_NONE;
}

enum err link_pace_init(struct link_pace *pace,
                        const struct link_job *job,
                        struct link_report *report)
{
    assert(job->sample_count > 0 && job->interval_ns > 0);
    *pace = (struct link_pace){.job = job, .report = report};
    pace->samples_ns = calloc(job->sample_count, sizeof *pace->samples_ns);
    return pace->samples_ns ? ERR_NONE : ERR_MEMORY;
}

void link_pace_clear(struct link_pace *pace)
{
    free(pace->samples_ns);
    *pace = (struct link_pace){0};
}

static int compare_ns(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* The smallest sample that at least this share of all do not exceed. */
static uint64_t sample_at(const struct link_pace *pace, unsigned per_mille)
{
    uint64_t count = pace->job->sample_count;
    uint64_t rank = (count * per_mille + 999) / 1000;
    return pace->samples_ns[rank > 0 ? rank - 1 : 0];
}

static void pace_finish(struct link_pace *pace)
{
    qsort(pace->samples_ns, pace->job->sample_count, sizeof *pace->samples_ns,
          compare_ns);
    pace->report->p50_ns = sample_at(pace, 500);
    pace->report->p99_ns = sample_at(pace, 990);
    pace->report->p999_ns = sample_at(pace, 999);
}

enum link_step link_pace_next(struct link_pace *pace,
                              uint8_t *message,
                              uint64_t *pause_ns)
{
    const struct link_job *job = pace->job;
    if (pace->answered_count < pace->sent_count) {
        return LINK_WAIT;
    }
    if (pace->sent_count == job->warm_up_count + job->sample_count) {
        pace_finish(pace);
        return LINK_DONE;
    }
    uint64_t now_ns = process_now_ns();
    if (pace->starts_at_ns == 0) {
        pace->starts_at_ns = now_ns;
    }
    uint64_t due_ns = pace->starts_at_ns + pace->sent_count * job->interval_ns;
    if (now_ns < due_ns) {
        pace->was_idle = true;
        *pause_ns = due_ns - now_ns;
        return LINK_PAUSE;
    }
    pace->counts_from_ns = pace->was_idle ? now_ns : due_ns;
    pace->was_idle = false;
    put_u64(message, pace->sent_count++);
    return LINK_SEND;
}

enum err link_pace_answered(struct link_pace *pace,
                            const void *message,
                            size_t message_bytes)
{
    const struct link_job *job = pace->job;
    if (message_bytes != job->message_bytes ||
        pace->answered_count == pace->sent_count ||
        get_u64(message) != pace->answered_count) {
        err_explain(&pace->report->why, "what came back was not sent");
        return ERR_MALFORMED;
    }
    if (pace->answered_count >= job->warm_up_count) {
        pace->samples_ns[pace->answered_count - job->warm_up_count] =
            process_now_ns() - pace->counts_from_ns;
    } else if (pace->answered_count + 1 == job->warm_up_count) {
        /* The schedule begins anew: connecting may have taken long. */
        pace->starts_at_ns =
            process_now_ns() - pace->answered_count * job->interval_ns;
    }
    pace->answered_count++;
    return ERR_NONE;
}

bool link_idle_is_marked(const struct link_job *job, uint32_t link)
{
    return link == job->link_count_warm - 1 ||
           link == job->link_count_warm + job->link_count - 1;
}

void link_idle_settle(void)
{
    process_sleep_ns(SETTLE_NS);
}

void link_idle_message(uint8_t *message, bool is_mark)
{
    put_u64(message, HEAD_ASKS_ANSWER | (is_mark ? HEAD_IS_MARK : 0));
}

void link_sink_init(struct link_sink *sink,
                    const struct link_job *job,
                    struct link_report *report)
{
    *sink = (struct link_sink){.job = job, .report = report};
}

enum err link_sink_take(struct link_sink *sink,
                        const void *message,
                        size_t message_bytes,
                        uint8_t answer[static LINK_ANSWER_BYTES],
                        bool *is_answer_due)
{
    const struct link_job *job = sink->job;
    if (message_bytes != job->message_bytes) {
        err_explain(&sink->report->why, "received %zu bytes, expected %zu",
                    message_bytes, job->message_bytes);
        return ERR_MALFORMED;
    }
    uint64_t head = get_u64(message);
    uint64_t number = head & HEAD_NUMBER;
    if (job->kind == LINK_ONE_WAY && number != sink->received_count) {
        err_explain(&sink->report->why,
                    "received message %" PRIu64 ", expected %" PRIu64, number,
                    sink->received_count);
        return ERR_MALFORMED;
    }
    sink->received_count++;
    if (head & HEAD_IS_MARK && sink->report->mark_count < LINK_MARK_MAX) {
        link_report_mark(sink->report);
    }
    *is_answer_due = head & HEAD_ASKS_ANSWER;
    put_u64(answer, sink->received_count);
    return ERR_NONE;
}
