//! What lines are written inside of: a logger's fields, a list of strings, colours, entities, backslashes.
use crate::clean::anchor;
use crate::lines::{Kind, classify, contains, find};

/// The text a structured logger has in a line: `level=warning msg="2: (b4) w1 = 1" subsys=loader`,
/// `{"level":"error","msg":"..."}`; such a line without a message is an empty one.
pub(crate) fn message(line: &str) -> Option<String> {
    let head = behind_syslog(line.trim_start());
    let fields = head.starts_with("level=") || head.starts_with("time=") || head.starts_with("ts=");
    let (head, json) = match head.find("{\"").filter(|_| !fields && head.ends_with('}')) {
        Some(at) if at == 0 || field_behind(head, at) => (head.get(at..).unwrap_or(head), true),
        _ => (head, head.starts_with('{') && head.ends_with('}')),
    };
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
        let end = closing(rest).unwrap_or(rest.len());
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

/// Whether a line of words ends in its fields, one of which is a log's line: `ERROR rejected {"line": 1, "log": ".."}`.
fn field_behind(line: &str, at: usize) -> bool {
    line.get(at..)
        .is_some_and(|fields| fields.contains("\"log\":") || fields.contains("\"error\":"))
        && classify(line.as_bytes()).0 == Kind::Told
}

/// A logger's line as a journal has it: `May 14 16:21:40 host agent[12]: level=warning msg=".."`.
fn behind_syslog(line: &str) -> &str {
    let Some(at) = line.find(": level=").filter(|at| *at < 160) else {
        return line;
    };
    let fields = line.get(at + 2..).unwrap_or("");
    let log =
        fields.contains(" msg=\"") || fields.split_whitespace().all(|word| word.contains('='));
    if log && matches!(classify(line.as_bytes()).0, Kind::Told) {
        fields
    } else {
        line
    }
}

/// The lines of a log that was printed as a list of strings: `Log: []string{"0: (b7) r0 = 1", "1: (95) exit"}`,
/// with what stands before and behind it.
pub(crate) fn listed(line: &str) -> Option<Vec<String>> {
    let mut from = 0;
    while let Some(at) = line.get(from..)?.find(['[', '{']).map(|at| at + from) {
        from = at + 1;
        let Some((strings, rest)) = strings(line.get(from..)?) else {
            continue;
        };
        if strings.len() > 1 && strings.iter().any(|one| anchor(one).is_some()) {
            let mut out = vec![line.get(..at).unwrap_or("").to_owned()];
            out.extend(strings);
            out.push(rest.to_owned());
            return Some(out);
        }
    }
    None
}

/// `"a", "b"] ..`: the strings, and what is behind them; None for what is no list of strings.
fn strings(mut rest: &str) -> Option<(Vec<String>, &str)> {
    let mut out = Vec::new();
    loop {
        rest = rest.trim_start().strip_prefix('"')?;
        let end = closing(rest)?;
        out.push(unescape(rest.get(..end)?));
        rest = rest.get(end + 1..)?.trim_start();
        match rest.strip_prefix(',') {
            Some(more) if more.trim_start().starts_with('"') => rest = more,
            _ => return Some((out, rest)),
        }
    }
}

/// A line of such a list that has its lines one below the other: `    "0: (b7) r0 = 1",`.
pub(crate) fn listed_alone(line: &str) -> Option<String> {
    let rest = line.trim().strip_prefix('"')?;
    let end = closing(rest)?;
    let behind = rest.get(end + 1..)?;
    (behind.is_empty() || behind == ",").then(|| unescape(rest.get(..end).unwrap_or("")))
}

/// Where the quote stands that ends a string.
fn closing(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\\' if !escaped => escaped = true,
            b'"' if !escaped => return Some(at),
            _ => escaped = false,
        }
    }
    None
}

/// Without colours, zero bytes, the entities of HTML and typographic quotes and blanks.
pub(crate) fn decoded(line: &str) -> String {
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
            // What editors and web pages make of quotes and blanks.
            '\u{2018}' | '\u{2019}' => out.push('\''),
            '\u{201c}' | '\u{201d}' => out.push('"'),
            '\u{a0}' | '\u{202f}' => out.push(' '),
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
pub(crate) fn unescaped(line: &str) -> Option<String> {
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
    Some(begun(unescape(&line)))
}

/// With the log's first line as one of its own: cilium/ebpf has it behind the error's words.
fn begun(text: String) -> String {
    let stem = "load program: ";
    let head = text.find(stem).map(|at| at + stem.len());
    let Some(start) = head.filter(|at| text.get(*at..).is_some_and(|rest| rest.contains('\n')))
    else {
        return text;
    };
    let (before, rest) = text.split_at(start);
    match rest.split_once(": ") {
        Some((words, log)) if !words.contains('\n') && crate::words::errno(words).is_some() => {
            format!("{before}{words}:\n{log}")
        }
        _ => text,
    }
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
