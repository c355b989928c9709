/*
 * sock.hpp - libsock for C++17 and later: the functions of sock.h as classes that close themselves.
 *
 *     auto socket = sock::Socket::open("example.com", "80");
 *     socket.write("GET / HTTP/1.0\r\nHost: example.com\r\n\r\n");
 *     for (std::string line; socket.read_line(line);)
 *         std::puts(line.c_str());
 *
 * Header only; link what sock.h needs and nothing else. It leaves out no function of sock.h, and sock.h is the
 * manual of what each does: a member is named after its function without the prefix, and constants
 * (SOCK_READ, SOCK_OPT_TTL, ...) keep their names.
 *
 * Errors. Every call that can fail has two forms. One throws sock::Error; the other takes a std::error_code& last,
 * clears it on success and fills it on failure, and then returns an empty object, 0, false or nothing. The second form
 * never throws, except std::bad_alloc where it says that it allocates. Codes compare with the enumerators of sock.h and
 * with the conditions of the standard:
 *     if (code == SOCK_ETIMEDOUT)  or  if (code == std::errc::timed_out)
 * That a try_ call would have to wait is not a failure: it returns an empty optional or socket.
 *
 * Ownership. Objects are moved, not copied, and close their handle when they end. Any member may be called
 * while another thread is inside a call on the same object, close() and cancel() above all; only construction,
 * moving, assigning and destroying need the object to be yours alone.
 *
 * Text arguments are const char* or std::string; a null pointer means what NULL means in sock.h. Times are
 * std::chrono::milliseconds; sock::forever means no limit.
 *
 * It compiles with -fno-exceptions and -fno-rtti too: the throwing forms then end the program.
 */
#ifndef SOCK_HPP
#define SOCK_HPP

#include "sock.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__has_include)
#if __has_include(<span>) && __cplusplus >= 202002L
#include <span>
#endif
#endif

/* ---- Errors ---------------------------------------------------------------------------------------------- */

namespace sock {

/** The error category of libsock: its values are those of enum sock_error, its messages sock_strerror. */
class Category final : public std::error_category {
public:
    const char *name() const noexcept override { return "sock"; }

    std::string message(int code) const override { return sock_strerror(code); }

    /** The nearest condition of the standard, so that code == std::errc::timed_out holds for SOCK_ETIMEDOUT. */
    std::error_condition default_error_condition(int code) const noexcept override
    {
        switch (code) {
        case SOCK_EINVAL: return std::errc::invalid_argument;
        case SOCK_EHANDLE: return std::errc::bad_file_descriptor;
        case SOCK_EBUSY: return std::errc::device_or_resource_busy;
        case SOCK_ENOTSUP: return std::errc::not_supported;
        case SOCK_ETIMEDOUT: return std::errc::timed_out;
        case SOCK_EAGAIN: return std::errc::operation_would_block;
        case SOCK_ECANCELED: return std::errc::operation_canceled;
        case SOCK_ECONNREFUSED: return std::errc::connection_refused;
        case SOCK_ECONNRESET: return std::errc::connection_reset;
        case SOCK_EPIPE: return std::errc::broken_pipe;
        case SOCK_EUNREACH: return std::errc::host_unreachable;
        case SOCK_ENOTCONN: return std::errc::not_connected;
        case SOCK_EADDRINUSE: return std::errc::address_in_use;
        case SOCK_EADDRNOTAVAIL: return std::errc::address_not_available;
        case SOCK_EACCES: return std::errc::permission_denied;
        case SOCK_EMSGSIZE: return std::errc::message_size;
        case SOCK_ENOENT: return std::errc::no_such_file_or_directory;
        case SOCK_EEXIST: return std::errc::file_exists;
        case SOCK_ELIMIT: return std::errc::too_many_files_open;
        case SOCK_ENOMEM: return std::errc::not_enough_memory;
        default: return std::error_condition(code, *this);
        }
    }
};

/** The one object of the category. */
inline const std::error_category &category() noexcept
{
    static const Category instance;
    return instance;
}

/** A code as sock.h returns it, as a std::error_code. */
inline std::error_code make_error_code(std::int64_t code) noexcept
{
    return std::error_code(static_cast<int>(code), category());
}

/** The name of the enumerator: "SOCK_ECONNREFUSED". */
inline const char *error_name(const std::error_code &code) noexcept
{
    return code.category() == category() ? sock_error_name(code.value()) : "SOCK_UNKNOWN";
}

/** Whether trying again later can succeed. */
inline bool is_temporary(const std::error_code &code) noexcept
{
    return code.category() == category() && sock_error_is_temporary(code.value()) == 1;
}

/**
 * What the throwing forms throw. code() is the error, what() the whole story: the operation, the addresses and
 * each attempt with its cause, as sock_last_error gave it.
 */
class Error : public std::system_error {
public:
    /** The failure that just happened on this thread. */
    explicit Error(std::error_code code)
        : std::system_error(code), story_(sock_last_error()), count_(sock_last_count()), errno_(sock_last_errno())
    {
    }

    /** A failure that the library knows nothing about. */
    Error(std::error_code code, const char *story) : std::system_error(code), story_(story), count_(0), errno_(0) {}

    const char *what() const noexcept override
    {
        const char *story = story_.what();
        return *story != '\0' ? story : std::system_error::what();
    }

    /** How many bytes the failed transfer had moved. */
    std::size_t count() const noexcept { return count_; }

    /** The errno behind the failure, or 0 if no system call failed. */
    int last_errno() const noexcept { return errno_; }

private:
    std::runtime_error story_; /* for its text, which is copied without throwing, as an exception must be */
    std::size_t count_;
    int errno_;
};

} // namespace sock

/** @cond */
/* Lets SOCK_ETIMEDOUT and the others stand wherever a std::error_code is wanted. */
template <> struct std::is_error_code_enum<sock_error> : std::true_type {
};
/** @endcond */

/** What the enumerators of sock.h become where a std::error_code is wanted. */
inline std::error_code make_error_code(sock_error code) noexcept
{
    return sock::make_error_code(static_cast<std::int64_t>(code));
}

#if defined(__cpp_exceptions) && (defined(__GLIBCXX__) || defined(_LIBCPP_VERSION))
/** @cond */
namespace __cxxabiv1 {
struct __cxa_eh_globals;
extern "C" __cxa_eh_globals *__cxa_get_globals() noexcept;
}
/** @endcond */
#endif

