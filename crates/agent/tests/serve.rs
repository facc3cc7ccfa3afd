//! A worker's loop over a socket, without a guest: what is sent is answered, and nothing that is sent ends it with a panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bpfsmith_agent::exec::Job;
use bpfsmith_agent::inbox::{Gone, Inbox};
use bpfsmith_agent::kind::{self, HEADER};
use bpfsmith_agent::request::{Request, answered};
use bpfsmith_agent::serve::{Hands, Out, serve};
use bpfsmith_agent::wire;

/// Answers paths with themselves and everything else with nothing: no request does anything here.
struct Echo;

impl Hands for Echo {
    fn work(
        &mut self,
        request: Request<'_>,
        mut out: Out<'_>,
        _: &mut Vec<Job>,
    ) -> Result<(), Gone> {
        match request {
            Request::ReadFile(path) => out.put(path),
            Request::Close(_)
            | Request::Input { .. }
            | Request::Signal { .. }
            | Request::Resize { .. } => return Ok(()),
            _ => {}
        }
        out.done()
    }
}

/// Sends it all, ends the stream, and answers what came back.
fn exchange(sent: &[u8], limit: usize) -> Vec<u8> {
    let (mut host, guest) = UnixStream::pair().unwrap();
    host.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let served = std::thread::spawn(move || {
        let mut inbox = Inbox::new(guest.as_raw_fd()).unwrap();
        serve(&mut inbox, limit, &mut Echo);
    });
    let mut reader = host.try_clone().unwrap();
    let read = std::thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).map(|_| all)
    });
    let _ = host.write_all(sent); // It may hang up on what is no frame.
    let _ = host.shutdown(Shutdown::Write);
    served.join().expect("the worker panicked");
    drop(host);
    // Reset: it hung up before it had read everything.
    read.join().unwrap().unwrap_or_default()
}

fn frame(kind: u8, id: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = wire::header(kind, id, body.len()).to_vec();
    frame.extend_from_slice(body);
    frame
}

/// (kind, id, body) of each frame.
fn frames(mut data: &[u8]) -> Vec<(u8, u32, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some((head, rest)) = data.split_first_chunk::<HEADER>() {
        let (kind, length, id) = wire::parse(*head).unwrap();
        found.push((kind, id, rest[..length].to_vec()));
        data = &rest[length..];
    }
    found
}

#[test]
fn long_answers_come_in_parts() {
    let body: Vec<u8> = (0..100_000_u32).map(|at| at as u8).collect();
    let told = frames(&exchange(&frame(kind::READ_FILE, 9, &body), 1 << 20));
    let (last, parts) = told.split_last().unwrap();
    assert!(
        parts
            .iter()
            .all(|(kind, id, _)| (*kind, *id) == (kind::PART, 9))
    );
    assert_eq!((last.0, last.1), (kind::DONE, 9));
    let whole: Vec<u8> = told.iter().flat_map(|(_, _, body)| body.clone()).collect();
    assert_eq!(whole, body);
}

#[test]
fn what_is_too_large_is_skipped() {
    let large = frame(kind::READ_FILE, 1, &[b'x'; 5000]);
    let sent = [large, frame(kind::READ_FILE, 2, b"small")].concat();
    let told = frames(&exchange(&sent, 100));
    let limit = 100_u64.to_le_bytes().to_vec();
    assert_eq!(told[0], (kind::TOO_LARGE, 1, limit));
    assert_eq!(told[1], (kind::DONE, 2, b"small".to_vec()));
}

#[test]
fn malformed_requests_are_answered() {
    let sent = [
        frame(200, 1, b""),
        frame(kind::BPF, 2, b"\x01"),
        frame(kind::CLOSE, 0, b"\x01"),
        frame(kind::SYNC, 3, b""),
    ];
    assert!(!answered(kind::CLOSE));
    let told = frames(&exchange(&sent.concat(), 1000));
    let kinds: Vec<(u8, u32)> = told.iter().map(|(kind, id, _)| (*kind, *id)).collect();
    let wrong = kind::UNREADABLE;
    assert_eq!(kinds, [(wrong, 1), (wrong, 2), (kind::DONE, 3)]);
}

#[test]
fn random_bytes_only_end_it() {
    // xorshift: the same bytes on every machine.
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..200 {
        let mut sent: Vec<u8> = (0..next() % 300).map(|_| next() as u8).collect();
        if round % 2 == 0 {
            // Behind a sound header, of any kind, with a length that may be a lie.
            let length = sent.len() + (next() % 3) as usize * 1000;
            sent = [&wire::header(next() as u8, 5, length)[..], &sent].concat();
        }
        exchange(&sent, 1 << 16);
    }
}
