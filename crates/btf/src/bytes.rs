//! Shared bytes and bounds-checked integers of either byte order.
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Bytes that many readers share without copying: a heap block, or anything else that stays put (a mapped file).
#[derive(Clone)]
pub struct Bytes {
    source: Source,
    start: usize,
    end: usize,
}

#[derive(Clone)]
enum Source {
    Heap(Arc<[u8]>),
    Vec(Arc<Vec<u8>>), // Without a copy, and without the indirect call of `Other`.
    Other(Arc<dyn AsRef<[u8]> + Send + Sync>),
}

impl Bytes {
    /// Shares memory owned by something else, such as a mapped file.
    #[must_use]
    pub fn from_owner(owner: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Self {
        let end = (*owner).as_ref().len();
        Self {
            source: Source::Other(owner),
            start: 0,
            end,
        }
    }

    /// A part of these bytes, still shared; clamped to what is there.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        let end = self.start.saturating_add(range.end).min(self.end);
        let start = self.start.saturating_add(range.start).min(end);
        Self {
            source: self.source.clone(),
            start,
            end,
        }
    }

    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        let whole: &[u8] = match &self.source {
            Source::Heap(bytes) => bytes,
            Source::Vec(bytes) => bytes,
            Source::Other(owner) => (**owner).as_ref(),
        };
        whole.get(self.start..self.end).unwrap_or_default()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.len())
    }
}

impl From<Arc<[u8]>> for Bytes {
    fn from(bytes: Arc<[u8]>) -> Self {
        let end = bytes.len();
        Self {
            source: Source::Heap(bytes),
            start: 0,
            end,
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        Self {
            source: Source::Vec(Arc::new(bytes)),
            start: 0,
            end,
        }
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Arc::<[u8]>::from(bytes).into()
    }
}

#[inline]
pub(crate) fn u16_at(bytes: &[u8], at: usize, big: bool) -> Option<u16> {
    let raw: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
    Some(if big {
        u16::from_be_bytes(raw)
    } else {
        u16::from_le_bytes(raw)
    })
}

#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize, big: bool) -> Option<u32> {
    let raw: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(if big {
        u32::from_be_bytes(raw)
    } else {
        u32::from_le_bytes(raw)
    })
}
