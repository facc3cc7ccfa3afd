//! Where one load ends and the next begins when only counts tell it: a load that was refused before its first
//! instruction says a line or two, and its counts.
use super::Taker;
use crate::lines::{Kind, classify, leading};
use crate::words;

/// Lines in front of the counts that may be the verifier's words.
const SAID: u32 = 16;

impl Taker {
    /// Before a line of counts is taken: whether it is one of this load again, which says nothing new.
    ///
    /// Counts behind the counts are another load's, as are those that know of no instruction behind a load that has some.
    pub(super) fn counts_anew(&mut self, line: &str) -> bool {
        let processed = line
            .strip_prefix("processed ")
            .and_then(|rest| leading(rest.as_bytes()))
            .map(|(number, _)| number);
        let other = !self.load.steps.is_empty() && processed == Some(0);
        if !self.counted && !self.closed && !other {
            return false;
        }
        let first = self.said_before();
        if first == self.text.len() {
            let again = (self.load.first..first)
                .any(|at| self.text.kind(at) == Some(Kind::Count) && self.text.line(at) == line);
            // The rest of what a load counted: `stack depth 8` behind `processed ..`.
            if again || self.counted && processed.is_none() && !line.starts_with("verification ") {
                return again;
            }
        }
        self.recall();
        let mut moved = Vec::new();
        for at in first..self.text.len() {
            match self.text.kind(at) {
                Some(Kind::Count) => moved.push(self.text.line(at).to_owned()),
                Some(Kind::Beside) => {
                    if let Some(one) = self.text.lines.get_mut(at as usize) {
                        one.kind = Kind::Told;
                    }
                }
                _ => {}
            }
        }
        if !moved.is_empty() {
            self.load.counts.remove("usec");
            self.load.stack = None;
        }
        self.load.told.retain(|at| *at < first);
        self.load.beside.retain(|at| *at < first);
        let end = self.text.len();
        self.close(first);
        self.load.told = (first..end)
            .filter(|at| self.text.kind(*at) == Some(Kind::Told))
            .collect();
        for one in moved {
            crate::finish::count(&mut self.load, &one);
        }
        false
    }

    /// The first of the lines right in front of the end that are words, or counts but for the one that ends a load.
    fn said_before(&self) -> u32 {
        let end = self.text.len();
        let least = self.load.first.max(end.saturating_sub(SAID));
        let mut first = end;
        for at in (least..end).rev() {
            let line = self.text.line(at);
            let mine = match self.text.kind(at) {
                Some(Kind::Count) => !line.starts_with("processed ") && !self.counted,
                Some(Kind::Told | Kind::Beside) => {
                    let line = line.trim();
                    line.contains(' ')
                        && classify(line.as_bytes()).0 == Kind::Told
                        && !line.ends_with(':')
                        && !line.starts_with(['`', '~', '$', '#'])
                        && words::said(line).is_none()
                }
                _ => false,
            };
            if !mine {
                break;
            }
            first = at;
        }
        // Counts alone are no words.
        let words = (first..end).any(|at| self.text.kind(at) != Some(Kind::Count));
        if words || self.load.steps.is_empty() || self.counted {
            first
        } else {
            end
        }
    }
}
