/*
 * What the journal has of backups: the pieces themselves go through the router
 * to the shards' archives (shard/archive_wire.h).
 */

#include "node/control_core.h"

struct text {
    char text[CONTROL_TEXT_BYTES_MAX + 1];
};

static struct text text_of(struct bytes bytes)
{
    struct text text = {0};
    memcpy(text.text, bytes.data, bytes.length);
    return text;
}

enum err control_backup_created(struct control_request *request,
                                const struct control_args *args,
                                struct err_detail *why)
{
    struct view_change change = {.kind = VIEW_NOTE};
    view_change_say(&change, "backup `%s` was made: shards %s",
                    text_of(args->id).text, text_of(args->shards).text);
    return control_change(request, &change, why);
}

enum err control_backup_restoring(struct control_request *request,
                                  const struct control_args *args,
                                  struct err_detail *why)
{
    struct view_change change = {.kind = VIEW_NOTE};
    view_change_say(&change, "backup `%s` is restored: shards %s",
                    text_of(args->id).text, text_of(args->shards).text);
    return control_change(request, &change, why);
}
