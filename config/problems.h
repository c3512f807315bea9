/*
 * What is wrong with a file that a person wrote: all of it, each with its
 * place, what was found and what is allowed.
 *
 * Plain data of bounded size; about 60 KiB, so not for a small stack.
 */

#ifndef CONFIG_PROBLEMS_H
#define CONFIG_PROBLEMS_H

#include "base/bytes.h"

#include <stdint.h>

#define PROBLEMS_COUNT_MAX 100
#define PROBLEM_TEXT_BYTES 1408 /* problem_text() with any problem */

/* A place in a file; both from 1, in characters. 0: the file as a whole. */
struct problem_place {
    uint32_t line;
    uint32_t column;
};

struct problem {
    struct problem_place place;
    char key[192];     /* "cluster.nodes[2].port"; "": none */
    char found[224];   /* what is there */
    char allowed[320]; /* what may be there, and what to do */
};

struct problems {
    char file[512]; /* its path, shortened at the front when it is longer */
    uint32_t count;
    uint32_t more_count; /* found after the list was full; what depends on
                            others is then no longer looked for */
    struct problem items[PROBLEMS_COUNT_MAX];
    struct problem spare; /* what does not fit goes here */
};

void problems_init(struct problems *problems, const char *file);

/* For those that calloc() has made: they are too large for a stack. */
void problems_close(struct problems **problems);

/* The next free one, to be filled in; a spare one when the list is full. */
struct problem *problems_add(struct problems *problems,
                             struct problem_place place,
                             const char *key);

/* How many there are in all. */
static inline uint32_t problems_total(const struct problems *problems)
{
    return problems->count + problems->more_count;
}

/* In the order of the file; equal places keep theirs. */
void problems_sort(struct problems *problems);

/* "FILE:LINE:COLUMN: KEY: found FOUND; allowed: ALLOWED" */
void problem_text(char out[static PROBLEM_TEXT_BYTES],
                  const struct problems *problems,
                  const struct problem *problem);

/* Printf's form into one of a problem's arrays; cut when too long. */
__attribute__((format(printf, 3, 4))) void problem_say(char *to,
                                                       size_t capacity,
                                                       const char *format,
                                                       ...);

/*
 * A piece of the file in double quotes, control and broken bytes escaped, cut
 * with "..." after some 60 bytes: fit to be shown on a terminal.
 */
#define PROBLEM_QUOTE_BYTES 288
void problem_quote(char out[static PROBLEM_QUOTE_BYTES], struct bytes text);

#endif
