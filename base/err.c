#include "base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static const char *const texts[ERR_COUNT] = {
#define X(code, text) [code] = text,
    ERR_LIST(X)
#undef X
};

static const char *const names[ERR_COUNT] = {
#define X(code, text) [code] = #code,
    ERR_LIST(X)
#undef X
};

const char *err_text(enum err err)
{
    assert((unsigned)err < ERR_COUNT);
    return texts[err];
}

const char *err_name(enum err err)
{
    assert((unsigned)err < ERR_COUNT);
    return names[err];
}

void err_explain(struct err_detail *why, const char *format, ...)
{
    if (!why) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(why->text, sizeof why->text, format, arguments);
    va_end(arguments);
}

enum err err_from_errno(int code)
{
    switch (code) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERR_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_ACCESS;
    case EEXIST:
        return ERR_EXISTS;
    case ENOENT:
    case ENOTDIR: /* a file stands where a folder should */
        return ERR_NOT_FOUND;
    case ENOMEM:
        return ERR_MEMORY;
    default:
        return ERR_IO;
    }
}
