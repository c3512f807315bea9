#include "tests/support/memory_files.h"

#include <stdio.h>
#include <stdlib.h>

static void must(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "memory files: %s\n", what);
        abort();
    }
}

struct memory_file *memory_files_find(struct memory_files *memory,
                                      const char *path)
{
    for (size_t i = 0; i < MEMORY_FILES_ENTRY_COUNT_MAX; i++) {
        if (strcmp(memory->entries[i].path, path) == 0) {
            return &memory->entries[i];
        }
    }
    return NULL;
}

uint32_t memory_files_count(const struct memory_files *memory)
{
    uint32_t count = 0;
    for (size_t i = 0; i < MEMORY_FILES_ENTRY_COUNT_MAX; i++) {
        count += memory->entries[i].path[0] != '\0';
    }
    return count;
}

static void clear(struct memory_file *file)
{
    free(file->data);
    *file = (struct memory_file){0};
}

static void set_content(struct memory_file *file, struct bytes content)
{
    free(file->data);
    file->data = calloc(1, content.length + 1);
    must(file->data != NULL, "out of memory");
    if (content.length > 0) {
        memcpy(file->data, content.data, content.length);
    }
    file->length = content.length;
}

static struct memory_file *add(struct memory_files *memory, const char *path)
{
    struct memory_file *file = memory_files_find(memory, "");
    must(file != NULL, "too many files");
    must(strlen(path) < sizeof file->path, "path too long");
    memcpy(file->path, path, strlen(path) + 1);
    return file;
}

static bool fails(const struct memory_files *memory)
{
    return memory->fail_at > 0 &&
           (memory->write_count == memory->fail_at ||
            (memory->fails_on && memory->write_count > memory->fail_at));
}

/* Whether the folder in which `path` stands is there. */
static bool has_parent(struct memory_files *memory, const char *path)
{
    char parent[256] = {0};
    const char *slash = strrchr(path, '/');
    if (!slash) {
        return true;
    }
    memcpy(parent, path, (size_t)(slash - path));
    struct memory_file *folder = memory_files_find(memory, parent);
    return parent[0] == '\0' || (folder && folder->is_folder);
}

static enum err memory_read(void *context,
                            const char *path,
                            enum file_access access,
                            size_t length_max,
                            uint8_t **out,
                            size_t *out_length)
{
    struct memory_file *file = memory_files_find(context, path);
    if (!file || path[0] == '\0') {
        return ERR_NOT_FOUND;
    }
    if (file->is_folder) {
        return ERR_IO;
    }
    if (access == FILE_SECRET && file->access != FILE_SECRET) {
        return ERR_EXPOSED;
    }
    if (file->length > length_max) {
        return ERR_TOO_LARGE;
    }
    *out = calloc(1, file->length + 1);
    must(*out != NULL, "out of memory");
    memcpy(*out, file->data, file->length);
    *out_length = file->length;
    return ERR_NONE;
}

static enum err memory_write(void *context,
                             const char *path,
                             enum file_access access,
                             bool replace,
                             struct bytes content)
{
    struct memory_files *memory = context;
    struct memory_file *file = memory_files_find(memory, path);
    memory->write_count++;
    if (fails(memory)) {
        return ERR_NO_SPACE;
    }
    if (file && !replace) {
        return ERR_EXISTS;
    }
    if (!has_parent(memory, path) || (file && file->is_folder)) {
        return ERR_IO;
    }
    file = file ? file : add(memory, path);
    file->access = access;
    set_content(file, content);
    return ERR_NONE;
}

static enum err memory_make_folder(void *context,
                                   const char *path,
                                   enum file_access access)
{
    struct memory_files *memory = context;
    memory->write_count++;
    if (fails(memory)) {
        return ERR_NO_SPACE;
    }
    if (memory_files_find(memory, path)) {
        return ERR_EXISTS;
    }
    if (!has_parent(memory, path)) {
        return ERR_IO;
    }
    struct memory_file *folder = add(memory, path);
    folder->is_folder = true;
    folder->access = access;
    return ERR_NONE;
}

static bool is_below(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && path[length] == '/';
}

