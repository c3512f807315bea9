/*
 * The settings of the cluster: what was agreed, and changing it.
 */

#include "node/control_core.h"

#include "base/scope.h"
#include "config/rules.h"
#include "config/schema.h"
#include "config/units.h"

#include <stdio.h>

/* What is asked for, beside what there is. */
struct draft {
    struct view_settings now; /* complete */
    struct view_settings then;
    struct settings scratch;   /* `then`, as our schema reads it; borrows */
    struct err_detail refused; /* "": nothing is */
};

static void draft_clear(struct draft *draft)
{
    view_settings_clear(&draft->now);
    view_settings_clear(&draft->then);
}

/* ---- what there is ---- */

/* What was agreed on; a key that is not among it, because the release that
 * proposed it does not know it, is as we have it. */
static enum err present_settings(const struct control *control,
                                 struct view_settings *out)
{
    const struct view_settings *agreed = &control_view(control)->settings;
    enum err err = view_settings_make(out, control->config.settings);
    for (uint32_t i = 0; i < agreed->count && !err; i++) {
        err =
            view_settings_set(out, agreed->list[i].key, agreed->list[i].value);
    }
    out->version = agreed->version;
    return err;
}

enum err control_config_show(const struct control_request *request,
                             const struct control_args *args,
                             struct fields *fields,
                             struct err_detail *why)
{
    (void)args;
    (void)why;
    scoped(view_settings_clear) struct view_settings now = {0};
    enum err err = present_settings(request->control, &now);
    if (err) {
        return err;
    }
    fields_uint(fields, "settings_version", now.version);
    struct fields map = fields_map(fields, "settings");
    for (uint32_t i = 0; i < now.count; i++) {
        fields_text(&map, now.list[i].key, now.list[i].value);
    }
    fields_end(&map);
    return ERR_NONE;
}

/* ---- what may be ---- */

static uint32_t count_holders(const struct members *members)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        count += (members->list[i].roles & SETTINGS_SHARD) != 0;
    }
    return count;
}

/* Bounds that follow from the members there are. */
static enum err check_members(const struct control *control,
                              const struct view_setting *setting,
                              struct err_detail *why)
{
    const struct members *members = &control_view(control)->members;
    uint32_t holders = count_holders(members);
    uint64_t value = 0;
    if (strcmp(setting->key, "cluster.replication") == 0 &&
        (units_number(&value, setting->value) || value > holders)) {
        err_explain(why,
                    "%s: found %s; allowed: at most %u, the nodes that hold "
                    "shards",
                    setting->key, setting->value, holders);
        return ERR_REFUSED;
    }
    if (strcmp(setting->key, "cluster.limits.peers_max") == 0 &&
        (units_number(&value, setting->value) || value + 1 < members->count)) {
        err_explain(why, "%s: found %s; allowed: at least %u, the other nodes",
                    setting->key, setting->value, members->count - 1);
        return ERR_REFUSED;
    }
    return ERR_NONE;
}

/* One that differs from what there is. */
static enum err check_change(const struct control *control,
                             struct draft *draft,
                             const struct view_setting *setting,
                             struct err_detail *why)
{
    const struct schema_key *key = schema_find(setting->key);
    enum err err = settings_cluster_set(&draft->scratch, setting->key,
                                        setting->value, why);
    if (err == ERR_NOT_FOUND) {
        err_explain(why, "%s: release %s, which leads, knows no such key",
                    setting->key, TROUPE_VERSION);
    }
    if (err) {
        return ERR_REFUSED;
    }
    if (key->fixed) {
        err_explain(why, "%s is fixed at founding: %s", key->path, key->fixed);
        return ERR_REFUSED;
    }
    return check_members(control, setting, why);
}

static bool is_same(const struct view_settings *settings,
                    const struct view_setting *setting)
{
    const char *value = view_settings_find(settings, setting->key);
    return value && strcmp(value, setting->value) == 0;
}

/* Read what is asked for into `then`. */
static enum err read_draft(struct draft *draft, struct bytes asked_for)
{
    uint32_t count = 0;
    struct reader reader = control_args_settings(asked_for, &count);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < count && !err; i++) {
        struct view_setting setting;
        control_args_next_setting(&reader, &setting);
        err = view_settings_set(&draft->then, setting.key, setting.value);
    }
    return err;
}

/* All together: each alone may be in its bounds. */
static void check_draft(const struct control *control, struct draft *draft)
{
    struct err_detail why = {{0}};
    for (uint32_t i = 0; i < draft->then.count && !draft->refused.text[0];
         i++) {
        const struct view_setting *setting = &draft->then.list[i];
        if (!is_same(&draft->now, setting)) {
            (void)!check_change(control, draft, setting, &draft->refused);
        } else {
            (void)!settings_cluster_set(&draft->scratch, setting->key,
                                        setting->value, &why);
        }
    }
    if (!draft->refused.text[0]) {
        (void)!rules_check_cluster(&draft->scratch, &draft->refused);
    }
}

