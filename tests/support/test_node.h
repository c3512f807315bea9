/*
 * A node as a real process has it, for tests: an endpoint over NNG and two
 * reactors on two threads. Its identity is in memory.
 *
 * Owned by the thread that starts it.
 */

#ifndef TESTS_SUPPORT_TEST_NODE_H
#define TESTS_SUPPORT_TEST_NODE_H

#include "base/err.h"
#include "transport/endpoint.h"

#include <stdbool.h>
#include <stdint.h>

struct test_node;

/* The endpoint's defaults, the real clock, entropy and network. Its log is
 * nothing, or stderr when TROUPE_TEST_LOG is set. */
void test_node_defaults(struct endpoint_config *config);

/*
 * Open the endpoint and run its reactors. `config` needs no reactors; the
 * rest is as in endpoint_open(), with the same errors. Events and handlers
 * come on the links' thread.
 */
FALLIBLE test_node_start(struct test_node **out,
                         const struct endpoint_config *config,
                         struct err_detail *why);

/* End both threads, close the endpoint. Accepts NULL. */
void test_node_stop(struct test_node **node);

/* Run `run` on the links' thread and wait until it has returned. */
void test_node_call(struct test_node *node,
                    void (*run)(void *context, struct endpoint *endpoint),
                    void *context);

/* On the links' thread. */
struct reactor *test_node_reactor(struct test_node *node);
struct endpoint *test_node_endpoint(struct test_node *node);

/* ---- addresses ---- */

#define TEST_HOST_BYTES 16

/* A loopback address that no other process's tests use; `number` is 1..3. */
void test_host(char out[static TEST_HOST_BYTES], unsigned number);

/* The first of `count` neighbouring TCP ports of `host` that are free now. */
uint16_t test_ports_take(const char *host, unsigned count);

/* ---- waiting ---- */

/*
 * Look again and again until `is_true` or a generous time has gone; what it
 * last said. A test that must wait has no other way.
 */
bool test_wait(bool (*is_true)(void *context), void *context);

/* The same with a time of one's own. */
bool test_wait_ms(bool (*is_true)(void *context),
                  void *context,
                  uint64_t timeout_ms);

/* Monotonic. */
uint64_t test_now_ms(void);

#endif
