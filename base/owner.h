/*
 * From an event, timer or the like to the object that it is embedded in.
 */

#ifndef BASE_OWNER_H
#define BASE_OWNER_H

#include <stddef.h>

/*
 * The `type` (such as `struct link`) whose `member` is at `pointer`. The
 * comparison costs nothing and lets the compiler refuse a pointer of another
 * type than the member's.
 */
#define OWNER_OF(pointer, type, member)                  \
    ((type *)((char *)(pointer)-offsetof(type, member) + \
              0 * sizeof((pointer) == &((type *)0)->member)))

#endif
