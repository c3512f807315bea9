#include "admin/exit_code.h"

#include <assert.h>
#include <stdbool.h>

static const char *const texts[EXIT_CODE_COUNT] = {
#define X(code, number, text) [code] = text,
    EXIT_CODE_LIST(X)
#undef X
};

const char *exit_code_text(enum exit_code code)
{
    assert((unsigned)code < EXIT_CODE_COUNT);
    return texts[code];
}

enum exit_code exit_code_of(enum err err)
{
    switch (err) {
    case ERR_NONE:
        return EXIT_CODE_OK;
    case ERR_INVALID:
    case ERR_MALFORMED:
    case ERR_FORGED:
    case ERR_EXPIRED:
    case ERR_NOT_YET_VALID:
    case ERR_REVOKED:
    case ERR_SUPERSEDED:
    case ERR_OTHER_CLUSTER:
    case ERR_WRONG_NAME:
    case ERR_VERSION:
        return EXIT_CODE_FOUND;
    case ERR_UNREACHABLE:
    case ERR_CLOSED:
        return EXIT_CODE_UNREACHABLE;
    case ERR_TIMEOUT:
    case ERR_UNCERTAIN:
    case ERR_BUSY:
    case ERR_FULL:
        return EXIT_CODE_TIMEOUT;
    case ERR_DENIED:
        return EXIT_CODE_DENIED;
    case ERR_EXISTS:
    case ERR_EXPOSED:
    case ERR_REFUSED:
        return EXIT_CODE_REFUSED;
    case ERR_NO_QUORUM:
        return EXIT_CODE_NO_QUORUM;
    default:
        return EXIT_CODE_FAILED;
    }
}

enum exit_code exit_code_of_change(enum err err)
{
    enum exit_code code = exit_code_of(err);
    bool is_refusal =
        code == EXIT_CODE_FOUND || err == ERR_BUSY || err == ERR_IN_USE;
    return is_refusal ? EXIT_CODE_REFUSED : code;
}
