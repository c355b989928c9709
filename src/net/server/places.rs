//! Numbered places: whoever takes one has it until it is given back. Going through them needs no memory.

use super::super::error::Result;

pub struct Places<T> {
    list: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Places<T> {
    fn default() -> Places<T> {
        Places { list: Vec::new(), free: Vec::new() }
    }
}

impl<T: Clone> Places<T> {
    /// Takes a place for what is made with its number.
    pub fn take(&mut self, make: impl FnOnce(usize) -> Result<T>) -> Result<T> {
        if self.free.is_empty() {
            self.list.try_reserve(1)?;
            // So that giving back needs no memory.
            self.free.try_reserve(self.list.len() + 1)?;
            self.free.push(self.list.len());
            self.list.push(None);
        }
        let made = make(self.free[self.free.len() - 1])?;
        if let Some(place) = self.free.pop() {
            self.list[place] = Some(made.clone());
        }
        Ok(made)
    }

    pub fn give_back(&mut self, place: usize) {
        if self.list[place].take().is_some() {
            self.free.push(place);
        }
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.list.len() - self.free.len()
    }

    /// The first that is taken at `place` or after it, with its number.
    pub fn next(&self, place: usize) -> Option<(usize, T)> {
        let rest = self.list.get(place..)?;
        let at = rest.iter().position(Option::is_some)?;
        Some((place + at, rest[at].clone()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_found_and_given_back() {
        let mut places = Places::default();
        let numbers: Vec<usize> = (0..4).map(|_| places.take(Ok).unwrap()).collect();
        assert_eq!(numbers, [0, 1, 2, 3]);
        places.give_back(1);
        places.give_back(1);
        assert_eq!(places.taken(), 3);
        assert_eq!(places.next(1), Some((2, 2)));
        assert_eq!(places.next(4), None);
        assert_eq!(places.take(Ok).unwrap(), 1);
        assert_eq!(places.next(1), Some((1, 1)));
        assert_eq!(places.next(5), None);
    }
}
