/*
 * Deliberate faults of tasks, for the proof that the simulator finds them.
 */

#ifndef SHARD_TASK_FAULT_H
#define SHARD_TASK_FAULT_H

#ifdef TROUPE_FAULTS
enum task_fault {
    TASK_FAULT_NONE,
    TASK_FAULT_LATE_RESULT,     /* of an attempt that has lost its lease */
    TASK_FAULT_FORGET_SUSPECTS, /* whom the last leader gave tasks */
    TASK_FAULT_FORGET_THIEF,    /* what a node had that has ended */
    TASK_FAULT_NO_ORDER,        /* of tasks with one order key */
    TASK_FAULT_NO_AFTER,        /* nor of those that wait for others */
    TASK_FAULT_SUBMIT_AGAIN,    /* what is asked again */
    TASK_FAULT_KEY_AGAIN,       /* and keys that are known */
    TASK_FAULT_LOSE_ENDS,       /* that could not be proposed at once */
    TASK_FAULT_FIRE_AGAIN,      /* what a schedule has been given before */
    TASK_FAULT_LOSE_PASSED,     /* how many occurrences had no task */
    TASK_FAULT_COUNT,
};

#define HAS_TASK_FAULT(of, name) ((of)->fault == TASK_FAULT_##name)
#else
#define HAS_TASK_FAULT(of, name) false
#endif

#endif
