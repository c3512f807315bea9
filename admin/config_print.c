#include "admin/config_print.h"

#include "config/problems.h"

#include <stdlib.h>

struct config_print_path config_print_join(const char *parent, const char *name)
{
    struct config_print_path path;
    problem_say(path.text, sizeof path.text, "%s%s%s", parent,
                *parent ? "." : "", name);
    return path;
}

struct config_print_path config_print_item(const char *list, const char *index)
{
    struct config_print_path path;
    problem_say(path.text, sizeof path.text, "%.160s[%s]", list, index);
    return path;
}

void config_print_indent(FILE *out, uint32_t depth)
{
    fprintf(out, "%*s", (int)(2 * depth), "");
}

enum err config_print_json(FILE *out, const json_t *json)
{
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    if (!text) {
        return ERR_MEMORY;
    }
    fprintf(out, "%s\n", text);
    free(text);
    return ERR_NONE;
}

void config_print_json_clear(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}
