/*
 * The newest lines of a log, kept in memory on their way to another sink: for
 * who cannot reach the file, or the journal, that they end in.
 *
 * Any thread.
 */

#ifndef BASE_POSIX_POSIX_LOG_TAIL_H
#define BASE_POSIX_POSIX_LOG_TAIL_H

#include "base/log.h"

struct posix_log_tail;

/* Keep whole lines, the newest that `bytes_max` have room for; 0: none. What
 * comes goes on to `sink`. ERR_MEMORY */
FALLIBLE posix_log_tail_open(struct posix_log_tail **out,
                             size_t bytes_max,
                             struct log_sink sink);

/* The log must be closed. */
void posix_log_tail_close(struct posix_log_tail **tail);

/* For the log. */
struct log_sink posix_log_tail_sink(struct posix_log_tail *tail);

/* A copy of all that is kept, oldest first, terminated; the caller frees it.
 * ERR_MEMORY */
FALLIBLE posix_log_tail_read(struct posix_log_tail *tail, char **out);

#endif
