#include "transport/inbox.h"

#include <stdlib.h>

void inbox_init(struct inbox *inbox, size_t message_bytes_max, bool is_lossy)
{
    *inbox = (struct inbox){.message_bytes_max = message_bytes_max,
                            .is_lossy = is_lossy};
}

void inbox_forget_part(struct inbox *inbox)
{
    free(inbox->assembly);
    inbox->assembly = NULL;
    inbox->assembly_bytes = 0;
    inbox->assembled_bytes = 0;
}

void inbox_clear(struct inbox *inbox)
{
    inbox_forget_part(inbox);
    inbox_init(inbox, inbox->message_bytes_max, inbox->is_lossy);
}

static enum err begin_message(struct inbox *inbox, struct item *item)
{
    struct reader reader = reader_of(item->content);
    uint32_t total = read_u32(&reader);
    if (reader.failed || reader_left(&reader) >= total) {
        return ERR_MALFORMED;
    }
    if (total > inbox->message_bytes_max) {
        return ERR_TOO_LARGE;
    }
    inbox->assembly = malloc(total);
    if (!inbox->assembly) {
        return ERR_MEMORY;
    }
    inbox->assembly_bytes = total;
    inbox->assembled_bytes = 0;
    inbox->assembly_channel = item->channel;
    item->content = read_bytes(&reader, reader_left(&reader));
    return ERR_NONE;
}

/* Taken out first: the handler may end the session, and the box with it. */
static void deliver_whole(struct inbox *inbox,
                          const struct inbox_target *target)
{
    uint8_t *whole = inbox->assembly;
    size_t length = inbox->assembly_bytes;
    inbox->assembly = NULL;
    inbox_forget_part(inbox);
    target->deliver(target->context, inbox->assembly_channel,
                    bytes_of(whole, length));
    free(whole);
}

static enum err take_part(struct inbox *inbox,
                          struct item *item,
                          const struct inbox_target *target)
{
    if (inbox->is_lossy && !item->begins && !inbox->assembly) {
        return ERR_NONE; /* its beginning was lost */
    }
    if (item->begins == (inbox->assembly != NULL)) {
        return ERR_MALFORMED;
    }
    enum err err = item->begins ? begin_message(inbox, item) : ERR_NONE;
    if (err) {
        return err;
    }
    size_t missing = inbox->assembly_bytes - inbox->assembled_bytes;
    if (item->channel != inbox->assembly_channel ||
        item->content.length > missing ||
        (item->content.length == missing) != item->ends) {
        return ERR_MALFORMED;
    }
    memcpy(inbox->assembly + inbox->assembled_bytes, item->content.data,
           item->content.length);
    inbox->assembled_bytes += item->content.length;
    if (item->ends) {
        deliver_whole(inbox, target);
    }
    return ERR_NONE;
}

enum err inbox_take(struct inbox *inbox,
                    struct bytes items,
                    const struct inbox_target *target,
                    uint64_t *out_count)
{
    struct reader reader = reader_of(items);
    struct item item = {0};
    uint64_t count = 0;
    while (reader_left(&reader) > 0) {
        if (!item_decode(&item, &reader)) {
            return ERR_MALFORMED;
        }
        count += item.ends;
        if (inbox->is_lossy && item.begins) {
            inbox_forget_part(inbox); /* its end was lost */
        }
        if (item.begins && item.ends && !inbox->assembly) {
            if (item.content.length > inbox->message_bytes_max) {
                return ERR_TOO_LARGE;
            }
            target->deliver(target->context, item.channel, item.content);
            continue;
        }
        enum err err = take_part(inbox, &item, target);
        if (err) {
            return err;
        }
    }
    *out_count = count;
    return ERR_NONE;
}
