/* The receiver of passed descriptors: a peer that sends any mix of bytes and descriptors, a reader that takes them in any way. None
 * leaks, none is closed twice. */
#include "fuzz.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_descriptors(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    MUST(folder != NULL);
    while (readdir(folder) != NULL) count++;
    closedir(folder);
    return count;
}

static void send_raw(int fd, const uint8_t *bytes, size_t size, const int *fds, size_t count)
{
    union {
        char bytes[CMSG_SPACE(64 * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = { (void *)(uintptr_t)bytes, size };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    memset(&control, 0, sizeof control);
    if (count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    }
    (void)sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = { data, size };
    int before = open_descriptors(), pair[2], sent[64];
    uint8_t bytes[64] = "bytes\nand\nlines\n";
    MUST(socketpair(AF_UNIX, take_byte(&in) & 1 ? SOCK_STREAM : SOCK_DGRAM, 0, pair) == 0);
    sock_t s = sock_from_fd(pair[0]);
    MUST(s > 0);
    MUST(sock_set_timeout(s, SOCK_READ, 0) == 0);
    for (size_t i = 0; i < 64; i++) sent[i] = pair[1];
    for (int step = 0; step < 40 && in.size > 0; step++) {
        uint8_t order = take_byte(&in), amount = take_byte(&in);
        int fds[64];
        size_t count = 77;
        int64_t got = 0;
        switch (order % 6) {
        case 0:
        case 1: send_raw(pair[1], bytes, 1 + amount % sizeof bytes, sent, (order >> 3) % 65); break;
        case 2: got = sock_read(s, bytes, amount % sizeof bytes); break;
        case 3: got = sock_read_line(s, (char *)bytes, amount % sizeof bytes); break;
        case 4: got = sock_peek(s, bytes, amount % sizeof bytes); break;
        default:
            got = sock_recv_fds(s, bytes, 1 + amount % (sizeof bytes - 1), fds, (order >> 3) % 65, &count);
            if (got >= 0 || got == SOCK_ETRUNC) {
                MUST(count <= (size_t)(order >> 3) % 65);
                for (size_t i = 0; i < count; i++) {
                    MUST(fcntl(fds[i], F_GETFD) == FD_CLOEXEC);
                    MUST(close(fds[i]) == 0);
                }
            }
        }
        MUST(is_code(got));
    }
    MUST(sock_close(s) == 0);
    MUST(close(pair[1]) == 0);
    MUST(open_descriptors() == before);
    return 0;
}
