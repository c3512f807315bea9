/*
 * A plug-in that crashes when it is loaded.
 */

#include <signal.h>

__attribute__((constructor)) static void crash(void)
{
    (void)signal(SIGBUS, SIG_DFL); /* sanitizers would have it */
    (void)raise(SIGBUS);
}
