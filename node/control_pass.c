/*
 * What others must decide or answer: changes of the view, and questions for who
 * leads.
 */

#include "node/control_core.h"

#include "base/owner.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- changes of the view ---- */

/* What another node says, for people. */
static void copy_text(char *to, size_t capacity, struct bytes text)
{
    size_t length = text.length < capacity ? text.length : capacity - 1;
    if (length > 0) {
        memcpy(to, text.data, length);
    }
    to[length] = '\0';
}

static void on_changed(struct call *call, enum err err, struct bytes reply)
{
    struct control_request *request =
        OWNER_OF(call, struct control_request, call);
    struct err_detail why = {{0}};
    if (err == ERR_NOT_LEADER) {
        err = ERR_BUSY;
        request->may_pass = true;
        err_explain(&why, "the meta group gets another leader: nothing was "
                          "changed, try again");
    } else if (err) {
        copy_text(why.text, sizeof why.text, reply);
    }
    control_end(request, err, why.text);
}

enum err control_change(struct control_request *request,
                        struct view_change *change,
                        struct err_detail *why)
{
    struct host *host = request->control->config.host;
    (void)snprintf(change->who, sizeof change->who, "%s", request->who);
    enum err err = view_check(control_view(request->control), change, why);
    if (err || request->is_dry) {
        return err;
    }
    request->call.done = on_changed;
    err = host_change(host, change, &request->call);
    if (err) {
        err_explain(why, "the meta group's leader cannot be asked: %s",
                    err_text(err));
        return err == ERR_UNREACHABLE ? ERR_NO_QUORUM : err;
    }
    request->is_waiting = true;
    return ERR_NONE;
}

/* ---- passing on ---- */

/* With a majority in sight it is a matter of moments. */
static void explain_no_meta(struct control_request *request,
                            struct err_detail *why)
{
    const struct control *control = request->control;
    struct control_meta meta = control_meta_of(control);
    char names[256];
    request->may_pass = 2 * meta.missing_count < meta.voter_count;
    control_names_text(control, meta.missing, meta.missing_count, names,
                       sizeof names);
    if (meta.missing_count > 0) {
        err_explain(why,
                    "no leader of the meta group can be reached; %s hears "
                    "nothing of %s",
                    control->name, names);
    } else {
        err_explain(why,
                    "the meta group has no leader yet, though %s hears all "
                    "of its voters: try again",
                    control->name);
    }
}

static void explain_no_leader(struct control_request *request,
                              struct err_detail *why)
{
    const char *name = control_node_name(request->control, request->to);
    if (request->verb->place == ANSWERED_BY_META) {
        explain_no_meta(request, why);
    } else if (request->verb->place == ANSWERED_BY_NAME) {
        err_explain(why, "%s hears nothing of %s", request->control->name,
                    name ? name : "it");
    } else {
        request->may_pass = true;
        err_explain(why,
                    "no leader of shard %u is known and reached just now: "
                    "troupe shard show %u says more",
                    request->shard, request->shard);
    }
}

static void on_passed_on(struct call *call, enum err err, struct bytes reply)
{
    struct control_request *request =
        OWNER_OF(call, struct control_request, call);
    struct err_detail why = {{0}};
    bool is_lost = err == ERR_UNCERTAIN && reply.length == 0;
    if (err == ERR_NOT_LEADER ||
        (is_lost && request->verb->access != MAY_STEER)) {
        explain_no_leader(request, &why);
        control_end(request, ERR_NO_QUORUM, why.text);
    } else if (is_lost || err == ERR_TIMEOUT) {
        const char *leader = control_node_name(request->control, request->to);
        err_explain(&why, "%s was asked, and %s: it may have been done or not",
                    leader ? leader : "the leader",
                    is_lost ? "went away" : "has not answered in time");
        control_end(request, err, why.text);
    } else if (reply.length == 0) {
        control_end(request, err ? err : ERR_MALFORMED, NULL);
    } else {
        control_relay(request, err, reply);
    }
}

enum err control_pass_on(struct control_request *request,
                         const struct control_question *question,
                         uint32_t leader,
                         struct err_detail *why)
{
    struct control *control = request->control;
    struct peer *peer = host_peer(control->config.host, leader);
    struct control_question passed = *question;
    request->to = leader;
    (void)snprintf(passed.who, sizeof passed.who, "%s", request->who);
    passed.is_limited = request->is_limited;
    memcpy(passed.pools, request->pools, sizeof passed.pools);
    size_t bytes = control_question_bytes_max(&passed);
    uint8_t *buffer = peer ? malloc(bytes) : NULL;
    if (!buffer) {
        if (!peer) {
            explain_no_leader(request, why);
        }
        return peer ? ERR_MEMORY : ERR_NO_QUORUM;
    }
    struct writer writer = writer_of(buffer, bytes);
    control_question_encode(&passed, &writer);
    assert(!writer.failed);
    request->call.done = on_passed_on;
    enum err err = calls_ask(control->config.calls, peer, HOST_SERVICE_ADMIN,
                             writer_bytes(&writer), control_left_ms(request),
                             &request->call);
    free(buffer);
    if (err == ERR_UNREACHABLE) {
        explain_no_leader(request, why);
        err = ERR_NO_QUORUM;
    }
    request->is_waiting = !err;
    return err;
}
