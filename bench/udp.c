/* Datagrams on the loopback: one thread sends a burst of them and receives it, so that nothing is lost and nothing waits.
   One operation is a burst of 54, the most that fit one segmented send of 1200 bytes each. */
#include "bench.h"
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { BURST = 54, LARGEST = 1200 };

static size_t size;
static char data[BURST * LARGEST];
static char room[65536];

typedef struct raw_ends { int from, to; struct sockaddr_in address; } raw_ends;
typedef struct sock_ends { sock_t from, to; sock_address address; } sock_ends;

static void raw_single(void *context, long count) {
  raw_ends *ends = context;
  struct sockaddr_in source;
  for (long done = 0; done < count; done++) {
    for (int i = 0; i < BURST; i++) {
      bench_raw(sendto(ends->from, data, size, MSG_NOSIGNAL, (struct sockaddr *)&ends->address, sizeof ends->address), "sendto");
    }
    for (int i = 0; i < BURST; i++) {
      socklen_t length = sizeof source;
      bench_raw(recvfrom(ends->to, room, sizeof room, 0, (struct sockaddr *)&source, &length), "recvfrom");
    }
  }
}

static void sock_single(void *context, long count) {
  sock_ends *ends = context;
  sock_address source;
  for (long done = 0; done < count; done++) {
    for (int i = 0; i < BURST; i++) bench_sock(sock_send_to(ends->from, data, size, &ends->address), "sock_send_to");
    for (int i = 0; i < BURST; i++) bench_sock(sock_recv_from(ends->to, room, sizeof room, &source), "sock_recv_from");
  }
}

static void raw_batch(void *context, long count) {
  raw_ends *ends = context;
  struct mmsghdr out[BURST], in[BURST];
  struct iovec out_parts[BURST], in_parts[BURST];
  struct sockaddr_in sources[BURST];
  for (long done = 0; done < count; done++) {
    memset(out, 0, sizeof out);
    memset(in, 0, sizeof in);
    for (int i = 0; i < BURST; i++) {
      out_parts[i] = (struct iovec){data + (size_t)i * size, size};
      out[i].msg_hdr.msg_iov = &out_parts[i];
      out[i].msg_hdr.msg_iovlen = 1;
      out[i].msg_hdr.msg_name = &ends->address;
      out[i].msg_hdr.msg_namelen = sizeof ends->address;
      in_parts[i] = (struct iovec){room + (size_t)i * LARGEST, LARGEST};
      in[i].msg_hdr.msg_iov = &in_parts[i];
      in[i].msg_hdr.msg_iovlen = 1;
      in[i].msg_hdr.msg_name = &sources[i];
      in[i].msg_hdr.msg_namelen = sizeof sources[i];
    }
    for (int sent = 0; sent < BURST;) {
      sent += (int)bench_raw(sendmmsg(ends->from, out + sent, (unsigned)(BURST - sent), MSG_NOSIGNAL), "sendmmsg");
    }
    for (int got = 0; got < BURST;) {
      got += (int)bench_raw(recvmmsg(ends->to, in + got, (unsigned)(BURST - got), MSG_WAITFORONE, NULL), "recvmmsg");
    }
  }
}

static void sock_batch(void *context, long count) {
  sock_ends *ends = context;
  static sock_datagram out[BURST], in[BURST];
  for (long done = 0; done < count; done++) {
    for (int i = 0; i < BURST; i++) {
      out[i].data = data + (size_t)i * size;
      out[i].size = size;
      out[i].segment = 0;
      out[i].address = ends->address;
      in[i].data = room + (size_t)i * LARGEST;
      in[i].size = LARGEST;
    }
    for (size_t sent = 0; sent < BURST;) {
      sent += (size_t)bench_sock(sock_send_batch(ends->from, out + sent, BURST - sent), "sock_send_batch");
    }
    for (size_t got = 0; got < BURST;) {
      got += (size_t)bench_sock(sock_recv_batch(ends->to, in + got, BURST - got), "sock_recv_batch");
    }
  }
}

