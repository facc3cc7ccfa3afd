//! Reading words from the front of a text.

/// A position in a text. Nothing here panics or goes past the end.
#[derive(Clone, Debug)]
pub(crate) struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    pub(crate) fn back(&mut self, at: usize) {
        self.at = at;
    }

    pub(crate) fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes).min(self.text.len());
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(crate) fn lit(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.skip(word.len());
        }
        found
    }

    pub(crate) fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Up to the next blank.
    pub(crate) fn until_blank(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find([' ', '\t']).unwrap_or(rest.len());
        self.skip(end);
        rest.get(..end).unwrap_or("")
    }

    /// Up to a word, or "" when it does not come.
    pub(crate) fn until(&mut self, word: &str) -> &'a str {
        let rest = self.rest();
        let Some(end) = rest.find(word) else {
            return "";
        };
        self.skip(end);
        rest.get(..end).unwrap_or("")
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let rest = self.rest();
        let end = rest.bytes().take_while(u8::is_ascii_digit).count();
        let value = rest.get(..end)?.parse().ok()?;
        self.skip(end);
        Some(value)
    }

    pub(crate) fn hex(&mut self) -> Option<u64> {
        let rest = self.rest();
        let end = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        let value = u64::from_str_radix(rest.get(..end)?, 16).ok()?;
        self.skip(end);
        Some(value)
    }

    pub(crate) fn hex_byte(&mut self) -> Option<u8> {
        let word = self.rest().get(..2)?;
        if !word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let value = u8::from_str_radix(word, 16).ok()?;
        self.skip(2);
        Some(value)
    }

    /// `5`, `-5`, `+5`, `0xff`, `-0xff`; 64 bits without sign wrap.
    pub(crate) fn signed(&mut self) -> Option<i64> {
        let start = self.at;
        let minus = self.lit("-");
        if !minus {
            let _ = self.lit("+");
        }
        let value = if self.lit("0x") {
            self.hex()
        } else {
            self.number()
        };
        let Some(value) = value else {
            self.at = start;
            return None;
        };
        let value = value as i64;
        Some(if minus { value.wrapping_neg() } else { value })
    }
}
