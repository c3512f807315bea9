/*
 * Log lines into a file descriptor.
 *
 * Any thread.
 */

#ifndef BASE_POSIX_POSIX_LOG_H
#define BASE_POSIX_POSIX_LOG_H

#include "base/log.h"

/*
 * A sink that writes each line with one write(), as far as the descriptor
 * takes it whole. What cannot be written is lost: logging never fails and
 * waits at most a second for a non-blocking descriptor. `fd` stays open and
 * the caller's. SIGPIPE must be ignored if it can be a pipe.
 */
struct log_sink posix_log_sink(int fd);

#endif