static enum err make_draft(const struct control *control,
                           const struct control_args *args,
                           struct draft *draft)
{
    draft->scratch = *control->config.settings;
    enum err err = present_settings(control, &draft->now);
    if (!err) {
        err = view_settings_copy(&draft->then, &draft->now);
    }
    if (!err) {
        err = read_draft(draft, args->settings);
    }
    if (!err) {
        check_draft(control, draft);
    }
    return err;
}

/* ---- the plan ---- */

static const char *effect_of(const struct schema_key *key)
{
    return !key || key->fixed ? "never" : key->is_live ? "now" : "restart";
}

static void write_changes(const struct control *control,
                          struct draft *draft,
                          struct fields *fields)
{
    struct fields list = fields_list(fields, "changes");
    for (uint32_t i = 0; i < draft->then.count; i++) {
        const struct view_setting *setting = &draft->then.list[i];
        struct err_detail why = {{0}};
        if (is_same(&draft->now, setting)) {
            continue;
        }
        struct fields change = fields_item_map(&list);
        const char *from = view_settings_find(&draft->now, setting->key);
        fields_text(&change, "key", setting->key);
        if (from) {
            fields_text(&change, "from", from);
        } else {
            fields_nil(&change, "from");
        }
        fields_text(&change, "to", setting->value);
        fields_text(&change, "effect", effect_of(schema_find(setting->key)));
        if (check_change(control, draft, setting, &why)) {
            fields_text(&change, "refused", why.text);
        } else {
            fields_nil(&change, "refused");
        }
        fields_end(&change);
    }
    fields_end(&list);
}

enum err control_config_plan(const struct control_request *request,
                             const struct control_args *args,
                             struct fields *fields,
                             struct err_detail *why)
{
    (void)why;
    const struct control *control = request->control;
    const struct view *view = control_view(control);
    scoped(draft_clear) struct draft draft = {.refused = {{0}}};
    scoped(view_close) struct view *then = NULL;
    enum err err = make_draft(control, args, &draft);
    if (!err) {
        err = view_copy(&then, view);
    }
    if (err) {
        return err;
    }
    if (!draft.refused.text[0]) {
        then->replication = draft.scratch.cluster.replication;
    }
    fields_uint(fields, "settings_version", draft.now.version);
    write_changes(control, &draft, fields);
    if (draft.refused.text[0]) {
        fields_text(fields, "refused", draft.refused.text);
    } else {
        fields_nil(fields, "refused");
    }
    return control_write_plan(view, then, fields);
}

/* ---- doing it ---- */

/* "cluster.replication 3 to 5, ...": cut where it does not fit. Returns how
 * many there are. */
static uint32_t say_changes(const struct draft *draft,
                            char *to,
                            size_t capacity)
{
    uint32_t count = 0;
    size_t length = 0;
    to[0] = '\0';
    for (uint32_t i = 0; i < draft->then.count; i++) {
        const struct view_setting *setting = &draft->then.list[i];
        if (is_same(&draft->now, setting)) {
            continue;
        }
        const char *from = view_settings_find(&draft->now, setting->key);
        int more = snprintf(to + length, capacity - length, "%s%s %s to %s",
                            count > 0 ? ", " : "", setting->key,
                            from ? from : "nothing", setting->value);
        length += more > 0 ? (size_t)more : 0;
        length = length < capacity ? length : capacity - 1;
        count++;
    }
    return count;
}

enum err control_config_apply(struct control_request *request,
                              const struct control_args *args,
                              struct err_detail *why)
{
    const struct control *control = request->control;
    char text[VIEW_TEXT_BYTES];
    scoped(draft_clear) struct draft draft = {.refused = {{0}}};
    enum err err = make_draft(control, args, &draft);
    if (err) {
        return err;
    }
    if (args->version != draft.now.version) {
        err_explain(why, "the settings have changed since the plan was made: "
                         "nothing was done, look at a new plan");
        return ERR_BUSY;
    }
    if (draft.refused.text[0]) {
        *why = draft.refused;
        return ERR_REFUSED;
    }
    request->value = say_changes(&draft, text, sizeof text);
    if (request->value == 0) {
        return ERR_NONE;
    }
    struct view_change change = {.kind = VIEW_SETTINGS, .settings = draft.then};
    change.settings.version = args->version;
    view_change_say(&change, "settings: %s", text);
    return control_change(request, &change, why);
}

enum err control_config_applied(const struct control_request *request,
                                const struct control_args *args,
                                struct fields *fields,
                                struct err_detail *why)
{
    (void)args;
    (void)why;
    fields_int(fields, "changed", request->value);
    fields_uint(fields, "settings_version",
                control_view(request->control)->settings.version);
    return ERR_NONE;
}