namespace sock {

namespace detail {

[[noreturn]] inline void raise(const std::error_code &code, const char *story = nullptr)
{
#if defined(__cpp_exceptions)
    throw story != nullptr ? Error(code, story) : Error(code);
#else
    (void)code;
    (void)story;
    std::abort();
#endif
}

/** What sock.h returned, as a count: a code goes into `code`. */
inline std::size_t count(std::int64_t result, std::error_code &code) noexcept
{
    if (result < 0) {
        code = make_error_code(result);
        return 0;
    }
    code.clear();
    return static_cast<std::size_t>(result);
}

/** The same for the throwing forms. */
inline std::size_t count(std::int64_t result)
{
    if (result < 0)
        raise(make_error_code(result));
    return static_cast<std::size_t>(result);
}

/** What a try_ call returned: nothing if it would have had to wait. */
inline std::optional<std::size_t> attempt(std::int64_t result, std::error_code &code) noexcept
{
    if (result == SOCK_EAGAIN) {
        code.clear();
        return std::nullopt;
    }
    const std::size_t moved = count(result, code);
    return code ? std::nullopt : std::optional<std::size_t>(moved);
}

inline std::optional<std::size_t> attempt(std::int64_t result)
{
    if (result == SOCK_EAGAIN)
        return std::nullopt;
    return count(result);
}

/** A new handle in its object; an empty object if there is none. */
template <class Owner> Owner owner(sock_t handle, std::error_code &code) noexcept
{
    count(handle, code);
    return handle > 0 ? Owner(handle) : Owner();
}

/** Calls the form that fills a code, and throws what it filled in. */
template <class Call> auto or_throw(Call call)
{
    std::error_code code;
    if constexpr (std::is_void_v<decltype(call(code))>) {
        call(code);
        if (code)
            raise(code);
    } else {
        auto result = call(code);
        if (code)
            raise(code);
        return result;
    }
}

#if defined(__cpp_exceptions) && (defined(__GLIBCXX__) || defined(_LIBCPP_VERSION))
/**
 * While it lives, the exceptions that are being handled here are off the thread's list. In a fiber, others run on this
 * thread while a call waits, and would push theirs on top: whoever finished first would then end the wrong one. The two
 * words are those of the Itanium C++ ABI, section 2.2.2.
 */
class Aside {
public:
    Aside() noexcept : list_(reinterpret_cast<List *>(__cxxabiv1::__cxa_get_globals())), mine_(*list_) { *list_ = List{}; }
    ~Aside() { *list_ = mine_; }
    Aside(const Aside &) = delete;
    Aside &operator=(const Aside &) = delete;

private:
    struct List {
        void *caught;
        unsigned int uncaught;
    };

    List *list_; /* a fiber stays on its thread */
    List mine_;
};
#else
class Aside {
public:
    Aside() noexcept {}
    ~Aside() {}
};
#endif

/** A handle for a call that may wait: it converts to the handle, and stands aside until the call is over. */
class Waiting {
public:
    explicit Waiting(sock_t handle) noexcept : handle_(handle) {}
    operator sock_t() const noexcept { return handle_; }

private:
    Aside aside_{};
    sock_t handle_;
};

} // namespace detail

/* ---- Arguments ------------------------------------------------------------------------------------------- */

using milliseconds = std::chrono::milliseconds;

/** No limit. */
inline constexpr milliseconds forever{SOCK_FOREVER};

/** A text argument: const char*, which may be null, or std::string. It lives as long as the call. */
class Text {
public:
    Text(const char *text) noexcept : text_(text) {}

    /** A NUL inside would cut the text short unseen, so such a text becomes one that every function refuses. */
    Text(const std::string &text) noexcept : text_(text.find('\0') == std::string::npos ? text.c_str() : "\x01") {}

    const char *c_str() const noexcept { return text_; }

private:
    const char *text_;
};

/**
 * sock_options with its defaults; the fields are described there. C++20 can name fields in the call:
 * Socket::open(host, port, {.timeout_ms = 5000}).
 */
struct Options {
    std::size_t size = sizeof(sock_options);
    int family = SOCK_ANY;
    int nodelay = SOCK_DEFAULT;
    std::int64_t timeout_ms = 0;
    std::int64_t io_timeout_ms = 0;
    std::int64_t attempt_delay_ms = 0;
    std::int64_t keepalive_ms = 0;
    std::int64_t user_timeout_ms = 0;
    std::int64_t spin_us = 0;
    int send_buffer = 0;
    int receive_buffer = 0;
    int backlog = 0;
    int reuse_address = SOCK_DEFAULT;
    int reuse_port = SOCK_DEFAULT;
    int v6_only = SOCK_DEFAULT;
    int multipath = SOCK_DEFAULT;
    int fast_open = SOCK_DEFAULT;
    int unix_replace = SOCK_DEFAULT;
    int unix_mode = 0;
    const char *local_host = nullptr;
    const char *local_port = nullptr;
    const char *device = nullptr;

    /** The same for sock.h. */
    sock_options raw() const noexcept
    {
        sock_options options;
        std::memcpy(&options, this, sizeof options);
        return options;
    }
};

/** sock_server_options with its defaults. */
struct ServerOptions {
    std::size_t size = sizeof(sock_server_options);
    int model = SOCK_THREADS;
    int workers = 0;
    std::int64_t max_connections = 0;
    std::size_t stack_size = 0;

    /** The same for sock.h. */
    sock_server_options raw() const noexcept
    {
        sock_server_options options;
        std::memcpy(&options, this, sizeof options);
        return options;
    }
};

/* raw() copies bytes, so a field that sock.h gains must be gained here. */
static_assert(sizeof(Options) == sizeof(sock_options) && offsetof(Options, device) == offsetof(sock_options, device) &&
                  offsetof(Options, send_buffer) == offsetof(sock_options, send_buffer) &&
                  offsetof(Options, unix_mode) == offsetof(sock_options, unix_mode),
              "sock::Options must have the fields of sock_options, in their order");
static_assert(sizeof(ServerOptions) == sizeof(sock_server_options) &&
                  offsetof(ServerOptions, stack_size) == offsetof(sock_server_options, stack_size),
              "sock::ServerOptions must have the fields of sock_server_options, in their order");

using Info = sock_info;
using Credentials = sock_credentials;
using Event = sock_event;
using ServerInfo = sock_server_info;

/* ---- Addresses ------------------------------------------------------------------------------------------- */

/** A socket address by value; it is a sock_address, and can be handed to sock.h as one. */
struct Address : sock_address {
    Address() noexcept : sock_address{} {}
    Address(const sock_address &address) noexcept : sock_address(address) {}

