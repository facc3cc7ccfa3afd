//! Zstandard: frames one after the other, their checksums held.
use std::io::{self, BufRead, Cursor, Error, ErrorKind, Read};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::{MEMORY_KIB, fill};

pub(crate) const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// `0x184d2a50..=0x184d2a5f`: frames that hold nothing to unpack.
const SKIPPED: u32 = 0x0184_d2a5;

pub(crate) struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    First,
    Inside,
    Between,
    Ended,
}

impl<R: BufRead> Frames<R> {
    pub(crate) fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(u64::from(MEMORY_KIB) << 10);
        Self {
            source,
            decoder,
            state: State::First,
        }
    }

    /// The library's errors do not tell a short stream from a broken one.
    fn because(&mut self, error: impl std::fmt::Display) -> Error {
        match self.source.fill_buf() {
            Ok([]) => ErrorKind::UnexpectedEof.into(),
            _ => Error::new(ErrorKind::InvalidData, error.to_string()),
        }
    }

    /// Enters the next frame, or ends: what follows the last frame is not ours.
    fn enter(&mut self) -> io::Result<()> {
        let mut word = [0; 4];
        let have = fill(&mut self.source, &mut word)?;
        if have == 4 && word == MAGIC {
            let whole = Cursor::new(word).chain(&mut self.source);
            if let Err(error) = self.decoder.reset(whole) {
                return Err(self.because(error));
            }
            self.state = State::Inside;
        } else if have == 4 && u32::from_le_bytes(word) >> 4 == SKIPPED {
            let length = match fill(&mut self.source, &mut word)? {
                4 => u64::from(u32::from_le_bytes(word)),
                _ => return Err(ErrorKind::UnexpectedEof.into()),
            };
            if io::copy(&mut (&mut self.source).take(length), &mut io::sink())? < length {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        } else if self.state == State::First {
            return Err(match have {
                4 => Error::new(ErrorKind::InvalidData, "it is no zstd stream"),
                _ => ErrorKind::UnexpectedEof.into(),
            });
        } else {
            self.state = State::Ended;
        }
        Ok(())
    }

    /// The frame is at its end: was it what was packed?
    fn leave(&mut self) -> io::Result<()> {
        let said = self.decoder.get_checksum_from_data();
        if said.is_some() && said != self.decoder.get_calculated_checksum() {
            return Err(Error::new(ErrorKind::InvalidData, "its checksum is wrong"));
        }
        self.state = State::Between;
        Ok(())
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.state {
                State::Ended => return Ok(0),
                State::First | State::Between => self.enter()?,
                State::Inside => {
                    let count = self.decoder.read(buffer)?;
                    if count > 0 {
                        return Ok(count);
                    }
                    if self.decoder.is_finished() {
                        self.leave()?;
                    } else if let Err(error) = self
                        .decoder
                        .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                    {
                        return Err(self.because(error));
                    }
                }
            }
        }
    }
}
