/*
 * What a command has to know of a pool before it submits to it.
 */

#ifndef ADMIN_TASK_POOL_FACTS_H
#define ADMIN_TASK_POOL_FACTS_H

#include "admin/remote.h"

struct task_pool_facts {
    bool is_command; /* its handler is exec */
    uint32_t payload_bytes_max;
};

/* What is wrong is said: EXIT_CODE_USAGE when there is no such pool. */
enum exit_code task_pool_facts_ask(struct task_pool_facts *out,
                                   struct remote *remote,
                                   const char *pool);

#endif
