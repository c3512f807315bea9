/*
 * task.output: what the attempt at a task that runs here has written so far.
 */

#include "node/control_core.h"

#include "base/owner.h"
#include "base/pack.h"

static void on_looked(struct run_look *look,
                      enum err err,
                      const struct run_written *written)
{
    struct control_request *request =
        OWNER_OF(look, struct control_request, look);
    if (err) { /* it has just ended */
        request->attempt = 0;
    }
    request->written = written;
    control_end(request, ERR_NONE, NULL);
}

static enum err explain(enum err err,
                        const struct run *run,
                        struct err_detail *why)
{
    if (err == ERR_REFUSED) {
        err_explain(why,
                    "what a task of pool %s writes is seen when it has ended: "
                    "it is a function, and no command",
                    run->pool->name);
    } else if (err == ERR_FULL) {
        err_explain(why, "too many look at what commands write here: try "
                         "again");
    }
    return err;
}

enum err control_output_look(struct control_request *request,
                             const struct control_args *args,
                             struct err_detail *why)
{
    const struct control_config *config = &request->control->config;
    struct run *run = agent_run(config->agent, args->task);
    if (!run) {
        return ERR_NONE;
    }
    if (!control_may_see(request, run->pool->name)) {
        return control_task_unknown(request, args->task, why);
    }
    request->attempt = run->attempt;
    request->token = run->token;
    request->look.done = on_looked;
    if (args->token == run->token) { /* else it is one that is new to them */
        request->look.output_from = args->stdout_at;
        request->look.errors_from = args->stderr_at;
    }
    enum err err =
        config->workers->look(config->workers->context, run, &request->look);
    request->is_waiting = !err;
    return err == ERR_NOT_FOUND ? ERR_NONE /* it waits for a worker */
                                : explain(err, run, why);
}

enum err control_output_seen(const struct control_request *request,
                             const struct control_args *args,
                             struct fields *fields,
                             struct err_detail *why)
{
    static const struct run_written nothing = {0};
    const struct run_written *written =
        request->written ? request->written : &nothing;
    (void)args;
    (void)why;
    fields_bool(fields, "running", request->attempt != 0);
    fields_uint(fields, "attempt", request->attempt);
    fields_uint(fields, "token", request->token);
    fields_uint(fields, "stdout_at", request->look.output_from);
    fields_key(fields, "stdout");
    pack_bin(fields->writer, written->output);
    fields_uint(fields, "stderr_at", request->look.errors_from);
    fields_key(fields, "stderr");
    pack_bin(fields->writer, written->errors);
    fields_uint(fields, "cut", written->cut_bytes);
    return ERR_NONE;
}
