#include "bench/link.h"

#include "base/time_units.h"
#include "bench/ceiling.h"
#include "bench/link_peer.h"
#include "bench/process.h"

#include <string.h>

#define TIMEOUT_EXTRA_NS (20 * NS_PER_S)

#define AWAKE_INTERVAL_NS (NS_PER_S / 2000)
#define QUIET_INTERVAL_NS (NS_PER_S / 1000)
#define IDLE_LINKS_WARM 8
#define IDLE_LINKS 64
#define MESSAGE_BYTES 100 /* of round trips and idle links */

static const struct link_peer *const peers[] = {&link_troupe, &link_nng,
                                                &link_zmq, &link_zmq_curve};

static const char *const peer_names[] = {"troupe", "nng-pair0", "zmq-pair",
                                         "zmq-pair-curve", NULL};
static const char *const ceiling_names[] = {"seal+open", NULL};

/* Shared by the two children of a job and their parent. */
struct shared {
    const struct link_peer *peer;
    struct link_job job;
    struct link_report served;
    struct link_report driven;
};

struct one_way_about {
    size_t message_bytes;
};

struct round_trip_about {
    bool is_quiet;
};

static const struct link_peer *peer_find(const char *name)
{
    for (size_t i = 0; i < sizeof peers / sizeof peers[0]; i++) {
        if (strcmp(peers[i]->name, name) == 0) {
            return peers[i];
        }
    }
    return NULL;
}

static enum err serve(void *context)
{
    struct shared *shared = context;
    return shared->peer->serve(&shared->job, &shared->served);
}

static enum err drive(void *context)
{
    struct shared *shared = context;
    return shared->peer->drive(&shared->job, &shared->driven);
}

static enum err run_shared(struct shared *shared,
                           uint64_t timeout_ns,
                           struct err_detail *why)
{
    struct process_pair pair = {.serve = serve,
                                .drive = drive,
                                .job = shared,
                                .timeout_ns = timeout_ns};
    enum err err = process_pair_run(&pair);
    if (err) {
        const char *said = shared->driven.why.text[0] ? shared->driven.why.text
                                                      : shared->served.why.text;
        err_explain(why, "%s%s%s", err_text(err), said[0] ? ": " : "", said);
    }
    return err;
}

/* Run a job of one peer; the reports are copied out on success. */
static enum err run_job(const char *peer_name,
                        struct link_job job,
                        struct link_report *served,
                        struct link_report *driven,
                        struct err_detail *why)
{
    const struct link_peer *peer = peer_find(peer_name);
    if (!peer || peer->absent) {
        err_explain(why, "%s", peer ? peer->absent : "no such peer");
        return ERR_NOT_FOUND;
    }
    job.port_count = (uint16_t)(job.link_count_warm + job.link_count + 2);
    job.port_first = process_free_ports(job.port_count);
    struct shared *shared = process_shared_open(sizeof *shared);
    if (job.port_first == 0 || !shared) {
        process_shared_close(shared, sizeof *shared);
        err_explain(why, "no memory or no %u free ports", job.port_count);
        return ERR_MEMORY;
    }
    shared->peer = peer;
    shared->job = job;
    uint64_t expected_ns =
        job.warm_up_ns + job.duration_ns +
        (job.warm_up_count + job.sample_count) * job.interval_ns;
    enum err err = run_shared(shared, expected_ns + TIMEOUT_EXTRA_NS, why);
    if (!err) {
        *served = shared->served;
        *driven = shared->driven;
    }
    process_shared_close(shared, sizeof *shared);
    return err;
}

/* Messages/s, MB/s and ns of CPU per message. */
static enum err measure_one_way(const struct bench_experiment *experiment,
                                const struct bench_options *options,
                                const char *peer,
                                double *values,
                                struct err_detail *why)
{
    const struct one_way_about *about = experiment->about;
    struct link_job job = {
        .kind = LINK_ONE_WAY,
        .message_bytes = about->message_bytes,
        .warm_up_ns = (options->is_quick ? 80 : 300) * NS_PER_MS,
        .duration_ns = (options->is_quick ? 220 : 2000) * NS_PER_MS,
    };
    struct link_report served = {0};
    struct link_report driven = {0};
    enum err err = run_job(peer, job, &served, &driven, why);
    if (err) {
        return err;
    }
    const struct link_mark *here = driven.marks;
    const struct link_mark *there = served.marks;
    double seconds = (double)(here[1].at_ns - here[0].at_ns) / 1e9;
    double cpu_ns = (double)(here[1].cpu_ns - here[0].cpu_ns) +
                    (double)(there[1].cpu_ns - there[0].cpu_ns);
    double count = (double)driven.message_count;
    values[0] = count / seconds;
    values[1] = count / seconds * (double)about->message_bytes / 1e6;
    values[2] = cpu_ns / count;
    return ERR_NONE;
}

