#include "store/posix_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct posix_disk {
    int folder;
    struct disk table;
};

struct disk_file {
    int fd;
};

static enum err err_of_disk(int code)
{
    switch (code) {
    case EMFILE:
    case ENFILE:
        return ERR_LIMIT;
    default:
        return err_from_errno(code);
    }
}

/* Of an open file: where it is, and who may do what, is settled. */
static enum err err_of_file(int code)
{
    enum err err = err_of_disk(code);
    return err == ERR_NO_SPACE ? err : ERR_IO;
}

static enum err disk_open(void *context,
                          const char *name,
                          enum disk_mode mode,
                          struct disk_file **out)
{
    static const int flags[] = {
        [DISK_READ] = O_RDONLY,
        [DISK_WRITE] = O_RDWR,
        [DISK_CREATE] = O_RDWR | O_CREAT | O_EXCL,
    };
    const struct posix_disk *disk = context;
    struct disk_file *file = malloc(sizeof *file);
    if (!file) {
        return ERR_MEMORY;
    }
    file->fd =
        openat(disk->folder, name, flags[mode] | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file->fd < 0) {
        enum err err = err_of_disk(errno);
        free(file);
        return err;
    }
    *out = file;
    return ERR_NONE;
}

static void disk_close(struct disk_file **file)
{
    if (*file) {
        (void)close((*file)->fd);
        free(*file);
        *file = NULL;
    }
}

static enum err disk_write(struct disk_file *file,
                           uint64_t at,
                           struct bytes bytes)
{
    while (bytes.length > 0) {
        ssize_t count = pwrite(file->fd, bytes.data, bytes.length, (off_t)at);
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            return err_of_file(errno);
        }
        bytes.data += count;
        bytes.length -= (size_t)count;
        at += (uint64_t)count;
    }
    return ERR_NONE;
}

static enum err disk_read(struct disk_file *file,
                          uint64_t at,
                          void *to,
                          size_t length,
                          size_t *out_length)
{
    size_t done = 0;
    while (done < length) {
        ssize_t count = pread(file->fd, (uint8_t *)to + done, length - done,
                              (off_t)(at + done));
        if (count < 0 && errno != EINTR) {
            return ERR_IO;
        }
        if (count == 0) {
            break;
        }
        done += count > 0 ? (size_t)count : 0;
    }
    *out_length = done;
    return ERR_NONE;
}

static enum err disk_size(struct disk_file *file, uint64_t *out)
{
    struct stat about;
    if (fstat(file->fd, &about)) {
        return ERR_IO;
    }
    *out = (uint64_t)about.st_size;
    return ERR_NONE;
}

static enum err disk_truncate(struct disk_file *file, uint64_t size)
{
    return ftruncate(file->fd, (off_t)size) ? ERR_IO : ERR_NONE;
}

static enum err disk_sync(struct disk_file *file)
{
    return fdatasync(file->fd) ? err_of_file(errno) : ERR_NONE;
}

static enum err disk_sync_folder(void *context)
{
    const struct posix_disk *disk = context;
    /* Some file systems cannot sync a folder: they do it by themselves. */
    return fsync(disk->folder) && errno != EINVAL ? ERR_IO : ERR_NONE;
}

static enum err disk_remove(void *context, const char *name)
{
    const struct posix_disk *disk = context;
    return unlinkat(disk->folder, name, 0) ? err_of_disk(errno) : ERR_NONE;
}

/* Not alphasort(), whose order depends on the locale. */
static int compare_names(const struct dirent **left,
                         const struct dirent **right)
{
    return strcmp((*left)->d_name, (*right)->d_name);
}

static int is_file_name(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static enum err disk_list(void *context,
                          void (*visit)(void *visitor, const char *name),
                          void *visitor)
{
    const struct posix_disk *disk = context;
    struct dirent **entries = NULL;
    int count =
        scandirat(disk->folder, ".", &entries, is_file_name, compare_names);
    if (count < 0) {
        return errno == ENOMEM ? ERR_MEMORY : ERR_IO;
    }
    for (int i = 0; i < count; i++) {
        visit(visitor, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return ERR_NONE;
}

static enum err disk_free_bytes(void *context, uint64_t *out)
{
    const struct posix_disk *disk = context;
    struct statvfs about;
    if (fstatvfs(disk->folder, &about)) {
        return ERR_IO;
    }
    *out = (uint64_t)about.f_bavail * about.f_frsize;
    return ERR_NONE;
}

enum err posix_disk_open(struct posix_disk **out, const char *path)
{
    struct posix_disk *disk = malloc(sizeof *disk);
    if (!disk) {
        return ERR_MEMORY;
    }
    disk->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (disk->folder < 0) {
        enum err err = err_of_disk(errno);
        free(disk);
        return err;
    }
    disk->table = (struct disk){
        .context = disk,
        .open = disk_open,
        .close = disk_close,
        .write = disk_write,
        .read = disk_read,
        .size = disk_size,
        .truncate = disk_truncate,
        .sync = disk_sync,
        .sync_folder = disk_sync_folder,
        .remove = disk_remove,
        .list = disk_list,
        .free_bytes = disk_free_bytes,
    };
    *out = disk;
    return ERR_NONE;
}

const struct disk *posix_disk_table(const struct posix_disk *disk)
{
    return &disk->table;
}

void posix_disk_close(struct posix_disk **disk)
{
    if (*disk) {
        (void)close((*disk)->folder);
        free(*disk);
        *disk = NULL;
    }
}
