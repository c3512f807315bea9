#include "admin/parcel.h"

#include "admin/ustar.h"
#include "base/scope.h"
#include "base/time_units.h"
#include "config/content.h"
#include "config/path.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUMS_NAME "SHA256SUMS"
#define SUMS_LINE_BYTES (CONTENT_SHA256_BYTES + PARCEL_NAME_BYTES + 4)
#define COUNT_FIRST 64

static_assert(PARCEL_NAME_BYTES <= USTAR_NAME_BYTES, "a name fits a header");

struct file {
    char name[PARCEL_NAME_BYTES];
    char *data; /* terminated */
    size_t length;
};

struct parcel {
    struct file *files;
    size_t count;
    size_t capacity;
    uint64_t bytes;
};

enum err parcel_open(struct parcel **out)
{
    struct parcel *parcel = calloc(1, sizeof *parcel);
    if (!parcel) {
        return ERR_MEMORY;
    }
    *out = parcel;
    return ERR_NONE;
}

void parcel_close(struct parcel **parcel)
{
    if (!*parcel) {
        return;
    }
    for (size_t i = 0; i < (*parcel)->count; i++) {
        free((*parcel)->files[i].data);
    }
    free((*parcel)->files);
    free(*parcel);
    *parcel = NULL;
}

/* ---- files in memory ---- */

/* Nothing that leads out of a folder, is hidden, or needs quotes. */
static bool is_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
    size_t length = strlen(name);
    return length > 0 && length < PARCEL_NAME_BYTES &&
           strspn(name, allowed) == length && name[0] != '/' &&
           name[0] != '.' && !strstr(name, "/.") && !strstr(name, "//") &&
           name[length - 1] != '/';
}

static const struct file *find(const struct parcel *parcel, const char *name)
{
    for (size_t i = 0; i < parcel->count; i++) {
        if (strcmp(parcel->files[i].name, name) == 0) {
            return &parcel->files[i];
        }
    }
    return NULL;
}

static enum err make_room(struct parcel *parcel)
{
    if (parcel->count < parcel->capacity) {
        return ERR_NONE;
    }
    size_t capacity = parcel->capacity > 0 ? 2 * parcel->capacity : COUNT_FIRST;
    struct file *grown =
        realloc(parcel->files, capacity * sizeof *parcel->files);
    if (!grown) {
        return ERR_MEMORY;
    }
    parcel->files = grown;
    parcel->capacity = capacity;
    return ERR_NONE;
}

enum err parcel_add(struct parcel *parcel,
                    const char *name,
                    struct bytes content)
{
    if (!is_name(name)) {
        return ERR_INVALID;
    }
    if (find(parcel, name)) {
        return ERR_EXISTS;
    }
    if (parcel->count == PARCEL_FILE_COUNT_MAX ||
        content.length > PARCEL_BYTES_MAX - parcel->bytes) {
        return ERR_TOO_LARGE;
    }
    enum err err = make_room(parcel);
    char *data = err ? NULL : malloc(content.length + 1);
    if (!data) {
        return ERR_MEMORY;
    }
    if (content.length > 0) {
        memcpy(data, content.data, content.length);
    }
    data[content.length] = '\0';
    struct file *file = &parcel->files[parcel->count++];
    *file = (struct file){.data = data, .length = content.length};
    (void)snprintf(file->name, sizeof file->name, "%s", name);
    parcel->bytes += content.length;
    return ERR_NONE;
}

const char *parcel_find(const struct parcel *parcel,
                        const char *name,
                        size_t *out_length)
{
    const struct file *file = find(parcel, name);
    if (file && out_length) {
        *out_length = file->length;
    }
    return file ? file->data : NULL;
}

size_t parcel_count(const struct parcel *parcel)
{
    return parcel->count;
}

const char *parcel_name_at(const struct parcel *parcel, size_t index)
{
    assert(index < parcel->count);
    return parcel->files[index].name;
}

static struct bytes bytes_of_file(const struct file *file)
{
    return bytes_of(file->data, file->length);
}

/* ---- saving ---- */

