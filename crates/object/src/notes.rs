//! What was unusual about a file, gathered while it is read.

use crate::Note;

/// Notes kept; nobody reads more, and a crafted file could cause one for every few bytes.
const KEPT: usize = 200;
/// Bytes of one note's text: names in it may be as long as the file.
const TEXT: usize = 2000;

/// The first notes, and how many came after them.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    kept: Vec<Note>,
    more: usize,
}

impl Notes {
    pub(crate) fn push(&mut self, mut note: Note) {
        if self.kept.len() >= KEPT {
            self.more += 1;
            return;
        }
        if note.text.len() > TEXT {
            note.text.truncate(note.text.floor_char_boundary(TEXT));
            note.text.push('…');
        }
        self.kept.push(note);
    }

    pub(crate) fn finish(mut self) -> Vec<Note> {
        if self.more > 0 {
            let text = format!("{} more notes left out", self.more);
            self.kept.push(Note {
                kind: "more-notes",
                text,
            });
        }
        self.kept
    }
}