static enum err measure_round_trip(const struct bench_experiment *experiment,
                                   const struct bench_options *options,
                                   const char *peer,
                                   double *values,
                                   struct err_detail *why)
{
    const struct round_trip_about *about = experiment->about;
    uint64_t duration_ns = options->is_quick ? NS_PER_S * 6 / 10 : 5 * NS_PER_S;
    struct link_job job = {
        .kind = LINK_ROUND_TRIP,
        .message_bytes = MESSAGE_BYTES,
        .interval_ns = about->is_quiet ? QUIET_INTERVAL_NS : AWAKE_INTERVAL_NS,
    };
    job.sample_count = (uint32_t)(duration_ns / job.interval_ns);
    job.warm_up_count = job.sample_count / 10;
    struct process_busy busy = {.child_count = 0};
    if (!about->is_quiet) {
        enum err err = process_busy_start(&busy);
        if (err) {
            return err;
        }
    }
    struct link_report served = {0};
    struct link_report driven = {0};
    enum err err = run_job(peer, job, &served, &driven, why);
    process_busy_stop(&busy);
    values[0] = (double)driven.p50_ns / 1e3;
    values[1] = (double)driven.p99_ns / 1e3;
    values[2] = (double)driven.p999_ns / 1e3;
    return err;
}

/* One end's resident memory: the mean of both processes. */
static enum err measure_idle(const struct bench_experiment *experiment,
                             const struct bench_options *options,
                             const char *peer,
                             double *values,
                             struct err_detail *why)
{
    (void)experiment;
    (void)options;
    struct link_job job = {
        .kind = LINK_IDLE,
        .message_bytes = MESSAGE_BYTES,
        .link_count_warm = IDLE_LINKS_WARM,
        .link_count = IDLE_LINKS,
    };
    struct link_report served = {0};
    struct link_report driven = {0};
    enum err err = run_job(peer, job, &served, &driven, why);
    double grown = (double)driven.marks[1].resident_bytes -
                   (double)driven.marks[0].resident_bytes +
                   (double)served.marks[1].resident_bytes -
                   (double)served.marks[0].resident_bytes;
    values[0] = grown / (2 * IDLE_LINKS);
    return err;
}

/* A link cannot be faster than the slower of both. */
static enum err measure_ceiling(const struct bench_experiment *experiment,
                                const struct bench_options *options,
                                const char *peer,
                                double *values,
                                struct err_detail *why)
{
    (void)experiment;
    (void)peer;
    struct ceiling ceiling = {0};
    enum err err =
        ceiling_measure(&ceiling, (options->is_quick ? 300 : 1000) * NS_PER_MS);
    if (err) {
        err_explain(why, "%s", err_text(err));
        return err;
    }
    values[0] = ceiling.seal_mb_per_s < ceiling.open_mb_per_s
                    ? ceiling.seal_mb_per_s
                    : ceiling.open_mb_per_s;
    values[1] = ceiling.seal_mb_per_s;
    values[2] = ceiling.open_mb_per_s;
    return ERR_NONE;
}

#define ONE_WAY(size, bytes)                                    \
    {                                                           \
        .name = "oneway-" size, .peers = peer_names,            \
        .measure = measure_one_way,                             \
        .about = &(const struct one_way_about){bytes},          \
        .cases = {{"oneway-" size, "msgs/s", false},            \
                  {"oneway-" size "-bandwidth", "MB/s", false}, \
                  {"oneway-" size "-cpu", "ns", true}},         \
    }

#define ROUND_TRIP(kind, quiet)                                           \
    {                                                                     \
        .name = kind, .peers = peer_names, .measure = measure_round_trip, \
        .about = &(const struct round_trip_about){quiet},                 \
        .cases = {{kind "-p50", "us", true},                              \
                  {kind "-p99", "us", true},                              \
                  {kind "-p999", "us", true}},                            \
    }

/* clang-format off */
static const struct bench_experiment experiments[] = {
    ONE_WAY("64B", 64),
    ONE_WAY("100B", 100),
    ONE_WAY("1KiB", 1024),
    ONE_WAY("16KiB", 16 * 1024),
    ONE_WAY("256KiB", 256 * 1024),
    {
        .name = "ceiling-256KiB", .peers = ceiling_names,
        .measure = measure_ceiling,
        .cases = {{"ceiling-256KiB", "MB/s", false},
                  {"ceiling-256KiB-seal", "MB/s", false},
                  {"ceiling-256KiB-open", "MB/s", false}},
    },
    ROUND_TRIP("rtt-100B", false),
    ROUND_TRIP("rtt-quiet-100B", true),
    {
        .name = "idle-link-memory", .peers = peer_names,
        .measure = measure_idle,
        .cases = {{"idle-link-memory", "bytes", true}},
    },
};
/* clang-format on */

const struct bench_suite link_suite = {
    .name = "link",
    .about = "two processes over one link: rate, latency, CPU, memory",
    .experiments = experiments,
    .experiment_count = sizeof experiments / sizeof experiments[0],
};
