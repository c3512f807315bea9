#include "node/agreed.h"

#include "base/scope.h"
#include "config/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VIEW_BYTES_MAX (4u << 20)

void agreed_view_path(char out[static AGREED_PATH_BYTES],
                      const struct settings *settings)
{
    (void)snprintf(out, AGREED_PATH_BYTES, "%s/%s/view",
                   settings->node.data_dir, settings->node.name);
}

/* ---- when it starts ---- */

/* The kept view; NULL: there is none that counts. The host says what is wrong
 * with it (shard/host.c). */
static struct view *open_kept(const struct settings *settings,
                              const struct files *files)
{
    char path[AGREED_PATH_BYTES];
    uint8_t *bytes = NULL;
    size_t length = 0;
    struct view *view = NULL;
    agreed_view_path(path, settings);
    if (files->read(files->context, path, FILE_PUBLIC, VIEW_BYTES_MAX, &bytes,
                    &length)) {
        return NULL;
    }
    enum err err = view_decode(&view, bytes_of(bytes, length));
    free(bytes);
    if (!err && memcmp(view->cluster_id, settings->cluster.id,
                       sizeof view->cluster_id) != 0) {
        view_close(&view);
    }
    return view;
}

static void warn_of_refused(struct log *log, const char *why)
{
    log_warn(log, "settings.agreed_refused", LOG_TEXT("why", why),
             LOG_TEXT("next", "the file's values are used"));
}

/* With all of `agreed` that this release knows. */
static struct settings overlay(const struct settings *settings,
                               const struct view_settings *agreed,
                               struct log *log)
{
    struct settings used = *settings;
    struct err_detail why = {{0}};
    for (uint32_t i = 0; i < agreed->count; i++) {
        const struct view_setting *setting = &agreed->list[i];
        enum err err =
            settings_cluster_set(&used, setting->key, setting->value, &why);
        if (err && err != ERR_NOT_FOUND) { /* a newer release may have more */
            warn_of_refused(log, why.text);
        }
    }
    return used;
}

struct outdated {
    const struct settings *file;
    const struct view_settings *agreed;
    struct log *log;
};

static void warn_of_outdated(void *context, const char *key, const char *value)
{
    const struct outdated *outdated = context;
    const char *agreed = view_settings_find(outdated->agreed, key);
    if (agreed && strcmp(agreed, value) != 0 &&
        !settings_leaves_open(outdated->file, key)) {
        log_warn(outdated->log, "settings.outdated", LOG_TEXT("key", key),
                 LOG_TEXT("file", value), LOG_TEXT("cluster", agreed),
                 LOG_TEXT("next", "the cluster's value is used: bring the "
                                  "file up to date"));
    }
}

void agreed_use(struct settings *settings,
                const struct files *files,
                struct log *log)
{
    scoped(view_close) struct view *view = open_kept(settings, files);
    struct err_detail why = {{0}};
    if (!view || !members_find_name(&view->members, settings->node.name)) {
        return;
    }
    struct settings used = overlay(settings, &view->settings, log);
    if (rules_check_cluster(&used, &why)) {
        warn_of_refused(log, why.text);
        return;
    }
    struct outdated outdated = {settings, &view->settings, log};
    settings_cluster_values(settings, warn_of_outdated, &outdated);
    *settings = used;
}

/* ---- while it runs ---- */

static void tell_waiting(void *context,
                         const char *key,
                         const char *in_use,
                         const char *agreed)
{
    log_warn(context, "settings.wait", LOG_TEXT("key", key),
             LOG_TEXT("in_use", in_use), LOG_TEXT("cluster", agreed),
             LOG_TEXT("next", "restart this node to use it"));
}

void agreed_tell(const struct settings *settings,
                 const struct view_settings *agreed,
                 uint64_t *told_version,
                 struct log *log)
{
    if (*told_version != agreed->version) {
        *told_version = agreed->version;
        (void)view_settings_waiting(agreed, settings, tell_waiting, log);
    }
}