    /** Literals and numeric ports only; nothing is looked up. */
    static Address parse(Text host, Text port)
    {
        Address address;
        detail::count(sock_address_parse(host.c_str(), port.c_str(), &address));
        return address;
    }

    static Address parse(Text host, Text port, std::error_code &code) noexcept
    {
        Address address;
        detail::count(sock_address_parse(host.c_str(), port.c_str(), &address), code);
        return address;
    }

    /** As text: 127.0.0.1:80, [::1]:80, unix:/run/x. Allocates. */
    std::string text() const
    {
        return detail::or_throw([this](std::error_code &code) { return text(code); });
    }

    std::string text(std::error_code &code) const
    {
        char buffer[SOCK_ADDRESS_TEXT];
        const std::size_t written = detail::count(sock_address_format(this, buffer, sizeof buffer), code);
        return std::string(buffer, written);
    }

    /** SOCK_ETYPE if the family has no ports. */
    int port() const { return static_cast<int>(detail::count(sock_address_port(this))); }

    int port(std::error_code &code) const noexcept
    {
        return static_cast<int>(detail::count(sock_address_port(this), code));
    }

    friend bool operator==(const Address &a, const Address &b) noexcept { return sock_address_equal(&a, &b) == 1; }
    friend bool operator!=(const Address &a, const Address &b) noexcept { return !(a == b); }
};

/** The addresses of a name, in the order in which open would try them. Allocates. */
inline std::vector<Address> resolve(Text host, Text port, const Options &options, std::error_code &code)
{
    const sock_options raw = options.raw();
    std::vector<sock_address> found(16);
    std::size_t count = 0;
    for (int round = 0; round < 4; round++) { /* the answer may grow between two lookups, but not for ever */
        {
            const detail::Aside aside; /* not for longer: making room may throw */
            count = detail::count(sock_resolve(host.c_str(), port.c_str(), &raw, found.data(), found.size()), code);
        }
        if (count <= found.size())
            break;
        found.resize(count);
    }
    found.resize(std::min(count, found.size()));
    return std::vector<Address>(found.begin(), found.end());
}

inline std::vector<Address> resolve(Text host, Text port, std::error_code &code)
{
    return resolve(host, port, Options{}, code);
}

inline std::vector<Address> resolve(Text host, Text port, const Options &options = {})
{
    return detail::or_throw([&](std::error_code &code) { return resolve(host, port, options, code); });
}

/* ---- What every handle has ------------------------------------------------------------------------------- */

/** Owns a handle of any kind. An empty one holds 0, which every call answers with SOCK_EHANDLE. */
class Handle {
public:
    Handle() noexcept = default;

    /** Takes over a handle from sock.h. */
    explicit Handle(sock_t handle) noexcept : handle_(handle) {}

    Handle(Handle &&other) noexcept : handle_(other.release()) {}

    Handle &operator=(Handle &&other) noexcept
    {
        if (this != &other)
            drop(other.release());
        return *this;
    }

    ~Handle() { drop(0); }

    explicit operator bool() const noexcept { return handle() > 0; }

    /** The handle, for calls of sock.h; it stays this object's. */
    sock_t handle() const noexcept { return handle_.load(std::memory_order_relaxed); }

    /** Gives the handle away; this object is empty afterwards. */
    sock_t release() noexcept { return handle_.exchange(0); }

    /** Closes at once; calls blocked in other threads end with SOCK_ECLOSED. Closing an empty object does nothing. */
    void close()
    {
        detail::or_throw([this](std::error_code &code) { close(code); });
    }

    void close(std::error_code &code) noexcept
    {
        const sock_t handle = release();
        detail::count(handle > 0 ? sock_close(detail::Waiting(handle)) : SOCK_OK, code);
    }

    /** Ends every call that waits, now and later, with SOCK_ECANCELED. */
    void cancel() { detail::count(sock_cancel(handle())); }
    void cancel(std::error_code &code) noexcept { detail::count(sock_cancel(handle()), code); }

    Info info() const
    {
        return detail::or_throw([this](std::error_code &code) { return info(code); });
    }

    Info info(std::error_code &code) const noexcept
    {
        Info info{};
        info.size = sizeof info;
        detail::count(sock_get_info(handle(), &info), code);
        return info;
    }

protected:
    /** For calls that may wait. */
    detail::Waiting waiting() const noexcept { return detail::Waiting(handle()); }

    /** For functions that end a handle themselves: forgets it, unless another thread closed it meanwhile. */
    void forget(sock_t ended) noexcept { handle_.compare_exchange_strong(ended, 0); }

private:
    void drop(sock_t next) noexcept
    {
        const sock_t old = handle_.exchange(next);
        if (old > 0)
            sock_close(detail::Waiting(old));
    }

    std::atomic<sock_t> handle_{0}; /* atomic because close() may meet a call in another thread */
};

/** A handle with a socket under it: what streams, listeners and datagram sockets share. */
class Endpoint : public Handle {
public:
    using Handle::Handle;

    /** For each call; directions are SOCK_READ, SOCK_WRITE or both. */
    void set_timeout(int directions, milliseconds timeout)
    {
        detail::count(sock_set_timeout(handle(), directions, timeout.count()));
    }

    void set_timeout(int directions, milliseconds timeout, std::error_code &code) noexcept
    {
        detail::count(sock_set_timeout(handle(), directions, timeout.count()), code);
    }

    /** For all calls until then. */
    void set_deadline(int directions, milliseconds from_now)
    {
        detail::count(sock_set_deadline(handle(), directions, from_now.count()));
    }

    void set_deadline(int directions, milliseconds from_now, std::error_code &code) noexcept
    {
        detail::count(sock_set_deadline(handle(), directions, from_now.count()), code);
    }

    /** One of enum sock_option. */
    void set_option(int option, std::int64_t value) { detail::count(sock_set_option(handle(), option, value)); }

    void set_option(int option, std::int64_t value, std::error_code &code) noexcept
    {
        detail::count(sock_set_option(handle(), option, value), code);
    }

    std::int64_t get_option(int option) const
    {
        return detail::or_throw([this, option](std::error_code &code) { return get_option(option, code); });
    }

