/* A machine of its own for one process on this one, put before it with LD_PRELOAD.
 *
 * CHAOS_CLOCK_S=3600         its wall clock is wrong by so many seconds. Clocks that only count on (CLOCK_MONOTONIC) stay
 *                            as they are, as they do on such a machine.
 * CHAOS_PORTS=9092:1234,...  what it connects to on port 9092 goes to port 1234, where a network can be slow or cut.
 *                            Kafka's clients connect to the addresses that brokers advertise, so nothing else will do.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

static long shift(void) {
    static long seconds;
    static int known;
    if (!known) {
        const char *text = getenv("CHAOS_CLOCK_S");
        seconds = text ? atol(text) : 0;
        known = 1;
    }
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *into) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int answer = real(clock, into);
    if (!answer && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) into->tv_sec += shift();
    return answer;
}

int gettimeofday(struct timeval *restrict into, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    into->tv_sec = now.tv_sec;
    into->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}

/* The port that stands for this one; the same one if none does. */
static unsigned long instead(unsigned long port) {
    const char *at = getenv("CHAOS_PORTS");
    while (at && *at) {
        char *end;
        unsigned long from = strtoul(at, &end, 10);
        unsigned long to = *end == ':' ? strtoul(end + 1, &end, 10) : from;
        if (from == port) return to;
        at = *end == ',' ? end + 1 : NULL;
    }
    return port;
}

int connect(int socket, const struct sockaddr *to, socklen_t size) {
    static int (*real)(int, const struct sockaddr *, socklen_t);
    if (!real) real = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
    struct sockaddr_in other;
    if (to && to->sa_family == AF_INET && size >= sizeof other) {
        memcpy(&other, to, sizeof other);
        other.sin_port = htons((unsigned short)instead(ntohs(other.sin_port)));
        return real(socket, (const struct sockaddr *)&other, sizeof other);
    }
    return real(socket, to, size);
}
