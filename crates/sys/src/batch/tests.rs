#![allow(clippy::indexing_slicing, reason = "tests fail by panicking")]
use super::*;

#[test]
fn rows_are_put_together() {
    let layout = Layout {
        key: 3,
        value: 5,
        row: 16,
        value_at: 8,
    };
    let mut data = Vec::new();
    append(&mut data, layout, b"abcdef", b"1234567890", 2);
    assert_eq!(&data[..3], b"abc");
    assert_eq!(&data[8..13], b"12345");
    assert_eq!(&data[16..19], b"def");
    assert_eq!(&data[24..29], b"67890");
    let fast = Layout {
        key: 4,
        value: 8,
        row: 16,
        value_at: 8,
    };
    let mut data = Vec::new();
    append(&mut data, fast, b"abcdefgh", b"1234567890123456", 2);
    assert_eq!(
        &data,
        b"abcd\x00\x00\x00\x0012345678efgh\x00\x00\x00\x0090123456"
    );
}

#[test]
fn columns_are_taken_apart() {
    let data = b"aaaa1111bbbb2222cccc3333";
    let keys = Column {
        data,
        size: 4,
        stride: 8,
    };
    assert!(keys.holds(3) && !keys.holds(4));
    let mut out = Vec::new();
    keys.gather(1, 2, &mut out);
    assert_eq!(out, b"bbbbcccc");
    let odd = Column {
        data: &data[1..],
        size: 3,
        stride: 8,
    };
    odd.gather(0, 3, &mut out);
    assert_eq!(out, b"aaabbbccc");
}

#[test]
fn later_rows_of_a_key_go() {
    let layout = Layout {
        key: 1,
        value: 1,
        row: 2,
        value_at: 1,
    };
    let mut data = b"a1b2a3c4b5".to_vec();
    assert_eq!(keep_first(&mut data, layout), 2);
    assert_eq!(data, b"a1b2c4");
}

#[test]
fn nonsense_is_refused() {
    let layout = Layout {
        key: 8,
        value: 8,
        row: 12,
        value_at: 8,
    };
    assert_eq!(dump(-1, 24, layout, 0, 0, 0, false).errno, libc::EINVAL);
    assert_eq!(dump_each(-1, layout, 0, 0).errno, libc::EINVAL);
}