static enum err memory_remove(void *context, const char *path)
{
    struct memory_files *memory = context;
    struct memory_file *file = memory_files_find(memory, path);
    if (memory->fails_removal && memory->fail_at > 0 &&
        memory->write_count >= memory->fail_at) {
        return ERR_IO;
    }
    if (!file || path[0] == '\0') {
        return ERR_NOT_FOUND;
    }
    for (size_t i = 0; i < MEMORY_FILES_ENTRY_COUNT_MAX; i++) {
        if (is_below(memory->entries[i].path, path)) {
            return ERR_IO;
        }
    }
    clear(file);
    return ERR_NONE;
}

static enum err memory_list(void *context,
                            const char *path,
                            void (*visit)(void *visitor, const char *name),
                            void *visitor)
{
    struct memory_files *memory = context;
    struct memory_file *folder = memory_files_find(memory, path);
    if (!folder || !folder->is_folder) {
        return ERR_NOT_FOUND;
    }
    size_t length = strlen(path) + 1;
    for (size_t i = 0; i < MEMORY_FILES_ENTRY_COUNT_MAX; i++) {
        const char *each = memory->entries[i].path;
        if (is_below(each, path) && !strchr(each + length, '/')) {
            visit(visitor, each + length); /* not sorted: nobody relies on it */
        }
    }
    return ERR_NONE;
}

static enum err memory_lock(void *context, const char *path, void **out)
{
    struct memory_files *memory = context;
    struct memory_file *file = memory_files_find(memory, path);
    memory->write_count++;
    if (fails(memory)) {
        return ERR_NO_SPACE;
    }
    if (file && file->is_locked) {
        return ERR_BUSY;
    }
    if (!has_parent(memory, path) || (file && file->is_folder)) {
        return ERR_IO;
    }
    if (!file) {
        file = add(memory, path);
        file->access = FILE_SECRET;
        set_content(file, bytes_of("", 0));
    }
    file->is_locked = true;
    *out = file;
    return ERR_NONE;
}

/* The lock ends even where the file cannot be removed any more. */
static void memory_unlock(void *context, void *lock)
{
    struct memory_file *file = lock;
    must(file->is_locked, "not locked");
    file->is_locked = false;
    (void)memory_remove(context, file->path);
}

struct files memory_files_table(struct memory_files *memory)
{
    return (struct files){.context = memory,
                          .read = memory_read,
                          .write = memory_write,
                          .make_folder = memory_make_folder,
                          .remove = memory_remove,
                          .list = memory_list,
                          .lock = memory_lock,
                          .unlock = memory_unlock};
}

void memory_files_clear(struct memory_files *memory)
{
    for (size_t i = 0; i < MEMORY_FILES_ENTRY_COUNT_MAX; i++) {
        free(memory->entries[i].data);
    }
    *memory = (struct memory_files){0};
}

void memory_files_copy(struct memory_files *to, const struct memory_files *from)
{
    for (size_t i = 0; i < MEMORY_FILES_ENTRY_COUNT_MAX; i++) {
        const struct memory_file *file = &from->entries[i];
        if (file->path[0] != '\0') {
            struct memory_file *copy = add(to, file->path);
            copy->is_folder = file->is_folder;
            copy->access = file->access;
            if (!file->is_folder) {
                set_content(copy, bytes_of(file->data, file->length));
            }
        }
    }
}

static const struct memory_file *find_const(const struct memory_files *memory,
                                            const char *path)
{
    for (size_t i = 0; i < MEMORY_FILES_ENTRY_COUNT_MAX; i++) {
        if (strcmp(memory->entries[i].path, path) == 0) {
            return &memory->entries[i];
        }
    }
    return NULL;
}

bool memory_files_are_equal(const struct memory_files *left,
                            const struct memory_files *right)
{
    if (memory_files_count(left) != memory_files_count(right)) {
        return false;
    }
    for (size_t i = 0; i < MEMORY_FILES_ENTRY_COUNT_MAX; i++) {
        const struct memory_file *a = &left->entries[i];
        if (a->path[0] == '\0') {
            continue;
        }
        const struct memory_file *b = find_const(right, a->path);
        if (!b || a->is_folder != b->is_folder || a->access != b->access ||
            !bytes_are_equal(bytes_of(a->data, a->length),
                             bytes_of(b->data, b->length))) {
            return false;
        }
    }
    return true;
}
