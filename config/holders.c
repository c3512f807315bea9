#include "config/holders.h"

#include "config/identity.h"
#include "config/path.h"

#include <string.h>

#define SUFFIX ".cert"

struct search {
    const struct files *files;
    const char *folder;
    uint32_t roles;
    struct holders *found;
};

static bool is_meant(const struct search *search, const char *file)
{
    struct path path;
    uint8_t encoded[CERTIFICATE_BYTES_MAX];
    size_t length = 0;
    struct certificate certificate;
    return !path_make(&path, "%s/%s", search->folder, file) &&
           !identity_read_certificate(encoded, &length, search->files,
                                      path.text, NULL) &&
           !certificate_decode(&certificate, bytes_of(encoded, length)) &&
           (search->roles & 1u << certificate.role);
}

static void look_at(void *visitor, const char *file)
{
    const struct search *search = visitor;
    struct holders *found = search->found;
    size_t length = strlen(file);
    char name[CERTIFICATE_NAME_BYTES];
    if (length <= strlen(SUFFIX) ||
        strcmp(file + length - strlen(SUFFIX), SUFFIX) != 0 ||
        !is_meant(search, file)) {
        return;
    }
    (void)snprintf(name, sizeof name, "%.*s", (int)(length - strlen(SUFFIX)),
                   file);
    if (found->count++ == 0) {
        memcpy(found->first, name, sizeof name);
    }
    size_t end = strlen(found->names);
    (void)snprintf(found->names + end, sizeof found->names - end, "%s%s",
                   end > 0 ? ", " : "", name);
}

enum err holders_find(struct holders *out,
                      const struct files *files,
                      const char *folder,
                      uint32_t roles)
{
    struct search search = {
        .files = files, .folder = folder, .roles = roles, .found = out};
    *out = (struct holders){.count = 0};
    return files->list(files->context, folder, look_at, &search);
}
