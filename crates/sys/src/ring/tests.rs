//! On memory of the tests' own: header states, wrapping, discards, leases, selectors.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]
use std::sync::Arc;

use super::perf::PerfMemory;
use super::*;

/// A ring whose second half mirrors the first, as the kernel maps it: written twice here.
struct Fake {
    words: Box<[u64; 2]>,
    data: Vec<u64>,
    size: u64,
}

impl Fake {
    fn new(size: u64, start: u64) -> Self {
        Self {
            words: Box::new([start, start]),
            data: vec![0; size as usize / 4],
            size,
        }
    }

    fn memory(&mut self) -> Memory {
        let words = self.words.as_mut_ptr();
        Memory {
            consumer: words,
            producer: unsafe { words.add(1) },
            data: self.data.as_mut_ptr().cast(),
            size: self.size,
        }
    }

    fn ring(&mut self) -> Arc<Ring> {
        Arc::new(unsafe { Ring::over(self.memory(), None) })
    }

    fn put(&mut self, content: &[u8], flags: u32) {
        let at = self.words[1];
        let mut bytes = (content.len() as u32 | flags).to_ne_bytes().to_vec();
        bytes.extend([0; 4]);
        bytes.extend(content);
        self.write(at, &bytes);
        self.words[1] = at + slot(content.len() as u32);
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        let base = self.data.as_mut_ptr().cast::<u8>();
        for (i, byte) in bytes.iter().enumerate() {
            let place = ((at + i as u64) % self.size) as usize;
            unsafe {
                *base.add(place) = *byte;
                *base.add(place + self.size as usize) = *byte;
            }
        }
    }

    fn consumed(&self) -> u64 {
        unsafe { std::ptr::from_ref(&self.words[0]).read_volatile() }
    }
}

fn dense_all(ring: &Ring, size: usize, room: usize) -> (Vec<u8>, End) {
    let mut out = vec![0xaa; size * room];
    let taken = ring.take_dense(&mut out, size, room).unwrap();
    out.truncate(taken.count * size);
    (out, taken.end)
}

#[test]
fn equal_records_lie_without_gaps() {
    for size in [1_usize, 4, 7, 8, 12, 31, 32, 33, 40, 64, 100] {
        let mut fake = Fake::new(4096, 4096 - 24);
        let ring = fake.ring();
        let mut wanted = Vec::new();
        for i in 0..20_u8 {
            let content = vec![i; size];
            fake.put(&content, 0);
            wanted.extend(&content);
        }
        let (got, end) = dense_all(&ring, size, 50);
        assert_eq!((got, end), (wanted, End::Empty), "size {size}");
        assert_eq!(fake.consumed(), fake.words[1]);
        assert_eq!(ring.waiting(), 0);
    }
}

#[test]
fn discarded_records_are_left_out_and_counted() {
    let mut fake = Fake::new(8192, 8);
    let ring = fake.ring();
    let mut wanted = Vec::new();
    for i in 0..100_u32 {
        let content = [i.to_ne_bytes(), [1; 4]].concat();
        fake.put(&content, if i % 7 == 3 { DISCARD } else { 0 });
        if i % 7 != 3 {
            wanted.extend(&content);
        }
    }
    assert_eq!(dense_all(&ring, 8, 1000), (wanted, End::Empty));
    assert_eq!(ring.discarded(), 14);
}

#[test]
fn a_busy_record_ends_the_walk_and_is_read_once_committed() {
    let mut fake = Fake::new(4096, 0);
    let ring = fake.ring();
    fake.put(&[1; 8], 0);
    let busy = fake.words[1];
    fake.put(&[2; 8], BUSY);
    fake.put(&[3; 8], 0);
    assert_eq!(dense_all(&ring, 8, 10), (vec![1; 8], End::Busy));
    assert_eq!(fake.consumed(), busy);
    assert_eq!(dense_all(&ring, 8, 10), (vec![], End::Busy));
    fake.write(busy, &8_u32.to_ne_bytes());
    assert_eq!(
        dense_all(&ring, 8, 10),
        ([[2; 8], [3; 8]].concat(), End::Empty)
    );
}

#[test]
fn full_means_more_may_be_there() {
    let mut fake = Fake::new(4096, 0);
    let ring = fake.ring();
    for i in 0..10 {
        fake.put(&[i; 32], 0);
    }
    let (first, end) = dense_all(&ring, 32, 4);
    assert_eq!((first.len(), end), (128, End::Full));
    assert_eq!(fake.consumed(), 4 * 40);
    let (rest, end) = dense_all(&ring, 32, 40);
    assert_eq!((rest.len(), rest[0], end), (192, 4, End::Empty));
}

