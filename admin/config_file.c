#include "admin/config_file.h"

#include "base/scope.h"
#include "config/config.h"

#include <stdlib.h>

enum err config_file_open(struct settings **out,
                          const char **file,
                          const struct files *files,
                          struct problems *problems)
{
    if (*file) {
        return config_open(out, files, *file, problems);
    }
    *file = CONFIG_FILE_LOCAL;
    enum err err = config_open(out, files, *file, problems);
    if (err == ERR_NOT_FOUND) {
        *file = CONFIG_FILE_SYSTEM;
        err = config_open(out, files, *file, problems);
    }
    return err;
}

enum err config_file_explained(struct settings **out,
                               const char **file,
                               const struct files *files,
                               struct err_detail *why)
{
    scoped(problems_close) struct problems *problems =
        calloc(1, sizeof *problems);
    if (!problems) {
        return ERR_MEMORY;
    }
    enum err err = config_file_open(out, file, files, problems);
    if (err && problems->count > 0) {
        char text[PROBLEM_TEXT_BYTES];
        problem_text(text, problems, &problems->items[0]);
        err_explain(why, "%.480s", text);
    }
    return err;
}
