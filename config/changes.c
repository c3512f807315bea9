#include "config/changes.h"

#include "config/content.h"

#include <sodium.h>
#include <stdlib.h>

/* One change, and what undoes it. */
struct change {
    char *path;
    enum file_access access;
    uint8_t *before; /* its content; NULL: it was not there */
    size_t before_bytes;
};

struct changes {
    const struct files *files;
    struct change *made;
    size_t made_count;
    size_t capacity;
};

static void change_clear(struct change *change)
{
    free(change->path);
    if (change->before) {
        sodium_memzero(change->before, change->before_bytes);
        free(change->before);
    }
    *change = (struct change){0};
}

enum err changes_open(struct changes **out, const struct files *files)
{
    struct changes *changes = calloc(1, sizeof *changes);
    if (!changes) {
        return ERR_MEMORY;
    }
    changes->files = files;
    *out = changes;
    return ERR_NONE;
}

void changes_keep(struct changes *changes)
{
    while (changes->made_count > 0) {
        changes->made_count--;
        change_clear(&changes->made[changes->made_count]);
    }
}

static enum err put_back(const struct files *files, const struct change *change)
{
    if (change->before) {
        return files->write(files->context, change->path, change->access, true,
                            bytes_of(change->before, change->before_bytes));
    }
    enum err err = files->remove(files->context, change->path);
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

enum err changes_undo(struct changes *changes, struct err_detail *why)
{
    enum err first = ERR_NONE;
    while (changes->made_count > 0) {
        changes->made_count--;
        struct change *change = &changes->made[changes->made_count];
        enum err err = put_back(changes->files, change);
        if (err && !first) {
            first = err;
            err_explain(why, "%s could not be put back as it was: %s",
                        change->path, err_text(err));
        }
        change_clear(change);
    }
    return first;
}

void changes_close(struct changes **changes)
{
    if (*changes) {
        enum err err = changes_undo(*changes, NULL);
        (void)err; /* who wants to know calls changes_undo() */
        free((*changes)->made);
        free(*changes);
        *changes = NULL;
    }
}

/* Room for one more, with its path, so that a change made is remembered. */
static enum err prepare(struct changes *changes,
                        const char *path,
                        enum file_access access)
{
    if (changes->made_count == changes->capacity) {
        size_t capacity = changes->capacity ? 2 * changes->capacity : 32;
        struct change *grown =
            reallocarray(changes->made, capacity, sizeof *grown);
        if (!grown) {
            return ERR_MEMORY;
        }
        changes->made = grown;
        changes->capacity = capacity;
    }
    struct change *change = &changes->made[changes->made_count];
    *change = (struct change){.path = strdup(path), .access = access};
    return change->path ? ERR_NONE : ERR_MEMORY;
}

/* The prepared change was made, or was not. */
static enum err finish(struct changes *changes,
                       enum err err,
                       struct err_detail *why)
{
    struct change *change = &changes->made[changes->made_count];
    if (err) {
        content_explain(why, change->path, err);
        change_clear(change);
    } else {
        changes->made_count++;
    }
    return err;
}

enum err changes_make_folder(struct changes *changes,
                             const char *path,
                             enum file_access access,
                             struct err_detail *why)
{
    const struct files *files = changes->files;
    enum err err = prepare(changes, path, access);
    if (err) {
        return err;
    }
    err = files->make_folder(files->context, path, access);
    return finish(changes, err, why);
}

enum err changes_make_file(struct changes *changes,
                           const char *path,
                           enum file_access access,
                           struct bytes content,
                           struct err_detail *why)
{
    const struct files *files = changes->files;
    enum err err = prepare(changes, path, access);
    if (err) {
        return err;
    }
    err = files->write(files->context, path, access, false, content);
    return finish(changes, err, why);
}

enum err changes_write_file(struct changes *changes,
                            const char *path,
                            enum file_access access,
                            struct bytes content,
                            struct err_detail *why)
{
    const struct files *files = changes->files;
    enum err err = prepare(changes, path, access);
    if (err) {
        return err;
    }
    struct change *change = &changes->made[changes->made_count];
    err = files->read(files->context, path, access, CHANGES_FILE_BYTES_MAX,
                      &change->before, &change->before_bytes);
    if (!err || err == ERR_NOT_FOUND) {
        err = files->write(files->context, path, access, true, content);
    }
    return finish(changes, err, why);
}
