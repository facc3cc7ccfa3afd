//! The text of a path as facts carry it.

use ra_ap_syntax::{SyntaxKind, SyntaxNode};

/// `a::b` without generic arguments, comments and white space; `<T as X>::f` is `<>::f`; a leading `::` stays.
pub(crate) fn path_text(node: &SyntaxNode) -> String {
    let mut out = String::new();
    write_path(node, &mut out);
    out
}

fn write_path(node: &SyntaxNode, out: &mut String) {
    for element in node.children_with_tokens() {
        match element.kind() {
            SyntaxKind::PATH | SyntaxKind::PATH_SEGMENT | SyntaxKind::NAME_REF => {
                if let Some(node) = element.as_node() {
                    write_path(node, out);
                }
            }
            SyntaxKind::COLON2 => out.push_str("::"),
            SyntaxKind::L_ANGLE | SyntaxKind::TYPE_ANCHOR => out.push_str("<>"),
            SyntaxKind::IDENT
            | SyntaxKind::SELF_KW
            | SyntaxKind::SELF_TYPE_KW
            | SyntaxKind::SUPER_KW
            | SyntaxKind::CRATE_KW => {
                if let Some(token) = element.as_token() {
                    out.push_str(token.text().trim_start_matches("r#"));
                }
            }
            _ => {}
        }
    }
}
