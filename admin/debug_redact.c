#include "admin/debug_redact.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIND_BYTES 16

struct word {
    char *text;
    char kind[KIND_BYTES];
    size_t number; /* of its kind */
};

struct debug_redact {
    struct word *words;
    size_t count;
};

enum err debug_redact_open(struct debug_redact **out)
{
    struct debug_redact *redact = calloc(1, sizeof *redact);
    if (!redact) {
        return ERR_MEMORY;
    }
    *out = redact;
    return ERR_NONE;
}

void debug_redact_close(struct debug_redact **redact)
{
    if (!*redact) {
        return;
    }
    for (size_t i = 0; i < (*redact)->count; i++) {
        free((*redact)->words[i].text);
    }
    free((*redact)->words);
    free(*redact);
    *redact = NULL;
}

static const struct word *find(const struct debug_redact *redact,
                               const char *text,
                               size_t length)
{
    for (size_t i = 0; i < redact->count; i++) {
        const struct word *word = &redact->words[i];
        if (strlen(word->text) == length &&
            strncmp(word->text, text, length) == 0) {
            return word;
        }
    }
    return NULL;
}

static size_t count_kind(const struct debug_redact *redact, const char *kind)
{
    size_t count = 0;
    for (size_t i = 0; i < redact->count; i++) {
        count += strcmp(redact->words[i].kind, kind) == 0;
    }
    return count;
}

enum err debug_redact_add(struct debug_redact *redact,
                          const char *kind,
                          const char *word)
{
    if (!*word || find(redact, word, strlen(word))) {
        return ERR_NONE;
    }
    struct word *grown =
        realloc(redact->words, (redact->count + 1) * sizeof *grown);
    if (!grown) {
        return ERR_MEMORY;
    }
    redact->words = grown;
    struct word added = {.text = strdup(word),
                         .number = count_kind(redact, kind) + 1};
    if (!added.text) {
        return ERR_MEMORY;
    }
    (void)snprintf(added.kind, sizeof added.kind, "%s", kind);
    redact->words[redact->count++] = added;
    return ERR_NONE;
}

/* How long the word is that begins here; 0: none does. Addresses of IPv6 are
 * words, too, when one of them is known. */
static size_t word_length(const char *text)
{
    static const char parts[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strspn(text, parts);
    while (length > 0 && text[length - 1] == '.') {
        length--;
    }
    return length;
}

/* The known word that stands here; an address with colons before all others. */
static const struct word *match(const struct debug_redact *redact,
                                const char *text,
                                size_t *length)
{
    for (size_t i = 0; i < redact->count; i++) {
        const struct word *word = &redact->words[i];
        size_t known = strlen(word->text);
        if (strchr(word->text, ':') && strncmp(text, word->text, known) == 0 &&
            word_length(text + known) == 0) {
            *length = known;
            return word;
        }
    }
    *length = word_length(text);
    return *length > 0 ? find(redact, text, *length) : NULL;
}

enum err debug_redact_apply(const struct debug_redact *redact,
                            const char *text,
                            char **out)
{
    size_t bytes = 0;
    char *made = NULL;
    FILE *file = open_memstream(&made, &bytes);
    if (!file) {
        return ERR_MEMORY;
    }
    while (*text) {
        size_t length = 0;
        const struct word *word = match(redact, text, &length);
        length = length > 0 ? length : 1;
        if (word) {
            fprintf(file, "%s-%zu", word->kind, word->number);
        } else {
            (void)fwrite(text, 1, length, file);
        }
        text += length;
    }
    if (fclose(file)) {
        free(made);
        return ERR_MEMORY;
    }
    *out = made;
    return ERR_NONE;
}
