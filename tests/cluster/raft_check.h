/*
 * What tests of one schedule end with.
 */

#ifndef TESTS_CLUSTER_RAFT_CHECK_H
#define TESTS_CLUSTER_RAFT_CHECK_H

#include "tests/cluster/raft_harness.h"
#include "tests/support/check.h"

/* Whatever has happened, no promise was broken. */
static inline void close_sound(struct harness *harness)
{
    assert_string_equal(harness->violation, "");
    harness_close(harness);
}

#endif
