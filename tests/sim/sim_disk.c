#include "tests/sim/sim_disk.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/seeded.h"

#define CAPACITY_BYTES (UINT64_C(1) << 30)

/* One content with its length. */
struct image {
    uint8_t *data;
    uint64_t size;
    uint64_t capacity;
};

/* A file, whether it has a name or not. */
struct node {
    struct node *next;
    char name[DISK_NAME_BYTES];
    bool is_named;  /* as programs see it */
    bool was_named; /* as it was when the folder was synced */
    uint32_t open_count;
    struct image now;
    struct image synced;
    uint64_t dirty_from; /* what may differ between them, but for the length */
    uint64_t dirty_to;
};

struct sim_disk {
    struct disk table;
    struct seeded random;
    struct node *nodes;
    uint64_t life; /* rises with every crash */
    uint64_t operations;
    uint64_t cut_at; /* of operations; 0: never */
    bool is_cut;
    bool fails_sync;
    bool fails_write;
    bool ignores_syncs;
    uint64_t free_bytes;
    bool is_closed;
    uint64_t open_count;
};

struct disk_file {
    struct sim_disk *disk;
    struct node *node;
    uint64_t life;
};

static void must(bool condition)
{
    if (!condition) {
        (void)fputs("sim_disk: out of memory\n", stderr);
        abort();
    }
}

static void image_resize(struct image *image, uint64_t size)
{
    if (size > image->capacity) {
        uint64_t capacity = image->capacity ? image->capacity : 4096;
        while (capacity < size) {
            capacity *= 2;
        }
        image->data = realloc(image->data, capacity);
        must(image->data != NULL);
        image->capacity = capacity;
    }
    if (size > image->size) {
        memset(image->data + image->size, 0, size - image->size);
    }
    image->size = size;
}

static void image_copy(struct image *to, const struct image *from)
{
    to->size = 0;
    image_resize(to, from->size);
    if (from->size > 0) {
        memcpy(to->data, from->data, from->size);
    }
}

static void node_free(struct node *node)
{
    free(node->now.data);
    free(node->synced.data);
    free(node);
}

static struct node *find(const struct sim_disk *disk, const char *name)
{
    for (struct node *node = disk->nodes; node; node = node->next) {
        if (node->is_named && strcmp(node->name, name) == 0) {
            return node;
        }
    }
    return NULL;
}

/* Free nodes without a name, now and at a crash, that nobody has open. */
static void sweep(struct sim_disk *disk)
{
    struct node **at = &disk->nodes;
    while (*at) {
        struct node *node = *at;
        if (!node->is_named && !node->was_named && node->open_count == 0) {
            *at = node->next;
            node_free(node);
        } else {
            at = &node->next;
        }
    }
}

static void free_when_done(struct sim_disk *disk)
{
    if (disk->is_closed && disk->open_count == 0) {
        while (disk->nodes) {
            struct node *node = disk->nodes;
            disk->nodes = node->next;
            node_free(node);
        }
        free(disk);
    }
}

enum fate { FATE_DONE, FATE_HALF, FATE_NOT };

/* Count an operation; say whether it happens. */
static enum fate count_operation(struct sim_disk *disk)
{
    if (disk->is_cut) {
        return FATE_NOT;
    }
    disk->operations++;
    disk->is_cut = disk->operations == disk->cut_at;
    return disk->is_cut ? FATE_HALF : FATE_DONE;
}

static bool is_dead(const struct disk_file *file)
{
    return file->life != file->disk->life || file->disk->is_cut;
}

static bool toss(struct sim_disk *disk)
{
    return seeded_u64(&disk->random) & 1;
}

static enum err sim_open(void *context,
                         const char *name,
                         enum disk_mode mode,
                         struct disk_file **out)
{
    struct sim_disk *disk = context;
    if (disk->is_cut) {
        return ERR_IO;
    }
    assert(strlen(name) < DISK_NAME_BYTES);
    struct node *node = find(disk, name);
    if (!node && mode != DISK_CREATE) {
        return ERR_NOT_FOUND;
    }
    if (mode == DISK_CREATE) {
        if (node) {
            return ERR_EXISTS;
        }
        if (disk->free_bytes == 0) {
            return ERR_NO_SPACE;
        }
        enum fate fate = count_operation(disk);
        if (fate == FATE_HALF && toss(disk)) {
            return ERR_IO;
        }
        node = calloc(1, sizeof *node);
        must(node != NULL);
        (void)snprintf(node->name, sizeof node->name, "%s", name);
        node->is_named = true;
        node->next = disk->nodes;
        disk->nodes = node;
        if (fate != FATE_DONE) {
            return ERR_IO;
        }
    }
    struct disk_file *file = malloc(sizeof *file);
    must(file != NULL);
    *file = (struct disk_file){.disk = disk, .node = node, .life = disk->life};
    node->open_count++;
    disk->open_count++;
    *out = file;
    return ERR_NONE;
}

