//! The tokens of a state: `R1_w=inv(id=0)`, `fp-8=mmmmmmmm`, `refs=2`, `frame1:`.

/// One token; ranges are bytes of the text that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// `frame1:`: what follows is of that frame.
    Frame(u32),
    /// Register, marks, value.
    Reg(u8, &'a str, &'a str),
    /// Offset below the frame pointer (negative), marks, value.
    Slot(i32, &'a str, &'a str),
    /// `refs=2,4`.
    Refs(&'a str),
    /// `cb`, `async_cb`, `rcu`, arguments on the stack (7.2).
    Word(&'a str),
    /// Nothing known.
    Unknown(&'a str),
}

/// All tokens of a text, in order.
#[must_use]
pub fn tokens(text: &str) -> Tokens<'_> {
    Tokens { text, at: 0 }
}

/// See [`tokens`].
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t' | b';')) {
            self.at += 1;
        }
        let start = self.at;
        let mut depth = 0_i32;
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'(' => depth += 1,
                b')' => depth -= 1,
                b' ' if depth <= 0 => break,
                _ => {}
            }
            self.at += 1;
        }
        let word = self.text.get(start..self.at)?;
        if word.is_empty() {
            None
        } else {
            Some(token(word))
        }
    }
}

fn token(word: &str) -> Token<'_> {
    let unknown = Token::Unknown(word);
    if let Some(rest) = word.strip_prefix("frame") {
        return rest
            .strip_suffix(':')
            .and_then(|number| number.parse().ok())
            .map_or(unknown, Token::Frame);
    }
    let Some((name, value)) = word.split_once('=') else {
        return match word {
            "cb" | "async_cb" | "rcu" => Token::Word(word),
            _ => unknown,
        };
    };
    if name == "refs" {
        return Token::Refs(value);
    }
    let (name, marks) = match name.split_once('_') {
        Some((name, marks)) if name != "stack" => (name, marks),
        _ => (name, ""),
    };
    if let Some(number) = name.strip_prefix('R') {
        return match number.parse() {
            Ok(number @ 0..=15) => Token::Reg(number, marks, value),
            _ => unknown,
        };
    }
    if let Some(number) = name.strip_prefix("fp") {
        return match number.parse::<i32>() {
            Ok(off @ -65536..=0) => Token::Slot(off, marks, value),
            _ => unknown,
        };
    }
    if name.starts_with("stack_arg") {
        return Token::Word(word);
    }
    unknown
}
