#include "node/kept_file.h"

#include "base/owner.h"
#include "base/posix/posix_executor.h"
#include "base/scope.h"
#include "config/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (4u << 20)
#define PATH_BYTES (SETTINGS_PATH_BYTES + SETTINGS_NAME_BYTES + 16)

struct kept_file {
    const struct files *files;
    struct log *log;
    struct reactor *reactor;
    struct posix_executor *writer;
    char path[PATH_BYTES];
    struct job job;
    bool is_writing;
    bool has_failed;  /* said once */
    enum err err;     /* of the job */
    uint8_t *writing; /* with the job */
    size_t writing_length;
    uint8_t *waiting; /* the newest; NULL: none */
    size_t waiting_length;
};

static void work(struct job *job)
{
    struct kept_file *file = OWNER_OF(job, struct kept_file, job);
    file->err =
        file->files->write(file->files->context, file->path, FILE_PUBLIC, true,
                           bytes_of(file->writing, file->writing_length));
}

static void write_next(struct kept_file *file)
{
    if (file->is_writing || !file->waiting) {
        return;
    }
    file->writing = file->waiting;
    file->writing_length = file->waiting_length;
    file->waiting = NULL;
    file->is_writing = true;
    executor_run(posix_executor_table(file->writer), &file->job);
}

static void done(struct job *job)
{
    struct kept_file *file = OWNER_OF(job, struct kept_file, job);
    file->is_writing = false;
    free(file->writing);
    file->writing = NULL;
    if (file->err && !file->has_failed) {
        log_warn(file->log, "file.not_kept", LOG_TEXT("path", file->path),
                 LOG_ERR(file->err),
                 LOG_TEXT("next", "after a restart the others are asked"));
    }
    file->has_failed = file->err != ERR_NONE;
    write_next(file);
}

void kept_file_save(struct kept_file *file, struct bytes content)
{
    uint8_t *copy = malloc(content.length);
    if (!copy) {
        return; /* the one before stays */
    }
    memcpy(copy, content.data, content.length);
    free(file->waiting);
    file->waiting = copy;
    file->waiting_length = content.length;
    write_next(file);
}

static void save(void *context, struct bytes content)
{
    kept_file_save(context, content);
}

static enum err load(void *context, uint8_t **out, size_t *out_length)
{
    struct kept_file *file = context;
    return file->files->read(file->files->context, file->path, FILE_PUBLIC,
                             FILE_BYTES_MAX, out, out_length);
}

enum err kept_file_open(struct kept_file **out,
                        const struct files *files,
                        const char *path,
                        struct log *log,
                        struct reactor *reactor)
{
    scoped(kept_file_close) struct kept_file *file = calloc(1, sizeof *file);
    if (!file) {
        return ERR_MEMORY;
    }
    *file = (struct kept_file){
        .files = files,
        .log = log,
        .reactor = reactor,
        .job = {.work = work, .done = done, .home = reactor}};
    int length = snprintf(file->path, sizeof file->path, "%s", path);
    if (length < 0 || (size_t)length >= sizeof file->path) {
        return ERR_INVALID;
    }
    enum err err = posix_executor_open(&file->writer, "files");
    if (err) {
        return err;
    }
    *out = file;
    file = NULL;
    return ERR_NONE;
}

void kept_file_close(struct kept_file **file)
{
    if (!*file) {
        return;
    }
    while ((*file)->is_writing) {
        (void)reactor_turn((*file)->reactor);
    }
    posix_executor_close(&(*file)->writer);
    free((*file)->waiting);
    free(*file);
    *file = NULL;
}

struct host_keep kept_file_keep(struct kept_file *file)
{
    return (struct host_keep){.context = file, .load = load, .save = save};
}
