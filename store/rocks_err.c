#include "store/rocks_err.h"

#include <string.h>

/*
 * A message is a status ("Corruption: ", "IO error: ") and what happened, with
 * the system's text for errno at its end. The first that is found counts: why
 * a file could not be read says more than that it could not.
 */
static const struct {
    const char *part;
    enum err err;
} meanings[] = {
    {"No space left on device", ERR_NO_SPACE},
    {"Disk quota exceeded", ERR_NO_SPACE},
    {"Space limit reached", ERR_NO_SPACE},
    {"File too large", ERR_NO_SPACE},
    {"Too many open files", ERR_LIMIT},
    {"While lock file", ERR_BUSY},
    {"lock hold by current process", ERR_BUSY},
    {"Permission denied", ERR_ACCESS},
    {"Read-only file system", ERR_ACCESS},
    {"Cannot allocate memory", ERR_MEMORY},
    {"Memory limit reached", ERR_MEMORY},
    {"No such file or directory", ERR_MALFORMED},
    {"Corruption", ERR_MALFORMED},
    /* What a damaged file asks for may make no sense to RocksDB. */
    {"Invalid argument", ERR_MALFORMED},
    {"Not implemented", ERR_MALFORMED},
    {"NotFound", ERR_MALFORMED},
};

enum err err_from_rocksdb(const char *message)
{
    if (!message) {
        return ERR_NONE;
    }
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
        if (strstr(message, meanings[i].part)) {
            return meanings[i].err;
        }
    }
    return ERR_IO;
}
