//! Decompression of what kernels come in: the payload of a boot image, modules, packages and their indexes.
//!
//! One reader per [`Kind`], over any bytes; [`decompress`] for what fits into memory, with a bound. Bytes after the end
//! of the stream are ignored: the kernel's build appends the payload's size to it.
mod lz4;
mod zstd;

use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};

/// What a hostile header may make a decoder set aside, in KiB: `xz -9` takes 65 MB, the kernel's `zstd -22` 128 MiB.
const MEMORY_KIB: u32 = 256 << 10;

/// A way of compressing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Gzip,
    Zlib,
    Xz,
    /// The format before xz: `.lzma`.
    Lzma,
    Bzip2,
    /// Frames, and the older format kernels use.
    Lz4,
    Zstd,
}

impl Kind {
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Gzip, "gzip"),
        (Self::Zlib, "zlib"),
        (Self::Xz, "xz"),
        (Self::Lzma, "lzma"),
        (Self::Bzip2, "bzip2"),
        (Self::Lz4, "lz4"),
        (Self::Zstd, "zstd"),
    ];

    /// `xz` -> [`Kind::Xz`].
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find_map(|(kind, known)| (*known == name).then_some(*kind))
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find_map(|(kind, name)| (*kind == self).then_some(*name))
            .unwrap_or_default()
    }

    /// What the first bytes say; zlib has no magic number.
    #[must_use]
    pub fn of(data: &[u8]) -> Option<Self> {
        let starts: [(&[u8], Self); 7] = [
            (&[0x1f, 0x8b], Self::Gzip),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Self::Xz),
            (&[0x5d, 0, 0], Self::Lzma),
            (b"BZh", Self::Bzip2),
            (&lz4::LEGACY, Self::Lz4),
            (&lz4::FRAME, Self::Lz4),
            (&zstd::MAGIC, Self::Zstd),
        ];
        starts
            .iter()
            .find_map(|(magic, kind)| data.starts_with(magic).then_some(*kind))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why [`decompress`] gave nothing.
#[derive(Debug)]
pub enum Error {
    /// More than so many bytes would come out.
    Limit(usize),
    /// The stream ends before its end.
    Truncated,
    /// It is not such a stream, or it was changed.
    Corrupt(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(limit) => write!(f, "it unpacks to more than {limit} bytes"),
            Self::Truncated => f.write_str("it is cut off"),
            Self::Corrupt(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        if error.kind() == ErrorKind::UnexpectedEof {
            return Self::Truncated;
        }
        Self::Corrupt(error.to_string())
    }
}

/// Reads what `source` unpacks to.
///
/// # Errors
/// When the stream's header is not one of that kind.
pub fn reader<'a, R: Read + Send + 'a>(
    kind: Kind,
    source: R,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let source = BufReader::with_capacity(1 << 16, source);
    Ok(match kind {
        Kind::Gzip => Box::new(flate2::bufread::GzDecoder::new(source)),
        Kind::Zlib => Box::new(flate2::bufread::ZlibDecoder::new(source)),
        Kind::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(
            source, false, MEMORY_KIB,
        )),
        Kind::Lzma => Box::new(lzma_rust2::LzmaReader::new_mem_limit(
            source, MEMORY_KIB, None,
        )?),
        Kind::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(source)),
        Kind::Lz4 => lz4::reader(source)?,
        Kind::Zstd => Box::new(zstd::Frames::new(source)),
    })
}

/// All of it, at most `limit` bytes.
///
/// # Errors
/// See [`Error`].
pub fn decompress(kind: Kind, data: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    reader(kind, data)?
        .take(limit as u64 + 1)
        .read_to_end(&mut out)?;
    if out.len() > limit {
        return Err(Error::Limit(limit));
    }
    Ok(out)
}

/// Fills `buffer` as far as the source goes; how much that was.
fn fill(source: &mut impl BufRead, buffer: &mut [u8]) -> io::Result<usize> {
    let mut have = 0;
    while let Some(rest) = buffer.get_mut(have..)
        && !rest.is_empty()
    {
        match source.read(rest) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
}

#[cfg(test)]
mod tests;