    std::int64_t get_option(int option, std::error_code &code) const noexcept
    {
        const std::int64_t value = sock_get_option(handle(), option);
        /* These have a value -1, which looks like SOCK_EINVAL. */
        const bool signed_option =
            option == SOCK_OPT_LINGER_MS || option == SOCK_OPT_TTL || option == SOCK_OPT_MULTICAST_TTL;
        detail::count(signed_option && value == -1 ? 0 : value, code);
        return code ? 0 : value;
    }

    Address local_address() const
    {
        return detail::or_throw([this](std::error_code &code) { return local_address(code); });
    }

    Address local_address(std::error_code &code) const noexcept
    {
        Address address;
        detail::count(sock_local_address(handle(), &address), code);
        return address;
    }

    /** The descriptor, for a poll loop of your own; it stays this object's. */
    int fd() const { return static_cast<int>(detail::count(sock_fd(handle()))); }
    int fd(std::error_code &code) const noexcept { return checked_fd(sock_fd(handle()), code); }

    /** The descriptor becomes the caller's and this object is empty; -1 if it fails, and nothing changes. */
    int release_fd()
    {
        return detail::or_throw([this](std::error_code &code) { return release_fd(code); });
    }

    int release_fd(std::error_code &code) noexcept
    {
        const sock_t given = handle();
        const int fd = checked_fd(sock_release_fd(given), code);
        if (!code)
            forget(given);
        return fd;
    }

protected:
    /** Adopts a descriptor if its socket is of that kind; else the descriptor is left as it was. */
    template <class Owner> static Owner adopt(int fd, int kind, std::error_code &code) noexcept
    {
        Endpoint adopted = detail::owner<Endpoint>(sock_from_fd(fd), code);
        if (!code && adopted.info(code).kind != kind) {
            adopted.release_fd(code);
            code = make_error_code(SOCK_ETYPE);
        }
        return code ? Owner() : Owner(adopted.release());
    }

    template <class Owner> static Owner adopt(int fd, int kind)
    {
        std::error_code code;
        Owner owner = adopt<Owner>(fd, kind, code);
        if (code == SOCK_ETYPE)
            detail::raise(code, "from_fd: the descriptor is a socket of another kind");
        if (code)
            detail::raise(code);
        return owner;
    }

private:
    static int checked_fd(int fd, std::error_code &code) noexcept
    {
        detail::count(fd, code);
        return fd < 0 ? -1 : fd;
    }
};

/* ---- What moves bytes ------------------------------------------------------------------------------------ */

/** A handle that reads and writes: what streams and datagram sockets share. The latter move one datagram a call. */
class Channel : public Endpoint {
public:
    using Endpoint::Endpoint;

    /* -- reading -- */

    /** What is there, waiting until there is something; 0 is the end of the stream, or an empty datagram. */
    std::size_t read(void *buffer, std::size_t size)
    {
        return detail::or_throw([&](std::error_code &code) { return read(buffer, size, code); });
    }

    std::size_t read(void *buffer, std::size_t size, std::error_code &code) noexcept
    {
        return detail::count(sock_read(waiting(), buffer, size), code);
    }

    /** Like read, but leaves the bytes there. */
    std::size_t peek(void *buffer, std::size_t size)
    {
        return detail::or_throw([&](std::error_code &code) { return peek(buffer, size, code); });
    }

    std::size_t peek(void *buffer, std::size_t size, std::error_code &code) noexcept
    {
        return detail::count(sock_peek(waiting(), buffer, size), code);
    }

    std::size_t readv(const struct iovec *parts, int count)
    {
        return detail::or_throw([&](std::error_code &code) { return readv(parts, count, code); });
    }

    std::size_t readv(const struct iovec *parts, int count, std::error_code &code) noexcept
    {
        return detail::count(sock_readv(waiting(), parts, count), code);
    }

    /** What is there now; empty if reading would wait. 0 is as in read. */
    std::optional<std::size_t> try_read(void *buffer, std::size_t size)
    {
        return detail::attempt(sock_try_read(handle(), buffer, size));
    }

    std::optional<std::size_t> try_read(void *buffer, std::size_t size, std::error_code &code) noexcept
    {
        return detail::attempt(sock_try_read(handle(), buffer, size), code);
    }

    /** Bytes already inside the library. */
    std::size_t buffered() const noexcept { return sock_buffered(handle()); }

    /* -- writing -- */

    /** All of it, always. */
    std::size_t write(const void *data, std::size_t size)
    {
        return detail::or_throw([&](std::error_code &code) { return write(data, size, code); });
    }

    std::size_t write(const void *data, std::size_t size, std::error_code &code) noexcept
    {
        return detail::count(sock_write(waiting(), data, size), code);
    }

    std::size_t write(std::string_view text) { return write(text.data(), text.size()); }

    std::size_t write(std::string_view text, std::error_code &code) noexcept
    {
        return write(text.data(), text.size(), code);
    }

    /** All of it, in order. */
    std::size_t writev(const struct iovec *parts, int count)
    {
        return detail::or_throw([&](std::error_code &code) { return writev(parts, count, code); });
    }

    std::size_t writev(const struct iovec *parts, int count, std::error_code &code) noexcept
    {
        return detail::count(sock_writev(waiting(), parts, count), code);
    }

    /** What fits now; empty if writing would wait. */
    std::optional<std::size_t> try_write(const void *data, std::size_t size)
    {
        return detail::attempt(sock_try_write(handle(), data, size));
    }

    std::optional<std::size_t> try_write(const void *data, std::size_t size, std::error_code &code) noexcept
    {
        return detail::attempt(sock_try_write(handle(), data, size), code);
    }

#if defined(__cpp_lib_span)
    std::size_t read(std::span<std::byte> buffer) { return read(buffer.data(), buffer.size()); }

    std::size_t read(std::span<std::byte> buffer, std::error_code &code) noexcept
    {
        return read(buffer.data(), buffer.size(), code);
    }

    std::size_t write(std::span<const std::byte> data) { return write(data.data(), data.size()); }

    std::size_t write(std::span<const std::byte> data, std::error_code &code) noexcept
    {
        return write(data.data(), data.size(), code);
    }
#endif

    /* -- ending -- */

    /** Half close: SOCK_READ, SOCK_WRITE or both. */
    void shutdown(int directions) { detail::count(sock_shutdown(handle(), directions)); }

