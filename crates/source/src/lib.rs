//! Rust source text -> compact, spanned facts (items, uses, attributes, calls).
