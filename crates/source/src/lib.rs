//! Rust source text -> compact, spanned facts: items, attributes, uses, paths, expressions.
//!
//! The parser is rust-analyzer's: error tolerant and lossless, so broken code still gives facts. Facts say what is
//! written, never what it means; names are resolved by the reader (`bpfsmith.source.rust`).
//!
//! Offsets count Unicode characters from the start of the text (invalid UTF-8 is read lossily, one U+FFFD for each
//! maximal invalid part, as Python's `errors="replace"` does), so a reader slices its own decoded text with them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

mod facts;
mod nesting;
mod path;
mod syntax;
mod table;
mod text;
mod walk;
mod walk_expr;

pub use facts::{
    Arm, Attr, Expr, ExprKind, Facts, Item, Note, Param, PathUse, Span, Stmt, Use, flag,
};
pub use table::{Binds, Bound, Role, Table, kind_name};

/// Larger texts are not source a person wrote; refusing keeps memory bounded and offsets in 32 bits.
pub const MAX_BYTES: usize = 32 << 20;

/// The parser and the tree recurse; the nesting limits keep what they need far below this.
const STACK_BYTES: usize = 64 << 20;

/// Facts of one file with their indexes. Never fails: what could not be read is in `notes`.
#[must_use]
pub fn table(text: &[u8]) -> Table {
    tables(&[text], 1).pop().unwrap_or_default()
}

/// The tables of many files on `threads` threads (0: as many as cores), in order.
#[must_use]
pub fn tables(texts: &[&[u8]], threads: usize) -> Vec<Table> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = if threads == 0 { cores } else { threads };
    let next = AtomicUsize::new(0);
    let work = || {
        let mut mine = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(text) = texts.get(index) else {
                return mine;
            };
            mine.push((index, one(text)));
        }
    };
    // Threads of our own: the caller's stack may be small (Python threads).
    let mut why = "the parser failed on this file".to_owned();
    let done: Vec<(usize, Table)> = std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for _ in 0..wanted.min(texts.len()) {
            let builder = std::thread::Builder::new()
                .name("bpfsmith-source".to_owned())
                .stack_size(STACK_BYTES);
            match builder.spawn_scoped(scope, work) {
                Ok(worker) => workers.push(worker),
                Err(error) => why = format!("no thread to parse on: {error}"),
            }
        }
        let done = workers.into_iter().filter_map(|one| one.join().ok());
        done.flatten().collect()
    });
    let mut out: Vec<Option<Table>> = texts.iter().map(|_| None).collect();
    for (index, table) in done {
        if let Some(slot) = out.get_mut(index) {
            *slot = Some(table);
        }
    }
    let unread = |table: Option<Table>| table.unwrap_or_else(|| Table::unread(why.clone()));
    out.into_iter().map(unread).collect()
}

fn one(text: &[u8]) -> Table {
    if text.len() > MAX_BYTES {
        let many = text.len();
        return Table::unread(format!(
            "the file has {many} bytes, more than the {MAX_BYTES} read"
        ));
    }
    std::panic::catch_unwind(|| read(text))
        .unwrap_or_else(|_| Table::unread("the parser failed on this file".to_owned()))
}

fn read(bytes: &[u8]) -> Table {
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
    let mut words = HashMap::new();
    let facts = walk::collect(&text, index, notes, &mut |word| {
        if !words.contains_key(word) {
            words.insert(word.into(), Vec::new());
        }
    });
    Table::new(facts, words)
}

#[cfg(test)]
mod tests;