    void shutdown(int directions, std::error_code &code) noexcept
    {
        detail::count(sock_shutdown(handle(), directions), code);
    }

    /* -- about the peer -- */

    /** Remembered from open or accept. */
    Address peer_address() const
    {
        return detail::or_throw([this](std::error_code &code) { return peer_address(code); });
    }

    Address peer_address(std::error_code &code) const noexcept
    {
        Address address;
        detail::count(sock_peer_address(handle(), &address), code);
        return address;
    }

    /** Process, user and group at the other end of a unix socket. */
    Credentials peer_credentials() const
    {
        return detail::or_throw([this](std::error_code &code) { return peer_credentials(code); });
    }

    Credentials peer_credentials(std::error_code &code) const noexcept
    {
        Credentials credentials{};
        detail::count(sock_peer_credentials(handle(), &credentials), code);
        return credentials;
    }

    /** Sends bytes with descriptors; the descriptors stay the caller's. Unix sockets. */
    std::size_t send_fds(const void *data, std::size_t size, const int *fds, std::size_t count)
    {
        return detail::or_throw([&](std::error_code &code) { return send_fds(data, size, fds, count, code); });
    }

    std::size_t send_fds(const void *data, std::size_t size, const int *fds, std::size_t count,
                         std::error_code &code) noexcept
    {
        return detail::count(sock_send_fds(waiting(), data, size, fds, count), code);
    }

    /** Receives bytes with descriptors, which are the caller's to close: `count` of them, after SOCK_ETRUNC too. */
    std::size_t recv_fds(void *buffer, std::size_t size, int *fds, std::size_t capacity, std::size_t &count)
    {
        return detail::or_throw([&](std::error_code &code) { return recv_fds(buffer, size, fds, capacity, count, code); });
    }

    std::size_t recv_fds(void *buffer, std::size_t size, int *fds, std::size_t capacity, std::size_t &count,
                         std::error_code &code) noexcept
    {
        count = 0;
        return detail::count(sock_recv_fds(waiting(), buffer, size, fds, capacity, &count), code);
    }
};

/* ---- Streams --------------------------------------------------------------------------------------------- */

/** A connected stream: TCP or unix. */
class Socket : public Channel {
public:
    using Channel::Channel;

    /** The longest line that read_line takes unless told otherwise. */
    static constexpr std::size_t line_limit = 65536;

    /** Connects. With a null port, host is the whole address: "example.com:443", "[::1]:80", "unix:/run/x". */
    static Socket open(Text host, Text port, const Options &options = {})
    {
        return detail::or_throw([&](std::error_code &code) { return open(host, port, options, code); });
    }

    static Socket open(Text host, Text port, const Options &options, std::error_code &code) noexcept
    {
        const sock_options raw = options.raw();
        const detail::Aside aside;
        return detail::owner<Socket>(sock_open(host.c_str(), port.c_str(), &raw), code);
    }

    static Socket open(Text host, Text port, std::error_code &code) noexcept { return open(host, port, Options{}, code); }

    /** Two unix streams connected to each other. */
    static std::pair<Socket, Socket> pair()
    {
        return detail::or_throw([](std::error_code &code) { return pair(code); });
    }

    static std::pair<Socket, Socket> pair(std::error_code &code) noexcept
    {
        sock_t ends[2] = {0, 0};
        detail::count(sock_pair(ends), code);
        return std::pair<Socket, Socket>(Socket(ends[0]), Socket(ends[1]));
    }

    /** Adopts a descriptor. On failure it is untouched; SOCK_ETYPE if it is not a stream. */
    static Socket from_fd(int fd) { return adopt<Socket>(fd, SOCK_KIND_STREAM); }

    static Socket from_fd(int fd, std::error_code &code) noexcept { return adopt<Socket>(fd, SOCK_KIND_STREAM, code); }

    /* -- reading -- */

    /** All of it, or SOCK_EEOF. */
    std::size_t read_exact(void *buffer, std::size_t size)
    {
        return detail::or_throw([&](std::error_code &code) { return read_exact(buffer, size, code); });
    }

    std::size_t read_exact(void *buffer, std::size_t size, std::error_code &code) noexcept
    {
        return detail::count(sock_read_exact(waiting(), buffer, size), code);
    }

    /**
     * The next line without its end, which is "\n" or "\r\n". False, with an empty line, at the end of the stream:
     * while (socket.read_line(line)) reads them all. A line longer than `limit` bytes is SOCK_ETOOLONG and stays
     * readable. Allocates.
     */
    bool read_line(std::string &line, std::size_t limit = line_limit)
    {
        return detail::or_throw([&](std::error_code &code) { return read_line(line, limit, code); });
    }

    bool read_line(std::string &line, std::error_code &code) { return read_line(line, line_limit, code); }

    bool read_line(std::string &line, std::size_t limit, std::error_code &code)
    {
        limit = std::min(limit, line.max_size() - 1);
        std::size_t room = std::min(limit, std::max<std::size_t>(line.capacity(), 255));
        line.resize(room + 1);
        std::int64_t length = sock_read_line(waiting(), &line[0], line.size());
        while (length == SOCK_ETOOLONG && room < limit) {
            room = room < limit / 4 ? room * 4 : limit;
            line.resize(room + 1);
            length = sock_read_line(waiting(), &line[0], line.size());
        }
        line.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
        detail::count(length == SOCK_EEOF ? 0 : length, code);
        return length >= 0;
    }

    /* -- writing -- */

#if !defined(SOCK_NO_STDIO)
    /** Writes a formatted text, whole. Allocates if it is long. */
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    std::size_t printf(const char *format, ...)
    {
        std::error_code code;
        std::va_list arguments;
        va_start(arguments, format);
        const std::size_t written = vprintf(format, arguments, code);
        va_end(arguments);
        if (code)
            detail::raise(code);
        return written;
    }

#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    std::size_t printf(std::error_code &code, const char *format, ...)
    {
        std::va_list arguments;
        va_start(arguments, format);
        const std::size_t written = vprintf(format, arguments, code);
        va_end(arguments);
        return written;
    }

#if defined(__GNUC__)
    __attribute__((format(printf, 2, 0)))
#endif
    std::size_t vprintf(const char *format, std::va_list arguments, std::error_code &code)
    {
        char buffer[512];
        std::va_list again;
        va_copy(again, arguments);
        const int length = format != nullptr ? std::vsnprintf(buffer, sizeof buffer, format, arguments) : -1;
        std::size_t written = 0;
        /* A length below 0, of a format that cannot be followed, is too large a size: SOCK_EINVAL, and told. */
        if (length < static_cast<int>(sizeof buffer))
            written = write(buffer, static_cast<std::size_t>(length), code);
        else {
            std::vector<char> text(static_cast<std::size_t>(length) + 1);
            std::vsnprintf(text.data(), text.size(), format, again);
            written = write(text.data(), static_cast<std::size_t>(length), code);
        }
        va_end(again);
        return written;
    }
#endif