#[test]
fn a_short_record_stops_and_can_be_taken_as_it_is() {
    let mut fake = Fake::new(4096, 0);
    let ring = fake.ring();
    fake.put(&[1; 32], 0);
    fake.put(&[2; 12], 0);
    fake.put(&[3; 48], 0);
    assert_eq!(dense_all(&ring, 32, 9), (vec![1; 32], End::Short));
    assert_eq!(dense_all(&ring, 32, 9), (vec![], End::Short));
    assert_eq!(ring.take_one().unwrap(), Ok(vec![2; 12]));
    // A longer one is read up to its type's size.
    assert_eq!(dense_all(&ring, 32, 9), (vec![3; 32], End::Empty));
    assert_eq!(ring.take_one().unwrap(), Err(End::Empty));
}

#[test]
fn lengths_that_reach_beyond_the_produced_are_no_ring() {
    let mut fake = Fake::new(4096, 0);
    let ring = fake.ring();
    fake.put(&[1; 8], 0);
    fake.write(0, &4000_u32.to_ne_bytes());
    assert_eq!(dense_all(&ring, 8, 9), (vec![], End::Broken));
    fake.write(0, &(DISCARD - 1).to_ne_bytes());
    assert_eq!(dense_all(&ring, 8, 9), (vec![], End::Broken));
    fake.write(0, &(DISCARD | (DISCARD - 1)).to_ne_bytes());
    assert_eq!(ring.take_one().unwrap(), Err(End::Broken));
    assert_eq!(fake.consumed(), 0);
}

#[test]
fn mixed_records_keep_their_bytes_and_order() {
    let mut fake = Fake::new(4096, 4000);
    let ring = fake.ring();
    let contents: Vec<Vec<u8>> = (0..40_u8).map(|i| vec![i; usize::from(i % 13)]).collect();
    for content in &contents {
        fake.put(content, 0);
    }
    let mixed = ring.take_mixed(1000, 1 << 20).unwrap();
    assert_eq!(mixed.end, End::Empty);
    let got: Vec<Vec<u8>> = mixed
        .offsets
        .iter()
        .zip(&mixed.lengths)
        .map(|(at, len)| mixed.data[*at as usize..][..*len as usize].to_vec())
        .collect();
    assert_eq!(got, contents);
    assert!(mixed.offsets.iter().all(|at| at % 8 == 0));
}

#[test]
fn a_selector_sorts_by_type() {
    let mut fake = Fake::new(4096, 4080);
    let ring = fake.ring();
    let types = Types {
        offset: 2,
        size: 2,
        values: vec![(1, 0), (513, 1)],
        sizes: vec![8, 16],
    };
    for i in 0..30_u8 {
        let (kind, len) = if i % 3 == 0 { (513_u16, 20) } else { (1, 8) };
        let mut content = vec![i; len];
        content[2..4].copy_from_slice(&kind.to_ne_bytes());
        fake.put(&content, 0);
    }
    let sorted = ring.take_sorted(&types, 25).unwrap();
    assert_eq!(sorted.end, End::Full);
    assert_eq!(sorted.order[..6], [1, 0, 0, 1, 0, 0]);
    assert_eq!(
        (sorted.data[0].len(), sorted.data[1].len()),
        (16 * 8, 9 * 16)
    );
    assert_eq!(sorted.data[1][16], 3);
    let rest = ring.take_sorted(&types, 25).unwrap();
    assert_eq!((rest.order.len(), rest.end), (5, End::Empty));
    fake.put(&[9; 8], 0);
    assert_eq!(ring.take_sorted(&types, 25).unwrap().end, End::Unknown);
    assert_eq!(ring.take_one().unwrap(), Ok(vec![9; 8]));
    fake.put(&[9; 3], 0);
    assert_eq!(ring.take_sorted(&types, 25).unwrap().end, End::Short);
}

#[test]
fn leases_go_back_in_order() {
    let mut fake = Fake::new(4096, 4080);
    let ring = fake.ring();
    for i in 0..6 {
        fake.put(&[i; 16], 0);
    }
    let start = 4080;
    let first = ring.lend(2).unwrap().unwrap();
    let second = ring.lend(2).unwrap().unwrap();
    assert_eq!(
        (first.run().count, first.run().stride, first.run().length),
        (2, 24, 16)
    );
    assert_eq!(first.bytes(), 40);
    assert_eq!(unsafe { *second.run().first }, 2);
    drop(second);
    assert_eq!(fake.consumed(), start);
    // What is read meanwhile does not overtake what is lent.
    assert_eq!(dense_all(&ring, 16, 1).0, vec![4; 16]);
    assert_eq!(fake.consumed(), start);
    drop(first);
    assert_eq!(fake.consumed(), start + 5 * 24);
    let third = ring.lend(9).unwrap().unwrap();
    assert_eq!(third.run().count, 1);
    ring.close();
    assert_eq!(ring.lend(9).unwrap_err(), libc::EBADF);
    drop(third);
    assert_eq!(fake.consumed(), fake.words[1]);
}