/* A line for each file, "HEX  NAME"; the caller frees it. NULL: no memory */
static char *make_sums(const struct parcel *parcel)
{
    size_t capacity = parcel->count * SUMS_LINE_BYTES + 1;
    size_t length = 0;
    char *sums = calloc(1, capacity);
    for (size_t i = 0; sums && i < parcel->count; i++) {
        char hex[CONTENT_SHA256_BYTES];
        content_sha256(hex, bytes_of_file(&parcel->files[i]));
        length += (size_t)snprintf(sums + length, capacity - length, "%s  %s\n",
                                   hex, parcel->files[i].name);
    }
    return sums;
}

static enum err save_tar(const struct parcel *parcel,
                         const struct files *files,
                         const char *path,
                         int64_t at_s)
{
    size_t bytes = USTAR_END_BYTES;
    for (size_t i = 0; i < parcel->count; i++) {
        bytes += ustar_bytes(parcel->files[i].length);
    }
    uint8_t *buffer = malloc(bytes);
    if (!buffer) {
        return ERR_MEMORY;
    }
    struct writer writer = writer_of(buffer, bytes);
    for (size_t i = 0; i < parcel->count; i++) {
        struct ustar_entry entry = {.content = bytes_of_file(&parcel->files[i]),
                                    .at_s = at_s};
        (void)snprintf(entry.name, sizeof entry.name, "%s",
                       parcel->files[i].name);
        ustar_write(&writer, &entry);
    }
    ustar_write_end(&writer);
    assert(!writer.failed);
    enum err err = files->write(files->context, path, FILE_SECRET, false,
                                writer_bytes(&writer));
    free(buffer);
    return err;
}

/* The folders above a file, as far as they are not there yet. */
static enum err make_folders(const struct files *files,
                             const char *root,
                             const char *name)
{
    enum err err = ERR_NONE;
    const char *slash = strchr(name, '/');
    for (; slash && !err; slash = strchr(slash + 1, '/')) {
        struct path path;
        err = path_make(&path, "%s/%.*s", root, (int)(slash - name), name);
        if (!err) {
            err = files->make_folder(files->context, path.text, FILE_SECRET);
        }
        err = err == ERR_EXISTS ? ERR_NONE : err;
    }
    return err;
}

static enum err save_folder(const struct parcel *parcel,
                            const struct files *files,
                            const char *path,
                            struct err_detail *why)
{
    enum err err = files->make_folder(files->context, path, FILE_SECRET);
    if (err) {
        content_explain(why, path, err);
        return err;
    }
    for (size_t i = 0; i < parcel->count; i++) {
        const struct file *file = &parcel->files[i];
        struct path whole;
        err = path_make(&whole, "%s/%s", path, file->name);
        if (!err) {
            err = make_folders(files, path, file->name);
        }
        if (!err) {
            err = files->write(files->context, whole.text, FILE_SECRET, false,
                               bytes_of_file(file));
        }
        if (err) {
            err_explain(why, "%s/%s: %s", path, file->name, err_text(err));
            return err;
        }
    }
    return ERR_NONE;
}

static bool is_tar(const char *path)
{
    size_t length = strlen(path);
    return length > 4 && strcmp(path + length - 4, ".tar") == 0;
}

enum err parcel_save(struct parcel *parcel,
                     const struct files *files,
                     const char *path,
                     int64_t wall_ms,
                     struct err_detail *why)
{
    char *sums = make_sums(parcel);
    enum err err =
        sums ? parcel_add(parcel, SUMS_NAME, bytes_of_text(sums)) : ERR_MEMORY;
    free(sums);
    if (!err && !is_tar(path)) {
        return save_folder(parcel, files, path, why);
    }
    if (!err) {
        err = save_tar(parcel, files, path, wall_ms / MS_PER_S);
    }
    if (err) {
        content_explain(why, path, err);
    }
    return err;
}

/* ---- loading ---- */

/* What is being loaded, for what people are told. */
struct loading {
    struct parcel *parcel;
    const struct files *files;
    const char *path;
    struct err_detail *why;
};

static enum err damaged(const struct loading *loading,
                        const char *name,
                        const char *what)
{
    err_explain(loading->why, "%s: %s: %s", loading->path, name, what);
    return ERR_MALFORMED;
}

