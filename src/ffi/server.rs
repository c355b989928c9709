//! Chapter 9: servers.

use super::handle::sock_t;
use super::stream::check_time;
use super::{Subject, boundary, output_size, put_sized, sized};
use crate::net::error::{Error, Result};
use crate::net::server::{self, Model, Options};
use std::ffi::{c_int, c_void};

/// What the handlers of a server run on.
#[repr(C)]
#[allow(dead_code)]
pub enum sock_model {
    /// A thread for each connection.
    SOCK_THREADS = 0,
    /// Stackful fibers on event-driven workers: in a fiber every blocking sock_ function parks the
    /// fiber and lets the worker run others, so that ten thousand idle connections are ten thousand
    /// parked fibers.
    SOCK_FIBERS = 1,
}

/// Serves one connection: straight-line code of blocking calls, the same under both models.
///
/// When it returns, the connection is closed, unless the handler has done so itself. What was
/// written still reaches the peer, even if data was left unread: what the peer still sends is read
/// and dropped in the background until it ends its direction, is silent for a second, or ten seconds
/// have passed. With SOCK_OPT_LINGER_MS at 0 it is reset instead. To leave the connection to a
/// forked child, or to a process that its descriptor was passed to, sock_close it in the handler:
/// then the server does not end it for them.
///
/// It must return: no longjmp out of it, no C++ exception, no pthread_exit. exit() works as in any
/// thread. In a child that a handler forks, the handler's code goes on, and its blocking calls block
/// the child; the child must end by _exit or exec. When the server stops, calls that wait in the
/// handler, on any handle and in sock_sleep, end with SOCK_ECANCELED.
///
/// On fibers, other blocking functions (sleep, read, pthread_mutex_lock, getaddrinfo) block the
/// worker with all its fibers, and code that computes for long should call sock_sleep(0) now and
/// then. A fiber stays on one worker; thread-local variables are shared with the other fibers there,
/// except sock_last_error, sock_last_errno and sock_last_count, which belong to the fiber.
///
/// @param connection the accepted connection
/// @param context as given to sock_serve
pub type sock_handler = Option<unsafe extern "C" fn(connection: sock_t, context: *mut c_void)>;

/// Options of sock_serve.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sock_server_options {
    /// sizeof(sock_server_options).
    pub size: usize,
    /// SOCK_THREADS or SOCK_FIBERS.
    pub model: c_int,
    /// Fibers: worker threads; 0 = one for each CPU that the process may use. At most 1024. Threads:
    /// no meaning.
    pub workers: c_int,
    /// How many handlers run at once, at most; at the limit new connections wait in the backlog. 0 =
    /// no limit.
    pub max_connections: i64,
    /// Bytes of stack for each handler; 0 = 256 KiB (fibers), the system's (threads). At least 16
    /// KiB are given, at most 1 GiB. Only what is used takes memory. Below a fiber's stack lies a
    /// guard page: running over it is a segmentation fault.
    pub stack_size: usize,
}

/// What a server reports about itself. The struct grows at its end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sock_server_info {
    /// sizeof(sock_server_info): the caller sets it.
    pub size: usize,
    /// Connections accepted so far.
    pub accepted: u64,
    /// Handlers that run now.
    pub active: u64,
    /// The most that ran at once.
    pub peak: u64,
    /// Handlers that have returned.
    pub finished: u64,
    /// Handlers that sock_server_stop or sock_close canceled.
    pub cut: u64,
    /// How often accepting failed: descriptors, memory or threads had run out, or a connection died
    /// before it was accepted.
    pub accept_errors: u64,
}

const MOST_WORKERS: c_int = 1024;
const LARGEST_STACK: usize = 1 << 30;

/// # Safety
/// `options` is NULL or as its size says.
unsafe fn options(options: *const sock_server_options) -> Result<Options> {
    let mut result = Options { model: Model::Threads, workers: 0, max_connections: 0, stack_size: 0 };
    if options.is_null() {
        return Ok(result);
    }
    // SAFETY: the caller vouches for the struct; zeros are valid in all its fields.
    let (given, _) = unsafe { sized(options) }?;
    result.model = match given.model {
        0 => Model::Threads,
        1 => Model::Fibers,
        _ => return Err(Error::invalid("option model is neither SOCK_THREADS nor SOCK_FIBERS")),
    };
    if !(0..=MOST_WORKERS).contains(&given.workers) {
        return Err(Error::invalid("option workers is out of its range"));
    }
    if given.max_connections < 0 {
        return Err(Error::invalid("option max_connections is out of its range"));
    }
    if given.stack_size > LARGEST_STACK {
        return Err(Error::invalid("option stack_size is out of its range"));
    }
    result.workers = given.workers as usize;
    result.max_connections = given.max_connections;
    result.stack_size = given.stack_size;
    Ok(result)
}

/// A C function and its context, which C lets any thread use.
struct Callback {
    function: unsafe extern "C" fn(sock_t, *mut c_void),
    context: *mut c_void,
}

