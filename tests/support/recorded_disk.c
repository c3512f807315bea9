#include "tests/support/recorded_disk.h"

#include <stdio.h>
#include <stdlib.h>

/* Of the recording; `real` is the other disk's. */
struct disk_file {
    struct recorded_disk *disk;
    struct disk_file *real;
    char name[DISK_NAME_BYTES];
};

static void must(bool condition)
{
    if (!condition) {
        (void)fputs("recorded_disk: out of room\n", stderr);
        abort();
    }
}

static struct recorded_operation *record(struct recorded_disk *disk,
                                         enum recorded_kind kind,
                                         const char *name)
{
    must(disk->count < RECORDED_DISK_COUNT_MAX);
    struct recorded_operation *operation = &disk->operations[disk->count++];
    *operation = (struct recorded_operation){.kind = kind,
                                             .told = atomic_load(&disk->told)};
    (void)snprintf(operation->name, sizeof operation->name, "%s", name);
    return operation;
}

static enum err recorded_open(void *context,
                              const char *name,
                              enum disk_mode mode,
                              struct disk_file **out)
{
    struct recorded_disk *disk = context;
    struct disk_file *file = calloc(1, sizeof *file);
    must(file != NULL);
    enum err err =
        disk->real->open(disk->real->context, name, mode, &file->real);
    if (err) {
        free(file);
        return err;
    }
    if (mode == DISK_CREATE) {
        (void)record(disk, RECORDED_CREATE, name);
    }
    file->disk = disk;
    (void)snprintf(file->name, sizeof file->name, "%s", name);
    *out = file;
    return ERR_NONE;
}

static void recorded_close(struct disk_file **file)
{
    if (*file) {
        (*file)->disk->real->close(&(*file)->real);
        free(*file);
        *file = NULL;
    }
}

static enum err recorded_write(struct disk_file *file,
                               uint64_t at,
                               struct bytes bytes)
{
    struct recorded_operation *operation =
        record(file->disk, RECORDED_WRITE, file->name);
    operation->at = at;
    operation->data = malloc(bytes.length + 1);
    must(operation->data != NULL);
    memcpy(operation->data, bytes.data, bytes.length);
    operation->length = bytes.length;
    return file->disk->real->write(file->real, at, bytes);
}

static enum err recorded_read(struct disk_file *file,
                              uint64_t at,
                              void *to,
                              size_t length,
                              size_t *out_length)
{
    return file->disk->real->read(file->real, at, to, length, out_length);
}

static enum err recorded_size(struct disk_file *file, uint64_t *out)
{
    return file->disk->real->size(file->real, out);
}

static enum err recorded_truncate(struct disk_file *file, uint64_t size)
{
    record(file->disk, RECORDED_TRUNCATE, file->name)->at = size;
    return file->disk->real->truncate(file->real, size);
}

static enum err recorded_sync(struct disk_file *file)
{
    (void)record(file->disk, RECORDED_SYNC, file->name);
    return file->disk->real->sync(file->real);
}

static enum err recorded_sync_folder(void *context)
{
    struct recorded_disk *disk = context;
    (void)record(disk, RECORDED_SYNC_FOLDER, "");
    return disk->real->sync_folder(disk->real->context);
}

static enum err recorded_remove(void *context, const char *name)
{
    struct recorded_disk *disk = context;
    (void)record(disk, RECORDED_REMOVE, name);
    return disk->real->remove(disk->real->context, name);
}

static enum err recorded_list(void *context,
                              void (*visit)(void *visitor, const char *name),
                              void *visitor)
{
    struct recorded_disk *disk = context;
    return disk->real->list(disk->real->context, visit, visitor);
}

static enum err recorded_free_bytes(void *context, uint64_t *out)
{
    struct recorded_disk *disk = context;
    return disk->real->free_bytes(disk->real->context, out);
}

void recorded_disk_init(struct recorded_disk *disk, const struct disk *real)
{
    disk->real = real;
    disk->count = 0;
    atomic_store(&disk->told, 0);
    disk->table = (struct disk){
        .context = disk,
        .open = recorded_open,
        .close = recorded_close,
        .write = recorded_write,
        .read = recorded_read,
        .size = recorded_size,
        .truncate = recorded_truncate,
        .sync = recorded_sync,
        .sync_folder = recorded_sync_folder,
        .remove = recorded_remove,
        .list = recorded_list,
        .free_bytes = recorded_free_bytes,
    };
}

void recorded_disk_clear(struct recorded_disk *disk)
{
    for (size_t i = 0; i < disk->count; i++) {
        free(disk->operations[i].data);
    }
    disk->count = 0;
}

void recorded_disk_tell(struct recorded_disk *disk, uint64_t number)
{
    atomic_store(&disk->told, number);
}

uint64_t recorded_disk_told(const struct recorded_disk *disk, size_t count)
{
    return count < disk->count ? disk->operations[count].told
                               : atomic_load(&disk->told);
}

static void replay_one(const struct recorded_operation *operation,
                       const struct disk *to)
{
    struct disk_file *file = NULL;
    enum err err = ERR_NONE;
    switch (operation->kind) {
    case RECORDED_NOTHING:
        return;
    case RECORDED_SYNC_FOLDER:
        err = to->sync_folder(to->context);
        break;
    case RECORDED_REMOVE:
        err = to->remove(to->context, operation->name);
        break;
    default:
        err = to->open(to->context, operation->name,
                       operation->kind == RECORDED_CREATE ? DISK_CREATE
                                                          : DISK_WRITE,
                       &file);
        break;
    }
    if (!err && operation->kind == RECORDED_WRITE) {
        err = to->write(file, operation->at,
                        bytes_of(operation->data, operation->length));
    } else if (!err && operation->kind == RECORDED_TRUNCATE) {
        err = to->truncate(file, operation->at);
    } else if (!err && operation->kind == RECORDED_SYNC) {
        err = to->sync(file);
    }
    must(!err);
    to->close(&file);
}

void recorded_disk_replay(const struct recorded_disk *disk,
                          size_t count,
                          const struct disk *to)
{
    for (size_t i = 0; i < count; i++) {
        replay_one(&disk->operations[i], to);
    }
}

void recorded_disk_drop_syncs(struct recorded_disk *disk)
{
    for (size_t i = 0; i < disk->count; i++) {
        struct recorded_operation *operation = &disk->operations[i];
        if (operation->kind == RECORDED_SYNC ||
            operation->kind == RECORDED_SYNC_FOLDER) {
            operation->kind = RECORDED_NOTHING;
        }
    }
}
