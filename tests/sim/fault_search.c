#include "tests/sim/fault_search.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN_MAX 2

/* What a child has found; in memory that it shares with us. */
struct finding {
    uint64_t seed; /* that is being run, or has found it */
    bool is_found;
    char checker[32];
    char broken[256];
    pid_t child;
};

/* In a process of its own, since an assertion may be what finds it. */
static void search_one(const struct fault_search *search,
                       size_t fault,
                       struct finding *finding)
{
    uint64_t first = search->first_seed ? search->first_seed(fault) : 0;
    uint64_t end = first + search->seed_count;
    for (uint64_t seed = first; seed < end && !finding->is_found; seed++) {
        finding->seed = seed;
        struct fault_result result = search->run(fault, seed);
        if (!result.broken[0] ||
            search->run(search->fault_count, seed).broken[0]) {
            continue;
        }
        (void)snprintf(finding->checker, sizeof finding->checker, "%s",
                       result.checker);
        memcpy(finding->broken, result.broken, sizeof finding->broken);
        finding->is_found = true;
    }
}

static void begin(const struct fault_search *search,
                  size_t fault,
                  struct finding *finding)
{
    (void)fflush(NULL);
    pid_t child = fork();
    assert(child >= 0);
    if (child == 0) {
        search_one(search, fault, finding);
        _exit(0);
    }
    finding->child = child; /* by us alone: the child sees it, too */
}

static bool print_finding(const struct fault_search *search,
                          size_t fault,
                          const struct finding *finding)
{
    const char *name = search->name(fault);
    if (finding->is_found) {
        (void)printf("%-22s seed %4" PRIu64 "  %-15s %s\n", name, finding->seed,
                     finding->checker, finding->broken);
    } else {
        (void)printf("%-22s NOT FOUND with %" PRIu64 " seeds\n", name,
                     search->seed_count);
    }
    (void)fflush(stdout);
    return finding->is_found;
}

/* One has ended. Whether it has found its fault. */
static bool await_one(const struct fault_search *search,
                      struct finding *findings)
{
    int status = 0;
    pid_t child = wait(&status);
    size_t fault = 0;
    assert(child > 0);
    while (findings[fault].child != child) {
        fault++;
    }
    struct finding *finding = &findings[fault];
    if (!(WIFEXITED(status) && WEXITSTATUS(status) == 0) &&
        !finding->is_found) {
        finding->is_found = true;
        (void)snprintf(finding->checker, sizeof finding->checker, "assertion");
    }
    return print_finding(search, fault, finding);
}

static bool search_all(const struct fault_search *search, const char *only)
{
    struct finding *findings =
        mmap(NULL, search->fault_count * sizeof *findings,
             PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert(findings != MAP_FAILED);
    size_t running = 0;
    size_t known = 0;
    bool are_found = true;
    for (size_t fault = 0; fault < search->fault_count; fault++) {
        if (only && strcmp(only, search->name(fault)) != 0) {
            continue;
        }
        known++;
        if (running == CHILDREN_MAX) {
            are_found &= await_one(search, findings);
            running--;
        }
        begin(search, fault, &findings[fault]);
        running++;
    }
    for (; running > 0; running--) {
        are_found &= await_one(search, findings);
    }
    (void)munmap(findings, search->fault_count * sizeof *findings);
    return are_found && known > 0;
}

bool fault_search_is_wanted(int argc, char **argv)
{
    return argc >= 2 && argc <= 4 && strcmp(argv[1], "--faults") == 0;
}

int fault_search_main(const struct fault_search *search, int argc, char **argv)
{
    struct fault_search wanted = *search;
    if (argc > 2) {
        wanted.seed_count = strtoull(argv[2], NULL, 10);
    }
    return !search_all(&wanted, argc > 3 ? argv[3] : NULL);
}