#[test]
fn a_lease_ends_where_the_length_changes() {
    let mut fake = Fake::new(4096, 0);
    let ring = fake.ring();
    fake.put(&[0; 8], DISCARD);
    fake.put(&[1; 8], 0);
    fake.put(&[2; 8], 0);
    fake.put(&[3; 9], 0);
    fake.put(&[4; 9], DISCARD);
    let lease = ring.lend(9).unwrap().unwrap();
    assert_eq!((lease.run().count, lease.run().length), (2, 8));
    let lease = ring.lend(9).unwrap().unwrap();
    assert_eq!((lease.run().count, lease.run().length), (1, 9));
    assert_eq!(ring.lend(9).unwrap().unwrap_err(), End::Empty);
    assert_eq!(ring.discarded(), 2);
}

struct FakePerf {
    meta: Vec<u64>,
    data: Vec<u64>,
    head: u64,
}

impl FakePerf {
    fn put(&mut self, kind: u32, content: &[u8]) {
        let size = (content.len() + 8).next_multiple_of(8);
        let mut bytes = kind.to_ne_bytes().to_vec();
        bytes.extend(0_u16.to_ne_bytes());
        bytes.extend((size as u16).to_ne_bytes());
        bytes.extend(content);
        let limit = self.data.len() as u64 * 8;
        for (i, byte) in bytes.iter().enumerate() {
            let place = ((self.head + i as u64) % limit) as usize;
            unsafe { *self.data.as_mut_ptr().cast::<u8>().add(place) = *byte };
        }
        self.head += size as u64;
        self.meta[128] = self.head;
    }

    fn sample(&mut self, content: &[u8]) {
        let mut bytes = (content.len() as u32).to_ne_bytes().to_vec();
        bytes.extend(content);
        self.put(9, &bytes);
    }
}

#[test]
fn perf_records_wrap_and_losses_are_counted() {
    let mut fake = FakePerf {
        meta: vec![0; 512],
        data: vec![0; 32],
        head: 0,
    };
    let memory = PerfMemory {
        meta: fake.meta.as_mut_ptr().cast(),
        data: fake.data.as_mut_ptr().cast(),
        size: 256,
    };
    let ring = unsafe { PerfRing::over(memory, None) };
    for round in 0..20_u8 {
        fake.sample(&[round; 36]);
        fake.put(2, &[7_u64.to_ne_bytes(), 3_u64.to_ne_bytes()].concat());
        fake.put(5, &[0; 24]);
        fake.sample(&[round + 100; 44]);
        let mut out = [0; 36 * 3];
        let taken = ring.take_dense(&mut out, 36, 3).unwrap();
        assert_eq!((taken.count, taken.end), (2, End::Empty));
        assert_eq!(out[..36], [round; 36]);
        assert_eq!(out[36..72], [round + 100; 36]);
        assert_eq!(ring.lost(), 3 * (u64::from(round) + 1));
        assert_eq!(fake.meta[129], fake.head);
    }
    fake.sample(&[1; 4]);
    assert_eq!(ring.take_one().unwrap(), Ok(vec![1; 4]));
    fake.meta[128] = fake.head + 8;
    fake.data.fill(0);
    assert_eq!(ring.take_one().unwrap(), Err(End::Broken));
}

#[test]
fn a_user_ring_is_full_until_the_program_drains() {
    let mut fake = Fake::new(4096, 4096 * 3);
    let ring = Arc::new(unsafe { UserRing::over(fake.memory(), None) });
    assert_eq!(ring.reserve(4089).unwrap_err(), libc::E2BIG);
    let mut first = ring.reserve(24).unwrap();
    let dropped = ring.reserve(8).unwrap();
    let (at, len) = first.bytes();
    assert_eq!(len, 24);
    unsafe { at.write(7) };
    let header = |fake: &Fake, at: usize| fake.data[at / 8] as u32;
    assert_eq!(header(&fake, 0), 24 | BUSY);
    first.submit();
    drop(first);
    drop(dropped);
    assert_eq!((header(&fake, 0), header(&fake, 32)), (24, 8 | DISCARD));
    assert_eq!(fake.data[1] as u8, 7);
    let sent = ring.send(&[1; 24 * 200], 24).unwrap();
    assert_eq!(sent as u64, (4096 - 48) / 32);
    assert_eq!(ring.send(&[1; 24], 24).unwrap_err(), libc::ENOSPC);
    fake.words[0] = fake.words[1];
    assert_eq!((ring.waiting(), ring.send(&[1; 24], 24).unwrap()), (0, 1));
    ring.close();
    assert_eq!(ring.reserve(8).unwrap_err(), libc::EBADF);
}
