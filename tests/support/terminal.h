/*
 * Somebody at a terminal, who types command lines of `troupe`. What is printed
 * is kept until the next one.
 */

#ifndef TESTS_SUPPORT_TERMINAL_H
#define TESTS_SUPPORT_TERMINAL_H

#include "admin/command.h"
#include "tests/support/fake_machine.h"
#include "tests/support/temp_folder.h"

struct terminal {
    struct temp_folder folder;
    struct fake_machine machine; /* its files are not used, unless `files` */

    /* The test's to set. */
    const struct command_noun *const *nouns;
    const char *dir;             /* DIR; NULL: the folder */
    const struct files *files;   /* NULL: the real ones */
    const struct inputs *inputs; /* NULL: none */
    const char *typed;           /* when it asks; NULL: the Enter key */
    const char *context;         /* TROUPE_CONTEXT; NULL: not set */
    uint32_t patience;           /* waits until Ctrl-C */
    void (*waits)(uint64_t ms);  /* is called at each; may be NULL */
    bool is_free;                /* waits need not have Ctrl-C held */
    bool shows_progress;         /* `talk` is a terminal */

    /* Of the last line. */
    char *out;
    char *talk;
    uint32_t wait_count;
    bool is_held;
};

void terminal_init(struct terminal *terminal,
                   const struct command_noun *const *nouns);
void terminal_clear(struct terminal *terminal);

/* "troupe " and `line`, whose words have one blank between them; a word that
 * begins with DIR is in it. Its exit code. */
int terminal_run(struct terminal *terminal, const char *line);

/* The same with words that may have blanks; the first is "troupe". */
int terminal_run_words(struct terminal *terminal,
                       const char *const *words,
                       int count);

#endif
