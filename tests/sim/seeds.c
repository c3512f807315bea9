#include "tests/sim/seeds.h"

#include "base/env.h"
#include "base/posix/posix_clock.h"
#include "base/time_units.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REPLAY_EVERY 50 /* seeds */
#define PROGRESS_EVERY 5
#define VIRTUAL_NS_MIN (30 * NS_PER_S)
#define OPERATIONS_MIN 500
#define FAULTS_MIN 10

/* What the arguments ask for. */
struct choice {
    bool is_one; /* `first`, with its trace */
    uint64_t first;
    uint64_t count;
    uint64_t end_ns; /* 0: none */
};

struct sum {
    uint64_t seed_count;
    uint64_t broken_count;
    struct seeds_result total;
};

/* For whom an assertion ends. */
static volatile uint64_t seed_now;

static void on_abort(int signal_number)
{
    char text[] = "\nseed ....................: an assertion\n";
    uint64_t seed = seed_now;
    for (size_t i = 25; i >= 6; i--) {
        text[i] = seed == 0 && i < 25 ? ' ' : (char)('0' + seed % 10);
        seed /= 10;
    }
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    (void)signal_number;
}

static struct seeds_result run_seed(const struct seeds_simulator *simulator,
                                    uint64_t seed,
                                    bool trace)
{
    seed_now = seed;
    return simulator->run(seed, trace);
}

static int run_one(const struct seeds_simulator *simulator, uint64_t seed)
{
    struct seeds_result result = run_seed(simulator, seed, true);
    (void)printf("seed %" PRIu64 ": %s\n", seed,
                 result.broken[0] ? result.broken : "all promises kept");
    return result.broken[0] != '\0';
}

/* ---- many ---- */

/* A seed decides everything: twice the same must happen. */
static bool is_replayed(const struct seeds_simulator *simulator,
                        uint64_t seed,
                        const struct seeds_result *result)
{
    return seed % REPLAY_EVERY != 0 ||
           run_seed(simulator, seed, false).digest == result->digest;
}

/* Every seed must really have been a trial. */
static bool is_too_easy(const struct seeds_result *result)
{
    return result->faults < FAULTS_MIN || result->operations < OPERATIONS_MIN ||
           result->virtual_ns < VIRTUAL_NS_MIN;
}

static void print_broken(const struct seeds_simulator *simulator,
                         uint64_t seed,
                         const char *broken,
                         const struct seeds_result *result)
{
    (void)printf("seed %" PRIu64 ": %s (%" PRIu64 " %s, %" PRIu64
                 " faults); replay: %s --seed %" PRIu64 "\n",
                 seed, broken, result->operations, simulator->operations,
                 result->faults, simulator->name, seed);
    (void)fflush(stdout);
}

static void add(struct seeds_result *total, const struct seeds_result *result)
{
    total->virtual_ns += result->virtual_ns;
    total->operations += result->operations;
    total->faults += result->faults;
    for (size_t i = 0; i < SEEDS_COUNTS_MAX; i++) {
        total->counts[i] += result->counts[i];
    }
}

static void print_sum(const struct seeds_simulator *simulator,
                      const struct sum *sum)
{
    const struct seeds_result *total = &sum->total;
    (void)printf("%" PRIu64 " seeds, %" PRIu64 " broken: %" PRIu64
                 " virtual seconds, %" PRIu64 " %s, %" PRIu64 " faults",
                 sum->seed_count, sum->broken_count,
                 total->virtual_ns / NS_PER_S, total->operations,
                 simulator->operations, total->faults);
    for (size_t i = 0; i < SEEDS_COUNTS_MAX && simulator->counts[i]; i++) {
        (void)printf(", %" PRIu64 " %s", total->counts[i],
                     simulator->counts[i]);
    }
    (void)printf("\n");
}

/* On a terminal, and nowhere else. */
static void show_progress(const struct sum *sum, bool is_over)
{
    if (isatty(STDERR_FILENO) &&
        (is_over || sum->seed_count % PROGRESS_EVERY == 0)) {
        (void)fprintf(stderr, "\r%" PRIu64 " seeds, %" PRIu64 " broken%s",
                      sum->seed_count, sum->broken_count,
                      is_over ? "\r\033[K" : "");
    }
}

static void run_next(const struct seeds_simulator *simulator,
                     uint64_t seed,
                     struct sum *sum)
{
    struct seeds_result result = run_seed(simulator, seed, false);
    const char *broken = result.broken;
    if (!broken[0] && is_too_easy(&result)) {
        broken = "too easy";
    }
    if (!broken[0] && !is_replayed(simulator, seed, &result)) {
        broken = "does not replay";
    }
    if (broken[0]) {
        print_broken(simulator, seed, broken, &result);
        if (sum->broken_count++ == 0) {
            (void)run_seed(simulator, seed, true);
        }
    }
    sum->seed_count++;
    add(&sum->total, &result);
}

static int run_many(const struct seeds_simulator *simulator,
                    const struct choice *choice)
{
    struct sum sum = {0};
    while (
        sum.seed_count < choice->count &&
        (choice->end_ns == 0 || clock_now_ns(posix_clock()) < choice->end_ns)) {
        run_next(simulator, choice->first + sum.seed_count, &sum);
        show_progress(&sum, false);
    }
    show_progress(&sum, true);
    print_sum(simulator, &sum);
    return sum.broken_count > 0;
}

/* ---- arguments ---- */

static bool parse_number(uint64_t *out, const char *text)
{
    char *end = NULL;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return isdigit((unsigned char)text[0]) && *end == '\0' && errno == 0;
}

static bool parse(struct choice *out, int argc, char **argv)
{
    uint64_t seconds = 0;
    *out = (struct choice){.count = UINT64_MAX};
    if (argc == 4 && strcmp(argv[1], "--seeds") == 0) {
        return parse_number(&out->first, argv[2]) &&
               parse_number(&out->count, argv[3]);
    }
    for (int i = 1; i < argc; i += 2) {
        bool is_seed = strcmp(argv[i], "--seed") == 0;
        bool is_seconds = strcmp(argv[i], "--seconds") == 0;
        if ((!is_seed && !is_seconds) || i + 1 == argc ||
            !parse_number(is_seed ? &out->first : &seconds, argv[i + 1])) {
            return false;
        }
        out->is_one |= is_seed;
    }
    if (seconds > 0) {
        out->is_one = false;
        out->end_ns = clock_now_ns(posix_clock()) + seconds * NS_PER_S;
    }
    return out->is_one || out->end_ns != 0;
}

int seeds_main(const struct seeds_simulator *simulator, int argc, char **argv)
{
    struct choice choice;
    if (!parse(&choice, argc, argv)) {
        (void)fprintf(stderr,
                      "usage: %s --seed N | --seeds FIRST COUNT | "
                      "--seconds N [--seed FIRST]\n",
                      simulator->name);
        return 2;
    }
    (void)signal(SIGABRT, on_abort);
    return choice.is_one ? run_one(simulator, choice.first)
                         : run_many(simulator, &choice);
}
