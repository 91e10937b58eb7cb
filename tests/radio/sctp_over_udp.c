/* SCTP for programs on one machine whose kernel has none: messages in datagrams over the loopback.
 *
 * Preloaded into base station and core network. What they use of SCTP is what UDP on the loopback gives as well: whole
 * messages, in order, to an address. Associations are numbered by the peer's port.
 *
 *     cc -shared -fPIC -o sctp_over_udp.so sctp_over_udp.c -ldl
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define SCTP 132
#define PEERS 16

/* The beginning of struct sctp_sndrcvinfo, RFC 6458 section 5.3.2, to its last field. */
struct information {
    uint16_t stream, sequence, flags, padding;
    uint32_t protocol, context, time_to_live, tsn, cumulative_tsn;
    int32_t association;
};

static struct sockaddr_in peers[PEERS];

static int32_t association(const struct sockaddr_in *peer)
{
    for (int at = 0; at < PEERS; at++) {
        if (peers[at].sin_port == 0)
            peers[at] = *peer;
        if (peers[at].sin_port == peer->sin_port && peers[at].sin_addr.s_addr == peer->sin_addr.s_addr)
            return at + 1;
    }
    return 0;
}

int socket(int domain, int type, int protocol)
{
    int (*real)(int, int, int) = dlsym(RTLD_NEXT, "socket");
    if (protocol != SCTP)
        return real(domain, type, protocol);
    return real(domain, SOCK_DGRAM | (type & (SOCK_NONBLOCK | SOCK_CLOEXEC)), IPPROTO_UDP);
}

int listen(int fd, int backlog)
{
    int type = 0;
    socklen_t length = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_DGRAM)
        return 0;
    int (*real)(int, int) = dlsym(RTLD_NEXT, "listen");
    return real(fd, backlog);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    int (*real)(int, int, int, const void *, socklen_t) = dlsym(RTLD_NEXT, "setsockopt");
    return level == SCTP ? 0 : real(fd, level, name, value, length);
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict length)
{
    int (*real)(int, int, int, void *, socklen_t *) = dlsym(RTLD_NEXT, "getsockopt");
    if (level != SCTP)
        return real(fd, level, name, value, length);
    memset(value, 0, *length);
    return 0;
}

int sctp_recvmsg(int fd, void *message, size_t length, struct sockaddr *from, socklen_t *from_length,
                 struct information *information, int *flags)
{
    struct sockaddr_in peer = {0};
    socklen_t peer_length = sizeof peer;
    ssize_t received = recvfrom(fd, message, length, 0, (struct sockaddr *)&peer, &peer_length);
    if (received < 0)
        return -1;
    if (from && from_length && *from_length >= sizeof peer) {
        memcpy(from, &peer, sizeof peer);
        *from_length = sizeof peer;
    }
    if (information) {
        memset(information, 0, sizeof *information);
        information->association = association(&peer);
    }
    if (flags)
        *flags = 0;
    return (int)received;
}

int sctp_send(int fd, const void *message, size_t length, const struct information *information, int flags)
{
    int at = information ? information->association - 1 : -1;
    if (at < 0 || at >= PEERS)
        return (int)send(fd, message, length, flags);
    return (int)sendto(fd, message, length, flags, (struct sockaddr *)&peers[at], sizeof peers[at]);
}

int sctp_sendmsg(int fd, const void *message, size_t length, struct sockaddr *to, socklen_t to_length,
                 uint32_t protocol, uint32_t flags, uint16_t stream, uint32_t time_to_live, uint32_t context)
{
    (void)protocol, (void)flags, (void)stream, (void)time_to_live, (void)context;
    return (int)sendto(fd, message, length, MSG_NOSIGNAL, to, to_length);
}
