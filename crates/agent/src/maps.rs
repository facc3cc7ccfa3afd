//! Whole maps at once: their entries read, put and deleted.
use bpfsmith_sys::batch::{self, Column, Layout};

use crate::inbox::Gone;
use crate::request::{Change, Dump};
use crate::serve::Out;
use crate::wire::Body;

/// Every entry.
///
/// # Errors
/// The channel is gone.
pub fn dump(mut out: Out<'_>, told: &Dump) -> Result<(), Gone> {
    let layout = Layout {
        key: told.key,
        value: told.value,
        row: told.row,
        value_at: told.value_at,
    };
    let found = if told.command == 0 {
        batch::dump_each(told.fd, layout, told.flags, told.most)
    } else {
        let Dump {
            fd,
            command,
            flags,
            chunk,
            most,
            unique,
            ..
        } = *told;
        batch::dump(fd, command, layout, flags, chunk, most, unique)
    };
    let mut body = Body::new();
    body.i32(found.errno).u64(found.calls).u64(found.repeated);
    out.put(&body.0);
    out.put(&found.data);
    out.done()
}

/// Puts entries, or deletes them.
///
/// # Errors
/// The channel is gone.
pub fn change(mut out: Out<'_>, told: &Change<'_>, delete: bool) -> Result<(), Gone> {
    let column = |data, size| Column {
        data,
        size,
        stride: size,
    };
    let (keys, values) = (column(told.keys, told.key), column(told.values, told.value));
    let done = if delete {
        batch::delete(told.fd, keys, told.count, told.batch)
    } else if told.batch {
        batch::update(told.fd, keys, values, told.count, told.flags)
    } else {
        batch::update_each(told.fd, keys, values, told.count, told.flags)
    };
    let mut body = Body::new();
    body.u64(done.done as u64).u64(done.missing as u64);
    body.i32(done.errno).u64(done.calls);
    out.put(&body.0);
    out.done()
}
