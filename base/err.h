/*
 * The one list of errors.
 *
 * A code names what the caller can do about it, not where it happened. Its
 * number travels between nodes (transport/calls_wire.h): add at the end, take
 * none away.
 */

#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stddef.h>

/* clang-format off */
#define ERR_LIST(X)                                                         \
    X(ERR_NONE, "success")                                                  \
    X(ERR_MEMORY, "out of memory")                                          \
    X(ERR_FULL, "queue is full")                                            \
    X(ERR_TOO_LARGE, "larger than the configured maximum")                  \
    X(ERR_CLOSED, "closed")                                                 \
    X(ERR_IO, "the operating system refused a read or write")               \
    X(ERR_ACCESS, "permission denied, or a read-only file system")          \
    X(ERR_NO_SPACE, "no space left on the device")                          \
    X(ERR_EXISTS, "exists already")                                         \
    X(ERR_NOT_FOUND, "not found")                                           \
    X(ERR_EXPOSED, "a secret file can be read by others")                   \
    X(ERR_INVALID, "not valid")                                             \
    X(ERR_MALFORMED, "malformed")                                           \
    X(ERR_FORGED, "failed authentication")                                  \
    X(ERR_EXPIRED, "certificate has expired")                               \
    X(ERR_NOT_YET_VALID, "certificate is not valid yet")                    \
    X(ERR_REVOKED, "certificate is revoked")                                \
    X(ERR_SUPERSEDED, "a newer process or certificate has this name")       \
    X(ERR_OTHER_CLUSTER, "belongs to another cluster")                      \
    X(ERR_DENIED, "role does not allow this")                               \
    X(ERR_WRONG_NAME, "the peer is not the one that was asked for")         \
    X(ERR_VERSION, "no protocol version in common")                         \
    X(ERR_IN_USE, "address is in use")                                      \
    X(ERR_UNREACHABLE, "no connection to the peer")                         \
    X(ERR_TIMEOUT, "no answer in time")                                     \
    X(ERR_BUSY, "too busy, try again later")                                \
    X(ERR_LIMIT, "a limit of the operating system is too low")               \
    X(ERR_NOT_LEADER, "another replica leads, or none does")                 \
    X(ERR_UNCERTAIN, "leadership was lost: it may have happened or not")    \
    X(ERR_NO_QUORUM, "too few replicas are reachable to agree on anything") \
    X(ERR_REFUSED, "refused for safety")
/* clang-format on */

enum err {
#define X(code, text) code,
    ERR_LIST(X)
#undef X
        ERR_COUNT
};

/* A fallible function: its result must be looked at. */
#define FALLIBLE __attribute__((warn_unused_result)) enum err

/* One sentence for people, without a full stop. Static; never NULL. */
const char *err_text(enum err err);

/* The code itself, such as "ERR_FULL". Static; never NULL. */
const char *err_name(enum err err);

/* What a failed system call on a file means: no space, access, exists already,
 * memory, or else ERR_IO. */
enum err err_from_errno(int code);

/*
 * What went wrong, in words for the person who typed something: where, what
 * was found and what is allowed. Empty when nothing was said.
 */
struct err_detail {
    char text[512]; /* always terminated */
};

/*
 * Say why, in printf's form; text that does not fit is cut. `why` may be
 * NULL: then nothing happens.
 */
__attribute__((format(printf, 2, 3))) void err_explain(struct err_detail *why,
                                                       const char *format,
                                                       ...);

#endif
