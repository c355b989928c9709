//! The monotonic clock.

/// Nanoseconds of CLOCK_MONOTONIC: clock_gettime(2). Never 0.
#[allow(clippy::unnecessary_cast)] // time_t has 32 bits on some platforms
pub fn now() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec to write to; CLOCK_MONOTONIC exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as i64 * 1_000_000_000 + time.tv_nsec as i64 + 1
}
