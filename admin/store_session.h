/*
 * What the verbs of `troupe store` have in common: which folder, whose it is,
 * its log and its key-value store, opened so that nothing in it changes.
 *
 * One thread; one per command.
 */

#ifndef ADMIN_STORE_SESSION_H
#define ADMIN_STORE_SESSION_H

#include "admin/command.h"
#include "config/path.h"
#include "store/data_folder.h"
#include "store/kv.h"
#include "store/wal_reader.h"

struct posix_disk;
struct rocks_kv;

struct store_session {
    const struct command *command;
    struct path root;
    struct path log_path;
    struct path state_path;
    struct data_folder_facts facts;
    struct posix_disk *disk;
    struct wal_reader *log;
    struct rocks_kv *state;
    struct err_detail why; /* of the last failure */
};

/*
 * Find the folder and look whose it is. `dir` may be NULL: then the
 * configuration names it. Refuses a folder that a process has locked, unless
 * --live is given. On failure all is said, and the code is for `return`.
 */
enum exit_code store_session_open(struct store_session *session,
                                  const struct command *command,
                                  const char *dir);
void store_session_close(struct store_session *session);

/* Whether a process has the folder locked now. */
bool store_session_is_locked(const struct store_session *session);

/* Open `log`; as wal_reader_open(). */
FALLIBLE store_session_log(struct store_session *session);

/* Open `state`; as rocks_kv_open_for_reading(). */
FALLIBLE store_session_state(struct store_session *session);
const struct kv *store_session_kv(const struct store_session *session);

/* Say what failed, with `why` if there is any. Gives the code for `return`. */
enum exit_code store_session_failed(struct store_session *session,
                                    enum err err,
                                    const char *path);

/*
 * The number that a flag or operand is; `*out` keeps its value when `text` is
 * NULL. False: it is none, or above `max`, and that was said.
 */
bool store_session_number(uint64_t *out,
                          const struct command *command,
                          const char *name,
                          const char *text,
                          uint64_t max);

#endif