    /** Part of a file; size -1 means to its end. */
    std::size_t send_file(int fd, std::int64_t offset, std::int64_t size)
    {
        return detail::or_throw([&](std::error_code &code) { return send_file(fd, offset, size, code); });
    }

    std::size_t send_file(int fd, std::int64_t offset, std::int64_t size, std::error_code &code) noexcept
    {
        return detail::count(sock_send_file(waiting(), fd, offset, size), code);
    }

#if defined(__cpp_lib_span)
    std::size_t read_exact(std::span<std::byte> buffer) { return read_exact(buffer.data(), buffer.size()); }

    std::size_t read_exact(std::span<std::byte> buffer, std::error_code &code) noexcept
    {
        return read_exact(buffer.data(), buffer.size(), code);
    }
#endif

    /* -- ending -- */

    /** Says that nothing more comes, reads until the peer is done too, and closes. The object is empty afterwards. */
    void finish(milliseconds timeout)
    {
        detail::or_throw([&](std::error_code &code) { finish(timeout, code); });
    }

    void finish(milliseconds timeout, std::error_code &code) noexcept
    {
        const sock_t ended = handle();
        detail::count(sock_finish(detail::Waiting(ended), timeout.count()), code);
        if (code != SOCK_EINVAL && code != SOCK_ETYPE)
            forget(ended);
    }

    /** Closes with a reset: the peer sees that the conversation was cut. */
    void abort()
    {
        detail::or_throw([this](std::error_code &code) { abort(code); });
    }

    void abort(std::error_code &code) noexcept
    {
        const sock_t ended = handle();
        detail::count(sock_abort(ended), code);
        if (code != SOCK_ETYPE)
            forget(ended);
    }
};

/** Moves bytes both ways between two streams until both have ended; how many in all. */
inline std::uint64_t relay(Socket &a, Socket &b, std::error_code &code) noexcept
{
    const detail::Aside aside;
    return detail::count(sock_relay(a.handle(), b.handle()), code);
}

inline std::uint64_t relay(Socket &a, Socket &b)
{
    return detail::or_throw([&](std::error_code &code) { return relay(a, b, code); });
}

/** Waits for connections. */
class Listener : public Endpoint {
public:
    using Endpoint::Endpoint;

    /** A null host is every address, port "0" any free port; local_address() says which. */
    static Listener listen(Text host, Text port, const Options &options = {})
    {
        return detail::or_throw([&](std::error_code &code) { return listen(host, port, options, code); });
    }

    static Listener listen(Text host, Text port, const Options &options, std::error_code &code) noexcept
    {
        const sock_options raw = options.raw();
        const detail::Aside aside;
        return detail::owner<Listener>(sock_listen(host.c_str(), port.c_str(), &raw), code);
    }

    static Listener listen(Text host, Text port, std::error_code &code) noexcept
    {
        return listen(host, port, Options{}, code);
    }

    /** Adopts a descriptor. On failure it is untouched; SOCK_ETYPE if it does not listen. */
    static Listener from_fd(int fd) { return adopt<Listener>(fd, SOCK_KIND_LISTENER); }

    static Listener from_fd(int fd, std::error_code &code) noexcept
    {
        return adopt<Listener>(fd, SOCK_KIND_LISTENER, code);
    }

    Socket accept()
    {
        return detail::or_throw([this](std::error_code &code) { return accept(code); });
    }
    Socket accept(std::error_code &code) noexcept { return detail::owner<Socket>(sock_accept(waiting()), code); }

    /** An empty socket if nobody is waiting. */
    Socket try_accept()
    {
        return detail::or_throw([this](std::error_code &code) { return try_accept(code); });
    }

    Socket try_accept(std::error_code &code) noexcept
    {
        const sock_t accepted = sock_try_accept(handle());
        return detail::owner<Socket>(accepted == SOCK_EAGAIN ? 0 : accepted, code);
    }
};

/* ---- Datagrams ------------------------------------------------------------------------------------------- */

/** A UDP or unix datagram socket. */
class Datagram : public Channel {
public:
    using Channel::Channel;

    /** Connected to one peer. */
    static Datagram open(Text host, Text port, const Options &options = {})
    {
        return detail::or_throw([&](std::error_code &code) { return open(host, port, options, code); });
    }

    static Datagram open(Text host, Text port, const Options &options, std::error_code &code) noexcept
    {
        const sock_options raw = options.raw();
        const detail::Aside aside;
        return detail::owner<Datagram>(sock_udp_open(host.c_str(), port.c_str(), &raw), code);
    }

    static Datagram open(Text host, Text port, std::error_code &code) noexcept
    {
        return open(host, port, Options{}, code);
    }

    /** Bound, for datagrams from anybody. */
    static Datagram bind(Text host, Text port, const Options &options = {})
    {
        return detail::or_throw([&](std::error_code &code) { return bind(host, port, options, code); });
    }

    static Datagram bind(Text host, Text port, const Options &options, std::error_code &code) noexcept
    {
        const sock_options raw = options.raw();
        const detail::Aside aside;
        return detail::owner<Datagram>(sock_udp_bind(host.c_str(), port.c_str(), &raw), code);
    }

    static Datagram bind(Text host, Text port, std::error_code &code) noexcept
    {
        return bind(host, port, Options{}, code);
    }

    /** Adopts a descriptor. On failure it is untouched; SOCK_ETYPE if it is not a datagram socket. */
    static Datagram from_fd(int fd) { return adopt<Datagram>(fd, SOCK_KIND_DATAGRAM); }

    static Datagram from_fd(int fd, std::error_code &code) noexcept
    {
        return adopt<Datagram>(fd, SOCK_KIND_DATAGRAM, code);
    }

