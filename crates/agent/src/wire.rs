//! Bodies of requests, read; answers, written. Nothing here touches the system.
use crate::kind::{HEADER, MARK};

/// A body that is not what its kind says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Reads a body front to back.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[must_use]
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(Malformed("the body is too short"))?;
        self.rest = rest;
        Ok(*head)
    }

    /// # Errors
    /// The body ends before it, as for all below.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(u8::from_le_bytes)
    }

    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    /// So many bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Malformed("a length is longer than the body"))?;
        self.rest = rest;
        Ok(head)
    }

    /// Bytes with their length before them.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    /// A count of things that have at least `least` bytes each: never more than the body could hold.
    pub fn count(&mut self, least: usize) -> Result<usize, Malformed> {
        let count = self.u32()? as usize;
        if count > self.rest.len() / least.max(1) {
            return Err(Malformed("a count is larger than the body"));
        }
        Ok(count)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// # Errors
    /// Something is left.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed("bytes behind the end of the body"))
        }
    }
}

/// An answer's body.
#[derive(Debug, Default)]
pub struct Body(pub Vec<u8>);

impl Body {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn i32(&mut self, value: i32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// With the length before them.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.u32(value.len() as u32).raw(value)
    }

    pub fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.0.extend_from_slice(value);
        self
    }

    /// What is different in `now`.
    pub fn changes(&mut self, before: &[u8], now: &[u8]) -> &mut Self {
        let same = |(one, other): &(&u8, &u8)| one == other;
        let first = now.iter().zip(before).take_while(same).count();
        let rest = now.get(first..).unwrap_or_default();
        let old = before.get(first..).unwrap_or_default();
        let last = rest.iter().rev().zip(old.iter().rev()).take_while(same);
        let length = rest.len() - last.count();
        self.u32(first as u32)
            .bytes(rest.get(..length).unwrap_or_default())
    }
}

/// The 12 bytes before a body.
#[must_use]
pub fn header(kind: u8, id: u32, length: usize) -> [u8; HEADER] {
    let [a, b, c, d] = (length as u32).to_le_bytes();
    let [e, f, g, h] = id.to_le_bytes();
    [MARK, kind, 0, 0, a, b, c, d, e, f, g, h]
}

/// (kind, length, id) of a header.
///
/// # Errors
/// It does not begin as one.
pub fn parse(header: [u8; HEADER]) -> Result<(u8, usize, u32), Malformed> {
    let [mark, kind, _, _, a, b, c, d, e, f, g, h] = header;
    if mark != MARK {
        return Err(Malformed("no frame begins here"));
    }
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    Ok((kind, length, u32::from_le_bytes([e, f, g, h])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_the_part_that_differs() {
        let told = |before: &[u8], now: &[u8]| {
            let mut body = Body::new();
            body.changes(before, now);
            let mut reader = Reader::new(&body.0);
            let at = reader.u32().unwrap() as usize;
            let bytes = reader.bytes().unwrap();
            reader.end().unwrap();
            let mut made = before.to_vec();
            made[at..at + bytes.len()].copy_from_slice(bytes);
            (made, bytes.len())
        };
        assert_eq!(told(b"abc", b"abc"), (b"abc".to_vec(), 0));
        assert_eq!(told(b"abcd", b"aXcd"), (b"aXcd".to_vec(), 1));
        assert_eq!(told(b"aaaa", b"aaba"), (b"aaba".to_vec(), 1));
        assert_eq!(told(b"", b""), (Vec::new(), 0));
    }

    #[test]
    fn counts_are_held_by_the_body() {
        assert!(Reader::new(&[255, 255, 255, 255, 0]).count(8).is_err());
        assert!(Reader::new(&[9, 0, 0, 0, 1, 2]).bytes().is_err());
        assert_eq!(Reader::new(&[2, 0, 0, 0, 1, 2]).bytes(), Ok(&[1, 2][..]));
    }

    #[test]
    fn headers_come_back() {
        assert_eq!(parse(header(7, 9, 300)), Ok((7, 300, 9)));
        assert!(parse([0; HEADER]).is_err());
    }
}