/* What a folder has is read when it is asked for; a tar file has all. */
static enum err fetch_from_folder(const struct loading *loading,
                                  const char *name)
{
    struct path path;
    scoped(content_clear) struct content content = {0};
    enum err err = path_make(&path, "%s/%s", loading->path, name);
    if (!err) {
        err = content_read(&content, loading->files, path.text, FILE_PUBLIC,
                           PARCEL_BYTES_MAX, loading->why);
    }
    if (err == ERR_NOT_FOUND) {
        return ERR_NONE; /* whoever looks for it will miss it */
    }
    return err ? err
               : parcel_add(loading->parcel, name, content_bytes(&content));
}

static enum err check_sum(const struct loading *loading,
                          const char *hex,
                          const char *name,
                          bool is_folder)
{
    char found[CONTENT_SHA256_BYTES];
    enum err err = is_folder ? fetch_from_folder(loading, name) : ERR_NONE;
    if (err) {
        return err;
    }
    const struct file *file = find(loading->parcel, name);
    if (!file) {
        return damaged(loading, name, "is missing");
    }
    content_sha256(found, bytes_of_file(file));
    return strcmp(found, hex) == 0
               ? ERR_NONE
               : damaged(loading, name,
                         "is damaged, or was changed: its checksum differs");
}

static enum err check_line(const struct loading *loading,
                           char *line,
                           bool is_folder)
{
    size_t hex_length = CONTENT_SHA256_BYTES - 1;
    if (strlen(line) < hex_length + 3 || line[hex_length] != ' ' ||
        line[hex_length + 1] != ' ' || !is_name(line + hex_length + 2)) {
        return damaged(loading, SUMS_NAME, "is damaged");
    }
    line[hex_length] = '\0';
    return check_sum(loading, line, line + hex_length + 2, is_folder);
}

/* All that it names is there, and unchanged. */
static enum err check_sums(const struct loading *loading, bool is_folder)
{
    const struct file *sums = find(loading->parcel, SUMS_NAME);
    if (!sums) {
        return damaged(loading, SUMS_NAME, "is missing");
    }
    /* Files are added to the list meanwhile. */
    char *text = strndup(sums->data, sums->length);
    char *rest = text;
    enum err err = text ? ERR_NONE : ERR_MEMORY;
    if (text && (!*text || text[strlen(text) - 1] != '\n')) {
        err = damaged(loading, SUMS_NAME, "is damaged");
    }
    for (char *line; !err && (line = strsep(&rest, "\n")) && rest;) {
        err = check_line(loading, line, is_folder);
    }
    free(text);
    return err;
}

static enum err load_tar(const struct loading *loading, struct bytes bytes)
{
    struct reader reader = reader_of(bytes);
    bool has_entry = true;
    while (has_entry) {
        struct ustar_entry entry = {.name = ""};
        struct err_detail what = {{0}};
        enum err err = ustar_read(&reader, &entry, &has_entry, &what);
        if (err) {
            err_explain(loading->why, "%s: %.200s", loading->path, what.text);
            return err;
        }
        if (!has_entry || !is_name(entry.name)) {
            continue; /* something that was put beside our files */
        }
        err = parcel_add(loading->parcel, entry.name, entry.content);
        if (err == ERR_EXISTS) {
            return damaged(loading, entry.name, "is there twice");
        }
        if (err) {
            return err;
        }
    }
    return check_sums(loading, false);
}

static enum err load_file(const struct loading *loading)
{
    scoped(content_clear) struct content content = {0};
    enum err err = content_read(&content, loading->files, loading->path,
                                FILE_PUBLIC, PARCEL_BYTES_MAX, loading->why);
    if (err == ERR_IO) {
        err_explain(loading->why,
                    "%s: neither a tar file nor a folder with " SUMS_NAME,
                    loading->path);
        return ERR_MALFORMED;
    }
    return err ? err : load_tar(loading, content_bytes(&content));
}

enum err parcel_load(struct parcel **out,
                     const struct files *files,
                     const char *path,
                     struct err_detail *why)
{
    scoped(parcel_close) struct parcel *parcel = NULL;
    enum err err = parcel_open(&parcel);
    if (err) {
        return err;
    }
    struct loading loading = {parcel, files, path, why};
    err = fetch_from_folder(&loading, SUMS_NAME);
    if (!err) {
        err = find(parcel, SUMS_NAME) ? check_sums(&loading, true)
                                      : load_file(&loading);
    }
    if (err) {
        return err;
    }
    *out = parcel;
    parcel = NULL; /* the caller owns it now */
    return ERR_NONE;
}