    std::size_t send_to(const void *data, std::size_t size, const Address &to)
    {
        return detail::or_throw([&](std::error_code &code) { return send_to(data, size, to, code); });
    }

    std::size_t send_to(const void *data, std::size_t size, const Address &to, std::error_code &code) noexcept
    {
        return detail::count(sock_send_to(waiting(), data, size, &to), code);
    }

    std::size_t send_to(std::string_view text, const Address &to) { return send_to(text.data(), text.size(), to); }

    std::size_t send_to(std::string_view text, const Address &to, std::error_code &code) noexcept
    {
        return send_to(text.data(), text.size(), to, code);
    }

    /** One datagram and its sender. SOCK_ETRUNC, with the buffer filled, if it is longer than the buffer. */
    std::size_t recv_from(void *buffer, std::size_t size, Address &from)
    {
        return detail::or_throw([&](std::error_code &code) { return recv_from(buffer, size, from, code); });
    }

    std::size_t recv_from(void *buffer, std::size_t size, Address &from, std::error_code &code) noexcept
    {
        return detail::count(sock_recv_from(waiting(), buffer, size, &from), code);
    }

    /** How many were sent. */
    std::size_t send_batch(sock_datagram *datagrams, std::size_t count)
    {
        return detail::or_throw([&](std::error_code &code) { return send_batch(datagrams, count, code); });
    }

    std::size_t send_batch(sock_datagram *datagrams, std::size_t count, std::error_code &code) noexcept
    {
        return detail::count(sock_send_batch(waiting(), datagrams, count), code);
    }

    /** Waits for one and takes what is there. */
    std::size_t recv_batch(sock_datagram *datagrams, std::size_t count)
    {
        return detail::or_throw([&](std::error_code &code) { return recv_batch(datagrams, count, code); });
    }

    std::size_t recv_batch(sock_datagram *datagrams, std::size_t count, std::error_code &code) noexcept
    {
        return detail::count(sock_recv_batch(waiting(), datagrams, count), code);
    }

    /** Joins a multicast group; a null device is the system's choice. */
    void join(Text group, Text device = nullptr)
    {
        detail::count(sock_join(handle(), group.c_str(), device.c_str()));
    }

    void join(Text group, Text device, std::error_code &code) noexcept
    {
        detail::count(sock_join(handle(), group.c_str(), device.c_str()), code);
    }

    void leave(Text group, Text device = nullptr)
    {
        detail::count(sock_leave(handle(), group.c_str(), device.c_str()));
    }

    void leave(Text group, Text device, std::error_code &code) noexcept
    {
        detail::count(sock_leave(handle(), group.c_str(), device.c_str()), code);
    }
};

/* ---- Many sockets in one thread -------------------------------------------------------------------------- */

/** Reports which of many handles are ready. */
class Poller : public Handle {
public:
    /** An open poller. One that is empty until assigned to is Poller(0). */
    Poller() : Handle(static_cast<sock_t>(detail::count(sock_poller()))) {}

    explicit Poller(sock_t handle) noexcept : Handle(handle) {}

    explicit Poller(std::error_code &code) noexcept : Handle(static_cast<sock_t>(detail::count(sock_poller(), code))) {}

    /** Interest is SOCK_READ, SOCK_WRITE or both; `user` comes back in the event. */
    void add(const Handle &watched, int interest, void *user = nullptr)
    {
        detail::count(sock_poller_add(handle(), watched.handle(), interest, user));
    }

    void add(const Handle &watched, int interest, void *user, std::error_code &code) noexcept
    {
        detail::count(sock_poller_add(handle(), watched.handle(), interest, user), code);
    }

    void set(const Handle &watched, int interest, void *user = nullptr)
    {
        detail::count(sock_poller_set(handle(), watched.handle(), interest, user));
    }

    void set(const Handle &watched, int interest, void *user, std::error_code &code) noexcept
    {
        detail::count(sock_poller_set(handle(), watched.handle(), interest, user), code);
    }

    void remove(const Handle &watched) { detail::count(sock_poller_remove(handle(), watched.handle())); }

    void remove(const Handle &watched, std::error_code &code) noexcept
    {
        detail::count(sock_poller_remove(handle(), watched.handle()), code);
    }

    /** Fills at most `capacity` events and says how many; 0 when the time is up. */
    std::size_t wait(Event *events, std::size_t capacity, milliseconds timeout = forever)
    {
        return detail::or_throw([&](std::error_code &code) { return wait(events, capacity, timeout, code); });
    }

    std::size_t wait(Event *events, std::size_t capacity, milliseconds timeout, std::error_code &code) noexcept
    {
        return detail::count(sock_poller_wait(waiting(), events, capacity, timeout.count()), code);
    }

    /** The same into a vector, which is resized to fit; at most as many as its capacity, or 64. Allocates. */
    void wait(std::vector<Event> &events, milliseconds timeout = forever)
    {
        detail::or_throw([&](std::error_code &code) { wait(events, timeout, code); });
    }

    void wait(std::vector<Event> &events, milliseconds timeout, std::error_code &code)
    {
        events.resize(std::max<std::size_t>(events.capacity(), 64));
        events.resize(wait(events.data(), events.size(), timeout, code));
    }

    /** From any thread: the waiting one gets an event SOCK_WOKEN. */
    void wake() { detail::count(sock_poller_wake(handle())); }
    void wake(std::error_code &code) noexcept { detail::count(sock_poller_wake(handle()), code); }
};

/* ---- Servers --------------------------------------------------------------------------------------------- */

namespace detail {

/** The callable behind a server, alive for as long as the server or one of its connections needs it. */
template <class Handler> struct Host : std::enable_shared_from_this<Host<Handler>> {
    explicit Host(Handler handler) : handler_(std::move(handler)) {}

    /** What sock_serve calls: nothing may be thrown out of it. */
    static void run(sock_t handle, void *context) noexcept
    {
        /* A handler may end its own server, which then does not wait for that handler: keep the callable. */
        const auto self = static_cast<Host *>(context)->shared_from_this();
        Socket connection(handle);
#if defined(__cpp_exceptions)
        try {
            self->handler_(connection);
        } catch (...) {
            std::error_code ignored;
            connection.abort(ignored);
        }
#else
        self->handler_(connection);
#endif
        connection.release(); /* the server closes it, after what was written has gone out */
    }

private:
    Handler handler_;
};

} // namespace detail

/** Runs a handler for each connection of a listener. It stops when it is closed or destroyed. */
class Server : public Handle {
public:
    Server() noexcept = default;

