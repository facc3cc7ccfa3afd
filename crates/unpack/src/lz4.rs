//! LZ4: frames by the library, and the older format (`lz4 -l`), blocks of 8 MiB, which kernels are built with.
use std::io::{self, BufRead, Error, ErrorKind, Read};

use crate::fill;

pub(crate) const FRAME: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
pub(crate) const LEGACY: [u8; 4] = 0x184c_2102_u32.to_le_bytes();
/// What a block of the older format unpacks to, all but the last one.
const BLOCK: usize = 8 << 20;

/// The reader its first bytes ask for.
pub(crate) fn reader<'a>(
    mut source: impl BufRead + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut magic = [0; 4];
    if fill(&mut source, &mut magic)? < magic.len() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    if magic == LEGACY {
        return Ok(Box::new(Blocks {
            source,
            packed: Vec::new(),
            block: Vec::new(),
            at: 0,
            ended: false,
        }));
    }
    let whole = io::Cursor::new(magic).chain(source);
    Ok(Box::new(lz4_flex::frame::FrameDecoder::new(whole)))
}

struct Blocks<R> {
    source: R,
    packed: Vec<u8>,
    block: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: BufRead> Blocks<R> {
    /// The next block; false at the end.
    fn advance(&mut self) -> io::Result<bool> {
        let mut length = [0; 4];
        loop {
            match fill(&mut self.source, &mut length)? {
                4 if length == LEGACY => {} // streams one after the other
                4 => break,
                0 => return Ok(false),
                _ => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
        // Those last four bytes are the size of it all, which the kernel's build appends.
        if self.source.fill_buf()?.is_empty() || length == [0; 4] {
            return Ok(false);
        }
        let length = u32::from_le_bytes(length) as usize;
        if length > lz4_flex::block::get_maximum_output_size(BLOCK) {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "an lz4 block is too large",
            ));
        }
        self.packed.resize(length, 0);
        if fill(&mut self.source, &mut self.packed)? < length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.block.resize(BLOCK, 0);
        let count = lz4_flex::block::decompress_into(&self.packed, &mut self.block)
            .map_err(|error| Error::new(ErrorKind::InvalidData, error.to_string()))?;
        self.block.truncate(count);
        self.at = 0;
        Ok(true)
    }
}

impl<R: BufRead> Read for Blocks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.block.len() {
            if self.ended || !self.advance()? {
                self.ended = true;
                return Ok(0);
            }
        }
        let mut rest = self.block.get(self.at..).unwrap_or_default();
        let count = rest.read(buffer)?;
        self.at += count;
        Ok(count)
    }
}
