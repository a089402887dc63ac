//! Reading bytes without ever passing their end.

use std::borrow::Cow;

/// Bytes that are not what their place in the format asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed(pub Cow<'static, str>);

impl From<&'static str> for Malformed {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Malformed {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

pub(super) type Read<T> = Result<T, Malformed>;

const SHORT: Malformed = Malformed(Cow::Borrowed("it ends too early"));

/// The bytes still to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    /// As many bytes as a length that was read says.
    pub fn take_u64(&mut self, count: u64) -> Read<&'a [u8]> {
        self.take(usize::try_from(count).map_err(|_| SHORT)?)
    }

    pub fn u8(&mut self) -> Read<u8> {
        let (first, rest) = self.0.split_first().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*first)
    }

    /// A little-endian integer of at most eight bytes.
    pub fn le(&mut self, count: usize) -> Read<u64> {
        let bytes = self.take(count.min(8))?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A big-endian integer of at most eight bytes.
    pub fn be(&mut self, count: usize) -> Read<u64> {
        let bytes = self.take(count.min(8))?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The protocol's length-encoded integer.
    pub fn lenenc(&mut self) -> Read<u64> {
        match self.u8()? {
            0xfc => self.le(2),
            0xfd => self.le(3),
            0xfe => self.le(8),
            0xfb | 0xff => Err("a length begins with no valid byte".into()),
            small => Ok(u64::from(small)),
        }
    }

    /// An integer of MySQL's serialization library: the ones that end the first byte count the
    /// further bytes (`libs/mysql/serialization/variable_length_integers.h`).
    pub fn varlen(&mut self) -> Read<u64> {
        let ones = self.0.first().ok_or(SHORT)?.trailing_ones();
        if ones == 8 {
            self.u8()?;
            return self.le(8);
        }
        let count = ones + 1;
        // Eight bytes lose their lowest eight bits, which is the marker.
        Ok(self.le(count as usize)? >> count)
    }

    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
