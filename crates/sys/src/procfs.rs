//! Two kernel files that need care: the CPUs a per-CPU value has room for, and kallsyms.
use std::collections::HashMap;
use std::fs::File;
use std::io::{Error, ErrorKind, Read};

use memchr::{memchr, memrchr};

/// How many CPUs a list such as `0-3,8` names; `None` when it is no such list.
#[must_use]
pub fn count_cpus(list: &str) -> Option<usize> {
    let mut count = 0_usize;
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: u32 = first.parse().ok()?;
        let last: u32 = last.parse().ok()?;
        count = count.checked_add(last.checked_sub(first)? as usize + 1)?;
    }
    Some(count)
}

/// CPUs a per-CPU value has room for.
///
/// # Errors
/// When sysfs cannot be read, or says something unknown.
pub fn possible_cpus() -> std::io::Result<usize> {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/possible")?;
    count_cpus(&list).ok_or_else(|| Error::new(ErrorKind::InvalidData, "no list of CPUs"))
}

/// (address, module or "") by wanted name, in the file's order.
pub type Symbols = HashMap<Vec<u8>, Vec<(u64, String)>>;

/// Looks names up in a text of `address type name[\t[module]]` lines, fed in pieces.
#[derive(Debug)]
pub struct Search<'a> {
    found: Symbols,
    /// `Some("")`: the kernel itself.
    module: Option<&'a [u8]>,
    /// Lengths and first bytes that are wanted at all: nearly every line is skipped by them.
    lengths: [u64; 8],
    firsts: [bool; 256],
}

impl<'a> Search<'a> {
    #[must_use]
    pub fn new<N: AsRef<[u8]>>(names: &[N], module: Option<&'a str>) -> Self {
        let mut search = Self {
            found: HashMap::with_capacity(names.len()),
            module: module.map(str::as_bytes),
            lengths: [0; 8],
            firsts: [false; 256],
        };
        for name in names {
            let name = name.as_ref();
            if let (Some(word), Some(first)) = (
                search.lengths.get_mut(name.len() / 64 % 8),
                name.first()
                    .and_then(|byte| search.firsts.get_mut(usize::from(*byte))),
            ) {
                *word |= 1 << (name.len() % 64);
                *first = true;
                search.found.insert(name.to_vec(), Vec::new());
            }
        }
        search
    }

    fn line(&mut self, line: &[u8]) {
        // Addresses are of fixed width, 16 digits here; then `_T_`.
        let Some(space) = memchr(b' ', line) else {
            return;
        };
        let Some(name) = line.get(space + 3..) else {
            return;
        };
        let first = name.first().copied().unwrap_or(0);
        if !self.firsts.get(usize::from(first)).is_some_and(|is| *is) {
            return;
        }
        let (name, module) = match memchr(b'\t', name) {
            Some(tab) => (
                name.get(..tab).unwrap_or_default(),
                name.get(tab + 1..).unwrap_or_default(),
            ),
            None => (name, &[][..]),
        };
        let word = self
            .lengths
            .get(name.len() / 64 % 8)
            .copied()
            .unwrap_or_default();
        if word & 1 << (name.len() % 64) == 0 {
            return;
        }
        let Some(places) = self.found.get_mut(name) else {
            return;
        };
        let module = module
            .strip_prefix(b"[")
            .and_then(|rest| rest.strip_suffix(b"]"))
            .unwrap_or(module);
        if self.module.is_some_and(|wanted| wanted != module) {
            return;
        }
        let digits = line.get(..space).and_then(|d| std::str::from_utf8(d).ok());
        if let Some(address) = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
            places.push((address, String::from_utf8_lossy(module).into_owned()));
        }
    }

    /// Whole lines; what stands behind the last newline is looked at too.
    pub fn feed(&mut self, mut text: &[u8]) {
        while let Some(end) = memchr(b'\n', text) {
            self.line(text.get(..end).unwrap_or_default());
            text = text.get(end + 1..).unwrap_or_default();
        }
        if !text.is_empty() {
            self.line(text);
        }
    }

    #[must_use]
    pub fn finish(self) -> Symbols {
        self.found
    }
}

/// One pass over /proc/kallsyms; names that are not there have no places.
///
/// # Errors
/// When it cannot be read.
pub fn kernel_symbols<N: AsRef<[u8]>>(
    names: &[N],
    module: Option<&str>,
) -> std::io::Result<Symbols> {
    let mut search = Search::new(names, module);
    let mut file = File::open("/proc/kallsyms")?;
    let mut buffer = vec![0_u8; 256 << 10];
    let mut kept = 0;
    loop {
        let Some(room) = buffer.get_mut(kept..).filter(|room| !room.is_empty()) else {
            return Err(Error::new(ErrorKind::InvalidData, "a line of 256 KiB"));
        };
        let count = match file.read(room) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let filled = kept + count;
        let text = buffer.get(..filled).unwrap_or_default();
        let whole = memrchr(b'\n', text).map_or(0, |end| end + 1);
        search.feed(text.get(..whole).unwrap_or_default());
        buffer.copy_within(whole..filled, 0);
        kept = filled - whole;
    }
    search.feed(buffer.get(..kept).unwrap_or_default());
    Ok(search.finish())
}
