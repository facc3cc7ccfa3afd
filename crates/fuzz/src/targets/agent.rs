//! Requests of the host, read as a guest's agent reads them; nothing is done.
use std::path::Path;

use bpfsmith_agent::kind::{self, HEADER};
use bpfsmith_agent::request::Request;
use bpfsmith_agent::wire::{self, Body};

pub(super) fn run(data: &[u8]) {
    let mut rest = data;
    while let Some((head, tail)) = rest.split_first_chunk::<HEADER>() {
        let Ok((kind, length, _)) = wire::parse(*head) else {
            break;
        };
        let (body, tail) = tail.split_at(length.min(tail.len()));
        let _ = Request::parse(kind, body);
        rest = tail;
    }
    // As every kind, whatever the first frame says.
    let body = rest.get(HEADER..).unwrap_or(rest);
    for kind in 0..=u8::MAX {
        let _ = Request::parse(kind, body);
    }
}

fn frame(kind: u8, body: &Body) -> Vec<u8> {
    let mut frame = wire::header(kind, 7, body.0.len()).to_vec();
    frame.extend_from_slice(&body.0);
    frame
}

pub(super) fn seeds(more: Option<&Path>) -> Vec<Vec<u8>> {
    let made = |kind: u8, fill: &dyn Fn(&mut Body)| {
        let mut body = Body::new();
        fill(&mut body);
        frame(kind, &body)
    };
    let mut all = vec![
        made(kind::HELLO, &|_| {}),
        made(kind::CLOCK, &|body| {
            body.i64(1).u32(2).bytes(b"seed");
        }),
        made(kind::BPF, &|body| {
            body.u32(15).bytes(&[0; 16]).u32(1);
            body.u32(8).u8(1).u32(64).bytes(&[1; 24]).u32(1).u32(16);
        }),
        made(kind::CLOSE, &|body| {
            body.i32(5).i32(6);
        }),
        made(kind::MAP_DUMP, &|body| {
            body.i32(3).u32(24).u64(0);
            body.u32(4).u32(8).u32(16).u32(8).u32(64).u64(0).u8(0);
        }),
        made(kind::MAP_UPDATE, &|body| {
            body.i32(3).u64(0).u8(1).u32(2).u32(4).u32(4).raw(&[0; 16]);
        }),
        made(kind::WRITE_FILE, &|body| {
            body.u8(3).u32(0o644).bytes(b"/tmp/x").raw(b"data");
        }),
        made(kind::SYMBOLS, &|body| {
            body.u8(1).bytes(b"vmlinux").bytes(b"bpf_prog_load");
        }),
        made(kind::EXEC, &|body| {
            body.u8(1).raw(&[24, 0, 80, 0]).bytes(b"/").u32(2);
            body.bytes(b"/bin/true").bytes(b"x").u32(1).bytes(b"A=b");
        }),
    ];
    for plan in super::plan::seeds(more) {
        all.push(made(kind::REPLAY, &|body| {
            body.u32(1).u64(1 << 20).u32(1).u32(0).i32(3).raw(&plan);
        }));
    }
    let stream = all.concat();
    all.push(stream);
    all
}
