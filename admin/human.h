/*
 * Figures as people read them in a table: short, with units, and no more exact
 * than helps. Pure.
 */

#ifndef ADMIN_HUMAN_H
#define ADMIN_HUMAN_H

#include <stddef.h>
#include <stdint.h>

struct human {
    char text[32];
};

/* "512 B", "1.5 KiB", "12 GiB" */
struct human human_size(uint64_t bytes);

/* "999", "12.3k", "4.5M" */
struct human human_count(uint64_t count);

/* "250 ms", "12 s", "5 min", "3 h", "12 d" */
struct human human_span(uint64_t ms);

/* "3 s ago"; "in 3 s" when `then_ms` is after `now_ms`; "-": `then_ms` is 0. */
struct human human_ago(int64_t now_ms, int64_t then_ms);

/* "2026-02-28 13:45", UTC, of Unix time; "-": `at_ms` is beyond what can be. */
struct human human_minute(int64_t at_ms);

/* "25.6", "3" */
struct human human_real(double value);

/* Make what steers a terminal, or is no UTF-8, question marks. */
void human_clean(char *text);

#endif
