//! The thin door to rust-analyzer's parser: text in, syntax tree out. No other file knows its crates' entry points.
//!
//! Why not `SourceFile::parse`: its result is dropped on a background thread with a small stack that never ends.

use ra_ap_parser::{LexedStr, StrStep, TopEntryPoint};
use ra_ap_syntax::{AstNode, Edition, RustLanguage, SyntaxNode, ast};
use rowan::{GreenNodeBuilder, Language};

pub(crate) use ra_ap_syntax::SyntaxKind;

/// 2021 reads 2024 sources too, but for `gen` blocks (unstable); 2024 would refuse `rng.gen()`.
const EDITION: Edition = Edition::Edition2021;

pub(crate) fn lex(text: &str) -> LexedStr<'_> {
    LexedStr::new(EDITION, text)
}

/// The tree of a whole file, and where the parser complained (byte offset, message). `word` gets each word of the code:
/// identifiers, keywords and what stands in literals; comments left out.
pub(crate) fn file(text: &str, word: &mut dyn FnMut(&str)) -> (SyntaxNode, Vec<(usize, String)>) {
    let lexed = lex(text);
    for token in 0..lexed.len() {
        match lexed.kind(token) {
            SyntaxKind::IDENT => word(lexed.text(token).trim_start_matches("r#")),
            SyntaxKind::STRING | SyntaxKind::BYTE_STRING | SyntaxKind::C_STRING => {
                let text = lexed.text(token);
                let parts = text.split(|c: char| !c.is_alphanumeric() && c != '_');
                parts.filter(|part| !part.is_empty()).for_each(&mut *word);
            }
            kind if kind.is_keyword(EDITION) => word(lexed.text(token)),
            _ => {}
        }
    }
    parse(&lexed, &TopEntryPoint::SourceFile)
}

/// The expression this text is, if it is exactly one without error.
pub(crate) fn expr(text: &str) -> Option<ast::Expr> {
    let (node, errors) = parse(&lex(text), &TopEntryPoint::Expr);
    let mut children = node.children();
    match (children.next(), children.next()) {
        (Some(only), None) if errors.is_empty() => ast::Expr::cast(only),
        _ => None,
    }
}

fn parse(lexed: &LexedStr<'_>, entry: &TopEntryPoint) -> (SyntaxNode, Vec<(usize, String)>) {
    let output = entry.parse(&lexed.to_input(EDITION));
    let mut builder = GreenNodeBuilder::new();
    // An expression with white space around it is no single root: it gets one.
    let wrap = matches!(entry, TopEntryPoint::Expr);
    if wrap {
        builder.start_node(RustLanguage::kind_to_raw(SyntaxKind::ERROR));
    }
    let mut errors: Vec<(usize, String)> = lexed
        .errors()
        .map(|(token, message)| (lexed.text_start(token), message.to_owned()))
        .collect();
    lexed.intersperse_trivia(&output, &mut |step| match step {
        StrStep::Token { kind, text } => builder.token(RustLanguage::kind_to_raw(kind), text),
        StrStep::Enter { kind } => builder.start_node(RustLanguage::kind_to_raw(kind)),
        StrStep::Exit => builder.finish_node(),
        StrStep::Error { msg, pos } => errors.push((pos, msg.to_owned())),
    });
    if wrap {
        builder.finish_node();
    }
    (SyntaxNode::new_root(builder.finish()), errors)
}
