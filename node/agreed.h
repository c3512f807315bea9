/*
 * What a cluster has agreed on and what a node's file says of it.
 *
 * A member runs with the settings that it last knew to be agreed, whatever its
 * file says: else no change could reach one node after the other. What its file
 * says otherwise is named in the log.
 */

#ifndef NODE_AGREED_H
#define NODE_AGREED_H

#include "base/env.h"
#include "base/log.h"
#include "config/settings.h"
#include "shard/view.h"

#define AGREED_PATH_BYTES (SETTINGS_PATH_BYTES + SETTINGS_NAME_BYTES + 16)

/* Where a node keeps its copy of the view. */
void agreed_view_path(char out[static AGREED_PATH_BYTES],
                      const struct settings *settings);

/*
 * Put the settings of the kept view in the place of the file's, if we are a
 * member by that view. Without one, or with one that does not fit, everything
 * stays as it is; the log says so.
 */
void agreed_use(struct settings *settings,
                const struct files *files,
                struct log *log);

/*
 * Say which agreed settings differ from those in use and count when this node
 * starts next. `told_version` is what was said last, and set.
 */
void agreed_tell(const struct settings *settings,
                 const struct view_settings *agreed,
                 uint64_t *told_version,
                 struct log *log);

#endif
