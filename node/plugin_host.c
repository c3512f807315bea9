#include "node/plugin_host.h"

#include <dlfcn.h>
#include <stdio.h>

#include "base/posix/posix_stream.h"
#include "base/spawn_wire.h"
#include "node/task.h"

struct plugin_host {
    struct posix_stream spawner;
    const _Atomic uint32_t *is_cancelled;
    troupe_task_handler *handler; /* NULL: not loaded yet */
};

static void on_progress(void *context, uint32_t done_of_1000, const char *text)
{
    struct plugin_host *host = context;
    const struct spawn_progress progress = {.done_of_1000 = done_of_1000,
                                            .text = text};
    if (!spawn_wire_put_progress(&host->spawner.unsent, &progress)) {
        (void)!posix_stream_send(&host->spawner);
    }
}

/* False: `why` says why not. */
static bool load(struct plugin_host *host,
                 const struct spawn_plugin *plugin,
                 char why[static SPAWN_WHY_BYTES])
{
    if (plugin->path[0] != '/') {
        /* Else it would be looked for in folders that nobody thinks of. */
        (void)snprintf(why, SPAWN_WHY_BYTES,
                       "the path of the plug-in `%.200s` must begin with /",
                       plugin->path);
        return false;
    }
    void *object = dlopen(plugin->path, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        (void)snprintf(why, SPAWN_WHY_BYTES, "cannot load the plug-in: %s",
                       dlerror());
        return false;
    }
    void *symbol = dlsym(object, plugin->function);
    if (!symbol) {
        (void)snprintf(why, SPAWN_WHY_BYTES,
                       "the plug-in `%.100s` has no function `%s`",
                       plugin->path, plugin->function);
        return false;
    }
    /* What POSIX promises and C does not know. */
    *(void **)&host->handler = symbol;
    return true;
}

static void call(struct plugin_host *host,
                 const struct spawn_plugin *plugin,
                 struct troupe_task *task,
                 struct spawn_ended *ended)
{
    *task = (struct troupe_task){.payload = plugin->payload,
                                 .id = plugin->task,
                                 .token = plugin->token,
                                 .attempt = plugin->attempt,
                                 .output_bytes_max = plugin->output_bytes_max,
                                 .is_cancelled = host->is_cancelled,
                                 .context = host,
                                 .progress = on_progress};
    ended->code = host->handler(task);
    ended->output = buffer_bytes(&task->output);
    ended->cut_bytes = task->cut_bytes;
    ended->why = task->why;
}

/* False: it cannot go on. */
static bool run_task(struct plugin_host *host, struct bytes message)
{
    char why[SPAWN_WHY_BYTES] = "";
    struct troupe_task task = {0};
    struct spawn_plugin plugin;
    struct spawn_ended ended = {.why = why};
    enum err err = spawn_wire_get_plugin(&plugin, message);
    if (err) {
        return false;
    }
    bool is_loaded = host->handler || load(host, &plugin, why);
    if (is_loaded) {
        err = spawn_wire_put_plain(&host->spawner.unsent, SPAWN_BEGUN);
        err = err ? err : posix_stream_send(&host->spawner);
        call(host, &plugin, &task, &ended);
    } else {
        ended.end = SPAWN_REFUSED;
    }
    err = err ? err : spawn_wire_put_ended(&host->spawner.unsent, &ended);
    err = err ? err : posix_stream_send(&host->spawner);
    task_clear(&task);
    return is_loaded && !err;
}

void plugin_host_run(int fd, const _Atomic uint32_t *is_cancelled)
{
    struct plugin_host host = {.is_cancelled = is_cancelled};
    struct bytes message;
    enum err err = ERR_NONE;
    posix_stream_init(&host.spawner, fd);
    while (!err && !posix_stream_receive(&host.spawner)) {
        if (spawn_wire_next(&host.spawner.received, &message, &err)) {
            if (!run_task(&host, message)) {
                return;
            }
            spawn_wire_take(&host.spawner.received, message);
        }
    }
}
