//! The report in sections that 7.3 adds behind the message.
use crate::lines::leading;

/// Its sections, by heading.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub category: String,
    pub reason: String,
    pub at: String,
    pub slot: Option<u32>,
    /// (slot, text) by entry.
    pub path: Vec<(Option<u32>, String)>,
    pub suggestion: String,
    section: Section,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Section {
    #[default]
    None,
    Reason,
    At,
    Path,
    Suggestion,
    Other,
}

const HEADING: &str = "Verification failed";

/// Whether a line goes on with a report: indented, empty, or a heading.
pub(crate) fn goes_on(line: &str) -> bool {
    line.is_empty() || line.starts_with([' ', '\t']) || heading(line) != Section::None
}

fn heading(line: &str) -> Section {
    match line.split(':').next() {
        Some("Reason") => Section::Reason,
        Some("At") => Section::At,
        Some("Causal path") => Section::Path,
        Some("Suggestion") => Section::Suggestion,
        // `Active lock:`, and what later kernels may add.
        Some(word) if is_heading(line, word) => Section::Other,
        _ => Section::None,
    }
}

fn is_heading(line: &str, word: &str) -> bool {
    line.len() == word.len() + 1
        && word.len() < 40
        && word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.bytes().all(|b| b.is_ascii_alphabetic() || b == b' ')
}

impl Report {
    pub(crate) fn begin(line: &str) -> Self {
        let category = line.strip_prefix(HEADING).unwrap_or(line);
        Self {
            category: category.trim_start_matches(':').trim().to_owned(),
            ..Self::default()
        }
    }

    /// Takes the next line.
    pub(crate) fn line(&mut self, line: &str) {
        let section = heading(line);
        let text = if section == Section::None {
            line
        } else {
            self.section = section;
            line.split_once(':').map_or("", |(_, rest)| rest)
        };
        let trimmed = text.trim();
        match self.section {
            Section::None | Section::Other => {}
            Section::Reason => join(&mut self.reason, trimmed),
            Section::Suggestion => join(&mut self.suggestion, trimmed),
            Section::At => {
                if self.at.is_empty() {
                    trimmed.clone_into(&mut self.at);
                }
                if let Some(slot) = marked(trimmed) {
                    self.slot = Some(slot);
                }
            }
            Section::Path => self.path_line(text, trimmed),
        }
    }

    fn path_line(&mut self, text: &str, trimmed: &str) {
        let indent = text.len() - text.trim_start().len();
        if trimmed.is_empty() || trimmed.ends_with(" context:") {
            return;
        }
        if let Some(slot) = marked(trimmed) {
            if let Some(last) = self.path.last_mut() {
                last.0 = Some(slot);
            }
            return;
        }
        if let Some((_, note)) = trimmed.split_once("^--") {
            if let Some(last) = self.path.last_mut() {
                last.1.push_str(": ");
                last.1.push_str(note.trim());
            }
            return;
        }
        if indent <= 2 {
            self.path.push((None, trimmed.to_owned()));
        } else if let Some(note) = trimmed
            .strip_prefix("| ")
            .filter(|note| !note.starts_with('^'))
        {
            // The note goes on.
            let note = note.trim();
            if let Some(last) = self.path.last_mut().filter(|last| last.1.contains(": ")) {
                last.1.push(' ');
                last.1.push_str(note);
            }
        }
    }
}

fn join(all: &mut String, text: &str) {
    if !text.is_empty() {
        if !all.is_empty() {
            all.push(' ');
        }
        all.push_str(text);
    }
}

/// The slot of `>>> 10 | (63) ..`, a row of the instructions.
fn marked(trimmed: &str) -> Option<u32> {
    let rest = trimmed.strip_prefix(">>>")?.trim_start();
    let (slot, used) = leading(rest.as_bytes())?;
    let rest = rest.get(used..)?.strip_prefix(" | ")?;
    let bytes = rest.as_bytes();
    matches!(bytes, [b'(', a, b, b')', ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
        .then_some(slot)
}
