//! Bytes to lines: without colours, prefixes, quotes, escapes and a terminal's line breaks.
//!
//! What a paste is wrapped in is told from its first lines: the prefix before instructions (`> `, a timestamp, a
//! journal's words, a line number), and the width at which a terminal broke lines.
use std::collections::HashMap;

use crate::lines::{Kind, classify, contains, find};
use crate::tokens::{Token, tokens};

/// Who takes the lines.
pub(crate) trait Sink {
    fn line(&mut self, line: &str);
}

/// A line longer than this is cut.
const LONGEST: usize = 1 << 20;
/// Bytes that are looked at before the first line is handed on.
const SNIFFED: usize = 256 << 10;
/// Pieces a line may be broken into.
const PIECES: usize = 64;
/// Columns a terminal may have.
const WIDTHS: std::ops::RangeInclusive<usize> = 60..=400;

const USUAL: [usize; 6] = [80, 100, 120, 132, 160, 200];

#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    rest: Vec<u8>,
    first: Vec<u8>,
    style: Option<Style>,
    held: Option<(String, usize)>,
}

#[derive(Debug, Default)]
struct Style {
    prefix: Vec<Part>,
    /// Blanks behind the prefix.
    blanks: usize,
    indent: usize,
    /// Lines are of a structured logger.
    logger: bool,
    width: Option<usize>,
}

/// A piece of a prefix's shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Digits,
    Blank,
    Char(char),
}

impl Cleaner {
    pub(crate) fn feed(&mut self, data: &[u8], sink: &mut dyn Sink) {
        if self.style.is_some() {
            self.lines(data, sink);
            return;
        }
        let room = SNIFFED.saturating_sub(self.first.len());
        let (now, later) = data.split_at(room.min(data.len()));
        self.first.extend_from_slice(now);
        if self.first.len() >= SNIFFED {
            self.sniff(sink);
            self.lines(later, sink);
        }
    }

    pub(crate) fn finish(&mut self, sink: &mut dyn Sink) {
        if self.style.is_none() {
            self.sniff(sink);
        }
        if !self.rest.is_empty() {
            let whole = std::mem::take(&mut self.rest);
            self.raw(&whole, true, sink);
        }
        if let Some((held, _)) = self.held.take() {
            sink.line(&held);
        }
    }

    fn sniff(&mut self, sink: &mut dyn Sink) {
        let first = std::mem::take(&mut self.first);
        self.style = Some(Style::of(&first));
        self.lines(&first, sink);
    }

    fn lines(&mut self, mut data: &[u8], sink: &mut dyn Sink) {
        let special = self.style.as_ref().is_some_and(|style| style.logger)
            || data
                .iter()
                .any(|byte| matches!(byte, 0x1b | b'\\' | b'&' | 0));
        while let Some(at) = data.iter().position(|byte| *byte == b'\n') {
            let (line, after) = data.split_at(at);
            data = after.get(1..).unwrap_or(&[]);
            if self.rest.is_empty() {
                self.raw(line, special, sink);
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(line.get(..LONGEST.min(line.len())).unwrap_or(line));
                self.raw(&whole, true, sink);
                whole.clear();
                self.rest = whole;
            }
        }
        let room = LONGEST.saturating_sub(self.rest.len());
        self.rest
            .extend_from_slice(data.get(..room.min(data.len())).unwrap_or(&[]));
    }

    fn raw(&mut self, line: &[u8], special: bool, sink: &mut dyn Sink) {
        let line = line.get(..line.len().min(LONGEST)).unwrap_or(&[]);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match std::str::from_utf8(line) {
            Ok(text) => self.text(text, special, sink),
            Err(_) => self.text(&String::from_utf8_lossy(line), special, sink),
        }
    }

    fn text(&mut self, line: &str, special: bool, sink: &mut dyn Sink) {
        if special {
            let mut cleaned = decoded(line);
            if let Some(text) = message(&cleaned) {
                let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
                if text.contains('\n') {
                    text.split('\n').for_each(|one| self.unwrapped(one, sink));
                    return;
                }
                cleaned = text;
            }
            if let Some(text) = unescaped(&cleaned) {
                for one in text.split('\n') {
                    self.unwrapped(one.strip_suffix('\r').unwrap_or(one), sink);
                }
                return;
            }
            self.unwrapped(&cleaned, sink);
        } else {
            self.unwrapped(line, sink);
        }
    }

