/*
 * troupe-bench: measures Troupe and, in the same run, what it is compared
 * with.
 */

#include "bench/cluster.h"
#include "bench/harness.h"
#include "bench/link.h"
#include "bench/log.h"
#include "bench/plot.h"
#include "bench/raft.h"
#include "bench/task.h"

#include "base/posix/posix_memory.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#define EXIT_USAGE 2
#define FOLDER_VARIABLE "TROUPE_BENCH_FOLDER"

static const struct bench_suite *const suites[] = {
    &link_suite, &log_suite, &raft_suite, &cluster_suite, &task_suite};

#define SUITE_COUNT (sizeof suites / sizeof suites[0])

static void print_help(void)
{
    fputs("Measures Troupe and its peers side by side, on this machine.\n"
          "\n"
          "  troupe-bench link\n"
          "  troupe-bench link --quick --json >results.jsonl\n"
          "  troupe-bench link --case 'oneway-*' --plot rates.svg\n"
          "\n"
          "Usage: troupe-bench SUITE [FLAGS]\n"
          "\n"
          "  --quick         each suite within a minute\n"
          "  --json          one object per line instead of a table\n"
          "  --runs N        runs of each measurement (default 5, quick 3)\n"
          "  --case PATTERN  only these cases (*, ?, [] as in a shell)\n"
          "  --peer PATTERN  only these peers\n"
          "  --plot FILE     write an SVG picture too\n"
          "  --dir FOLDER    for what is written to a disk (default\n"
          "                  TROUPE_BENCH_FOLDER, else /var/tmp)\n"
          "  --help          this text\n"
          "\n"
          "Results go to stdout, all else to stderr. Exit code: 0 all\n"
          "measured, 1 something failed or nothing was chosen, 2 usage\n"
          "(such as a FILE that cannot be written).\n"
          "\n"
          "Suites:\n",
          stdout);
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        printf("  %-14s  %s\n", suites[i]->name, suites[i]->about);
    }
}

static const struct bench_suite *suite_find(const char *name)
{
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        if (strcmp(suites[i]->name, name) == 0) {
            return suites[i];
        }
    }
    return NULL;
}

/* 0 when it is no number of runs. */
static unsigned parse_run_count(const char *text)
{
    char *end = NULL;
    errno = 0;
    unsigned long count = strtoul(text, &end, 10);
    bool is_number = *text >= '0' && *text <= '9' && *end == '\0' && !errno;
    if (!is_number || count == 0 || count > BENCH_RUN_MAX) {
        fprintf(stderr,
                "troupe-bench: --runs: '%s' is not a number from 1 to %d\n",
                text, BENCH_RUN_MAX);
        return 0;
    }
    return (unsigned)count;
}

/* False when the process is to end with `*exit_code`. */
static bool parse_options(struct bench_options *options,
                          int argc,
                          char **argv,
                          int *exit_code)
{
    /* clang-format off */
    static const struct option known[] = {
        {"quick", no_argument, NULL, 'q'},
        {"json", no_argument, NULL, 'j'},
        {"runs", required_argument, NULL, 'r'},
        {"case", required_argument, NULL, 'c'},
        {"peer", required_argument, NULL, 'p'},
        {"plot", required_argument, NULL, 'P'},
        {"dir", required_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    /* clang-format on */
    *exit_code = EXIT_USAGE;
    for (;;) {
        switch (getopt_long(argc, argv, "h", known, NULL)) {
        case -1:
            return true;
        case 'q':
            options->is_quick = true;
            break;
        case 'j':
            options->is_json = true;
            break;
        case 'r':
            options->run_count = parse_run_count(optarg);
            if (options->run_count == 0) {
                return false;
            }
            break;
        case 'c':
            options->case_pattern = optarg;
            break;
        case 'p':
            options->peer_pattern = optarg;
            break;
        case 'P':
            options->plot_path = optarg;
            break;
        case 'd':
            if (setenv(FOLDER_VARIABLE, optarg, 1)) {
                fputs("troupe-bench: out of memory\n", stderr);
                return false;
            }
            break;
        case 'h':
            print_help();
            *exit_code = EXIT_SUCCESS;
            return false;
        default:
            fputs("Try troupe-bench --help.\n", stderr);
            return false;
        }
    }
}

/* A run takes minutes: what must fail behind it fails before. */
static bool can_plot(const struct bench_options *options)
{
    if (!options->plot_path || plot_check(options->plot_path) == ERR_NONE) {
        return true;
    }
    fprintf(stderr, "troupe-bench: --plot: %s cannot be written: %s\n",
            options->plot_path, strerror(errno));
    return false;
}

/* How long a sync takes depends on it. False: it is not there. */
static bool show_folder(const struct bench_suite *suite)
{
    /* clang-format off */
    static const struct { unsigned long type; const char *name; } known[] = {
        {0xef53, "ext4"}, {0x58465342, "xfs"}, {0x9123683e, "btrfs"},
        {0x2fc12fc1, "zfs"}, {0x794c7630, "overlayfs"}, {0x6969, "nfs"},
        {0x01021994, "tmpfs: in memory, so a sync costs nothing"},
    };
    /* clang-format on */
    const char *folder = getenv(FOLDER_VARIABLE);
    struct statfs about;
    folder = folder ? folder : "/var/tmp";
    if (!suite->uses_disk) {
        return true;
    }
    if (statfs(folder, &about)) {
        fprintf(stderr, "troupe-bench: --dir: %s: %s\n", folder,
                strerror(errno));
        return false;
    }
    const char *name = "a file system that is not known here";
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        name =
            (unsigned long)about.f_type == known[i].type ? known[i].name : name;
    }
    fprintf(stderr, "troupe-bench: writes to %s (%s)\n", folder, name);
    return true;
}

static int run(const struct bench_suite *suite,
               const struct bench_options *options)
{
    struct bench_results *results = calloc(1, sizeof *results);
    if (!results) {
        fputs("troupe-bench: out of memory\n", stderr);
        return EXIT_FAILURE;
    }
    bench_run(results, suite, options);
    bool is_good = results->failure_count == 0 && results->row_count > 0;
    if (results->row_count == 0) {
        fputs("troupe-bench: nothing was measured\n", stderr);
    } else if (!options->is_json) {
        bench_print_table(results);
    }
    if (options->plot_path && results->row_count > 0) {
        enum err err = plot_write(results, options->plot_path);
        if (err) {
            fprintf(stderr, "troupe-bench: %s: %s\n", options->plot_path,
                    err_text(err));
            is_good = false;
        }
    }
    free(results);
    return is_good && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct bench_options options = {0};
    int exit_code = EXIT_SUCCESS;
    posix_memory_keep(); /* as a node does; all peers have it */
    if (!parse_options(&options, argc, argv, &exit_code)) {
        return exit_code;
    }
    if (argc - optind != 1) {
        fputs("troupe-bench: name one suite. Try troupe-bench --help.\n",
              stderr);
        return EXIT_USAGE;
    }
    const struct bench_suite *suite = suite_find(argv[optind]);
    if (!suite) {
        fprintf(stderr, "troupe-bench: no suite '%s'. Suites:", argv[optind]);
        for (size_t i = 0; i < SUITE_COUNT; i++) {
            fprintf(stderr, " %s", suites[i]->name);
        }
        fputs("\n", stderr);
        return EXIT_USAGE;
    }
    return can_plot(&options) && show_folder(suite) ? run(suite, &options)
                                                    : EXIT_USAGE;
}
