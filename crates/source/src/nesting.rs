//! Bounds how deep the parser and the tree may nest, before the parser sees the text.
//!
//! The parser is recursive and its tree is dropped recursively: 100,000 opening brackets, prefix operators or chained
//! calls would overflow any stack. What nests deeper than the limits is blanked out; the rest of the file keeps its facts.

use std::borrow::Cow;

use crate::syntax::{SyntaxKind as K, lex};

/// Brackets within brackets. Generated code stays below 100.
const MAX_BRACKETS: usize = 200;
/// Tokens of one statement, argument or arm outside of inner brackets: each may be a level of the tree (`!!!x`, `a.b.c`, `a + b`).
const MAX_RUN: usize = 3000;

type Cut = (usize, usize, &'static str);

/// The text to parse, byte for byte as long as the one given, and what was blanked out (byte ranges with the reason).
pub(crate) fn cut(text: &str) -> (Cow<'_, str>, Vec<Cut>) {
    let cuts = find(text);
    if cuts.is_empty() {
        return (Cow::Borrowed(text), cuts);
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (start, end, _) in &cuts {
        out.push_str(text.get(at..*start).unwrap_or_default());
        for c in text.get(*start..*end).unwrap_or_default().chars() {
            // Same length in bytes and characters: lines and offsets of what follows stay true.
            out.push(match c {
                '\n' => '\n',
                _ => match c.len_utf8() {
                    1 => ' ',
                    2 => '\u{85}',
                    3 => '\u{200e}',
                    _ => '\u{10fffd}',
                },
            });
        }
        at = *end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    (Cow::Owned(out), cuts)
}

#[derive(Clone, Copy, Default)]
struct Frame {
    run: usize,
    /// Inside a macro's token tree: flat in the tree, so runs do not nest.
    flat: bool,
}

/// What is being blanked out: from where, why, and how many frames were open at its start.
struct Open {
    start: usize,
    depth: usize,
    why: &'static str,
    /// A run ends at `;` or `,` too, brackets only where they close.
    run: bool,
}

fn find(text: &str) -> Vec<Cut> {
    let lexed = lex(text);
    let mut cuts: Vec<Cut> = Vec::new();
    let mut stack = vec![Frame::default()];
    let mut total = 0; // sum of the runs of all open frames: no tree path is much longer
    let mut open: Option<Open> = None;
    let (mut last, mut before_last) = (K::EOF, K::EOF);
    for token in 0..lexed.len() {
        let kind = lexed.kind(token);
        if matches!(kind, K::WHITESPACE | K::COMMENT) {
            continue;
        }
        let opens = matches!(kind, K::L_PAREN | K::L_BRACK | K::L_CURLY);
        let closes = matches!(kind, K::R_PAREN | K::R_BRACK | K::R_CURLY);
        let separates = matches!(kind, K::SEMICOLON | K::COMMA);
        if let Some(cut) = &open
            && stack.len() <= cut.depth
            && (closes || (separates && cut.run))
        {
            cuts.push((cut.start, lexed.text_start(token), cut.why));
            open = None;
        }
        if opens {
            let macro_args = last == K::BANG || (last == K::IDENT && before_last == K::BANG);
            let flat = macro_args || stack.last().is_some_and(|frame| frame.flat);
            stack.push(Frame { run: 0, flat });
            if stack.len() > MAX_BRACKETS && open.is_none() {
                let start = lexed.text_range(token).end;
                open = Some(Open {
                    start,
                    depth: stack.len(),
                    why: "brackets nest too deep here: not read",
                    run: false,
                });
            }
        } else if closes && stack.len() > 1 {
            total -= stack.pop().map_or(0, |frame| frame.run);
        }
        if let Some(frame) = stack.last_mut() {
            if separates || (last == K::R_CURLY && !continues_block(kind)) {
                total -= frame.run;
                frame.run = 0;
            } else if !frame.flat && !opens {
                frame.run += 1;
                total += 1;
            }
        }
        if total > MAX_RUN && open.is_none() && !closes {
            let start = lexed.text_start(token);
            let why = "one expression has too many parts here: the rest of it is not read";
            open = Some(Open {
                start,
                depth: stack.len(),
                why,
                run: true,
            });
        }
        (before_last, last) = (last, kind);
    }
    cuts.extend(open.map(|cut| (cut.start, text.len(), cut.why)));
    cuts
}

/// Tokens after `}` that may go on with the same expression.
fn continues_block(kind: K) -> bool {
    matches!(
        kind,
        K::ELSE_KW
            | K::DOT
            | K::QUESTION
            | K::EQ
            | K::PLUS
            | K::MINUS
            | K::STAR
            | K::SLASH
            | K::PERCENT
            | K::PIPE
            | K::AMP
            | K::CARET
            | K::L_ANGLE
            | K::R_ANGLE
            | K::BANG
            | K::AS_KW
    )
}
