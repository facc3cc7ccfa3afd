//! Byte offset -> character offset, without a table for the usual case of plain ASCII.

const STEP: usize = 64;

/// Characters before each 64-byte boundary; empty when every character is one byte.
#[derive(Debug)]
pub(crate) struct CharIndex<'a> {
    bytes: &'a [u8],
    before: Vec<u32>,
}

impl<'a> CharIndex<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let mut before = Vec::new();
        if !text.is_ascii() {
            let mut count = 0;
            for chunk in bytes.chunks(STEP) {
                before.push(count);
                count += starts(chunk);
            }
            before.push(count);
        }
        Self { bytes, before }
    }

    pub(crate) fn chars(&self, byte: usize) -> u32 {
        let byte = byte.min(self.bytes.len());
        let Some(before) = self.before.get(byte / STEP) else {
            return byte as u32;
        };
        let chunk = self.bytes.get(byte / STEP * STEP..byte).unwrap_or_default();
        before + starts(chunk)
    }

    /// Character offsets at which lines start; a line ends at `\n` only, as everywhere in the model.
    pub(crate) fn lines(&self) -> Vec<u32> {
        let mut lines = vec![0];
        for (at, byte) in self.bytes.iter().enumerate() {
            if *byte == b'\n' {
                lines.push(self.chars(at + 1));
            }
        }
        lines
    }
}

/// Characters that start in these bytes: all but UTF-8 continuation bytes.
fn starts(bytes: &[u8]) -> u32 {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count() as u32
}
