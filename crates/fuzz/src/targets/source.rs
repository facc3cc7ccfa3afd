//! Rust source text.

pub(super) fn run(data: &[u8]) {
    let table = bpfsmith_source::table(data);
    // The crate turns a panic of the parser into a note, so that a user loses one file: here it counts.
    let failed = (table.facts.notes.iter()).find(|note| note.text.contains("the parser failed"));
    assert!(failed.is_none(), "the parser panicked");
    for id in 0..table.facts.exprs.len() as i32 {
        assert_eq!(
            table.within(id).next(),
            Some(id),
            "an expression is inside itself"
        );
        if let Some(found) = table.binding(id) {
            assert!(
                found.scope < id || table.owner(id) >= 0,
                "names are bound outside"
            );
        }
    }
}