// SAFETY: sock_serve says that handlers run in other threads, several at once; the context is only handed through.
unsafe impl Send for Callback {}
// SAFETY: as above.
unsafe impl Sync for Callback {}

impl Callback {
    fn call(&self, connection: sock_t) {
        // SAFETY: C vouches for its function and context until the server has stopped.
        unsafe { (self.function)(connection, self.context) }
    }
}

/// Serves a listener: runs `handler` for each connection, and returns at once.
///
/// The server takes over the listener: its handle still answers questions (sock_local_address), but
/// accepting on it is SOCK_EBUSY, and it is closed as soon as the server stops, before the handlers'
/// grace, so that new clients are refused at once. Closing or canceling the listener stops the
/// server too, and the handlers may go on for as long as they like; since sock_cancel may be called
/// from a signal handler, `sock_cancel(listener)` there and sock_server_wait in main make a server
/// that ends cleanly on SIGTERM. When descriptors or threads run out, accepting resumes as soon as
/// there are some again.
///
/// @param listener from sock_listen
/// @param handler what to run for each connection, in other threads, several at once; not NULL
/// @param context handed to the handler; must live until the server has stopped
/// @param options or NULL for all defaults: threads, no limit
/// @return a handle to be closed with sock_close, which stops the server with no grace; SOCK_EINVAL,
///         SOCK_EBUSY if another server has the listener, SOCK_ELIMIT if threads or descriptors have
///         run out
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_serve(
    listener: sock_t,
    handler: sock_handler,
    context: *mut c_void,
    options: *const sock_server_options,
) -> sock_t {
    boundary("serve", Subject::Handle(listener), || {
        let function = handler.ok_or(Error::invalid("the handler is NULL"))?;
        // SAFETY: C vouches for its options.
        let options = unsafe { self::options(options) }?;
        let callback = Callback { function, context };
        let handler = server::handler(move |connection| callback.call(connection))?;
        server::serve(listener, handler, options)
    })
}

/// Stops a server: accepts no more, waits for the handlers, and cancels those that are left when the
/// grace is over.
///
/// Every wait of a canceled handler ends with SOCK_ECANCELED, on its connection, on other handles
/// and in sock_sleep; a second later its connection is closed under it. The call returns when all
/// handlers have returned and the server's threads are gone. From inside a handler of the server it
/// does not wait for that handler: the server has stopped when it returns too. sock_cancel(server)
/// does not end this call; sock_close(server) ends the grace.
///
/// @param server from sock_serve; stays a handle until sock_close
/// @param grace_ms how long handlers may go on; 0 = cancel them now, SOCK_FOREVER = never
/// @return how many handlers this call canceled (two calls at once each count their own); 0 if it
///         had stopped already, and in a forked child, where no server runs; SOCK_ECANCELED in a
///         handler that is itself canceled and has waited long for handlers that do not end
///
/// Blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_server_stop(server: sock_t, grace_ms: i64) -> i64 {
    boundary("server_stop", Subject::Handle(server), || {
        check_time(grace_ms)?;
        server::stop(server, grace_ms)
    })
}

/// Waits until a server has stopped: by sock_server_stop, or because its listener was closed or
/// canceled.
///
/// @param server from sock_serve
/// @return 0; SOCK_ECANCELED after sock_cancel(server), which a signal handler may call;
///         SOCK_ECLOSED if it is closed meanwhile
///
/// Blocks; any thread. In a handler of that server it would wait for itself, until canceled.
/// Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_server_wait(server: sock_t) -> c_int {
    boundary("server_wait", Subject::Handle(server), || server::wait(server)) as c_int
}

/// Reads the counters of a server.
///
/// @param server from sock_serve
/// @param out receives the counters; its `size` must be set
/// @return 0; SOCK_EINVAL if `out` is NULL or its size is not set
///
/// Never blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_get_server_info(server: sock_t, out: *mut sock_server_info) -> c_int {
    boundary("get_server_info", Subject::Handle(server), || {
        // SAFETY: C vouches for the struct.
        let size = unsafe { output_size(out)? };
        let about = server::information(server)?;
        let info = sock_server_info {
            size,
            accepted: about.accepted,
            active: about.active,
            peak: about.peak,
            finished: about.finished,
            cut: about.cut,
            accept_errors: about.accept_errors,
        };
        // SAFETY: C vouches for `size` bytes.
        unsafe { put_sized(out, size, &info) };
        Ok(())
    }) as c_int
}

/// Sleeps: in a fiber the others run meanwhile.
///
/// @param ms milliseconds; 0 only lets other fibers run; SOCK_FOREVER sleeps until the server stops,
///        or for ever outside of handlers
/// @return 0, after the whole time: signals do not end it; SOCK_ECANCELED in a handler whose server
///         stops; SOCK_EINVAL
///
/// Blocks; any thread. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn sock_sleep(ms: i64) -> c_int {
    boundary("sleep", Subject::Nothing, || {
        check_time(ms)?;
        server::sleep(ms)
    }) as c_int
}
