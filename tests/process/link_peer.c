/*
 * The other process of link_process_test: a station that obeys the lines on
 * its standard input and answers each with a line. It ends with its input.
 *
 *     link_peer KEY=VALUE...
 */

#include "tests/support/station.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void fail(const char *what)
{
    (void)fprintf(stderr, "link_peer: %s\n", what);
    exit(2);
}

/* The text behind "key=", or NULL. */
static const char *value_of(char **arguments, const char *key)
{
    size_t length = strlen(key);
    for (; *arguments; arguments++) {
        if (strncmp(*arguments, key, length) == 0 &&
            (*arguments)[length] == '=') {
            return *arguments + length + 1;
        }
    }
    return NULL;
}

static uint32_t number_of(char **arguments, const char *key)
{
    const char *value = value_of(arguments, key);
    return value ? (uint32_t)strtoul(value, NULL, 10) : 0;
}

/* The tally that the test reads, even when we are no more. */
static struct traffic_tally *map_tally(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        fail(path);
    }
    void *at = mmap(NULL, sizeof(struct traffic_tally), PROT_READ | PROT_WRITE,
                    MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED) {
        fail("mmap");
    }
    return at;
}

static struct station_config read_config(char **arguments)
{
    return (struct station_config){
        .name = value_of(arguments, "name"),
        .serial = number_of(arguments, "serial"),
        .addresses = {.door = value_of(arguments, "door"),
                      .pair_bind = value_of(arguments, "bind"),
                      .pair_advertise = value_of(arguments, "advertise"),
                      .pair_first = number_of(arguments, "first"),
                      .pair_count = number_of(arguments, "count")},
        .peers = {{.name = value_of(arguments, "peer"),
                   .door = value_of(arguments, "peer_door"),
                   .tally = map_tally(value_of(arguments, "tally"))}},
        .window_bytes = number_of(arguments, "window"),
        .silence_ms = number_of(arguments, "silence"),
        .proof_ms = number_of(arguments, "proof"),
        .handshake_ms = number_of(arguments, "handshake"),
        .door_connection_count_max = number_of(arguments, "door_connections"),
    };
}

static void obey_send(struct station *station, const char *line)
{
    unsigned flow = 0;
    unsigned long long count = 0;
    unsigned bytes_min = 0;
    unsigned bytes_max = 0;
    if (sscanf(line, "%u %llu %u %u", &flow, &count, &bytes_min, &bytes_max) !=
            4 ||
        flow >= TRAFFIC_FLOW_COUNT) {
        fail(line);
    }
    struct traffic_load load = {.flow = (enum traffic_flow)flow,
                                .count = count,
                                .bytes_min = bytes_min,
                                .bytes_max = bytes_max};
    station_send(station, 0, &load);
}

static void obey(struct station *station, const char *line)
{
    if (strncmp(line, "send ", 5) == 0) {
        obey_send(station, line + 5);
    } else if (strcmp(line, "pause") == 0) {
        station_pause(station, 0);
    } else if (strcmp(line, "resume") == 0) {
        station_resume(station, 0);
    } else if (strcmp(line, "look") == 0) {
        station_look(station);
    } else {
        fail(line);
    }
}

int main(int count, char **arguments)
{
    (void)count;
    struct station_config config = read_config(arguments + 1);
    struct station *station = NULL;
    struct err_detail why = {{0}};
    enum err err = station_open(&station, &config, &why);
    if (err) {
        (void)fprintf(stderr, "link_peer: %s\n", why.text);
        (void)printf("%s\n", err_name(err));
        return 1;
    }
    (void)printf("ready\n");
    (void)fflush(stdout);
    char line[128];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        obey(station, line);
        (void)printf("ok\n");
        (void)fflush(stdout);
    }
    station_close(&station);
    (void)munmap(config.peers[0].tally, sizeof(struct traffic_tally));
    return 0;
}