    fn unwrapped(&mut self, line: &str, sink: &mut dyn Sink) {
        let Some(style) = &self.style else { return };
        let line = style.without_prefix(line);
        let wide = style
            .width
            .is_some_and(|width| line.chars().count() == width);
        if let Some((mut held, pieces)) = self.held.take() {
            let kind = classify(line.as_bytes()).0;
            // A piece of a broken line is no line of its own; one that looks like a state goes on with the state.
            let goes_on = match kind {
                Kind::Told => !starts_new(line),
                // `var_off=(0x0` and, behind the break, `; 0xff))`.
                Kind::Source => is_open(&held) && line.contains(')'),
                Kind::State => {
                    let full = held.chars().count() % style.width.unwrap_or(1) == 0;
                    full && !line.starts_with(|c: char| c.is_ascii_digit())
                }
                _ => false,
            };
            if goes_on && pieces < PIECES {
                if held.ends_with(';') && !line.starts_with(' ') {
                    held.push(' ');
                }
                held.push_str(line);
                if wide || ends_open(&held) {
                    self.held = Some((held, pieces + 1));
                } else {
                    sink.line(&held);
                }
                return;
            }
            sink.line(&held);
        }
        if wide || ends_open(line) {
            self.held = Some((line.to_owned(), 1));
        } else {
            sink.line(line);
        }
    }
}

/// Words that begin a line whatever came before.
fn starts_new(line: &str) -> bool {
    matches!(line.as_bytes(), [b'R', digit, ..] if digit.is_ascii_digit())
        || [
            "invalid ",
            "libbpf: ",
            "processed ",
            "math between",
            "Unreleased",
            "BPF program is",
            "-- ",
        ]
        .iter()
        .any(|stem| line.starts_with(stem))
}

/// Whether brackets are left open.
fn is_open(line: &str) -> bool {
    let count = |one: u8| line.bytes().filter(|byte| *byte == one).count();
    count(b'(') > count(b')')
}

/// A state that breaks off between the two parts of `var_off=(0x0; 0xff)`.
fn ends_open(line: &str) -> bool {
    line.ends_with(';')
        && !line.starts_with(';')
        && line
            .rsplit_once("var_off=(")
            .is_some_and(|(_, tail)| !tail.contains(')'))
}

impl Style {
    fn of(first: &[u8]) -> Self {
        let text = String::from_utf8_lossy(first);
        let mut shapes: HashMap<Vec<Part>, (usize, usize)> = HashMap::new();
        let mut plain = 0;
        let mut indents: HashMap<usize, usize> = HashMap::new();
        let mut lines = Vec::new();
        let mut logger = false;
        for raw in text.split('\n').take(8192) {
            let mut line = decoded(raw.strip_suffix('\r').unwrap_or(raw));
            if let Some(text) = message(&line) {
                logger = true;
                line = text;
            }
            if !line.contains("\\n")
                && let Some(at) = anchor(&line)
            {
                let prefix = line.get(..at).unwrap_or("");
                if prefix.trim().is_empty() {
                    plain += 1;
                    *indents.entry(prefix.len()).or_insert(0) += 1;
                } else if prefix.len() <= 160
                    && !prefix.contains("load program")
                    && !prefix.contains("erifier ")
                {
                    let head = prefix.trim_end();
                    let blanks = prefix.len() - head.len();
                    let one = shapes.entry(shape(head)).or_insert((0, blanks));
                    one.0 += 1;
                    one.1 = one.1.min(blanks);
                }
            }
            lines.push(line);
        }
        let mut style = Self {
            logger,
            ..Self::default()
        };
        // The most frequent; of equals the shortest, so that the answer is the same every time.
        let best = shapes
            .into_iter()
            .max_by(|a, b| a.1.0.cmp(&b.1.0).then_with(|| b.0.len().cmp(&a.0.len())));
        match best {
            Some((prefix, (count, blanks))) if count > plain => {
                style.prefix = prefix;
                style.blanks = blanks;
            }
            // A whole paste is indented by as much as all its lines; tables in it by one or two more.
            _ => style.indent = indents.keys().min().copied().unwrap_or(0),
        }
        style.width = style.wrapped(&lines);
        style
    }

