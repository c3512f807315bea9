#include "store/reading_disk.h"

#include <stdio.h>
#include <stdlib.h>

struct disk_file {
    const struct disk *under;
    struct disk_file *file; /* NULL: it seems to have been made */
};

static enum err reading_open(void *context,
                             const char *name,
                             enum disk_mode mode,
                             struct disk_file **out)
{
    const struct reading_disk *disk = context;
    struct disk_file *file = calloc(1, sizeof *file);
    if (!file) {
        return ERR_MEMORY;
    }
    file->under = disk->under;
    enum err err = mode == DISK_CREATE
                       ? ERR_NONE
                       : disk->under->open(disk->under->context, name,
                                           DISK_READ, &file->file);
    if (err) {
        free(file);
        return err;
    }
    *out = file;
    return ERR_NONE;
}

static void reading_close(struct disk_file **file)
{
    if (*file) {
        (*file)->under->close(&(*file)->file);
        free(*file);
        *file = NULL;
    }
}

static enum err reading_write(struct disk_file *file,
                              uint64_t at,
                              struct bytes bytes)
{
    (void)file;
    (void)at;
    (void)bytes;
    return ERR_NONE;
}

static enum err reading_read(struct disk_file *file,
                             uint64_t at,
                             void *to,
                             size_t length,
                             size_t *out_length)
{
    if (!file->file) {
        *out_length = 0;
        return ERR_NONE;
    }
    return file->under->read(file->file, at, to, length, out_length);
}

static enum err reading_size(struct disk_file *file, uint64_t *out)
{
    if (!file->file) {
        *out = 0;
        return ERR_NONE;
    }
    return file->under->size(file->file, out);
}

static enum err reading_truncate(struct disk_file *file, uint64_t size)
{
    (void)file;
    (void)size;
    return ERR_NONE;
}

static enum err reading_sync(struct disk_file *file)
{
    (void)file;
    return ERR_NONE;
}

static enum err reading_sync_folder(void *context)
{
    (void)context;
    return ERR_NONE;
}

static enum err reading_remove(void *context, const char *name)
{
    struct reading_disk *disk = context;
    disk->has_removed = true;
    (void)snprintf(disk->removed, sizeof disk->removed, "%s", name);
    return ERR_NONE;
}

static enum err reading_list(void *context,
                             void (*visit)(void *visitor, const char *name),
                             void *visitor)
{
    const struct reading_disk *disk = context;
    return disk->under->list(disk->under->context, visit, visitor);
}

static enum err reading_free_bytes(void *context, uint64_t *out)
{
    const struct reading_disk *disk = context;
    return disk->under->free_bytes(disk->under->context, out);
}

void reading_disk_init(struct reading_disk *disk, const struct disk *under)
{
    *disk = (struct reading_disk){
        .under = under,
        .table = {.context = disk,
                  .open = reading_open,
                  .close = reading_close,
                  .write = reading_write,
                  .read = reading_read,
                  .size = reading_size,
                  .truncate = reading_truncate,
                  .sync = reading_sync,
                  .sync_folder = reading_sync_folder,
                  .remove = reading_remove,
                  .list = reading_list,
                  .free_bytes = reading_free_bytes},
    };
}
