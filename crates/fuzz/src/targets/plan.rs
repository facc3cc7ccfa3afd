//! Plans as messages: what is read can be judged and is written back the same.
use std::path::Path;

use bpfsmith_sys::plan::{Blob, Step, decode, encode, validate};

pub(super) fn run(data: &[u8]) {
    let Ok((steps, slots)) = decode(data) else {
        return;
    };
    let _ = validate(&steps, slots, &[(0, 3)]);
    assert!(encode(&steps, slots) == data, "encode(decode(x)) = x");
}

pub(super) fn seeds(_corpus: Option<&Path>) -> Vec<Vec<u8>> {
    let map = Step {
        cmd: 0,
        attr: vec![1; 72],
        blobs: Vec::new(),
        slots: Vec::new(),
        out: Some(0),
    };
    let program = Step {
        cmd: 5,
        attr: vec![0; 152],
        blobs: vec![Blob {
            at: 8,
            bytes: vec![0; 64],
            slots: vec![(4, 0)],
        }],
        slots: vec![(72, 0)],
        out: Some(1),
    };
    vec![encode::<Vec<u8>>(&[], 0), encode(&[map, program], 2)]
}
