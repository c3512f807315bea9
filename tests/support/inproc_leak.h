/*
 * For tests that talk over inproc under the leak checker: NNG 1.5.2 loses a
 * message that is under way when an inproc pipe closes, after it has taken it
 * from us. Only nng_sp.c, which serves inproc alone, makes such messages.
 */

#ifndef TESTS_SUPPORT_INPROC_LEAK_H
#define TESTS_SUPPORT_INPROC_LEAK_H

const char *__lsan_default_suppressions(void);

__attribute__((visibility("default"))) const char *__lsan_default_suppressions(
    void)
{
    return "leak:nng_packet_make\n";
}

#endif