static void sim_close(struct disk_file **file)
{
    if (*file) {
        struct sim_disk *disk = (*file)->disk;
        (*file)->node->open_count--;
        disk->open_count--;
        free(*file);
        *file = NULL;
        sweep(disk);
        free_when_done(disk);
    }
}

/* Bytes that a write may take up; the rest does not fit any more. */
static size_t take_room(struct sim_disk *disk, uint64_t grown, size_t length)
{
    if (grown <= disk->free_bytes) {
        disk->free_bytes -= grown;
        return length;
    }
    uint64_t lacking = grown - disk->free_bytes;
    disk->free_bytes = 0;
    return lacking < length ? length - (size_t)lacking : 0;
}

static uint64_t smaller(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

static void mark_dirty(struct node *node, uint64_t from, uint64_t to)
{
    if (node->dirty_to == 0) {
        node->dirty_from = from;
    }
    node->dirty_from = smaller(node->dirty_from, from);
    node->dirty_to = node->dirty_to < to ? to : node->dirty_to;
}

static void put(struct node *node, uint64_t at, struct bytes bytes)
{
    if (bytes.length > 0) {
        mark_dirty(node, smaller(at, node->now.size), at + bytes.length);
        if (at + bytes.length > node->now.size) {
            image_resize(&node->now, at + bytes.length);
        }
        memcpy(node->now.data + at, bytes.data, bytes.length);
    }
}

static enum err sim_write(struct disk_file *file,
                          uint64_t at,
                          struct bytes bytes)
{
    struct sim_disk *disk = file->disk;
    if (is_dead(file)) {
        return ERR_IO;
    }
    struct node *node = file->node;
    uint64_t end = at + bytes.length;
    uint64_t grown = end > node->now.size ? end - node->now.size : 0;
    size_t length = take_room(disk, grown, bytes.length);
    enum fate fate = count_operation(disk);
    if (fate == FATE_HALF || disk->fails_write) {
        disk->fails_write = false;
        put(node, at,
            bytes_of(bytes.data, seeded_below(&disk->random, length + 1)));
        return ERR_IO;
    }
    put(node, at, bytes_of(bytes.data, length));
    return length < bytes.length ? ERR_NO_SPACE : ERR_NONE;
}

static enum err sim_read(struct disk_file *file,
                         uint64_t at,
                         void *to,
                         size_t length,
                         size_t *out_length)
{
    if (is_dead(file)) {
        return ERR_IO;
    }
    const struct image *image = &file->node->now;
    uint64_t left = at < image->size ? image->size - at : 0;
    *out_length = left < length ? (size_t)left : length;
    if (*out_length > 0) {
        memcpy(to, image->data + at, *out_length);
    }
    return ERR_NONE;
}

static enum err sim_size(struct disk_file *file, uint64_t *out)
{
    if (is_dead(file)) {
        return ERR_IO;
    }
    *out = file->node->now.size;
    return ERR_NONE;
}

static enum err sim_truncate(struct disk_file *file, uint64_t size)
{
    struct sim_disk *disk = file->disk;
    if (is_dead(file)) {
        return ERR_IO;
    }
    enum fate fate = count_operation(disk);
    if (fate == FATE_DONE || toss(disk)) {
        if (size < file->node->now.size) {
            disk->free_bytes += file->node->now.size - size;
            mark_dirty(file->node, size, file->node->now.size);
        }
        image_resize(&file->node->now, size);
    }
    return fate == FATE_DONE ? ERR_NONE : ERR_IO;
}

static void sync_node(struct node *node)
{
    image_resize(&node->synced, node->now.size);
    uint64_t to = smaller(node->dirty_to, node->now.size);
    if (node->dirty_from < to) {
        memcpy(node->synced.data + node->dirty_from,
               node->now.data + node->dirty_from, to - node->dirty_from);
    }
    node->dirty_from = 0;
    node->dirty_to = 0;
}

static enum err sim_sync(struct disk_file *file)
{
    struct sim_disk *disk = file->disk;
    if (is_dead(file)) {
        return ERR_IO;
    }
    enum fate fate = count_operation(disk);
    if (fate == FATE_HALF || disk->fails_sync) {
        disk->fails_sync = false;
        return ERR_IO; /* what of it is durable, a crash decides */
    }
    if (!disk->ignores_syncs) {
        sync_node(file->node);
    }
    return ERR_NONE;
}

static enum err sim_sync_folder(void *context)
{
    struct sim_disk *disk = context;
    if (disk->is_cut) {
        return ERR_IO;
    }
    enum fate fate = count_operation(disk);
    if (fate == FATE_HALF || disk->fails_sync) {
        disk->fails_sync = false;
        return ERR_IO;
    }
    for (struct node *node = disk->nodes; node && !disk->ignores_syncs;
         node = node->next) {
        node->was_named = node->is_named;
    }
    sweep(disk);
    return ERR_NONE;
}

static enum err sim_remove(void *context, const char *name)
{
    struct sim_disk *disk = context;
    if (disk->is_cut) {
        return ERR_IO;
    }
    struct node *node = find(disk, name);
    if (!node) {
        return ERR_NOT_FOUND;
    }
    enum fate fate = count_operation(disk);
    if (fate == FATE_DONE || toss(disk)) {
        node->is_named = false;
        disk->free_bytes += node->now.size;
        sweep(disk);
    }
    return fate == FATE_DONE ? ERR_NONE : ERR_IO;
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static enum err sim_list(void *context,
                         void (*visit)(void *visitor, const char *name),
                         void *visitor)
{
    struct sim_disk *disk = context;
    if (disk->is_cut) {
        return ERR_IO;
    }
    size_t count = 0;
    for (const struct node *node = disk->nodes; node; node = node->next) {
        count += node->is_named;
    }
    const char **names = calloc(count + 1, sizeof *names);
    must(names != NULL);
    count = 0;
    for (const struct node *node = disk->nodes; node; node = node->next) {
        if (node->is_named) {
            names[count++] = node->name;
        }
    }
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < count; i++) {
        visit(visitor, names[i]);
    }
    free(names);
    return ERR_NONE;
}

static enum err sim_free_bytes(void *context, uint64_t *out)
{
    const struct sim_disk *disk = context;
    if (disk->is_cut) {
        return ERR_IO;
    }
    *out = disk->free_bytes;
    return ERR_NONE;
}

struct sim_disk *sim_disk_open(uint64_t seed)
{
    struct sim_disk *disk = calloc(1, sizeof *disk);
    if (!disk) {
        return NULL;
    }
    disk->random.state = seed;
    disk->free_bytes = CAPACITY_BYTES;
    disk->table = (struct disk){
        .context = disk,
        .open = sim_open,
        .close = sim_close,
        .write = sim_write,
        .read = sim_read,
        .size = sim_size,
        .truncate = sim_truncate,
        .sync = sim_sync,
        .sync_folder = sim_sync_folder,
        .remove = sim_remove,
        .list = sim_list,
        .free_bytes = sim_free_bytes,
    };
    return disk;
}

void sim_disk_close(struct sim_disk **disk)
{
    if (*disk) {
        (*disk)->is_closed = true;
        (*disk)->life++;
        free_when_done(*disk);
        *disk = NULL;
    }
}

const struct disk *sim_disk_table(struct sim_disk *disk)
{
    return &disk->table;
}

/* How a crash treats what was not synced. All but one are likely ways of real
 * disks; the last one is what is allowed. */
enum style {
    STYLE_NOTHING, /* all of it is lost */
    STYLE_ALL,     /* none of it is lost */
    STYLE_PREFIX,  /* of each file */
    STYLE_SUFFIX,
    STYLE_ANY, /* each sector for itself */
    STYLE_COUNT,
};

static bool keeps_sector(struct sim_disk *disk,
                         enum style style,
                         uint64_t sector,
                         uint64_t border)
{
    switch (style) {
    case STYLE_NOTHING:
        return false;
    case STYLE_ALL:
        return true;
    case STYLE_PREFIX:
        return sector < border;
    case STYLE_SUFFIX:
        return sector >= border;
    case STYLE_ANY:
    case STYLE_COUNT:
        break;
    }
    return toss(disk);
}

/* Sectors that differ between the synced and the present content. */
static void mix_sectors(struct sim_disk *disk,
                        struct node *node,
                        enum style style)
{
    struct image *synced = &node->synced;
    const struct image *now = &node->now;
    uint64_t common = smaller(synced->size, now->size);
    uint64_t first = UINT64_MAX;
    uint64_t last = 0;
    for (uint64_t at = 0; at < common; at += SIM_DISK_SECTOR_BYTES) {
        uint64_t length = smaller(SIM_DISK_SECTOR_BYTES, common - at);
        if (memcmp(synced->data + at, now->data + at, length) != 0) {
            first = smaller(first, at / SIM_DISK_SECTOR_BYTES);
            last = at / SIM_DISK_SECTOR_BYTES;
        }
    }
    if (first == UINT64_MAX) {
        return;
    }
    uint64_t border = first + seeded_below(&disk->random, last - first + 2);
    for (uint64_t sector = first; sector <= last; sector++) {
        uint64_t at = sector * SIM_DISK_SECTOR_BYTES;
        uint64_t length = smaller(SIM_DISK_SECTOR_BYTES, common - at);
        if (keeps_sector(disk, style, sector, border)) {
            memcpy(synced->data + at, now->data + at, length);
        }
    }
}

/* What is left of a file: it becomes the synced and the present content. */
static void crash_node(struct sim_disk *disk, struct node *node)
{
    enum style style =
        (enum style)seeded_below(&disk->random, (uint64_t)STYLE_COUNT);
    struct image *synced = &node->synced;
    uint64_t size = node->now.size;
    if (style == STYLE_NOTHING ||
        (style != STYLE_ALL && seeded_below(&disk->random, 4) == 0)) {
        size = synced->size;
    }
    image_resize(synced, size);
    image_resize(&node->now, size); /* sizes agree: sectors may be mixed */
    mix_sectors(disk, node, style);
    image_copy(&node->now, synced);
    node->dirty_from = 0;
    node->dirty_to = 0;
}

/* A name that was removed and made again belongs to one of both files. */
static void settle_names(struct sim_disk *disk)
{
    for (struct node *node = disk->nodes; node; node = node->next) {
        for (struct node *other = node->next; other; other = other->next) {
            if (node->is_named && other->is_named &&
                strcmp(node->name, other->name) == 0) {
                *(toss(disk) ? &node->is_named : &other->is_named) = false;
            }
        }
    }
}

void sim_disk_crash(struct sim_disk *disk)
{
    sim_disk_kill(disk);
    enum style style =
        (enum style)seeded_below(&disk->random, (uint64_t)STYLE_COUNT);
    disk->free_bytes = CAPACITY_BYTES;
    for (struct node *node = disk->nodes; node; node = node->next) {
        if (node->is_named != node->was_named) {
            node->is_named = keeps_sector(disk, style, toss(disk), 1)
                                 ? node->is_named
                                 : node->was_named;
        }
    }
    settle_names(disk);
    for (struct node *node = disk->nodes; node; node = node->next) {
        crash_node(disk, node);
        node->was_named = node->is_named;
        disk->free_bytes -=
            smaller(disk->free_bytes, node->is_named ? node->now.size : 0);
    }
    sweep(disk);
}

void sim_disk_kill(struct sim_disk *disk)
{
    disk->life++;
    disk->is_cut = false;
    disk->cut_at = 0;
    disk->fails_sync = false;
    disk->fails_write = false;
}

void sim_disk_cut_after(struct sim_disk *disk, uint64_t count)
{
    assert(count > 0);
    disk->cut_at = disk->operations + count;
}

bool sim_disk_is_cut(const struct sim_disk *disk)
{
    return disk->is_cut;
}

uint64_t sim_disk_operations(const struct sim_disk *disk)
{
    return disk->operations;
}

void sim_disk_fill(struct sim_disk *disk, uint64_t free_bytes)
{
    disk->free_bytes = free_bytes;
}

void sim_disk_fail_next_sync(struct sim_disk *disk)
{
    disk->fails_sync = true;
}

void sim_disk_fail_next_write(struct sim_disk *disk)
{
    disk->fails_write = true;
}

void sim_disk_ignore_syncs(struct sim_disk *disk)
{
    disk->ignores_syncs = true;
}

bool sim_disk_flip(struct sim_disk *disk, const char *name, uint64_t at)
{
    struct node *node = find(disk, name);
    if (!node || at >= node->now.size) {
        return false;
    }
    uint8_t bit = (uint8_t)(1 << seeded_below(&disk->random, 8));
    node->now.data[at] ^= bit;
    if (at < node->synced.size) {
        node->synced.data[at] ^= bit;
    }
    return true;
}

bool sim_disk_delete(struct sim_disk *disk, const char *name)
{
    struct node *node = find(disk, name);
    if (node) {
        node->is_named = false;
        node->was_named = false;
        disk->free_bytes += node->now.size;
        sweep(disk);
    }
    return node != NULL;
}

void sim_disk_wipe(struct sim_disk *disk)
{
    for (struct node *node = disk->nodes; node; node = node->next) {
        node->is_named = false;
        node->was_named = false;
        disk->free_bytes += node->now.size;
    }
    sweep(disk);
}

bool sim_disk_shorten(struct sim_disk *disk, const char *name, uint64_t size)
{
    struct node *node = find(disk, name);
    if (!node || size > node->now.size) {
        return false;
    }
    node->now.size = size;
    node->synced.size = smaller(node->synced.size, size);
    return true;
}

struct bytes sim_disk_content(const struct sim_disk *disk, const char *name)
{
    const struct node *node = find(disk, name);
    return node ? bytes_of(node->now.data, node->now.size) : bytes_of(NULL, 0);
}
