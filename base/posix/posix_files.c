#include "base/posix/posix_files.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/posix/posix_entropy.h"
#include "base/scope.h"

#define READ_BYTES_MIN 4096 /* for what does not tell its size, as pipes */

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

/* What was read so far. Wiped when freed: it may be a secret. */
struct content {
    uint8_t *data;
    size_t length;
    size_t capacity;
};

static void content_clear(struct content *content)
{
    if (content->data) {
        explicit_bzero(content->data, content->capacity);
        free(content->data);
    }
    *content = (struct content){0};
}

/* Not realloc(), which would leave a copy behind. */
static enum err content_grow(struct content *content, size_t capacity)
{
    assert(capacity > content->length);
    struct content grown = {.data = malloc(capacity),
                            .length = content->length,
                            .capacity = capacity};
    if (!grown.data) {
        return ERR_MEMORY;
    }
    if (content->length > 0) {
        memcpy(grown.data, content->data, content->length);
    }
    content_clear(content);
    *content = grown;
    return ERR_NONE;
}

/* Read to the end; one byte stays free for the zero behind. */
static enum err read_all(int fd, size_t length_max, struct content *content)
{
    for (;;) {
        if (content->length + 1 == content->capacity) {
            enum err err = content_grow(content, 2 * content->capacity);
            if (err) {
                return err;
            }
        }
        size_t room = content->capacity - 1 - content->length;
        ssize_t count = read(fd, content->data + content->length, room);
        if (count < 0 && errno != EINTR) {
            return err_from_errno(errno);
        }
        if (count == 0) {
            return ERR_NONE;
        }
        content->length += count > 0 ? (size_t)count : 0;
        if (content->length > length_max) {
            return ERR_TOO_LARGE;
        }
    }
}

static enum err check_access(const struct stat *about, enum file_access access)
{
    if (access == FILE_PUBLIC) {
        return ERR_NONE;
    }
    if (!S_ISREG(about->st_mode)) {
        return ERR_IO;
    }
    return about->st_mode & 066 ? ERR_EXPOSED : ERR_NONE;
}

static enum err files_read(void *context,
                           const char *path,
                           enum file_access access,
                           size_t length_max,
                           uint8_t **out,
                           size_t *out_length)
{
    (void)context;
    /* A secret is a plain file: opening anything else must not wait. */
    int flags = access == FILE_SECRET ? O_NOFOLLOW | O_NONBLOCK : 0;
    scoped(close_fd) int fd =
        open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | flags);
    if (fd < 0) {
        return err_from_errno(errno);
    }
    /* Asked of the open file, not of its name: it cannot change meanwhile. */
    struct stat about;
    if (fstat(fd, &about)) {
        return ERR_IO;
    }
    enum err err = check_access(&about, access);
    if (err) {
        return err;
    }
    if (S_ISREG(about.st_mode) && (uintmax_t)about.st_size > length_max) {
        return ERR_TOO_LARGE;
    }
    size_t expected = S_ISREG(about.st_mode) ? (size_t)about.st_size : 0;
    scoped(content_clear) struct content content = {0};
    err = content_grow(
        &content, (expected < READ_BYTES_MIN ? READ_BYTES_MIN : expected) + 2);
    if (err) {
        return err;
    }
    err = read_all(fd, length_max, &content);
    if (err) {
        return err;
    }
    content.data[content.length] = 0;
    *out = content.data;
    *out_length = content.length;
    content.data = NULL; /* the caller owns it now */
    return ERR_NONE;
}

/* A file's folder, open, and its name in there. */
struct place {
    int folder;
    const char *name;
};

static void place_clear(struct place *place)
{
    close_fd(&place->folder);
}

static enum err place_init(struct place *place, const char *path)
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/') {
        end--; /* "keys/" is a good name for a folder */
    }
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') {
        start--;
    }
    if (start == end) {
        return ERR_IO;
    }
    place->name = path + start;
    char *folder = start > 0 ? strndup(path, start) : strdup(".");
    if (!folder) {
        return ERR_MEMORY;
    }
    place->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = errno;
    free(folder);
    return place->folder < 0 ? err_from_errno(code) : ERR_NONE;
}

/* Some file systems cannot sync a folder: they do it by themselves. */
static enum err sync_folder(int folder)
{
    return fsync(folder) && errno != EINVAL ? err_from_errno(errno) : ERR_NONE;
}

static enum err write_all(int fd, struct bytes content)
{
    while (content.length > 0) {
        ssize_t count = write(fd, content.data, content.length);
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            return err_from_errno(errno);
        }
        content.data += count;
        content.length -= (size_t)count;
    }
    return ERR_NONE;
}

/* Make the file `name` with its content, safely on disk. */
static enum err write_new(int folder,
                          const char *name,
                          mode_t mode,
                          struct bytes content)
{
    scoped(close_fd) int fd =
        openat(folder, name,
               O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_from_errno(errno);
    }
    enum err err = write_all(fd, content);
    if (!err && (fchmod(fd, mode) || fdatasync(fd))) {
        err = err_from_errno(errno);
    }
    int code = close(fd);
    fd = -1;
    if (!err && code) {
        err = err_from_errno(errno); /* a network's quota shows here */
    }
    if (err) {
        (void)unlinkat(folder, name, 0);
    }
    return err;
}

/* Give it its name; fails if that is taken. */
static int rename_new(const struct place *place, const char *temporary)
{
    int code = renameat2(place->folder, temporary, place->folder, place->name,
                         RENAME_NOREPLACE);
    if (code == 0 || (errno != EINVAL && errno != ENOSYS)) {
        return code;
    }
    /* A file system without that flag. */
    code = linkat(place->folder, temporary, place->folder, place->name, 0);
    return code ? code : unlinkat(place->folder, temporary, 0);
}

