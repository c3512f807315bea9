/*
 * Any bytes as a change of the view: what is taken is the same after it was
 * written and read again; and what may happen to a view, before or after the
 * founding, leaves one that can be written and read again.
 */

#include <stdlib.h>
#include <string.h>

#include "shard/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

#define MUST(condition)     \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static struct bytes encode(const struct view_change *change, uint8_t **buffer)
{
    size_t capacity = view_change_bytes_max(change);
    *buffer = malloc(capacity);
    MUST(*buffer);
    struct writer writer = writer_of(*buffer, capacity);
    view_change_encode(change, &writer);
    MUST(!writer.failed);
    return writer_bytes(&writer);
}

static void check_again(const struct view_change *change)
{
    uint8_t *first_buffer = NULL;
    uint8_t *second_buffer = NULL;
    struct view_change again = {0};
    struct bytes first = encode(change, &first_buffer);
    MUST(view_change_decode(&again, first) == ERR_NONE);
    MUST(bytes_are_equal(encode(&again, &second_buffer), first));
    free(first_buffer);
    free(second_buffer);
    view_change_clear(&again);
}

static void check_view(const struct view *view)
{
    size_t capacity = view_bytes_max(view);
    uint8_t *buffer = malloc(capacity);
    struct view *again = NULL;
    MUST(buffer);
    struct writer writer = writer_of(buffer, capacity);
    view_encode(view, &writer);
    MUST(!writer.failed);
    MUST(view_decode(&again, writer_bytes(&writer)) == ERR_NONE);
    MUST(view_digest(again) == view_digest(view));
    view_close(&again);
    free(buffer);
}

static void try_on(struct view *view, const struct view_change *change)
{
    struct err_detail why = {0};
    if (view_check(view, change, &why)) {
        MUST(why.text[0] != '\0');
    } else if (change->kind != VIEW_MEMBER_ADD ||
               change->member.number != MEMBER_NONE) {
        MUST(view_change(view, change) == ERR_NONE);
        check_view(view);
    }
}

/* Two members, three shards. */
static struct view *founded(void)
{
    struct view_change found = {
        .kind = VIEW_FOUND, .cluster_name = "c", .replication = 2};
    struct member member = {.name = "a", .door = "tcp://a:1"};
    struct view *view = NULL;
    MUST(members_add(&found.members, &member) == ERR_NONE);
    member.number = 1;
    member.name[0] = 'b';
    MUST(members_add(&found.members, &member) == ERR_NONE);
    MUST(shard_map_init(&found.map, 3) == ERR_NONE);
    for (uint32_t i = 0; i < 3; i++) {
        found.map.places[i] =
            (struct shard_place){.replica_count = 1, .replicas = {i % 2}};
    }
    static const char *const settings[][2] = {{"cluster.name", "c"},
                                              {"cluster.shards", "3"},
                                              {"cluster.replication", "2"}};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        MUST(view_settings_set(&found.settings, settings[i][0],
                               settings[i][1]) == ERR_NONE);
    }
    MUST(view_open(&view) == ERR_NONE);
    MUST(view_check(view, &found, NULL) == ERR_NONE);
    MUST(view_change(view, &found) == ERR_NONE);
    view_change_clear(&found);
    return view;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct view_change change = {0};
    struct view *view = NULL;
    if (view_change_decode(&change, bytes_of(data, length))) {
        MUST(change.kind == 0 && !change.moves);
        return 0;
    }
    check_again(&change);
    MUST(view_open(&view) == ERR_NONE);
    try_on(view, &change);
    view_close(&view);
    view = founded();
    try_on(view, &change);
    view->is_founded = true;
    try_on(view, &change);
    view_close(&view);
    view_change_clear(&change);
    return 0;
}
