//! The times at which fibers are to be looked at: a heap with one entry for each at most. Its memory is set aside when a fiber
//! is prepared, so that waiting needs none.

use super::error::Result;

const NOWHERE: u32 = u32::MAX;

#[derive(Default)]
pub struct Timers {
    /// (time, number): none is earlier than the one at half its index.
    heap: Vec<(i64, u32)>,
    /// Where each number stands in the heap.
    positions: Vec<u32>,
}

impl Timers {
    /// Makes room for all numbers below `count`.
    pub fn reserve(&mut self, count: usize) -> Result<()> {
        self.heap.try_reserve(count.saturating_sub(self.heap.len()))?;
        self.positions.try_reserve(count.saturating_sub(self.positions.len()))?;
        if count > self.positions.len() {
            self.positions.resize(count, NOWHERE);
        }
        Ok(())
    }

    pub fn first(&self) -> Option<(i64, u32)> {
        self.heap.first().copied()
    }

    pub fn of(&self, number: u32) -> Option<i64> {
        self.heap.get(self.positions[number as usize] as usize).map(|(time, _)| *time)
    }

    /// The one entry of a number is at that time.
    pub fn set(&mut self, number: u32, time: i64) {
        self.remove(number);
        self.heap.push((time, number));
        self.place(self.heap.len() - 1);
        self.rise(self.heap.len() - 1);
    }

    pub fn remove(&mut self, number: u32) {
        let at = std::mem::replace(&mut self.positions[number as usize], NOWHERE);
        if at == NOWHERE {
            return;
        }
        let at = at as usize;
        self.heap.swap_remove(at);
        if at < self.heap.len() {
            self.place(at);
            self.rise(at);
            self.sink(at);
        }
    }

    fn place(&mut self, at: usize) {
        self.positions[self.heap[at].1 as usize] = at as u32;
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.place(one);
        self.place(other);
    }

    fn rise(&mut self, mut at: usize) {
        while at > 0 && self.heap[at] < self.heap[(at - 1) / 2] {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let children = [2 * at + 1, 2 * at + 2].into_iter().filter(|child| *child < self.heap.len());
            let Some(least) = children.min_by_key(|child| self.heap[*child]) else { return };
            if self.heap[at] <= self.heap[least] {
                return;
            }
            self.swap(at, least);
            at = least;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Against a map from numbers to times.
        #[test]
        fn the_first_is_always_the_earliest(steps in proptest::collection::vec((0u32..20, proptest::option::of(0i64..50)), 0..200)) {
            let mut timers = Timers::default();
            let mut model = BTreeMap::new();
            timers.reserve(20).unwrap();
            for (number, time) in steps {
                match time {
                    Some(time) => {
                        timers.set(number, time);
                        model.insert(number, time);
                    }
                    None => {
                        timers.remove(number);
                        model.remove(&number);
                    }
                }
                prop_assert_eq!(timers.of(number), model.get(&number).copied());
                prop_assert_eq!(timers.first(), model.iter().map(|(number, time)| (*time, *number)).min());
            }
        }
    }
}