static enum err files_write(void *context,
                            const char *path,
                            enum file_access access,
                            bool replace,
                            struct bytes content)
{
    (void)context;
    scoped(place_clear) struct place place = {.folder = -1};
    enum err err = place_init(&place, path);
    if (err) {
        return err;
    }
    char temporary[64];
    (void)snprintf(temporary, sizeof temporary, ".new-%016llx",
                   (unsigned long long)entropy_u64(posix_entropy()));
    err = write_new(place.folder, temporary,
                    access == FILE_SECRET ? 0600 : 0644, content);
    if (err) {
        /* The random name was taken: not what ERR_EXISTS means here. */
        return err == ERR_EXISTS ? ERR_IO : err;
    }
    int code = replace
                   ? renameat(place.folder, temporary, place.folder, place.name)
                   : rename_new(&place, temporary);
    if (code) {
        err = err_from_errno(errno);
        (void)unlinkat(place.folder, temporary, 0);
        /* rename() says so of a folder that has entries. */
        return replace && err == ERR_EXISTS ? ERR_IO : err;
    }
    return sync_folder(place.folder);
}

static enum err files_make_folder(void *context,
                                  const char *path,
                                  enum file_access access)
{
    (void)context;
    scoped(place_clear) struct place place = {.folder = -1};
    enum err err = place_init(&place, path);
    if (err) {
        return err;
    }
    if (mkdirat(place.folder, place.name, 0700)) {
        return err_from_errno(errno);
    }
    if (access == FILE_PUBLIC && fchmodat(place.folder, place.name, 0755, 0)) {
        err = err_from_errno(errno);
    }
    if (!err) {
        err = sync_folder(place.folder);
    }
    if (err) {
        (void)unlinkat(place.folder, place.name, AT_REMOVEDIR);
    }
    return err;
}

static enum err files_remove(void *context, const char *path)
{
    (void)context;
    if (remove(path)) {
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    }
    return ERR_NONE;
}

static int is_entry(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

/* Not alphasort(), whose order depends on the locale. */
static int compare_names(const struct dirent **left,
                         const struct dirent **right)
{
    return strcmp((*left)->d_name, (*right)->d_name);
}

static enum err files_list(void *context,
                           const char *path,
                           void (*visit)(void *visitor, const char *name),
                           void *visitor)
{
    (void)context;
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, is_entry, compare_names);
    if (count < 0) {
        return err_from_errno(errno);
    }
    for (int i = 0; i < count; i++) {
        visit(visitor, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return ERR_NONE;
}

struct file_lock {
    int fd; /* open as long as the lock is held: the kernel's part of it */
    char *path;
};

static void lock_close(struct file_lock **lock)
{
    if (*lock) {
        close_fd(&(*lock)->fd);
        free((*lock)->path);
        free(*lock);
        *lock = NULL;
    }
}

/*
 * Lock the file that has the path now. `*is_gone`: it was another one, as
 * whoever held the lock has just removed it.
 */
static enum err lock_once(struct file_lock *lock, bool *is_gone)
{
    *is_gone = false;
    lock->fd =
        open(lock->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
             0600);
    if (lock->fd < 0) {
        return err_from_errno(errno);
    }
    if (flock(lock->fd, LOCK_EX | LOCK_NB)) {
        return errno == EWOULDBLOCK ? ERR_BUSY : err_from_errno(errno);
    }
    struct stat held;
    struct stat named;
    if (fstat(lock->fd, &held)) {
        return ERR_IO;
    }
    if (stat(lock->path, &named)) {
        *is_gone = errno == ENOENT;
        return *is_gone ? ERR_NONE : err_from_errno(errno);
    }
    *is_gone = held.st_dev != named.st_dev || held.st_ino != named.st_ino;
    return ERR_NONE;
}

static enum err files_lock(void *context, const char *path, void **out)
{
    (void)context;
    scoped(lock_close) struct file_lock *lock = calloc(1, sizeof *lock);
    if (!lock) {
        return ERR_MEMORY;
    }
    lock->fd = -1;
    lock->path = strdup(path);
    if (!lock->path) {
        return ERR_MEMORY;
    }
    bool is_gone = false;
    enum err err = lock_once(lock, &is_gone);
    while (!err && is_gone) {
        close_fd(&lock->fd);
        err = lock_once(lock, &is_gone);
    }
    if (err) {
        return err;
    }
    *out = lock;
    lock = NULL; /* the caller owns it now */
    return ERR_NONE;
}

static void files_unlock(void *context, void *held)
{
    (void)context;
    struct file_lock *lock = held;
    /* While it is held: the name cannot be anybody else's yet. */
    (void)unlink(lock->path);
    lock_close(&lock);
}

enum err posix_files_look_at_lock(const char *path)
{
    scoped(close_fd) int fd =
        open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? ERR_NONE : err_from_errno(errno);
    }
    if (flock(fd, LOCK_SH | LOCK_NB)) {
        return errno == EWOULDBLOCK ? ERR_BUSY : err_from_errno(errno);
    }
    return ERR_NONE;
}

const struct files *posix_files(void)
{
    static const struct files files = {
        .read = files_read,
        .write = files_write,
        .make_folder = files_make_folder,
        .remove = files_remove,
        .list = files_list,
        .lock = files_lock,
        .unlock = files_unlock,
    };
    return &files;
}
