/*
 * Several files written all together or not at all.
 *
 * Each change is made at once and remembered with what was there before;
 * unless changes_keep() is called, closing puts everything back. A crash in
 * the middle leaves the changes made so far: the caller orders them so that
 * every such state can be used.
 *
 * One thread.
 */

#ifndef CONFIG_CHANGES_H
#define CONFIG_CHANGES_H

#include "base/bytes.h"
#include "base/env.h"
#include "base/err.h"

#include <stdbool.h>

#define CHANGES_FILE_BYTES_MAX (64u << 20)

struct changes;

/* `files` must outlive it. ERR_MEMORY */
FALLIBLE changes_open(struct changes **out, const struct files *files);

/* Put back what was not kept, if that can be done; wipe and free. */
void changes_close(struct changes **changes);

/* ERR_EXISTS, ERR_NO_SPACE, ERR_IO, ERR_MEMORY; `why` names the folder. */
FALLIBLE changes_make_folder(struct changes *changes,
                             const char *path,
                             enum file_access access,
                             struct err_detail *why);

/* Make a file that is not there yet. Errors as above. */
FALLIBLE changes_make_file(struct changes *changes,
                           const char *path,
                           enum file_access access,
                           struct bytes content,
                           struct err_detail *why);

/* Make a file, or replace it. Errors as above. */
FALLIBLE changes_write_file(struct changes *changes,
                            const char *path,
                            enum file_access access,
                            struct bytes content,
                            struct err_detail *why);

/* From here on closing changes nothing. */
void changes_keep(struct changes *changes);

/*
 * Put everything back now. The first error, after all has been tried; `why`
 * names what could not be put back.
 */
FALLIBLE changes_undo(struct changes *changes, struct err_detail *why);

#endif
