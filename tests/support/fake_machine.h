/*
 * A machine for what works on files: they are in memory, its clock stands
 * still, and its entropy follows from a seed.
 */

#ifndef TESTS_SUPPORT_FAKE_MACHINE_H
#define TESTS_SUPPORT_FAKE_MACHINE_H

#include "config/authority.h"
#include "tests/support/fake_clock.h"
#include "tests/support/memory_files.h"
#include "tests/support/seeded.h"

#define FAKE_MACHINE_NOW_MS INT64_C(1795260600000) /* in November 2026 */

struct fake_machine {
    struct memory_files memory;
    struct files files;
    struct fake_clock fake;
    struct clock clock;
    struct seeded seeded;
    struct entropy entropy;
    struct authority_world world; /* of all of these */
};

/* In place: the tables point into it. */
static inline void fake_machine_init(struct fake_machine *machine)
{
    *machine = (struct fake_machine){.fake.wall_ms = FAKE_MACHINE_NOW_MS};
    machine->files = memory_files_table(&machine->memory);
    machine->clock = fake_clock_table(&machine->fake);
    machine->entropy = seeded_entropy(&machine->seeded);
    machine->world = (struct authority_world){.files = &machine->files,
                                              .clock = &machine->clock,
                                              .entropy = &machine->entropy};
}

static inline void fake_machine_clear(struct fake_machine *machine)
{
    memory_files_clear(&machine->memory);
}

#endif
