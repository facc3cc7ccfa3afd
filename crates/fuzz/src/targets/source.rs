//! Rust source text.

pub(super) fn run(data: &[u8]) {
    let facts = bpfsmith_source::facts(data);
    // The crate turns a panic of the parser into a note, so that a user loses one file: here it counts.
    let failed = facts
        .notes
        .iter()
        .find(|note| note.text.contains("the parser failed"));
    assert!(failed.is_none(), "the parser panicked");
    let json = bpfsmith_source::facts_json(data);
    assert!(std::str::from_utf8(&json).is_ok(), "JSON is UTF-8");
}
