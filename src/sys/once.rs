//! Values that are set once, handed over in a way that the thread sanitizer sees.

#[cfg(not(tsan))]
pub use std::sync::OnceLock;

/// std's, and a flag by which the thread sanitizer sees that the value is published: std's part that runs once is not built for it.
#[cfg(tsan)]
pub struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    set: std::sync::atomic::AtomicBool,
}

#[cfg(tsan)]
impl<T> OnceLock<T> {
    pub const fn new() -> OnceLock<T> {
        OnceLock { value: std::sync::OnceLock::new(), set: std::sync::atomic::AtomicBool::new(false) }
    }

    pub fn get(&self) -> Option<&T> {
        self.set.load(std::sync::atomic::Ordering::Acquire).then(|| self.value.get()).flatten()
    }

    /// Once this returns, whoever was first has published its value.
    pub fn set(&self, value: T) -> Result<(), T> {
        let result = self.value.set(value);
        if result.is_ok() {
            self.set.store(true, std::sync::atomic::Ordering::Release);
        }
        while self.get().is_none() {
            std::thread::yield_now();
        }
        result
    }

    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        if self.get().is_none() {
            let _ = self.set(make());
        }
        self.get().expect("it is set")
    }
}

#[cfg(tsan)]
impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> OnceLock<T> {
        OnceLock { value: std::sync::OnceLock::from(value), set: std::sync::atomic::AtomicBool::new(true) }
    }
}