static void raw_segmented(void *context, long count) {
  raw_ends *ends = context;
  for (long done = 0; done < count; done++) {
    union { struct cmsghdr header; char space[CMSG_SPACE(sizeof(uint16_t))]; } control;
    struct iovec part = {data, BURST * size};
    struct msghdr message = {.msg_name = &ends->address, .msg_namelen = sizeof ends->address, .msg_iov = &part,
                             .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    uint16_t segment = (uint16_t)size;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = IPPROTO_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof segment);
    memcpy(CMSG_DATA(header), &segment, sizeof segment);
    bench_raw(sendmsg(ends->from, &message, MSG_NOSIGNAL), "sendmsg");
    for (size_t got = 0; got < BURST * size;) {
      union { struct cmsghdr header; char space[CMSG_SPACE(sizeof(int))]; } received;
      struct sockaddr_in source;
      struct iovec whole = {room, sizeof room};
      struct msghdr in = {.msg_name = &source, .msg_namelen = sizeof source, .msg_iov = &whole, .msg_iovlen = 1,
                          .msg_control = &received, .msg_controllen = sizeof received};
      got += (size_t)bench_raw(recvmsg(ends->to, &in, 0), "recvmsg");
    }
  }
}

static void sock_segmented(void *context, long count) {
  sock_ends *ends = context;
  for (long done = 0; done < count; done++) {
    sock_datagram out = {.data = data, .size = BURST * size, .segment = (uint32_t)size};
    out.address = ends->address;
    bench_sock(sock_send_batch(ends->from, &out, 1), "sock_send_batch");
    for (size_t got = 0; got < BURST * size;) {
      sock_datagram in = {.data = room, .size = sizeof room};
      bench_sock(sock_recv_batch(ends->to, &in, 1), "sock_recv_batch");
      got += in.length;
    }
  }
}

static raw_ends raw_pair(int coalesce) {
  raw_ends ends;
  socklen_t length = sizeof ends.address;
  int *fds[] = {&ends.from, &ends.to};
  for (int i = 0; i < 2; i++) {
    ends.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *fds[i] = (int)bench_raw(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
    bench_raw(bind(*fds[i], (struct sockaddr *)&ends.address, sizeof ends.address), "bind");
  }
  bench_raw(getsockname(ends.to, (struct sockaddr *)&ends.address, &length), "getsockname");
  if (coalesce) bench_raw(setsockopt(ends.to, IPPROTO_UDP, UDP_GRO, &coalesce, sizeof coalesce), "UDP_GRO");
  return ends;
}

static sock_ends sock_pair_udp(void) {
  sock_ends ends;
  ends.from = bench_sock(sock_udp_bind("127.0.0.1", "0", NULL), "sock_udp_bind");
  ends.to = bench_sock(sock_udp_bind("127.0.0.1", "0", NULL), "sock_udp_bind");
  bench_sock(sock_local_address(ends.to, &ends.address), "sock_local_address");
  return ends;
}

int main(int argc, char **argv) {
  bench_start(argc, argv);
  /* A pair each: a receiver that has coalesced once may go on differently. */
  raw_ends raw = raw_pair(0), raw_coalescing = raw_pair(1);
  sock_ends single = sock_pair_udp(), batch = sock_pair_udp(), segmented = sock_pair_udp();
  size_t sizes[] = {64, 1200};
  for (int i = 0; i < 2; i++) {
    size = sizes[i];
    char name[80];
    bench_side one_by_one[] = {{"sendto/recvfrom", raw_single, &raw}, {"libsock sock_send_to", sock_single, &single}};
    snprintf(name, sizeof name, "%zu bytes, one by one", size);
    BENCH_CASE(name, one_by_one);
    bench_side batches[] = {{"sendmmsg/recvmmsg", raw_batch, &raw}, {"libsock sock_send_batch", sock_batch, &batch},
                            {"sendto/recvfrom", raw_single, &raw}};
    snprintf(name, sizeof name, "%zu bytes, batches", size);
    BENCH_CASE(name, batches);
    bench_side segments[] = {{"GSO/GRO", raw_segmented, &raw_coalescing}, {"libsock segments", sock_segmented, &segmented},
                             {"sendto/recvfrom", raw_single, &raw}};
    snprintf(name, sizeof name, "%zu bytes, segmented", size);
    BENCH_CASE(name, segments);
  }
  return 0;
}
