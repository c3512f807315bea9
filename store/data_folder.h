/*
 * A node's folder of data, which belongs to one node of one cluster and to
 * one process at a time.
 *
 *     DATA_DIR/NODE/identity     whose it is
 *     DATA_DIR/NODE/lock         while a process has it
 *     DATA_DIR/NODE/log/         the durable log
 *     DATA_DIR/NODE/state/       the applied state
 *
 * Owned by the thread that opens it.
 */

#ifndef STORE_DATA_FOLDER_H
#define STORE_DATA_FOLDER_H

#include "base/env.h"
#include "base/err.h"
#include "config/certificate.h"

#include <stdbool.h>
#include <stdint.h>

#define DATA_FOLDER_VERSION 1

struct data_folder;

struct data_folder_config {
    const struct files *files;
    const struct entropy *entropy;
    const char *data_dir; /* made when it is missing; its parent must exist */
    const char *node;     /* its name in the cluster */
    uint8_t cluster_id[CLUSTER_ID_BYTES];
};

/*
 * Open the node's folder, making it when it is missing or empty. `why` says
 * what to do.
 *
 * ERR_BUSY            a running process has it
 * ERR_OTHER_CLUSTER   it belongs to another cluster
 * ERR_WRONG_NAME      it belongs to another node
 * ERR_VERSION         a newer release made it
 * ERR_MALFORMED       its identity is damaged, or missing though there is data
 * ERR_EXISTS          it holds other things
 * ERR_ACCESS          read-only, or another user's
 * ERR_NO_SPACE        full
 * ERR_INVALID         the path is too long
 * ERR_IO, ERR_MEMORY
 */
FALLIBLE data_folder_open(struct data_folder **out,
                          const struct data_folder_config *config,
                          struct err_detail *why);

/* What a folder's identity says. */
struct data_folder_facts {
    uint32_t version; /* of the folder's format */
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    char node[CERTIFICATE_NAME_BYTES];
    uint64_t disk_id;
    bool has_log; /* one was made */
};

/*
 * Look at a node's folder (`root`: DATA_DIR/NODE) and change nothing, nor
 * lock it.
 *
 * ERR_NOT_FOUND   there is no such folder, or no identity in it
 * ERR_VERSION     a newer release made it
 * ERR_MALFORMED   its identity is damaged
 * ERR_ACCESS, ERR_INVALID (the path is too long), ERR_IO, ERR_MEMORY
 */
FALLIBLE data_folder_look(struct data_folder_facts *out,
                          const struct files *files,
                          const char *root,
                          struct err_detail *why);

/* Gives the lock back. */
void data_folder_close(struct data_folder **folder);

/* Chosen at random when the folder was made; never 0. */
uint64_t data_folder_disk_id(const struct data_folder *folder);

/* Paths, valid until data_folder_close(). The log's folder exists. */
const char *data_folder_log(const struct data_folder *folder);
const char *data_folder_state(const struct data_folder *folder);

/* Whether a log was made in it: then that there is none means loss
 * (`must_exist` of struct wal_config). */
bool data_folder_has_log(const struct data_folder *folder);

/* Remember, durably, that a log was made: before anything is appended.
 * ERR_ACCESS, ERR_NO_SPACE, ERR_IO, ERR_MEMORY */
FALLIBLE data_folder_log_made(struct data_folder *folder);

#endif
