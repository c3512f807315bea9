#include "admin/key_session.h"
#include "admin/key_verbs.h"
#include "base/scope.h"
#include "config/bundle.h"
#include "config/identity.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The new identities, in memory until all files are written. */
struct batch {
    const struct identity **made;
    uint32_t count;
};

static void batch_clear(struct batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        identity_unref(&batch->made[i]);
    }
    free(batch->made);
    *batch = (struct batch){0};
}

static enum err add(struct batch *batch,
                    struct key_session *session,
                    const char *name,
                    int64_t valid_seconds)
{
    enum err err = authority_renew(session->authority, name, valid_seconds,
                                   &batch->made[batch->count], &session->why);
    if (!err) {
        batch->count++;
    } else if (err == ERR_LIMIT) {
        err_explain(&session->why, "memory for keys cannot be locked: raise "
                                   "`ulimit -l`, or renew one by one");
    }
    return err;
}

/* All that are in use and, with --within, expire in that time. */
static enum err add_all(struct batch *batch,
                        struct key_session *session,
                        int64_t valid_seconds,
                        int64_t within)
{
    const struct ledger *ledger = authority_ledger(session->authority);
    enum err err = ERR_NONE;
    uint32_t count = ledger->entry_count; /* renewing appends */
    for (uint32_t i = 0; !err && i < count; i++) {
        struct certificate certificate = ledger->entries[i].certificate;
        if (ledger->entries[i].state == LEDGER_ISSUED &&
            certificate.not_after - session->now <= within) {
            err = add(batch, session, certificate.name, valid_seconds);
        }
    }
    return err;
}

static enum err make_batch(struct batch *batch,
                           struct key_session *session,
                           int64_t valid_seconds,
                           int64_t within)
{
    const struct ledger *ledger = authority_ledger(session->authority);
    const char *name = command_operand(session->command, 0);
    batch->made = calloc(ledger->entry_count + 1, sizeof *batch->made);
    if (!batch->made) {
        return ERR_MEMORY;
    }
    return name ? add(batch, session, name, valid_seconds)
                : add_all(batch, session, valid_seconds, within);
}

static enum err write_batch(struct key_session *session,
                            const struct batch *batch)
{
    enum err err = key_session_save(session);
    for (uint32_t i = 0; !err && i < batch->count; i++) {
        struct path folder;
        err = key_session_folder(&folder, session,
                                 batch->made[i]->certificate.name);
        if (!err) {
            err = bundle_renew(session->changes, session->world.files,
                               folder.text, batch->made[i],
                               authority_trust_text(session->authority),
                               &session->why);
        }
    }
    return err;
}

static void print_batch(struct key_session *session, const struct batch *batch)
{
    FILE *out = session->command->world->out;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct path folder = {0};
        char to[KEY_SESSION_TIME_BYTES];
        const struct certificate *certificate = &batch->made[i]->certificate;
        key_session_time_text(to, certificate->not_after);
        if (key_session_folder(&folder, session, certificate->name)) {
            continue; /* it was not too long when it was written */
        }
        (void)fprintf(out, "%s, serial %" PRIu64 ", valid until %s\n",
                      certificate->name, certificate->serial, to);
        (void)fprintf(out, "  scp %s/%s.key %s/%s.cert %s/trust HOST:\n",
                      folder.text, certificate->name, folder.text,
                      certificate->name, folder.text);
    }
}

/* What to renew. False: the command line is wrong, and that was said. */
static bool parse(const struct command *command,
                  int64_t *valid_seconds,
                  int64_t *within)
{
    bool is_all = command_has(command, "all");
    const char *name = command_operand(command, 0);
    if (is_all == (name != NULL)) {
        (void)command_misused(command, "give either a NAME or --all");
        return false;
    }
    if (is_all && command_has(command, "out")) {
        (void)command_misused(command, "--out is for one NAME: with --all each "
                                       "has its own folder");
        return false;
    }
    if (!is_all && command_has(command, "within")) {
        (void)command_misused(command, "--within goes with --all");
        return false;
    }
    *within = INT64_MAX;
    return key_session_duration(valid_seconds, command, "valid") &&
           key_session_duration(within, command, "within");
}

enum exit_code key_renew_run(const struct command *command)
{
    int64_t valid_seconds = 0;
    int64_t within = 0;
    if (!parse(command, &valid_seconds, &within)) {
        return EXIT_CODE_USAGE;
    }
    scoped(key_session_close) struct key_session session = {0};
    enum exit_code code = key_session_open(&session, command, AUTHORITY_WRITE);
    if (code) {
        return code;
    }
    scoped(batch_clear) struct batch batch = {0};
    enum err err = make_batch(&batch, &session, valid_seconds, within);
    bool is_trial = command_has(command, "dry-run");
    if (!err && batch.count > 0 && !is_trial) {
        err = write_batch(&session, &batch);
    }
    if (err) {
        code = key_session_failed(&session, err);
        return err == ERR_NOT_FOUND ? EXIT_CODE_USAGE : code;
    }
    FILE *talk = command->world->talk;
    changes_keep(session.changes);
    if (batch.count == 0) {
        (void)fprintf(talk, "Nothing is to be renewed.\n");
        return EXIT_CODE_OK;
    }
    if (is_trial) {
        (void)fprintf(talk, "Would renew, and did not:\n");
    }
    print_batch(&session, &batch);
    (void)fflush(command->world->out);
    if (!is_trial) {
        (void)fprintf(talk,
                      "Next: copy to each host the key first, then the "
                      "certificate. The older certificate\nstays valid until "
                      "it expires; revoke it by its serial if its key has "
                      "leaked.\n");
    }
    return EXIT_CODE_OK;
}
