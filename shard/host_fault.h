/*
 * Deliberate faults of the cluster's management, for the proof that the
 * simulator finds them.
 */

#ifndef SHARD_HOST_FAULT_H
#define SHARD_HOST_FAULT_H

#ifdef TROUPE_FAULTS
enum host_fault {
    HOST_FAULT_NONE,
    HOST_FAULT_LOST_RETURNS,    /* a voter without its log, as who it was */
    HOST_FAULT_LOSS_UNHEARD,    /* a lost replica is not replaced */
    HOST_FAULT_DROP_MEMBER,     /* a replica that is still a member */
    HOST_FAULT_KEEP_LEFT,       /* a replica that is none any more */
    HOST_FAULT_FOUND_AGAIN,     /* without asking the others */
    HOST_FAULT_OLDER_VIEW,      /* is adopted */
    HOST_FAULT_HASTY_MOVES,     /* though the last move is not over */
    HOST_FAULT_PLACE_OTHER_MAP, /* made from another version */
    HOST_FAULT_FORGET_PLACED,   /* a member that has shards */
    HOST_FAULT_LEAVE_AT_ONCE,   /* and hand nothing over */
    HOST_FAULT_REPEAT_UNSAFE,   /* what must not be repeated */
    HOST_FAULT_ANSWER_TWICE,    /* a request that was repeated */
    HOST_FAULT_FORGET_REQUEST,  /* when the leader changes */
    HOST_FAULT_SILENT_MINORITY, /* does not say that it is one */
    HOST_FAULT_RECOVER_TWICE,   /* a shard, by two orders of one generation */
    HOST_FAULT_ALL_TAKE_OVER,   /* not only who is named */
    HOST_FAULT_COUNT,
};

#define HAS_HOST_FAULT(of, name) ((of)->fault == HOST_FAULT_##name)
#else
#define HAS_HOST_FAULT(of, name) false
#endif

#endif
