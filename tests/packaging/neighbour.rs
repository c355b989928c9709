//! Another Rust static library, as a C program may link one beside libsock: with a runtime, threads and panics of its own.
use std::collections::HashMap;
use std::thread;

/// The sum of 1..=n, by way of a thread, a map and a panic that is caught.
#[unsafe(no_mangle)]
pub extern "C" fn neighbour_sum(n: u32) -> u64 {
    let counted = thread::spawn(move || (1..=n).map(|number| (number, u64::from(number))).collect::<HashMap<_, _>>());
    let map = counted.join().unwrap_or_default();
    let caught = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(7u64)));
    match caught {
        Err(payload) if payload.downcast_ref() == Some(&7u64) => map.values().sum(),
        _ => 0,
    }
}
