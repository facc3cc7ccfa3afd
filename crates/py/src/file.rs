//! Reading a whole file.
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use bpfsmith_btf::Bytes;
use memmap2::{Advice, MmapMut};

/// From this size on huge pages are asked for: a page fault per 4 KiB takes longer than reading and parsing.
const HUGE_FROM: u64 = 1 << 20;
const HUGE: usize = 2 << 20;
/// No object or BTF is as large; more is not read.
const MOST: u64 = 1 << 30;

/// A file read into memory of its own.
struct Copied {
    memory: MmapMut,
    len: usize,
}

impl AsRef<[u8]> for Copied {
    fn as_ref(&self) -> &[u8] {
        self.memory.get(..self.len).unwrap_or_default()
    }
}

/// The file's bytes. They are copied: were the file mapped, somebody who shortens it meanwhile would end the process.
pub(crate) fn read(path: &Path) -> std::io::Result<Bytes> {
    // Asked before it is opened: opening a FIFO waits for somebody who writes into it.
    if !std::fs::metadata(path)?.file_type().is_file() {
        return Err(Error::other(
            "it is not a regular file; save what it gives to one first",
        ));
    }
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > MOST {
        return Err(Error::other(
            "it is larger than 1 GiB, which no BPF object and no BTF is",
        ));
    }
    if (HUGE_FROM..MOST).contains(&size)
        && let Some(bytes) = read_huge(&mut file, size as usize)?
    {
        return Ok(bytes);
    }
    file.rewind()?;
    // Only a hint: the size of a file in procfs or sysfs may be 0 or wrong.
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default().min(64 << 20) + 1);
    file.read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// `None` when there is no such memory, or when the file has another size by now; then it is to be read anew.
fn read_huge(file: &mut File, len: usize) -> std::io::Result<Option<Bytes>> {
    let Ok(mut memory) = MmapMut::map_anon(len.next_multiple_of(HUGE)) else {
        return Ok(None);
    };
    // Without them it is only slower.
    let _ = memory.advise(Advice::HugePage);
    let place = memory.get_mut(..len).unwrap_or_default();
    match file.read_exact(place) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(Bytes::from_owner(Arc::new(Copied { memory, len }))))
}
