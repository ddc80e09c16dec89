//! Numbers and runs of bytes, written and read back: what every codec of this room is made of.
//!
//! Reading never panics and never allocates more than the input could fill. What the numbers mean is said by the callers.

/// The input ended early, or holds what was never written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BytesError {
    #[error("it ends too early")]
    Short,
    #[error("it holds {0} bytes too many")]
    Trailing(usize),
    #[error("it holds text that is not UTF-8")]
    Text,
    #[error("it holds a {0} that cannot be")]
    Value(&'static str),
}

/// Appends a number in as few bytes as it needs (LEB128).
pub(super) fn put_count(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Appends bytes with their length in front.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends what may be absent: one byte that says so, then the rest.
pub(super) fn put_option<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        None => out.push(0),
        Some(value) => {
            out.push(1);
            put(out, value);
        }
    }
}

/// Reads what the functions above wrote, front to back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes the next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], BytesError> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(BytesError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Takes a fixed number of bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], BytesError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(BytesError::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn byte(&mut self) -> Result<u8, BytesError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn count(&mut self) -> Result<u64, BytesError> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(BytesError::Value("count"));
            }
            n |= bits << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(BytesError::Value("count"))
    }

    /// The number of elements that follow, each of at least one byte: so never more than there are bytes.
    pub fn elements(&mut self) -> Result<usize, BytesError> {
        let n = self.count()?;
        if n > self.rest.len() as u64 { Err(BytesError::Short) } else { Ok(n as usize) }
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], BytesError> {
        let n = self.elements()?;
        self.take(n)
    }

    pub fn str(&mut self) -> Result<&'a str, BytesError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| BytesError::Text)
    }

    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, BytesError>,
    ) -> Result<Option<T>, BytesError> {
        match self.byte()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(BytesError::Value("presence byte")),
        }
    }

    /// Nothing may follow.
    pub fn end(self) -> Result<(), BytesError> {
        if self.rest.is_empty() { Ok(()) } else { Err(BytesError::Trailing(self.rest.len())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_every_length_come_back() {
        for n in (0..64).map(|bit| 1u64 << bit).flat_map(|n| [n - 1, n, n + 1]).chain([u64::MAX]) {
            let mut out = Vec::new();
            put_count(&mut out, n);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.count(), Ok(n));
            assert_eq!(reader.end(), Ok(()));
        }
    }

    #[test]
    fn a_count_beyond_the_input_is_short_and_allocates_nothing() {
        let mut out = Vec::new();
        put_count(&mut out, u64::MAX);
        assert_eq!(Reader::new(&out).elements(), Err(BytesError::Short));
        assert_eq!(Reader::new(&[0xff; 10]).count(), Err(BytesError::Value("count")));
        assert_eq!(Reader::new(&[0x80]).count(), Err(BytesError::Short));
    }
}
