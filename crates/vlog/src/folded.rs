//! Lines that were folded with their prefix: what goes on in the next line has none.
use crate::clean::WIDTHS;

/// How a paste was folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fold {
    width: usize,
}

fn columns(line: &str) -> usize {
    line.chars().count()
}

impl Fold {
    /// lines: (line, whether it has the prefix).
    pub(crate) fn of(lines: &[(&str, bool)]) -> Option<Self> {
        let width = lines
            .iter()
            .filter(|(_, prefixed)| *prefixed)
            .map(|(line, _)| columns(line))
            .max()?;
        if !WIDTHS.contains(&width) {
            return None;
        }
        let fold = Self { width };
        let (mut behind, mut fits) = (0, 0);
        let mut within = false;
        for pair in lines.windows(2) {
            let [(line, prefixed), (next, other)] = pair else {
                continue;
            };
            within |= prefixed;
            if !within || *other {
                continue;
            }
            if next.trim().is_empty() {
                within = false;
                continue;
            }
            behind += 1;
            if fold.goes_on(line, next) {
                fits += 1;
            } else {
                within = false;
            }
        }
        (fits >= 2 && fits * 4 >= behind * 3).then_some(fold)
    }

    /// Whether a line without the prefix is the rest of the one before: that was full, or had no room for its first word.
    pub(crate) fn goes_on(self, line: &str, next: &str) -> bool {
        if next.is_empty() {
            return false;
        }
        let room = self.width.saturating_sub(columns(line));
        // Blanks at the end of a piece are lost in copying: the next begins with more of them.
        let word = next.split([' ', '\t']).next().unwrap_or("");
        room == 0
            || columns(word) + usize::from(!line.ends_with(' ')) > room
            || next.trim_start().starts_with("; ") && next.starts_with(' ')
    }

    /// Puts the rest behind the line.
    pub(crate) fn join(self, line: &mut String, last: &str, next: &str) {
        if columns(last) < self.width && !line.ends_with(' ') && !next.starts_with(' ') {
            line.push(' ');
        }
        line.push_str(next);
    }
}
