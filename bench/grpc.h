/*
 * Unary gRPC calls over HTTP/2 (RFC 9113, RFC 7541), many at a time on one
 * connection: as little of it as it takes to load a peer of the benchmarks
 * with what it is made for.
 *
 * Headers of answers are not decoded: a call has succeeded when it brought a
 * message, since an error comes without one. Calls must be small and few
 * enough for the window of 64 KiB that HTTP/2 begins with: some 40 KiB under
 * way. One thread.
 */

#ifndef BENCH_GRPC_H
#define BENCH_GRPC_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct grpc;

/* Called from within grpc_receive(); may call grpc_call(). `call` is what
 * grpc_call() was given; `message` is empty when it has failed. */
typedef void grpc_answer(void *context, uint64_t call, struct bytes message);

/* Connect to 127.0.0.1. ERR_UNREACHABLE, ERR_MEMORY */
FALLIBLE grpc_open(struct grpc **out,
                   uint16_t port,
                   grpc_answer *answer,
                   void *context);
void grpc_close(struct grpc **grpc);

int grpc_fd(const struct grpc *grpc);
uint32_t grpc_open_calls(const struct grpc *grpc);

/* `path` such as "/package.Service/Method". It leaves with grpc_flush().
 * ERR_FULL */
FALLIBLE grpc_call(struct grpc *grpc,
                   const char *path,
                   struct bytes message,
                   uint64_t call);

/* ERR_CLOSED: the connection is of no use any more. */
FALLIBLE grpc_flush(struct grpc *grpc);

/* Read what is there. ERR_CLOSED */
FALLIBLE grpc_receive(struct grpc *grpc);

#endif
