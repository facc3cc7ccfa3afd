//! Bytes to lines.

/// Who takes the lines.
pub(crate) trait Sink {
    fn line(&mut self, line: &str);
}

/// A line longer than this is cut.
const LONGEST: usize = 1 << 20;

#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    rest: Vec<u8>,
}

impl Cleaner {
    pub(crate) fn feed(&mut self, mut data: &[u8], sink: &mut dyn Sink) {
        while let Some(at) = data.iter().position(|byte| *byte == b'\n') {
            let (line, after) = data.split_at(at);
            data = after.get(1..).unwrap_or(&[]);
            if self.rest.is_empty() {
                self.raw(line, sink);
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(line);
                self.raw(&whole, sink);
            }
        }
        let room = LONGEST.saturating_sub(self.rest.len());
        self.rest
            .extend_from_slice(data.get(..room.min(data.len())).unwrap_or(&[]));
    }

    pub(crate) fn finish(&mut self, sink: &mut dyn Sink) {
        if !self.rest.is_empty() {
            let whole = std::mem::take(&mut self.rest);
            self.raw(&whole, sink);
        }
    }

    fn raw(&mut self, line: &[u8], sink: &mut dyn Sink) {
        let line = line.get(..line.len().min(LONGEST)).unwrap_or(&[]);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match std::str::from_utf8(line) {
            Ok(text) => sink.line(text),
            Err(_) => sink.line(&String::from_utf8_lossy(line)),
        }
    }
}
