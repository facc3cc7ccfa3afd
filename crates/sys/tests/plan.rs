//! Plans: what is written is read back, and no bytes are too strange.
use bpfsmith_sys::plan::{Blob, Step, decode, encode, validate};
use proptest::collection::vec;
use proptest::prelude::*;

fn place() -> impl Strategy<Value = (u32, u32)> {
    (any::<u32>(), any::<u32>())
}

fn blob() -> impl Strategy<Value = Blob<Vec<u8>>> {
    (any::<u32>(), vec(any::<u8>(), 0..40), vec(place(), 0..4))
        .prop_map(|(at, bytes, slots)| Blob { at, bytes, slots })
}

fn step() -> impl Strategy<Value = Step<Vec<u8>>> {
    let out = prop_oneof![Just(None), (0..1_u32 << 31).prop_map(Some)];
    (
        any::<u32>(),
        vec(any::<u8>(), 0..80),
        vec(blob(), 0..4),
        vec(place(), 0..4),
        out,
    )
        .prop_map(|(cmd, attr, blobs, slots, out)| Step {
            cmd,
            attr,
            blobs,
            slots,
            out,
        })
}

fn owned(step: Step<&[u8]>) -> Step<Vec<u8>> {
    let blobs = step.blobs.into_iter();
    Step {
        cmd: step.cmd,
        attr: step.attr.to_vec(),
        blobs: blobs
            .map(|blob| Blob {
                at: blob.at,
                bytes: blob.bytes.to_vec(),
                slots: blob.slots,
            })
            .collect(),
        slots: step.slots,
        out: step.out,
    }
}

proptest! {
    #[test]
    fn round_trip(steps in vec(step(), 0..6), slots in 0..1_usize << 20) {
        let message = encode(&steps, slots);
        let (read, count) = decode(&message).unwrap();
        prop_assert_eq!(count, slots);
        let read: Vec<_> = read.into_iter().map(owned).collect();
        prop_assert_eq!(&read, &steps);
        // Whatever it holds, it is judged and not replayed blindly.
        let _ = validate(&steps, slots, &[]);
    }

    #[test]
    fn any_bytes(data in vec(any::<u8>(), 0..200)) {
        let _ = decode(&data);
        let mut message = b"bpfplan\x01".to_vec();
        message.extend(data);
        if let Ok((steps, slots)) = decode(&message) {
            let _ = validate(&steps, slots, &[]);
            prop_assert_eq!(encode(&steps, slots), message);
        }
    }

    #[test]
    fn changed(steps in vec(step(), 1..4), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut message = encode(&steps, 8);
        let index = at.index(message.len());
        message[index] = byte;
        let _ = decode(&message);
        let _ = decode(&message[..cut.index(message.len())]);
    }
}

fn simple(cmd: u32, slots: Vec<(u32, u32)>, out: Option<u32>) -> Step<Vec<u8>> {
    Step {
        cmd,
        attr: vec![0; 16],
        blobs: Vec::new(),
        slots,
        out,
    }
}

#[test]
fn slots_are_filled_before_they_are_used() {
    let made = simple(0, Vec::new(), Some(0));
    let uses = simple(22, vec![(0, 0)], None);
    assert_eq!(validate(&[made.clone(), uses.clone()], 1, &[]), Ok(()));
    assert_eq!(validate(std::slice::from_ref(&uses), 1, &[(0, 5)]), Ok(()));
    let error = validate(&[uses, made.clone()], 1, &[]).unwrap_err();
    assert_eq!(error.to_string(), "step 0: slot 0 is not filled yet");
    assert!(validate(&[made.clone(), made.clone()], 1, &[]).is_err());
    assert!(validate(&[made], 0, &[]).is_err());
    assert!(validate(&[simple(22, vec![(13, 0)], None)], 1, &[(0, 5)]).is_err());
    assert!(validate::<Vec<u8>>(&[], 1, &[(0, -1)]).is_err());
    assert!(validate::<Vec<u8>>(&[], usize::MAX, &[]).is_err());
}
