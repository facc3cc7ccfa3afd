//! Files of the guest, as bytes.
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::request::Write;
use crate::serve::Out;
use crate::wire::Body;

const CREATE: u8 = 1;
const TRUNCATE: u8 = 2;
const APPEND: u8 = 4;
const FOLDERS: u8 = 8;

#[must_use]
pub fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// All of a file, in pieces as it is read.
///
/// # Errors
/// As the kernel says, for all here.
pub fn read(name: &[u8], out: &mut Out<'_>) -> io::Result<()> {
    let mut file = File::open(path(name))?;
    // Some kernel files answer another text for small reads.
    let mut room = vec![0; 64 << 10];
    loop {
        match file.read(&mut room) {
            Ok(0) => return Ok(()),
            Ok(got) => out.put(room.get(..got).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// One write where it can be: kernel files take a command per system call.
pub fn write(told: &Write<'_>) -> io::Result<()> {
    let name = path(told.path);
    if let (true, Some(folder)) = (told.flags & FOLDERS != 0, name.parent()) {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create(told.flags & CREATE != 0)
        .truncate(told.flags & TRUNCATE != 0)
        .append(told.flags & APPEND != 0)
        .mode(told.mode)
        .open(name)?;
    file.write_all(told.data)
}

pub fn list(name: &[u8], out: &mut Out<'_>) -> io::Result<()> {
    for entry in fs::read_dir(path(name))? {
        let mut body = Body::new();
        body.bytes(entry?.file_name().as_bytes());
        out.put(&body.0);
    }
    Ok(())
}

pub fn stat(name: &[u8], follow: bool, out: &mut Out<'_>) -> io::Result<()> {
    let told = if follow {
        fs::metadata(path(name))?
    } else {
        fs::symlink_metadata(path(name))?
    };
    let mut body = Body::new();
    body.u64(told.dev()).u64(told.ino()).u32(told.mode());
    body.u64(told.nlink()).u32(told.uid()).u32(told.gid());
    body.u64(told.size()).i64(told.atime()).i64(told.mtime());
    body.i64(told.ctime());
    out.put(&body.0);
    Ok(())
}
