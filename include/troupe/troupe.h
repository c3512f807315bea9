/*
 * Troupe's C library.
 *
 * This header is the whole public interface: only what it declares is
 * exported, and all of it begins with `troupe_`.
 */

#ifndef TROUPE_TROUPE_H
#define TROUPE_TROUPE_H

#ifdef __cplusplus
extern "C" {
#endif

#define TROUPE_API __attribute__((visibility("default")))

/*
 * The version of the library that is linked, such as "0.1.0". Static. Any
 * thread.
 */
TROUPE_API const char *troupe_version(void);

#ifdef __cplusplus
}
#endif

#endif
