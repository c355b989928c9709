//! Bytes that were received before they were asked for, so that a line costs less than a system call.

use super::error::Result;
use crate::sys::memory;

/// How much is asked of the kernel at once.
const CHUNK: usize = 8192;
/// A buffer that a long line made larger than this is freed when it is empty.
const KEEP: usize = 65536;

#[derive(Default)]
pub struct ReadAhead {
    memory: Vec<u8>,
    /// What has been received and not delivered is memory[start..end].
    start: usize,
    end: usize,
}

/// What stands at the head of the buffer.
#[derive(PartialEq, Eq, Debug)]
pub enum Line {
    /// A whole line: its length without the line end, and with it.
    Whole { text: usize, all: usize },
    /// Longer than the limit.
    TooLong,
    /// No end yet.
    Unfinished,
}

impl ReadAhead {
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// Copies the head to `buffer` and leaves it here. How many bytes.
    pub fn peek(&self, buffer: &mut [u8]) -> usize {
        let length = self.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.bytes()[..length]);
        length
    }

    /// Moves the head to `buffer`.
    pub fn take(&mut self, buffer: &mut [u8]) -> usize {
        let length = self.peek(buffer);
        self.drop_head(length);
        length
    }

    pub fn drop_head(&mut self, length: usize) {
        self.start += length;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.memory.len() > KEEP {
                self.memory = Vec::new();
            }
        }
    }

    /// The line at the head, of at most `limit` bytes without its end. The first `scanned` bytes are known to hold no line end, and the
    /// number is brought up to date.
    pub fn line(&self, limit: usize, scanned: &mut usize) -> Line {
        let bytes = self.bytes();
        let Some(found) = memory::find(b'\n', &bytes[*scanned..]) else {
            *scanned = bytes.len();
            // `limit` bytes and a '\r' may still become a line that fits.
            let fits = bytes.len() <= limit || (bytes.len() == limit + 1 && bytes[limit] == b'\r');
            return if fits { Line::Unfinished } else { Line::TooLong };
        };
        let end = *scanned + found;
        let text = if end > 0 && bytes[end - 1] == b'\r' { end - 1 } else { end };
        if text > limit { Line::TooLong } else { Line::Whole { text, all: end + 1 } }
    }

    /// Receives more behind what is here, by `receive`, which says how many bytes it put into the slice.
    pub fn fill<E>(
        &mut self,
        receive: impl FnOnce(&mut [u8]) -> std::result::Result<usize, E>,
    ) -> Result<std::result::Result<usize, E>> {
        if self.start > 0 && self.start >= self.len() {
            self.memory.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.len());
        }
        if self.memory.len() - self.end < CHUNK / 2 {
            let grown = (self.end + CHUNK).max(self.memory.len() * 2).next_multiple_of(CHUNK);
            self.memory.try_reserve_exact(grown - self.memory.len())?;
            self.memory.resize(grown, 0);
        }
        let received = receive(&mut self.memory[self.end..]);
        self.end += received.as_ref().copied().unwrap_or(0);
        Ok(received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn holding(bytes: &[u8]) -> ReadAhead {
        ReadAhead { memory: bytes.to_vec(), start: 0, end: bytes.len() }
    }

    #[test]
    fn a_line_of_exactly_the_limit_fits_with_either_end() {
        assert_eq!(holding(b"abc\n").line(3, &mut 0), Line::Whole { text: 3, all: 4 });
        assert_eq!(holding(b"abc\r\n").line(3, &mut 0), Line::Whole { text: 3, all: 5 });
        assert_eq!(holding(b"abc\r").line(3, &mut 0), Line::Unfinished);
        assert_eq!(holding(b"abc\rx").line(3, &mut 0), Line::TooLong);
        assert_eq!(holding(b"abcd").line(3, &mut 0), Line::TooLong);
        assert_eq!(holding(b"abcd\n").line(3, &mut 0), Line::TooLong);
        assert_eq!(holding(b"\n").line(0, &mut 0), Line::Whole { text: 0, all: 1 });
    }

    /// Receives `amount` bytes. How many it was asked for.
    fn receive(buffer: &mut ReadAhead, amount: usize) -> usize {
        let mut asked = 0;
        let received: std::result::Result<usize, ()> = buffer
            .fill(|slice| {
                asked = slice.len();
                Ok(amount)
            })
            .unwrap();
        assert_eq!(received, Ok(amount));
        asked
    }

    #[test]
    fn memory_doubles_where_room_is_short() {
        let mut buffer = ReadAhead::default();
        assert_eq!(receive(&mut buffer, CHUNK / 2), CHUNK);
        assert_eq!(receive(&mut buffer, 1), CHUNK / 2); // that is enough
        assert_eq!(receive(&mut buffer, CHUNK), 2 * CHUNK - CHUNK / 2 - 1);
        assert_eq!(receive(&mut buffer, 0), 4 * CHUNK - buffer.end);
        assert_eq!(buffer.memory.capacity(), 4 * CHUNK);
    }

    #[test]
    fn what_is_left_moves_to_the_front_where_that_is_cheap() {
        let mut buffer = ReadAhead::default();
        receive(&mut buffer, 100);
        buffer.memory[60..100].fill(7);
        buffer.drop_head(40);
        assert_eq!(receive(&mut buffer, 0), CHUNK - 100); // more is left than has gone
        buffer.drop_head(20);
        assert_eq!(receive(&mut buffer, 0), CHUNK - 40);
        assert_eq!(buffer.bytes(), [7; 40]);
    }

    #[test]
    fn only_what_a_long_line_needed_goes_back() {
        for (size, kept) in [(KEEP, KEEP), (KEEP + 1, 0)] {
            let mut buffer = holding(&vec![0; size]);
            buffer.drop_head(size - 1);
            assert_eq!(buffer.memory.len(), size);
            buffer.drop_head(1);
            assert_eq!(buffer.memory.len(), kept);
        }
    }

    proptest! {
        /// However the bytes arrive and are taken, they come out once and in order.
        #[test]
        fn bytes_come_out_as_they_went_in(steps in prop::collection::vec((any::<bool>(), 1usize..3000), 1..60)) {
            let mut buffer = ReadAhead::default();
            let (mut put, mut got) = (0u32, 0u32);
            for (fill, amount) in steps {
                if fill {
                    let done: std::result::Result<usize, ()> = buffer.fill(|slice| {
                        let amount = amount.min(slice.len());
                        for byte in &mut slice[..amount] {
                            *byte = put as u8;
                            put += 1;
                        }
                        Ok(amount)
                    }).unwrap();
                    prop_assert!(done.unwrap() > 0);
                } else {
                    let mut out = vec![0; amount];
                    let taken = buffer.take(&mut out);
                    for byte in &out[..taken] {
                        prop_assert_eq!(*byte, got as u8);
                        got += 1;
                    }
                }
                prop_assert_eq!(buffer.len(), (put - got) as usize);
            }
        }
    }
}
