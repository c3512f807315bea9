/*
 * An allocator in the test's hands: one chosen allocation fails.
 *
 * The linker sends the program's own calls here (--wrap); those within
 * foreign libraries go their own way. For the one file of a test program.
 */

#ifndef TESTS_FAULTS_FAILING_ALLOCATOR_H
#define TESTS_FAULTS_FAILING_ALLOCATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
char *__wrap_strdup(const char *text);

/* Allocations until the one that fails; 0: none does. */
static uint32_t countdown;

static bool fails_now(void)
{
    return countdown > 0 && --countdown == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

char *__wrap_strdup(const char *text)
{
    return fails_now() ? NULL : __real_strdup(text);
}

#endif
