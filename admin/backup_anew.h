/*
 * A group of which no usable replica is left is begun empty, so that a backup
 * can be restored into it.
 */

#ifndef ADMIN_BACKUP_ANEW_H
#define ADMIN_BACKUP_ANEW_H

#include "admin/remote.h"

/*
 * Nothing is done when the shard is led. Refused, having said why, while a node
 * of its has a replica that can be used, or cannot be asked. Waits until it
 * serves.
 */
enum exit_code backup_anew(const struct command *command,
                           struct remote *remote,
                           uint32_t shard);

#endif
