/*
 * What runs for each verb of `troupe store`; their flags and help stand in
 * store_command.c.
 */

#ifndef ADMIN_STORE_VERBS_H
#define ADMIN_STORE_VERBS_H

#include "admin/command.h"

enum exit_code store_dump_run(const struct command *command);
enum exit_code store_get_run(const struct command *command);
enum exit_code store_info_run(const struct command *command);
enum exit_code store_scan_run(const struct command *command);
enum exit_code store_verify_run(const struct command *command);

#endif