    /// The width at which lines were broken.
    fn wrapped(&self, lines: &[String]) -> Option<usize> {
        let lines: Vec<&str> = lines.iter().map(|line| self.without_prefix(line)).collect();
        let widths: Vec<usize> = lines.iter().map(|line| line.chars().count()).collect();
        let most = widths.iter().max().copied()?;
        if !WIDTHS.contains(&most) {
            return None;
        }
        let mut full = 0;
        let mut broken = 0;
        let mut opened = 0;
        for (at, width) in widths.iter().enumerate() {
            if *width == most {
                full += 1;
                let next = lines.get(at + 1).copied().unwrap_or("");
                let kind = classify(next.as_bytes()).0;
                let whole = classify(lines.get(at).copied().unwrap_or("").as_bytes()).0;
                let line = lines.get(at).copied().unwrap_or("");
                // A state goes on: brackets or a value are missing, or registers follow that begin no line.
                let more = is_open(line)
                    || line.ends_with('=')
                    || kind == Kind::Told
                        && tokens(next).any(|one| matches!(one, Token::Reg(..) | Token::Slot(..)));
                let open = matches!(whole, Kind::State | Kind::From | Kind::Insn)
                    && !next.is_empty()
                    && matches!(kind, Kind::Told | Kind::State | Kind::Source)
                    && more;
                opened += usize::from(open);
                let told = matches!(kind, Kind::Told) && !next.is_empty() && !starts_new(next);
                if open || told {
                    broken += 1;
                }
            }
        }
        // Lines as long as each other are no proof; brackets left open are, and one pair at a terminal's usual width.
        let least = if USUAL.contains(&most) { 1 } else { 2 };
        let proof = opened >= least || opened >= 1 && broken >= 3;
        (proof && broken * 2 >= full).then_some(most)
    }

    fn without_prefix<'a>(&self, line: &'a str) -> &'a str {
        if self.indent > 0 {
            let blanks = line
                .bytes()
                .take(self.indent)
                .take_while(|byte| matches!(byte, b' ' | b'\t'))
                .count();
            return line.get(blanks..).unwrap_or(line);
        }
        if self.prefix.is_empty() {
            return line;
        }
        let Some(rest) = matched(&self.prefix, line) else {
            return line;
        };
        let blanks = rest
            .bytes()
            .take(self.blanks)
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        rest.get(blanks..).unwrap_or(rest)
    }
}

/// Where `12: (bf) ..` begins, or the counts do.
fn anchor(line: &str) -> Option<usize> {
    let bytes = line.as_bytes();
    let mut from = 0;
    while let Some(at) = find(bytes.get(from..)?, b": (").map(|at| at + from) {
        let code = bytes.get(at + 3..at + 7);
        let sure = code.is_some_and(
            |code| matches!(code, [a, b, b')', b' '] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()),
        );
        let digits = bytes.get(..at).map_or(0, |head| {
            head.iter().rev().take_while(|b| b.is_ascii_digit()).count()
        });
        if sure && (1..=7).contains(&digits) {
            let start = at - digits;
            // `subprog 1: ..` in prose is none; an instruction's number stands alone.
            let before = start.checked_sub(1).and_then(|at| bytes.get(at));
            let walk = bytes
                .get(..start)
                .is_some_and(|head| head.ends_with(b" before "));
            let alone =
                before.is_none_or(|b| matches!(b, b' ' | b'\t' | b'|' | b'>' | b':' | b']'));
            if alone && !walk {
                return Some(start);
            }
        }
        from = at + 3;
    }
    find(bytes, b"processed ").filter(|at| bytes.get(*at..).is_some_and(crate::lines::is_processed))
}

fn shape(prefix: &str) -> Vec<Part> {
    let mut out: Vec<Part> = Vec::new();
    for one in prefix.chars() {
        let part = if one.is_ascii_digit() {
            Part::Digits
        } else if one == ' ' || one == '\t' {
            Part::Blank
        } else {
            Part::Char(one)
        };
        // How many digits and blanks there are differs by line.
        if out.last() != Some(&part) || matches!(part, Part::Char(_)) {
            out.push(part);
        }
    }
    if out.first() != Some(&Part::Blank) {
        out.insert(0, Part::Blank);
    }
    out
}

/// What stands behind a prefix of this shape.
fn matched<'a>(shape: &[Part], line: &'a str) -> Option<&'a str> {
    let mut rest = line;
    for part in shape {
        match part {
            Part::Digits => {
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                if digits == 0 {
                    return None;
                }
                rest = rest.get(digits..)?;
            }
            Part::Blank => rest = rest.trim_start_matches([' ', '\t']),
            Part::Char(one) => rest = rest.strip_prefix(*one)?,
        }
    }
    Some(rest)
}

