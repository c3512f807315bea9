#include "library/cluster_file.h"

#include "base/posix/posix_files.h"
#include "base/scope.h"
#include "config/config.h"

#include <stdlib.h>

#define LOCAL "cluster.yaml"
#define SYSTEM "/etc/troupe/cluster.yaml"

static bool is_there(const char *path)
{
    uint8_t *text = NULL;
    size_t length = 0;
    const struct files *files = posix_files();
    enum err err = files->read(files->context, path, FILE_PUBLIC,
                               CONFIG_FILE_BYTES_MAX, &text, &length);
    free(text);
    return err != ERR_NOT_FOUND;
}

const char *cluster_file_path(const char *path)
{
    return path ? path : is_there(LOCAL) ? LOCAL : SYSTEM;
}

enum err cluster_file_read(struct settings **out,
                           const char *path,
                           struct err_detail *why)
{
    scoped(problems_close) struct problems *problems =
        calloc(1, sizeof *problems);
    if (!problems) {
        return ERR_MEMORY;
    }
    enum err err =
        config_open(out, posix_files(), cluster_file_path(path), problems);
    if (err && problems->count > 0) {
        char text[PROBLEM_TEXT_BYTES];
        problem_text(text, problems, &problems->items[0]);
        err_explain(why, "%.480s", text);
    }
    return err;
}
