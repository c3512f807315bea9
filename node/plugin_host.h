/*
 * The process of a plug-in: takes one task after the other from its spawner
 * (base/posix/posix_spawner.h) and calls the plug-in's function.
 */

#ifndef NODE_PLUGIN_HOST_H
#define NODE_PLUGIN_HOST_H

#include <stdatomic.h>
#include <stdint.h>

/* Until the other end of `fd` is closed. */
void plugin_host_run(int fd, const _Atomic uint32_t *is_cancelled);

#endif