/// The text a structured logger has in a line: `level=warning msg="2: (b4) w1 = 1" subsys=loader`,
/// `{"level":"error","msg":"..."}`; such a line without a message is an empty one.
fn message(line: &str) -> Option<String> {
    let head = line.trim_start();
    let fields = head.starts_with("level=") || head.starts_with("time=") || head.starts_with("ts=");
    let json = head.starts_with('{') && head.ends_with('}');
    if !fields && !json {
        return None;
    }
    let stems: &[&str] = if fields {
        &["msg=\"", "error=\"", "err=\""]
    } else {
        &[
            "\"log\":",
            "\"msg\":",
            "\"message\":",
            "\"MESSAGE\":",
            "\"error\":",
        ]
    };
    let mut best: Option<&str> = None;
    for stem in stems {
        let Some(at) = head.find(stem) else { continue };
        let Some(rest) = head.get(at + stem.len()..) else {
            continue;
        };
        let rest = if fields {
            Some(rest)
        } else {
            rest.trim_start().strip_prefix('"')
        };
        let Some(rest) = rest else { continue };
        let mut escaped = false;
        let mut end = rest.len();
        for (at, byte) in rest.bytes().enumerate() {
            match byte {
                b'\\' if !escaped => escaped = true,
                b'"' if !escaped => {
                    end = at;
                    break;
                }
                _ => escaped = false,
            }
        }
        let value = rest.get(..end)?;
        // The log is where most is said.
        if best.is_none_or(|one| one.len() < value.len()) {
            best = Some(value);
        }
    }
    match best {
        Some(value) => Some(unescape(value)),
        None if fields => Some(String::new()),
        None => None,
    }
}

/// Without colours, zero bytes and the entities of HTML.
fn decoded(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(one) = chars.next() {
        match one {
            '\u{1b}' => {
                // `ESC [ .. letter`, `ESC ] .. BEL`, or a single one.
                match chars.next() {
                    Some('[') => {
                        for one in chars.by_ref() {
                            if ('@'..='~').contains(&one) {
                                break;
                            }
                        }
                    }
                    Some(']') => {
                        while let Some(one) = chars.next() {
                            if one == '\u{7}' {
                                break;
                            }
                            if one == '\u{1b}' {
                                chars.next();
                                break;
                            }
                        }
                    }
                    _ => {}
                }
            }
            '\0' | '\u{feff}' => {}
            _ => out.push(one),
        }
    }
    if out.contains('&') && out.contains(';') {
        for (entity, text) in [
            ("&lt;", "<"),
            ("&gt;", ">"),
            ("&quot;", "\""),
            ("&#39;", "'"),
            ("&#x27;", "'"),
            ("&nbsp;", " "),
            ("&amp;", "&"),
        ] {
            if out.contains(entity) {
                out = out.replace(entity, text);
            }
        }
    }
    out
}

/// A log in one line, its line ends written `\n`.
fn unescaped(line: &str) -> Option<String> {
    let bytes = line.as_bytes();
    if !contains(bytes, b"\\n") || !(anchor(line).is_some() || contains(bytes, b"processed ")) {
        return None;
    }
    // A source line of the log may hold `\n` itself: a whole log has one before each of its instructions.
    if matches!(classify(bytes).0, Kind::Source | Kind::Insn | Kind::State)
        && find(bytes, b"\\n").is_some_and(|at| anchor(line.get(at..).unwrap_or("")).is_none())
    {
        return None;
    }
    let line = if is_twice(bytes) {
        line.replace("\\\\", "\\")
    } else {
        line.to_owned()
    };
    Some(unescape(&line))
}

/// Whether line ends are written `\\\\n`: all of them behind an even number of backslashes.
fn is_twice(bytes: &[u8]) -> bool {
    let mut run = 0_usize;
    let mut even = false;
    for byte in bytes {
        match byte {
            b'\\' => run += 1,
            b'n' if run % 2 == 1 => return false,
            other => {
                even |= *other == b'n' && run > 0;
                run = 0;
            }
        }
    }
    even
}

/// What stands in quotes: `\n`, `\t`, `\"`, `\u003e` as what they are.
fn unescape(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(one) = chars.next() {
        if one != '\\' {
            out.push(one);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => {}
            Some('u') => {
                let digits: String = chars.clone().take(4).collect();
                match u32::from_str_radix(&digits, 16)
                    .ok()
                    .and_then(char::from_u32)
                {
                    Some(one) if digits.len() == 4 => {
                        out.push(one);
                        chars.nth(3);
                    }
                    _ => out.push_str("\\u"),
                }
            }
            Some(other @ ('"' | '\\' | '\'' | '/')) => out.push(other),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out
}
