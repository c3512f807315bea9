#include "base/posix/posix_log_tail.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct posix_log_tail {
    /* Set once by posix_log_tail_open(). */
    size_t capacity; /* bytes */
    struct log_sink sink;

    pthread_mutex_t mutex; /* guards what follows */
    size_t start;          /* of the oldest line */
    size_t length;
    char text[]; /* a ring of whole lines */
};

/* Up to the end of the oldest line. */
static void drop_oldest(struct posix_log_tail *tail)
{
    char last = '\0';
    while (tail->length > 0 && last != '\n') {
        last = tail->text[tail->start];
        tail->start = (tail->start + 1) % tail->capacity;
        tail->length--;
    }
}

static void append(struct posix_log_tail *tail, const char *line, size_t length)
{
    if (length > tail->capacity) {
        return;
    }
    while (tail->capacity - tail->length < length) {
        drop_oldest(tail);
    }
    size_t at = (tail->start + tail->length) % tail->capacity;
    size_t first = tail->capacity - at;
    first = first < length ? first : length;
    memcpy(tail->text + at, line, first);
    memcpy(tail->text, line + first, length - first);
    tail->length += length;
}

/* Writing may wait: without the mutex. */
static void keep(void *context, const char *line, size_t length)
{
    struct posix_log_tail *tail = context;
    if (tail->capacity > 0) {
        (void)pthread_mutex_lock(&tail->mutex);
        append(tail, line, length);
        (void)pthread_mutex_unlock(&tail->mutex);
    }
    tail->sink.write(tail->sink.context, line, length);
}

enum err posix_log_tail_open(struct posix_log_tail **out,
                             size_t bytes_max,
                             struct log_sink sink)
{
    struct posix_log_tail *tail = calloc(1, sizeof *tail + bytes_max);
    if (!tail) {
        return ERR_MEMORY;
    }
    tail->capacity = bytes_max;
    tail->sink = sink;
    (void)pthread_mutex_init(&tail->mutex, NULL);
    *out = tail;
    return ERR_NONE;
}

void posix_log_tail_close(struct posix_log_tail **tail)
{
    if (*tail) {
        (void)pthread_mutex_destroy(&(*tail)->mutex);
        free(*tail);
        *tail = NULL;
    }
}

struct log_sink posix_log_tail_sink(struct posix_log_tail *tail)
{
    return (struct log_sink){.context = tail, .write = keep};
}

enum err posix_log_tail_read(struct posix_log_tail *tail, char **out)
{
    char *copy = malloc(tail->capacity + 1);
    if (!copy) {
        return ERR_MEMORY;
    }
    (void)pthread_mutex_lock(&tail->mutex);
    size_t first = tail->capacity - tail->start;
    first = first < tail->length ? first : tail->length;
    memcpy(copy, tail->text + tail->start, first);
    memcpy(copy + first, tail->text, tail->length - first);
    copy[tail->length] = '\0';
    (void)pthread_mutex_unlock(&tail->mutex);
    *out = copy;
    return ERR_NONE;
}
