/*
 * The main program of a simulator that a seed decides: runs one seed and says
 * what happens, or many.
 *
 *     NAME --seed N
 *     NAME --seeds FIRST COUNT
 *     NAME --seconds N [--seed FIRST]
 *
 * Every fiftieth seed is run twice, and the same must happen. A seed that
 * breaks something is printed; the first such is run again with its trace. So
 * is the seed printed when an assertion ends the process.
 */

#ifndef TESTS_SIM_SEEDS_H
#define TESTS_SIM_SEEDS_H

#include <stdbool.h>
#include <stdint.h>

#define SEEDS_COUNTS_MAX 18

struct seeds_result {
    char broken[256];    /* the promise that was broken; "": none */
    uint64_t digest;     /* of everything that happened, in order */
    uint64_t virtual_ns; /* this and the next two: that it was a trial */
    uint64_t operations;
    uint64_t faults;
    uint64_t counts[SEEDS_COUNTS_MAX]; /* what else is summed up */
};

struct seeds_simulator {
    const char *name;                     /* of the program */
    const char *operations;               /* what they are called */
    const char *counts[SEEDS_COUNTS_MAX]; /* NULL behind the last one */
    /* `trace`: say on stderr what happens. */
    struct seeds_result (*run)(uint64_t seed, bool trace);
};

/* The program's exit status: 1 if a seed was broken, 2 for wrong arguments. */
int seeds_main(const struct seeds_simulator *simulator, int argc, char **argv);

#endif
