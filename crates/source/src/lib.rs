//! Rust source text -> compact, spanned facts: items, attributes, uses, paths, expressions.
//!
//! The parser is rust-analyzer's: error tolerant and lossless, so broken code still gives facts. Facts say what is
//! written, never what it means; names are resolved by the reader (`bpfsmith.source.rust`).
//!
//! Offsets count Unicode characters from the start of the text (invalid UTF-8 is read lossily, one U+FFFD for each
//! maximal invalid part, as Python's `errors="replace"` does), so a reader slices its own decoded text with them.

mod facts;
mod json;
mod nesting;
mod syntax;
mod text;
mod walk;
mod walk_expr;

pub use facts::{
    Arm, Attr, Expr, ExprKind, Facts, Item, Note, Param, PathUse, Span, Stmt, Use, flag,
};

/// Larger texts are not source a person wrote; refusing keeps memory bounded and offsets in 32 bits.
pub const MAX_BYTES: usize = 32 << 20;

/// The parser and the tree recurse; the nesting limits keep what they need far below this.
const STACK_BYTES: usize = 64 << 20;

/// Facts of one file. Never fails: what could not be read is in `notes`.
#[must_use]
pub fn facts(text: &[u8]) -> Facts {
    if text.len() > MAX_BYTES {
        return Facts::unread(format!(
            "the file has {} bytes, more than the {MAX_BYTES} read",
            text.len()
        ));
    }
    // A thread of our own: the caller's stack may be small (Python threads, rayon workers).
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new()
            .name("bpfsmith-source".to_owned())
            .stack_size(STACK_BYTES);
        match builder.spawn_scoped(scope, || read(text)) {
            Ok(handle) => handle
                .join()
                .unwrap_or_else(|_| Facts::unread("the parser failed on this file".to_owned())),
            Err(error) => Facts::unread(format!("no thread to parse on: {error}")),
        }
    })
}

/// Facts of one file as JSON; the schema is documented at `Facts`.
#[must_use]
pub fn facts_json(text: &[u8]) -> Vec<u8> {
    json::write(&facts(text))
}

/// `facts_json` of many files on `threads` threads (0: as many as cores), in order.
#[must_use]
pub fn facts_json_many(texts: &[&[u8]], threads: usize) -> Vec<Vec<u8>> {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = if threads == 0 { cores } else { threads }
        .min(texts.len())
        .max(1);
    let next = AtomicUsize::new(0);
    let mut out: Vec<Vec<u8>> = texts.iter().map(|_| Vec::new()).collect();
    let done: Vec<(usize, Vec<u8>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..wanted)
            .map(|_| {
                scope.spawn(|| {
                    let mut mine = Vec::new();
                    while let Some((index, text)) = take(&next, texts) {
                        mine.push((index, facts_json(text)));
                    }
                    mine
                })
            })
            .collect();
        workers
            .into_iter()
            .filter_map(|worker| worker.join().ok())
            .flatten()
            .collect()
    });
    for (index, json) in done {
        if let Some(slot) = out.get_mut(index) {
            *slot = json;
        }
    }
    return out;

    fn take<'a>(next: &AtomicUsize, texts: &[&'a [u8]]) -> Option<(usize, &'a [u8])> {
        let index = next.fetch_add(1, Ordering::Relaxed);
        texts.get(index).map(|text| (index, *text))
    }
}

fn read(bytes: &[u8]) -> Facts {
    let text = String::from_utf8_lossy(bytes);
    let mut notes = Vec::new();
    if let std::borrow::Cow::Owned(_) = &text {
        notes.push(Note {
            kind: "not-utf8",
            text: "some bytes are not UTF-8".to_owned(),
            span: Span::default(),
        });
    }
    // A byte order mark is no token to the parser: a whitespace character of the same length keeps every offset.
    let text = match text.strip_prefix('\u{feff}') {
        Some(rest) => std::borrow::Cow::Owned(format!("\u{200e}{rest}")),
        None => text,
    };
    let (text, cuts) = nesting::cut(&text);
    let index = text::CharIndex::new(&text);
    for (start, end, why) in cuts {
        notes.push(Note {
            kind: "nesting",
            text: why.to_owned(),
            span: Span {
                start: index.chars(start),
                end: index.chars(end),
            },
        });
    }
    walk::collect(&text, index, notes)
}

#[cfg(test)]
mod tests;
