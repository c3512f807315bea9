/* NNG's error codes end here. */

#ifndef TRANSPORT_NNG_ERR_H
#define TRANSPORT_NNG_ERR_H

#include "base/err.h"

enum err err_from_nng(int code);

#endif
