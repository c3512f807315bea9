/*
 * The proof that a simulator finds what it is there for: for each deliberate
 * fault the seed that breaks a promise, and that keeps all without it.
 *
 *     NAME --faults [COUNT] [FAULT]
 */

#ifndef TESTS_SIM_FAULT_SEARCH_H
#define TESTS_SIM_FAULT_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fault_result {
    char broken[256];    /* "": every promise was kept */
    const char *checker; /* who found it; static */
};

struct fault_search {
    size_t fault_count;
    const char *(*name)(size_t fault);
    /* `fault` is `fault_count`: without any. */
    struct fault_result (*run)(size_t fault, uint64_t seed);
    /* Where the search for a rare one begins, so that it is not run in vain for
     * long: what found it last. NULL: 0. */
    uint64_t (*first_seed)(size_t fault);
    uint64_t seed_count; /* of each fault, unless COUNT says otherwise */
};

/* Whether the arguments ask for it. */
bool fault_search_is_wanted(int argc, char **argv);

/* Prints a line for each fault. The program's exit status: 1 if one was not
 * found. */
int fault_search_main(const struct fault_search *search, int argc, char **argv);

#endif
