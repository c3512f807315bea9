/*
 * The services of transport/calls.h that a node has.
 *
 * Their numbers travel: give none a new meaning.
 */

#ifndef SHARD_HOST_SERVICE_H
#define SHARD_HOST_SERVICE_H

#include "transport/calls.h"

enum host_service {
    HOST_SERVICE_HELLO = 0,   /* who are you, what do you know */
    HOST_SERVICE_JOIN = 1,    /* to the meta group's leader */
    HOST_SERVICE_VIEW = 2,    /* a newer view than this one */
    HOST_SERVICE_REPLICA = 3, /* of a shard's leader: begin, drop, tell */
    HOST_SERVICE_REPORT = 4,  /* to the meta group's leader: how it is */
    HOST_SERVICE_CHANGE = 5,  /* to the meta group's leader: view_change */
    HOST_SERVICE_LEAVING = CALLS_SERVICE_LEAVING, /* my process ends */
    HOST_SERVICE_BUS_KEY =
        7, /* the meta group's leader hands out the bus key */
    HOST_SERVICE_REQUEST = 8, /* shard/router.h */
    HOST_SERVICE_ADMIN = 9,   /* node/control.h */
    HOST_SERVICE_TASK = 11,   /* shard/task_request.h */
    HOST_SERVICE_TRUST = 10,  /* which trust have you, if newer what is in it */
};

#endif
