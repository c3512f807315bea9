/*
 * What the verbs of `troupe key` have in common: the authority's folder, one
 * set of changes, and how failures, times and plans are told.
 *
 * One thread; one per command.
 */

#ifndef ADMIN_KEY_SESSION_H
#define ADMIN_KEY_SESSION_H

#include "admin/command.h"
#include "config/authority.h"
#include "config/path.h"

#include <jansson.h>

#define KEY_SESSION_TIME_BYTES 32
#define KEY_SESSION_SPAN_BYTES 48

struct key_session {
    const struct command *command;
    struct authority_world world;
    struct path authority_folder;
    struct path cluster_folder; /* the one above it: hosts' folders are here */
    struct authority *authority;
    struct changes *changes; /* NULL when opened for reading */
    struct err_detail why;   /* of the last failure */
    int64_t now;             /* Unix seconds */
};

/*
 * Open the authority that --authority names ("authority" when it does not).
 * On failure all is said, and the code is for `return`.
 */
enum exit_code key_session_open(struct key_session *session,
                                const struct command *command,
                                enum authority_use use);

/* Puts back what was not kept. */
void key_session_close(struct key_session *session);

/* Undo, and say what failed. Gives the code for `return`. */
enum exit_code key_session_failed(struct key_session *session, enum err err);

/* Write the authority's files. */
FALLIBLE key_session_save(struct key_session *session);

/* The folder of `name`: --out when it was given. */
FALLIBLE
key_session_folder(struct path *out,
                   struct key_session *session,
                   const char *name);

/*
 * Read the duration flag `name` in seconds; `*out` keeps its value when it
 * was not given. False: it is wrong, and that was said.
 */
bool key_session_duration(int64_t *out,
                          const struct command *command,
                          const char *name);

/*
 * Put the newest trust into the folders beside the authority's that have an
 * older one, and list them with what they had. False: one could not be
 * written, and that was said.
 */
bool key_session_spread_trust(struct key_session *session);

/* "2027-01-31T12:00:00Z" */
void key_session_time_text(char out[static KEY_SESSION_TIME_BYTES],
                           int64_t seconds);

/* "in 89 days", "5 hours ago" */
void key_session_span_text(char out[static KEY_SESSION_SPAN_BYTES],
                           int64_t seconds);

/* Write one JSON document to the data stream; takes `document`. */
enum exit_code key_session_print_json(const struct command *command,
                                      json_t *document);

#endif
