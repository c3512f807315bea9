/*
 * Tell the service manager how it is: systemd's protocol of NOTIFY_SOCKET
 * (sd_notify(3)).
 */

#ifndef BASE_POSIX_POSIX_NOTIFY_H
#define BASE_POSIX_POSIX_NOTIFY_H

/* Such as "READY=1". Nothing happens when nobody wants to know. Any thread. */
void posix_notify(const char *state);

#endif
