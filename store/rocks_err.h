/* RocksDB's messages end here. */

#ifndef STORE_ROCKS_ERR_H
#define STORE_ROCKS_ERR_H

#include "base/err.h"

/*
 * What a message of RocksDB's C interface, which gives no codes, means to our
 * caller. NULL: ERR_NONE.
 *
 * ERR_MALFORMED   damaged: also a file that should be there and is not
 * ERR_BUSY        somebody has the database open
 * ERR_NO_SPACE, ERR_ACCESS, ERR_LIMIT, ERR_MEMORY, ERR_IO
 */
enum err err_from_rocksdb(const char *message);

#endif