    Server(Server &&) noexcept = default;

    Server &operator=(Server &&other) noexcept
    {
        if (this != &other) {
            end();
            Handle::operator=(std::move(other));
            listener_ = std::move(other.listener_);
            host_ = std::move(other.host_);
        }
        return *this;
    }

    /** Stops with no grace, and returns when the handlers have. */
    ~Server() { end(); }

    /**
     * Serves with any callable that takes a Socket&. It is called for many connections at the same time, so it must
     * guard what it shares. The connection closes when the handler returns, even after release(). An exception that
     * leaves the handler resets that connection, so that the peer cannot take what it got for the whole, and does
     * nothing else. On fibers a handler may wait inside a catch block with the calls of this header, but not with those
     * of sock.h. On failure the listener stays the caller's. Allocates.
     */
    template <class Handler, std::enable_if_t<std::is_invocable_v<Handler &, Socket &>, int> = 0>
    static Server serve(Listener &&listener, Handler handler, const ServerOptions &options = {})
    {
        return detail::or_throw([&](std::error_code &code) {
            return serve(std::move(listener), std::move(handler), options, code);
        });
    }

    template <class Handler, std::enable_if_t<std::is_invocable_v<Handler &, Socket &>, int> = 0>
    static Server serve(Listener &&listener, Handler handler, const ServerOptions &options, std::error_code &code)
    {
        auto host = std::make_shared<detail::Host<Handler>>(std::move(handler));
        Server server = serve(std::move(listener), &detail::Host<Handler>::run, host.get(), options, code);
        server.host_ = std::move(host);
        return server;
    }

    template <class Handler, std::enable_if_t<std::is_invocable_v<Handler &, Socket &>, int> = 0>
    static Server serve(Listener &&listener, Handler handler, std::error_code &code)
    {
        return serve(std::move(listener), std::move(handler), ServerOptions{}, code);
    }

    /** Serves with a handler for sock_serve; it must not throw. */
    static Server serve(Listener &&listener, sock_handler handler, void *context, const ServerOptions &options = {})
    {
        return detail::or_throw([&](std::error_code &code) {
            return serve(std::move(listener), handler, context, options, code);
        });
    }

    static Server serve(Listener &&listener, sock_handler handler, void *context, const ServerOptions &options,
                        std::error_code &code) noexcept
    {
        const sock_server_options raw = options.raw();
        Server server;
        static_cast<Handle &>(server) =
            detail::owner<Handle>(sock_serve(listener.handle(), handler, context, &raw), code);
        if (!code)
            server.listener_ = std::move(listener);
        return server;
    }

    /** Stops accepting, waits that long for the handlers, then cancels the rest: how many it had to cancel. */
    std::size_t stop(milliseconds grace)
    {
        return detail::or_throw([&](std::error_code &code) { return stop(grace, code); });
    }

    std::size_t stop(milliseconds grace, std::error_code &code) noexcept
    {
        return detail::count(sock_server_stop(waiting(), grace.count()), code);
    }

    /** Until it has stopped. */
    void wait()
    {
        detail::or_throw([this](std::error_code &code) { wait(code); });
    }
    void wait(std::error_code &code) noexcept { detail::count(sock_server_wait(waiting()), code); }

    ServerInfo server_info() const
    {
        return detail::or_throw([this](std::error_code &code) { return server_info(code); });
    }

    ServerInfo server_info(std::error_code &code) const noexcept
    {
        ServerInfo info{};
        info.size = sizeof info;
        detail::count(sock_get_server_info(handle(), &info), code);
        return info;
    }

    /** Where it listens. */
    Address local_address() const { return listener_.local_address(); }
    Address local_address(std::error_code &code) const noexcept { return listener_.local_address(code); }

    /** Stops with no grace, and returns when the handlers have. */
    void close()
    {
        detail::or_throw([this](std::error_code &code) { close(code); });
    }

    void close(std::error_code &code) noexcept
    {
        code.clear();
        if (!*this)
            return;
        stop(milliseconds(0), code);
        if (code) /* it did not wait, so a handler may still be about to begin: its callable must stay */
            static_cast<void>(new (std::nothrow) std::shared_ptr<void>(std::move(host_)));
        std::error_code ignored;
        Handle::close(ignored);
    }

    /** Its callable lives here, so the handle cannot live elsewhere. */
    sock_t release() = delete;

private:
    void end() noexcept
    {
        std::error_code ignored;
        close(ignored);
    }

    std::shared_ptr<void> host_{}; /* the callable: after the handle is closed nobody calls it */
    Listener listener_{};
};

/* ---- The rest -------------------------------------------------------------------------------------------- */

/** The sockets that the service manager handed over, in its order; none where there are none. Allocates. */
inline std::vector<Endpoint> inherited(std::error_code &code)
{
    std::vector<sock_t> handles(detail::count(sock_inherited(nullptr, 0), code));
    std::vector<Endpoint> sockets;
    sockets.reserve(handles.size()); /* before they are adopted: nothing may throw afterwards */
    if (code || detail::count(sock_inherited(handles.data(), handles.size()), code) < handles.size())
        return sockets;
    for (const sock_t handle : handles)
        sockets.emplace_back(handle);
    return sockets;
}

inline std::vector<Endpoint> inherited()
{
    return detail::or_throw([](std::error_code &code) { return inherited(code); });
}

/** Sleeps; in a fiber only the fiber does. */
inline void sleep(milliseconds time, std::error_code &code) noexcept
{
    const detail::Aside aside;
    detail::count(sock_sleep(time.count()), code);
}

inline void sleep(milliseconds time)
{
    detail::or_throw([&](std::error_code &code) { sleep(time, code); });
}

/** Where the library reports what it does; nullptr for nowhere. */
inline void set_logger(sock_logger logger, void *context) { detail::count(sock_set_logger(logger, context)); }

inline void set_logger(sock_logger logger, void *context, std::error_code &code) noexcept
{
    detail::count(sock_set_logger(logger, context), code);
}

/** How many handles this process has open. */
inline std::int64_t live_handles() noexcept { return sock_live_handles(); }

/** Of the library at run time; SOCK_VERSION is that of the header. */
inline std::uint32_t version() noexcept { return sock_version(); }
inline const char *version_text() noexcept { return sock_version_text(); }

} // namespace sock

#endif
