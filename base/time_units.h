/*
 * How many of one unit of time are in another.
 *
 * (Not base/time.h: a compiler that looks into base/ would find it in place
 * of the system's <time.h>.)
 */

#ifndef BASE_TIME_UNITS_H
#define BASE_TIME_UNITS_H

#include <stdint.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

/* Signed, as wall clocks and certificates are. */
#define MS_PER_S INT64_C(1000)
#define S_PER_DAY INT64_C(86400)
#define MS_PER_DAY (S_PER_DAY * MS_PER_S)

#endif
