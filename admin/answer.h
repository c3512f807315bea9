/*
 * Looking into what a node has answered.
 *
 * Whatever lacks, is nil or has another type than one thinks reads as nothing:
 * another release may answer otherwise, and people look just when something is
 * wrong. What is borrowed lives as long as the answer.
 */

#ifndef ADMIN_ANSWER_H
#define ADMIN_ANSWER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* For scoped(). */
void answer_clear(json_t **answer);

/* Make what steers terminals question marks, in every text. */
void answer_clean(json_t *answer);

/* What stands at `path`, such as "meta.leader"; NULL: nothing. */
const json_t *answer_at(const json_t *answer, const char *path);

/* NULL: no text is there. */
const char *answer_text(const json_t *answer, const char *path);

/* "-": no text is there. */
const char *answer_name(const json_t *answer, const char *path);

/* What came as bytes, which are hexadecimal in JSON: `*length` of them, freed
 * by the caller; none when there is nothing. NULL: no memory. */
uint8_t *answer_bytes(const json_t *answer, const char *path, size_t *length);

/* Whether a whole number is there. */
bool answer_has_number(const json_t *answer, const char *path);

/* 0: no number is there; a list counts its elements. */
int64_t answer_number(const json_t *answer, const char *path);

/* Of either kind; 0: none. */
double answer_real(const json_t *answer, const char *path);

/* False: not true. */
bool answer_is(const json_t *answer, const char *path);

/* How many elements; 0 as well when it is no list. */
size_t answer_count(const json_t *answer, const char *path);
const json_t *answer_item(const json_t *answer, const char *path, size_t i);

/* The element of a list whose `key` is this number; NULL: none. */
const json_t *answer_find_number(const json_t *list,
                                 const char *key,
                                 int64_t number);

/* Texts of a list with blanks between, cut at `capacity`; "-": none. */
void answer_join(char *to,
                 size_t capacity,
                 const json_t *answer,
                 const char *path);

#endif
