#include "transport/nng_err.h"

#include <nng/nng.h>

enum err err_from_nng(int code)
{
    switch (code) {
    case 0:
        return ERR_NONE;
    case NNG_ENOMEM:
        return ERR_MEMORY;
    case NNG_EINVAL:
    case NNG_EADDRINVAL:
    case NNG_ENOTSUP:
        return ERR_INVALID;
    case NNG_EADDRINUSE:
        return ERR_IN_USE;
    case NNG_ENOFILES:
        return ERR_LIMIT;
    case NNG_ECLOSED:
    case NNG_ECANCELED:
        return ERR_CLOSED;
    case NNG_ETIMEDOUT:
        return ERR_TIMEOUT;
    case NNG_ECONNREFUSED:
    case NNG_EUNREACHABLE:
        return ERR_UNREACHABLE;
    case NNG_EMSGSIZE:
        return ERR_TOO_LARGE;
    default:
        return ERR_IO;
    }
}
