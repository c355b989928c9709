// What sock.hpp adds to sock.h: ownership, exceptions and codes, lines, and callables behind C.
#include <sock.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <functional>
#include <mutex>
#include <thread>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;

namespace {

// ---- A failed check ends its case.

struct Failed {};

void fail(int line, const char *text)
{
    std::printf("# line %d: %s\n", line, text);
    throw Failed{};
}

#define CHECK(condition) ((condition) ? void() : fail(__LINE__, #condition))

/** The code that the call throws, or none. */
template <class Call> std::error_code thrown(Call call)
{
    try {
        call();
    } catch (const sock::Error &error) {
        return error.code();
    }
    return {};
}

// ---- Connected pairs, and a gate for threads to wait at.

struct Connected {
    sock::Listener listener = sock::Listener::listen("127.0.0.1", "0");
    sock::Socket client = sock::Socket::open(listener.local_address().text(), nullptr);
    sock::Socket server = listener.accept();
};

std::string port_of(const sock::Endpoint &endpoint)
{
    return std::to_string(endpoint.local_address().port());
}

/** Opened once, seen open by everybody. */
class Gate {
public:
    void open()
    {
        const std::lock_guard<std::mutex> guard(mutex_);
        opened_ = true;
        changed_.notify_all();
    }

    void wait()
    {
        std::unique_lock<std::mutex> guard(mutex_);
        if (!changed_.wait_for(guard, 20s, [this] { return opened_; }))
            fail(__LINE__, "the gate stayed shut");
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool opened_ = false;
};

void wait_until(const std::function<bool()> &condition)
{
    for (int round = 0; !condition(); round++) {
        CHECK(round < 20000);
        std::this_thread::sleep_for(1ms);
    }
}

// ---- Errors

void error_codes_compare_with_the_library_and_the_standard()
{
    const std::error_code code = SOCK_ETIMEDOUT;
    CHECK(code == SOCK_ETIMEDOUT);
    CHECK(code != SOCK_ECLOSED);
    CHECK(code == std::errc::timed_out);
    CHECK(code.category() == sock::category());
    CHECK(std::string(code.category().name()) == "sock");
    CHECK(code.message() == sock_strerror(SOCK_ETIMEDOUT));
    CHECK(std::error_code(SOCK_ECONNREFUSED) == std::errc::connection_refused);
    CHECK(std::error_code(SOCK_EAGAIN) == std::errc::operation_would_block);
    CHECK(std::error_code(SOCK_EEOF) != std::errc::timed_out);
    CHECK(!std::error_code(SOCK_OK));
    CHECK(std::string(sock::error_name(code)) == "SOCK_ETIMEDOUT");
    CHECK(std::string(sock::error_name(std::make_error_code(std::errc::timed_out))) == "SOCK_UNKNOWN");
    CHECK(sock::is_temporary(SOCK_EAGAIN));
    CHECK(!sock::is_temporary(SOCK_EINVAL));
    CHECK(!sock::is_temporary(std::make_error_code(std::errc::timed_out)));
}

void what_tells_the_whole_story()
{
    std::string port;
    {
        sock::Listener gone = sock::Listener::listen("127.0.0.1", "0");
        port = port_of(gone);
    }
    try {
        sock::Socket::open("127.0.0.1", port);
        fail(__LINE__, "connected to a port where nobody listens");
    } catch (const std::system_error &error) {
        CHECK(error.code() == SOCK_ECONNREFUSED);
        CHECK(error.code() == std::errc::connection_refused);
        CHECK(std::string(error.what()).find("127.0.0.1:" + port) != std::string::npos);
        CHECK(dynamic_cast<const sock::Error &>(error).last_errno() == ECONNREFUSED);
    }
    std::error_code code;
    const sock::Socket socket = sock::Socket::open("127.0.0.1", port, code);
    CHECK(code == SOCK_ECONNREFUSED);
    CHECK(!socket);
}

void an_error_is_copied_without_throwing()
{
    static_assert(std::is_nothrow_copy_constructible_v<sock::Error>);
    sock::Socket empty;
    try {
        empty.write("x");
        fail(__LINE__, "wrote to nothing");
    } catch (const sock::Error &error) {
        const sock::Error copy = error;
        CHECK(std::string(copy.what()) == error.what());
        CHECK(copy.code() == SOCK_EHANDLE);
        CHECK(copy.count() == 0);
    }
}

void a_cut_transfer_says_how_far_it_got()
{
    auto [left, right] = sock::Socket::pair();
    left.set_deadline(SOCK_WRITE, 50ms);
    const std::string much(8u << 20, 'x');
    try {
        left.write(much);
        fail(__LINE__, "eight megabytes fitted in a socket buffer");
    } catch (const sock::Error &error) {
        CHECK(error.code() == SOCK_ETIMEDOUT);
        CHECK(error.count() > 0);
        CHECK(error.count() < much.size());
        left.close();
        std::size_t arrived = 0;
        std::array<char, 65536> buffer;
        while (const std::size_t size = right.read(buffer.data(), buffer.size()))
            arrived += size;
        CHECK(arrived == error.count());
    }
}

void success_clears_the_code()
{
    auto [left, right] = sock::Socket::pair();
    std::error_code code = SOCK_EINTERNAL;
    CHECK(left.write("x", code) == 1);
    CHECK(!code);
    char byte;
    code = SOCK_EINTERNAL;
    CHECK(right.read(&byte, 1, code) == 1);
    CHECK(!code);
    code = SOCK_EINTERNAL;
    left.close(code);
    CHECK(!code);
    code = SOCK_EINTERNAL;
    CHECK(right.read(&byte, 1, code) == 0);
    CHECK(!code);
}

// ---- Ownership

void objects_close_what_they_own_once()
{
    const std::int64_t before = sock::live_handles();
    {
        auto [left, right] = sock::Socket::pair();
        CHECK(sock::live_handles() == before + 2);
        sock::Socket moved = std::move(left);
        CHECK(!left && moved);
        CHECK(sock::live_handles() == before + 2);
        moved = std::move(right);
        CHECK(!right && moved);
        CHECK(sock::live_handles() == before + 1);
        sock::Socket &same = moved;
        moved = std::move(same);
        CHECK(moved);
        moved.close();
        moved.close();
        CHECK(!moved);
        CHECK(sock::live_handles() == before);
    }
    CHECK(sock::live_handles() == before);
    static_assert(!std::is_copy_constructible_v<sock::Socket> && !std::is_copy_assignable_v<sock::Socket>);
    static_assert(std::is_nothrow_move_constructible_v<sock::Socket> && std::is_nothrow_move_assignable_v<sock::Socket>);
    static_assert(std::is_nothrow_move_constructible_v<sock::Server> && std::is_nothrow_move_assignable_v<sock::Server>);
}

void a_released_handle_stays_open()
{
    auto [left, right] = sock::Socket::pair();
    const sock_t handle = left.release();
    CHECK(!left);
    CHECK(sock_write(handle, "x", 1) == 1);
    sock::Socket again(handle);
    char byte;
    CHECK(right.read(&byte, 1) == 1);
}

void an_empty_object_answers_with_a_code()
{
    sock::Socket empty;
    char byte;
    CHECK(thrown([&] { empty.read(&byte, 1); }) == SOCK_EHANDLE);
    CHECK(thrown([&] { empty.cancel(); }) == SOCK_EHANDLE);
    CHECK(thrown([&] { empty.finish(1s); }) == SOCK_EHANDLE);
    CHECK(thrown([&] { empty.abort(); }) == SOCK_EHANDLE);
    CHECK(thrown([&] { empty.peer_address(); }) == SOCK_EHANDLE);
    CHECK(!thrown([&] { empty.close(); }));
    CHECK(thrown([&] { sock::Listener().accept(); }) == SOCK_EHANDLE);
    CHECK(thrown([&] { sock::Server().stop(0ms); }) == SOCK_EHANDLE);
}

void closing_frees_a_reader_in_another_thread()
{
    auto [left, right] = sock::Socket::pair();
    Gate reading;
    std::error_code code;
    std::thread reader([&left = left, &reading, &code] {
        char byte;
        reading.open();
        left.read(&byte, 1, code);
    });
    reading.wait();
    std::this_thread::sleep_for(10ms); // both orders must end the same way, this one is the likely one
    left.close();
    reader.join();
    CHECK(code == SOCK_ECLOSED || code == SOCK_EHANDLE);
}

void finish_and_abort_leave_an_empty_object()
{
    Connected tcp;
    tcp.client.write("bye");
    std::thread peer([&tcp] {
        std::string line;
        while (tcp.server.read_line(line)) {
        }
        tcp.server.close();
    });
    tcp.client.finish(10s);
    CHECK(!tcp.client);
    peer.join();

    Connected cut;
    cut.client.abort();
    CHECK(!cut.client);
    char byte;
    CHECK(thrown([&] { cut.server.read(&byte, 1); }) == SOCK_ECONNRESET);
}

// ---- Streams

void bytes_go_both_ways()
{
    Connected tcp;
    CHECK(tcp.client.write("hello") == 5);
    char buffer[16];
    CHECK(tcp.server.peek(buffer, sizeof buffer) > 0);
    CHECK(tcp.server.read_exact(buffer, 5) == 5);
    CHECK(std::string_view(buffer, 5) == "hello");
    CHECK(tcp.server.write(buffer, 3) == 3);
    tcp.server.shutdown(SOCK_WRITE);
    CHECK(tcp.client.read_exact(buffer, 3) == 3);
    CHECK(tcp.client.read(buffer, sizeof buffer) == 0);
    CHECK(thrown([&] { tcp.client.read_exact(buffer, 1); }) == SOCK_EEOF);
    CHECK(tcp.client.peer_address() == tcp.listener.local_address());
    CHECK(tcp.client.local_address() == tcp.server.peer_address());
    CHECK(tcp.client.local_address() != tcp.server.local_address());
    CHECK(tcp.server.info().bytes_read == 5);
    CHECK(tcp.server.info().kind == SOCK_KIND_STREAM);
}

void parts_are_gathered_and_scattered()
{
    auto [left, right] = sock::Socket::pair();
    char one[] = "one", two[] = "two";
    const iovec out[2] = {{one, 3}, {two, 3}};
    CHECK(left.writev(out, 2) == 6);
    std::error_code code;
    CHECK(left.writev(out, 2, code) == 6);
    char a[4], b[8];
    const iovec in[2] = {{a, 4}, {b, 8}};
    CHECK(right.readv(in, 2) == 12);
    CHECK(std::string_view(a, 4) == "onet" && std::string_view(b, 8) == "woonetwo");
}

void trying_tells_waiting_from_the_end()
{
    auto [left, right] = sock::Socket::pair();
    char byte;
    std::error_code code = SOCK_EINTERNAL;
    CHECK(!left.try_read(&byte, 1));
    CHECK(!left.try_read(&byte, 1, code) && !code);
    CHECK(right.try_write("x", 1) == 1u);
    CHECK(left.try_read(&byte, 1) == 1u);
    right.close();
    CHECK(left.try_read(&byte, 1) == 0u);
    CHECK(!right.try_read(&byte, 1, code) && code == SOCK_EHANDLE);

    sock::Listener listener = sock::Listener::listen("127.0.0.1", "0");
    CHECK(!listener.try_accept());
    CHECK(!listener.try_accept(code) && !code);
    const sock::Socket client = sock::Socket::open("127.0.0.1", port_of(listener));
    sock::Socket accepted;
    wait_until([&] { return static_cast<bool>(accepted = listener.try_accept()); });
}

void lines_come_without_their_ends()
{
    auto [left, right] = sock::Socket::pair();
    left.write(std::string_view("first\r\nsecond\n\nnul\0inside\nlast", 30));
    left.shutdown(SOCK_WRITE);
    std::vector<std::string> lines;
    for (std::string line; right.read_line(line);)
        lines.push_back(line);
    CHECK((lines == std::vector<std::string>{"first", "second", "", std::string("nul\0inside", 10), "last"}));
    std::string line = "old";
    std::error_code code = SOCK_EINTERNAL;
    CHECK(!right.read_line(line, code) && !code && line.empty());
}

void lines_grow_up_to_their_limit()
{
    auto [left, right] = sock::Socket::pair();
    const std::string longest(20000, 'x');
    left.write(longest + "\n" + longest + "y\nshort\n");
    std::string line;
    CHECK(right.read_line(line, longest.size()) && line == longest);
    CHECK(thrown([&right = right, &line, &longest] { right.read_line(line, longest.size()); }) == SOCK_ETOOLONG);
    std::error_code code;
    CHECK(!right.read_line(line, 3, code) && code == SOCK_ETOOLONG);
    CHECK(right.read_line(line) && line == longest + "y");
    CHECK(right.read_line(line, 5) && line == "short");
}

void formatted_text_arrives_whole()
{
    auto [left, right] = sock::Socket::pair();
    CHECK(left.printf("%d %s\n", 42, "answers") == 11);
    const std::string much(3000, 'm');
    std::error_code code = SOCK_EINTERNAL;
    CHECK(left.printf(code, "%s\n", much.c_str()) == 3001 && !code);
    std::string line;
    CHECK(right.read_line(line) && line == "42 answers");
    CHECK(right.read_line(line) && line == much);
    left.close();
    CHECK(left.printf(code, "x") == 0 && code == SOCK_EHANDLE);
}

/* The failure is told as any other, and not by what is left of the one before. */
void a_format_that_cannot_be_followed_is_told()
{
    auto [left, right] = sock::Socket::pair();
    const wchar_t beyond_any_charset[] = {static_cast<wchar_t>(0x7fffffff), L'\0'};
    std::size_t (sock::Socket::*const print)(const char *, ...) = &sock::Socket::printf; /* which no compiler checks */
    std::error_code code;
    CHECK(!sock::Socket::open("", "1", code) && code == SOCK_EINVAL);
    for (const char *format : {"%ls", static_cast<const char *>(nullptr)}) {
        try {
            (left.*print)(format, beyond_any_charset);
            fail(__LINE__, "an impossible text was written");
        } catch (const sock::Error &error) {
            CHECK(error.code() == SOCK_EINVAL);
            CHECK(std::string_view(error.what()).substr(0, 5) == "write");
        }
    }
    left.close();
    char byte;
    CHECK(right.read(&byte, 1) == 0);
}

void time_limits_end_calls()
{
    auto [left, right] = sock::Socket::pair();
    char byte;
    left.set_timeout(SOCK_READ, 20ms);
    const auto began = std::chrono::steady_clock::now();
    CHECK(thrown([&left = left, &byte] { left.read(&byte, 1); }) == std::errc::timed_out);
    CHECK(std::chrono::steady_clock::now() - began >= 20ms);
    left.set_timeout(SOCK_READ, sock::forever);
    left.set_deadline(SOCK_READ, 0s);
    CHECK(thrown([&left = left, &byte] { left.read(&byte, 1); }) == SOCK_ETIMEDOUT);
    right.cancel();
    CHECK(thrown([&right = right, &byte] { right.read(&byte, 1); }) == SOCK_ECANCELED);
}

void options_reach_the_library()
{
    sock::Options options;
    CHECK(options.size == sizeof(sock_options));
    options.nodelay = SOCK_OFF;
    options.io_timeout_ms = 20;
    sock::Listener listener = sock::Listener::listen("127.0.0.1", "0");
    sock::Socket client = sock::Socket::open("127.0.0.1", port_of(listener), options);
    CHECK(client.get_option(SOCK_OPT_NODELAY) == 0);
    char byte;
    CHECK(thrown([&] { client.read(&byte, 1); }) == SOCK_ETIMEDOUT);
    client.set_option(SOCK_OPT_NODELAY, 1);
    CHECK(client.get_option(SOCK_OPT_NODELAY) == 1);
    options.backlog = 5;
    CHECK(thrown([&] { sock::Socket::open("127.0.0.1", port_of(listener), options); }) == SOCK_EINVAL);
    std::error_code code;
    CHECK(sock::Socket::open("127.0.0.1", port_of(listener), {}, code) && !code);
#if __cplusplus >= 202002L
    CHECK(sock::Socket::open("127.0.0.1", port_of(listener), {.nodelay = SOCK_OFF, .timeout_ms = 5000}, code) && !code);
#endif
}

void linger_off_is_no_error()
{
    Connected tcp;
    tcp.client.set_option(SOCK_OPT_LINGER_MS, -1);
    std::error_code code = SOCK_EINTERNAL;
    CHECK(tcp.client.get_option(SOCK_OPT_LINGER_MS) == -1);
    CHECK(tcp.client.get_option(SOCK_OPT_LINGER_MS, code) == -1 && !code);
    sock::Socket empty;
    CHECK(thrown([&] { empty.get_option(SOCK_OPT_LINGER_MS); }) == SOCK_EHANDLE);
}

void a_text_with_a_nul_inside_is_refused()
{
    std::error_code code;
    CHECK(!sock::Socket::open(std::string("127.0.0.1\0.example.com", 22), "80", code));
    CHECK(code == SOCK_EINVAL);
    CHECK(!sock::Listener::listen("127.0.0.1", std::string("0\0", 2), code));
    CHECK(code == SOCK_EINVAL || code == SOCK_ENOSERVICE);
}

void descriptors_come_and_go()
{
    int fds[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    std::error_code code;
    CHECK(!sock::Listener::from_fd(fds[0], code) && code == SOCK_ETYPE);
    try {
        sock::Datagram::from_fd(fds[0]);
        fail(__LINE__, "a stream was taken for a datagram socket");
    } catch (const sock::Error &error) {
        CHECK(error.code() == SOCK_ETYPE);
        CHECK(std::string(error.what()).find("another kind") != std::string::npos);
    }
    CHECK(fcntl(fds[0], F_GETFD) >= 0);
    sock::Socket adopted = sock::Socket::from_fd(fds[0]);
    CHECK(adopted.fd() == fds[0]);
    CHECK(adopted.release_fd() == fds[0]);
    CHECK(!adopted);
    CHECK(write(fds[0], "x", 1) == 1);
    CHECK(adopted.release_fd(code) == -1 && code == SOCK_EHANDLE);
    CHECK(adopted.fd(code) == -1 && code == SOCK_EHANDLE);
    CHECK(thrown([] { sock::Socket::from_fd(-1); }));
    close(fds[0]);
    close(fds[1]);
}

void descriptors_are_passed()
{
    auto [left, right] = sock::Socket::pair();
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(left.send_fds("x", 1, ends, 1) == 1);
    int received[2] = {-1, -1};
    std::size_t count = 9;
    char byte;
    CHECK(right.recv_fds(&byte, 1, received, 2, count) == 1);
    CHECK(count == 1 && received[0] >= 0);
    close(received[0]);
    close(ends[0]);
    close(ends[1]);
    CHECK(right.peer_credentials().pid == getpid());
    CHECK(right.peer_credentials().uid == getuid());
}

void files_and_relays()
{
    const int file = memfd_create("digits", MFD_CLOEXEC);
    CHECK(file >= 0);
    CHECK(write(file, "0123456789", 10) == 10);

    auto [source, in] = sock::Socket::pair();
    auto [out, sink] = sock::Socket::pair();
    CHECK(source.send_file(file, 2, 5) == 5);
    CHECK(source.send_file(file, 8, -1) == 2);
    close(file);
    source.shutdown(SOCK_WRITE);
    sink.shutdown(SOCK_WRITE);
    CHECK(sock::relay(in, out) == 7);
    out.close();
    char buffer[16];
    CHECK(sink.read_exact(buffer, 7) == 7 && std::string_view(buffer, 7) == "2345689");
    CHECK(sink.read(buffer, 1) == 0);
}

// ---- Addresses

void addresses_are_values()
{
    const sock::Address four = sock::Address::parse("127.0.0.1", "80");
    CHECK(four.text() == "127.0.0.1:80");
    CHECK(four.port() == 80);
    CHECK(four == sock::Address::parse(std::string("127.0.0.1:80"), nullptr));
    CHECK(four != sock::Address::parse("::1", "80"));
    std::error_code code;
    sock::Address::parse("example.com", "80", code);
    CHECK(code == SOCK_EINVAL);
    const std::vector<sock::Address> found = sock::resolve("::1", "443");
    CHECK(found.size() == 1 && found[0].text() == "[::1]:443");
    CHECK(sock::resolve("no such host", "1", code).empty() && code == SOCK_EINVAL);
}

// ---- Datagrams

void datagrams_carry_their_sender()
{
    sock::Datagram server = sock::Datagram::bind("127.0.0.1", "0");
    sock::Datagram client = sock::Datagram::open("127.0.0.1", port_of(server));
    CHECK(client.write("ping") == 4);
    char buffer[16];
    sock::Address from;
    CHECK(server.recv_from(buffer, sizeof buffer, from) == 4);
    CHECK(from == client.local_address());
    CHECK(server.send_to("pong", from) == 4);
    CHECK(client.read(buffer, sizeof buffer) == 4 && std::string_view(buffer, 4) == "pong");
    CHECK(client.peer_address() == server.local_address());
    CHECK(!client.try_read(buffer, sizeof buffer));
    std::error_code code;
    client.write("longer than the buffer");
    CHECK(server.recv_from(buffer, 4, from, code) == 0 && code == SOCK_ETRUNC);
    CHECK(std::string_view(buffer, 4) == "long");
}

void datagrams_are_moved_by_the_calls_that_streams_have()
{
    sock::Datagram server = sock::Datagram::bind("127.0.0.1", "0");
    sock::Datagram client = sock::Datagram::open("127.0.0.1", port_of(server));
    char head[2], tail[8];
    const struct iovec parts[2] = {{head, sizeof head}, {tail, sizeof tail}};
    CHECK(client.try_write("peeked", 6) == 6U);
    CHECK(server.peek(tail, sizeof tail) == 6 && server.peek(tail, sizeof tail) == 6);
    CHECK(server.buffered() == 0);
    CHECK(server.readv(parts, 2) == 6 && std::string_view(head, 2) == "pe" && std::string_view(tail, 4) == "eked");
    CHECK(client.writev(parts, 1) == 2);
    CHECK(server.try_read(tail, sizeof tail) == 2U);
    client.shutdown(SOCK_WRITE);
    CHECK(thrown([&] { client.write("x"); }) == SOCK_EPIPE);
    CHECK(thrown([&] { server.shutdown(SOCK_WRITE); }) == SOCK_ENOTCONN);
    CHECK(thrown([&] { static_cast<void>(client.peer_credentials()); }) == SOCK_ENOTSUP);

    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == 0);
    sock::Datagram left = sock::Datagram::from_fd(ends[0]), right = sock::Datagram::from_fd(ends[1]);
    const int passed = left.fd();
    int received = -1;
    std::size_t count = 0;
    CHECK(left.send_fds("x", 1, &passed, 1) == 1);
    CHECK(right.recv_fds(tail, sizeof tail, &received, 1, count) == 1 && count == 1);
    CHECK(::close(received) == 0);
    CHECK(right.peer_credentials().pid == getpid());
}

void datagrams_go_in_batches()
{
    sock::Datagram server = sock::Datagram::bind("127.0.0.1", "0");
    sock::Datagram client = sock::Datagram::open("127.0.0.1", port_of(server));
    char data[3][4] = {"one", "two", "six"};
    sock_datagram out[3] = {};
    for (int i = 0; i < 3; i++) {
        out[i].data = data[i];
        out[i].size = 3;
    }
    CHECK(client.send_batch(out, 3) == 3);
    char buffers[3][8];
    std::size_t received = 0;
    std::string all;
    while (received < 3) {
        sock_datagram in[3] = {};
        for (int i = 0; i < 3; i++) {
            in[i].data = buffers[i];
            in[i].size = sizeof buffers[i];
        }
        const std::size_t count = server.recv_batch(in, 3);
        CHECK(count > 0);
        for (std::size_t i = 0; i < count; i++) {
            all.append(static_cast<char *>(in[i].data), in[i].length);
            CHECK(sock::Address(in[i].address) == client.local_address());
        }
        received += count;
    }
    CHECK(all == "onetwosix");
}

void groups_are_joined_and_left()
{
    sock::Datagram member = sock::Datagram::bind("0.0.0.0", "0");
    member.join("239.255.77.1", "lo");
    member.leave("239.255.77.1", "lo");
    std::error_code code;
    member.join("127.0.0.1", "lo", code);
    CHECK(code);
}

// ---- Pollers

void a_poller_names_what_is_ready()
{
    sock::Poller poller;
    auto [left, right] = sock::Socket::pair();
    int tag = 0;
    poller.add(left, SOCK_READ, &tag);
    sock::Event event;
    CHECK(poller.wait(&event, 1, 0ms) == 0);
    right.write("x");
    CHECK(poller.wait(&event, 1, 10s) == 1);
    CHECK(event.socket == left.handle() && event.user == &tag && (event.ready & SOCK_READ));
    poller.set(left, SOCK_WRITE, nullptr);
    std::vector<sock::Event> events;
    poller.wait(events, 10s);
    CHECK(events.size() == 1 && (events[0].ready & SOCK_WRITE) && events[0].user == nullptr);
    poller.remove(left);
    poller.wake();
    poller.wait(events);
    CHECK(events.size() == 1 && events[0].ready == SOCK_WOKEN && events[0].socket == poller.handle());
    std::error_code code;
    poller.remove(left, code);
    CHECK(code);
    sock::Poller none(0);
    CHECK(!none);
    none.wake(code);
    CHECK(code == SOCK_EHANDLE);
    none = std::move(poller);
    CHECK(none && !poller);
}

// ---- Servers

void echo_lines(sock::Socket &connection)
{
    for (std::string line; connection.read_line(line);)
        connection.write(line + "\n");
}

sock::ServerOptions served_by(int model)
{
    sock::ServerOptions options;
    options.model = model;
    return options;
}

void serves(int model)
{
    std::atomic<int> connections{0};
    sock::Server server = sock::Server::serve(
        sock::Listener::listen("127.0.0.1", "0"),
        [&connections](sock::Socket &connection) {
            connections++;
            echo_lines(connection);
        },
        served_by(model));
    const std::string address = server.local_address().text();
    for (int i = 0; i < 20; i++) {
        sock::Socket client = sock::Socket::open(address, nullptr);
        client.printf("line %d\n", i);
        std::string line;
        CHECK(client.read_line(line) && line == "line " + std::to_string(i));
    }
    CHECK(connections == 20);
    CHECK(server.server_info().accepted == 20);
    CHECK(server.stop(10s) == 0);
    server.wait();
    CHECK(server.server_info().finished == 20);
}

void a_lambda_serves_on_threads() { serves(SOCK_THREADS); }
void a_lambda_serves_on_fibers() { serves(SOCK_FIBERS); }
void exception_resets_only_its_connection(int model)
{
    sock::Server server = sock::Server::serve(
        sock::Listener::listen("127.0.0.1", "0"),
        [](sock::Socket &connection) {
            std::string line;
            connection.read_line(line);
            connection.write("half an ans");
            if (line == "throw")
                throw std::runtime_error("out of the handler");
            if (line == "number")
                throw 42;
            connection.write("wer\n");
        },
        served_by(model));
    const std::string address = server.local_address().text();
    for (const char *wish : {"throw\n", "number\n"}) {
        sock::Socket client = sock::Socket::open(address, nullptr);
        client.write(wish);
        char buffer[64];
        const std::error_code code = thrown([&] { client.read_exact(buffer, sizeof buffer); });
        CHECK(code == SOCK_ECONNRESET);
    }
    sock::Socket client = sock::Socket::open(address, nullptr);
    client.write("answer\n");
    std::string line;
    CHECK(client.read_line(line) && line == "half an answer");
    CHECK(!client.read_line(line));
}

void an_exception_resets_only_its_connection_on_threads() { exception_resets_only_its_connection(SOCK_THREADS); }
void an_exception_resets_only_its_connection_on_fibers() { exception_resets_only_its_connection(SOCK_FIBERS); }
/* Each connection waits inside a catch block, and they leave it in another order than they entered it. */
void waits_while_it_handles_an_exception(int model)
{
    constexpr int many = 8;
    std::atomic<int> wrong{0};
    sock::ServerOptions options = served_by(model);
    options.workers = model == SOCK_FIBERS ? 1 : 0;
    sock::Server server = sock::Server::serve(
        sock::Listener::listen("127.0.0.1", "0"),
        [&wrong](sock::Socket &connection) {
            std::string name, go;
            connection.read_line(name);
            try {
                throw std::runtime_error(name);
            } catch (const std::exception &mine) {
                connection.write("caught\n");
                connection.read_line(go);
                try {
                    throw; // the one this connection is handling, not the last one thrown in this thread
                } catch (const std::exception &again) {
                    wrong += again.what() != name || mine.what() != name;
                }
            }
            connection.write("left\n");
        },
        options);
    const std::string address = server.local_address().text();
    std::vector<sock::Socket> clients;
    std::string line;
    for (int i = 0; i < many; i++) {
        clients.push_back(sock::Socket::open(address, nullptr));
        clients.back().printf("connection %d\n", i);
        CHECK(clients.back().read_line(line) && line == "caught");
    }
    for (int i = 0; i < many; i++) {
        sock::Socket &client = clients[static_cast<std::size_t>(i * 3 % many)];
        client.write("go\n");
        CHECK(client.read_line(line) && line == "left");
    }
    CHECK(wrong == 0);
}

void a_thread_waits_while_it_handles_an_exception() { waits_while_it_handles_an_exception(SOCK_THREADS); }
void a_fiber_waits_while_it_handles_an_exception() { waits_while_it_handles_an_exception(SOCK_FIBERS); }
void destroying_a_server_waits_for_its_handlers(int model)
{
    std::atomic<int> inside{0};
    std::atomic<bool> ended{false};
    sock::Socket client;
    {
        auto state = std::make_unique<int>(7); // a callable that can only be moved
        sock::Server server = sock::Server::serve(
            sock::Listener::listen("127.0.0.1", "0"),
            [state = std::move(state), &inside, &ended](sock::Socket &connection) {
                inside++;
                char byte;
                std::error_code code;
                connection.read(&byte, 1, code);
                ended = code == SOCK_ECANCELED && *state == 7;
                inside--;
            },
            served_by(model));
        client = sock::Socket::open(server.local_address().text(), nullptr);
        wait_until([&] { return inside == 1; });
        sock::Server moved = std::move(server);
        CHECK(!server && moved);
    }
    CHECK(inside == 0);
    CHECK(ended);
}

void destroying_a_server_waits_for_its_threads() { destroying_a_server_waits_for_its_handlers(SOCK_THREADS); }
void destroying_a_server_waits_for_its_fibers() { destroying_a_server_waits_for_its_handlers(SOCK_FIBERS); }
void a_handler_may_end_its_own_server()
{
    struct Shared {
        std::mutex mutex;
        sock::Server server;
        Gate ended;
    } shared;
    {
        const std::lock_guard<std::mutex> guard(shared.mutex);
        shared.server = sock::Server::serve(sock::Listener::listen("127.0.0.1", "0"),
                                            [&shared, text = std::string(100, 'x')](sock::Socket &connection) {
                                                {
                                                    const std::lock_guard<std::mutex> inner(shared.mutex);
                                                    shared.server = sock::Server();
                                                }
                                                std::error_code ignored;
                                                connection.write(text, ignored); // the callable is still there
                                                shared.ended.open();
                                            });
    }
    std::string address;
    {
        const std::lock_guard<std::mutex> guard(shared.mutex);
        address = shared.server.local_address().text();
    }
    sock::Socket client = sock::Socket::open(address, nullptr);
    shared.ended.wait();
    const std::lock_guard<std::mutex> guard(shared.mutex);
    CHECK(!shared.server);
}

void a_c_handler_serves()
{
    std::atomic<int> calls{0};
    sock::Server server = sock::Server::serve(
        sock::Listener::listen("127.0.0.1", "0"),
        [](sock_t connection, void *context) {
            ++*static_cast<std::atomic<int> *>(context);
            sock_write(connection, "hi\n", 3);
        },
        &calls);
    sock::Socket client = sock::Socket::open(server.local_address().text(), nullptr);
    std::string line;
    CHECK(client.read_line(line) && line == "hi");
    CHECK(calls == 1);
    server.stop(10s);
    server.wait();
    server.close();
    server.close();
    CHECK(!server);
}

void closing_a_server_waits_for_its_handlers()
{
    std::atomic<int> inside{0};
    sock::Server server = sock::Server::serve(sock::Listener::listen("127.0.0.1", "0"), [&inside](sock::Socket &connection) {
        inside++;
        std::string line;
        std::error_code code;
        connection.read_line(line, code);
        std::this_thread::sleep_for(20ms); // long enough to be seen if nobody waited
        inside--;
    });
    sock::Socket client = sock::Socket::open(server.local_address().text(), nullptr);
    wait_until([&] { return inside == 1; });
    server.close();
    CHECK(inside == 0 && !server);
}

void a_listener_that_is_not_served_stays_the_callers()
{
    sock::Listener listener = sock::Listener::listen("127.0.0.1", "0");
    sock::ServerOptions wrong;
    wrong.model = 99;
    std::error_code code;
    sock::Server server = sock::Server::serve(std::move(listener), echo_lines, wrong, code);
    CHECK(!server && code == SOCK_EINVAL);
    CHECK(listener);
    CHECK(thrown([&] { sock::Server::serve(std::move(listener), nullptr, nullptr); }) == SOCK_EINVAL);
    sock::Socket client = sock::Socket::open("127.0.0.1", port_of(listener));
    CHECK(listener.accept());
    server = sock::Server::serve(std::move(listener), echo_lines, code);
    CHECK(server && !code && !listener);
}

// ---- The rest

void any_number_of_sockets_is_inherited()
{
    const pid_t child = fork();
    if (child == 0) {
        const int count = 100, first = 3; /* where the service manager's protocol puts them */
        const int fd = socket(AF_INET, SOCK_DGRAM, 0);
        for (int i = first; i < first + count; i++)
            dup2(fd, i);
        setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
        setenv("LISTEN_FDS", std::to_string(count).c_str(), 1);
        const std::vector<sock::Endpoint> sockets = sock::inherited();
        bool good = sockets.size() == count;
        for (const sock::Endpoint &inherited : sockets)
            good = good && inherited.info().kind == SOCK_KIND_DATAGRAM;
        _exit(good ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

void the_rest_is_there()
{
    CHECK(sock::inherited().empty());
    CHECK(sock::version() == SOCK_VERSION);
    CHECK(std::string(sock::version_text()) == SOCK_VERSION_TEXT);
    const auto began = std::chrono::steady_clock::now();
    sock::sleep(5ms);
    CHECK(std::chrono::steady_clock::now() - began >= 5ms);
    sock::set_logger([](int, const char *, void *) {}, nullptr);
    sock::set_logger(nullptr, nullptr);
#if defined(__cpp_lib_span)
    auto [left, right] = sock::Socket::pair();
    const std::array<std::byte, 2> out{std::byte{1}, std::byte{2}};
    CHECK(left.write(out) == 2);
    std::array<std::byte, 2> in;
    CHECK(right.read_exact(in) == 2 && in == out);
    std::error_code code;
    CHECK(left.write(out, code) == 2 && !code);
    CHECK(right.read(std::span<std::byte>(in)) > 0);
#endif
}

struct Case {
    const char *name;
    void (*run)();
};

#define CASE(function) {#function, function}

const Case cases[] = {
    CASE(error_codes_compare_with_the_library_and_the_standard),
    CASE(what_tells_the_whole_story),
    CASE(an_error_is_copied_without_throwing),
    CASE(a_cut_transfer_says_how_far_it_got),
    CASE(success_clears_the_code),
    CASE(objects_close_what_they_own_once),
    CASE(a_released_handle_stays_open),
    CASE(an_empty_object_answers_with_a_code),
    CASE(closing_frees_a_reader_in_another_thread),
    CASE(finish_and_abort_leave_an_empty_object),
    CASE(bytes_go_both_ways),
    CASE(parts_are_gathered_and_scattered),
    CASE(trying_tells_waiting_from_the_end),
    CASE(lines_come_without_their_ends),
    CASE(lines_grow_up_to_their_limit),
    CASE(formatted_text_arrives_whole),
    CASE(a_format_that_cannot_be_followed_is_told),
    CASE(time_limits_end_calls),
    CASE(options_reach_the_library),
    CASE(linger_off_is_no_error),
    CASE(a_text_with_a_nul_inside_is_refused),
    CASE(descriptors_come_and_go),
    CASE(descriptors_are_passed),
    CASE(files_and_relays),
    CASE(addresses_are_values),
    CASE(datagrams_carry_their_sender),
    CASE(datagrams_are_moved_by_the_calls_that_streams_have),
    CASE(datagrams_go_in_batches),
    CASE(groups_are_joined_and_left),
    CASE(a_poller_names_what_is_ready),
    CASE(a_lambda_serves_on_threads),
    CASE(a_lambda_serves_on_fibers),
    CASE(an_exception_resets_only_its_connection_on_threads),
    CASE(an_exception_resets_only_its_connection_on_fibers),
    CASE(a_thread_waits_while_it_handles_an_exception),
    CASE(a_fiber_waits_while_it_handles_an_exception),
    CASE(destroying_a_server_waits_for_its_threads),
    CASE(destroying_a_server_waits_for_its_fibers),
    CASE(a_handler_may_end_its_own_server),
    CASE(a_c_handler_serves),
    CASE(closing_a_server_waits_for_its_handlers),
    CASE(a_listener_that_is_not_served_stays_the_callers),
    CASE(any_number_of_sockets_is_inherited),
    CASE(the_rest_is_there),
};

} // namespace

/** Runs the cases named, or all, in TAP; no case may leave a handle behind. */
int main(int argc, char **argv)
{
    int number = 0, failures = 0;
    alarm(240); // a case that hangs must not hang its caller
    for (const Case &each : cases) {
        bool wanted = argc < 2;
        for (int i = 1; i < argc; i++)
            wanted = wanted || std::string(argv[i]) == each.name;
        if (!wanted)
            continue;
        bool good = false;
        try {
            each.run();
            wait_until([] { return sock::live_handles() == 0; }); // a server may still be seeing a connection off
            good = true;
        } catch (const Failed &) {
        } catch (const std::exception &error) {
            std::printf("# thrown: %s\n", error.what());
        }
        failures += !good;
        std::printf("%sok %d - %s\n", good ? "" : "not ", ++number, each.name);
        std::fflush(stdout);
    }
    std::printf("1..%d\n", number);
    return failures != 0;
}
