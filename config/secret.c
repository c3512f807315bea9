#include "config/secret.h"

#include <sodium.h>
#include <string.h>

void *secret_open(size_t length)
{
    void *secret = sodium_malloc(length);
    if (!secret) {
        return NULL;
    }
    /* sodium_malloc() does without the lock where it must; we do not. */
    if (sodium_mlock(secret, length) != 0) {
        sodium_free(secret);
        return NULL;
    }
    memset(secret, 0, length);
    return secret;
}

void secret_close(void *secret)
{
    sodium_free(secret);
}
