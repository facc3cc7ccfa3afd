//! Bounded memory: of a log that is too large only what is on the path is kept.
use super::{MAX_LINES, Taker};
use crate::lines::Kind;
use crate::log::{Load, NONE};

impl Taker {
    /// Lets go of what is not on the path: branches that were finished, and of a path that is too long its middle.
    pub(super) fn thin(&mut self) {
        let room = self.keep / 2;
        let mut keep = vec![false; self.text.lines.len()];
        let mark = |keep: &mut Vec<bool>, line: u32| {
            if let Some(one) = keep.get_mut(line as usize) {
                *one = true;
            }
        };
        // Loads that are done are let go of from the oldest on.
        let mut spent = 0;
        let mut kept_loads = 0;
        for load in self.done.iter().rev() {
            let size: usize = (load.first..load.end)
                .map(|line| self.text.line(line).len() + 1)
                .sum();
            spent += size;
            if spent > room / 2 {
                break;
            }
            kept_loads += 1;
            (load.first..load.end).for_each(|line| mark(&mut keep, line));
        }
        self.done.drain(..self.done.len() - kept_loads);
        let mut chain = Vec::new();
        let mut at = self.walk.tip();
        while let Some(number) = at {
            let Some(one) = self.load.step(number) else {
                break;
            };
            chain.push(number);
            at = (one.parent < number).then_some(one.parent);
        }
        // From the end back, as far as there is room.
        let mut bytes = spent.min(room / 2);
        let mut steps = Vec::new();
        let mut cut = false;
        for number in &chain {
            let Some(one) = self.load.step(*number) else {
                break;
            };
            let end = self.load.line_after(*number).min(self.text.len());
            let size: usize = (one.line..end)
                .map(|line| self.text.line(line).len() + 1)
                .sum();
            bytes += size;
            if bytes > room || steps.len() > MAX_LINES / 4 {
                cut = true;
                break;
            }
            steps.push(*number);
            (one.line..end).for_each(|line| mark(&mut keep, line));
            // What was printed at a switch is of the step behind it.
            let before = one.line.saturating_sub(8);
            (before..one.line)
                .filter(|line| {
                    matches!(
                        self.text.kind(*line),
                        Some(Kind::From | Kind::State | Kind::Source)
                    )
                })
                .for_each(|line| mark(&mut keep, line));
        }
        steps.reverse();
        for line in self.load.sources.values() {
            mark(&mut keep, *line);
        }
        for list in [
            &mut self.load.told,
            &mut self.load.unknown,
            &mut self.load.beside,
        ] {
            let extra = list.len().saturating_sub(2048);
            list.drain(..extra);
            list.iter().for_each(|line| mark(&mut keep, *line));
        }
        let first = self.load.first as usize;
        for (at, line) in self.text.lines.iter().enumerate().skip(first) {
            if matches!(line.kind, Kind::Func | Kind::Count | Kind::Report) && bytes < self.keep {
                bytes += (line.end - line.start) as usize + 1;
                mark(&mut keep, at as u32);
            }
        }
        self.load.cut_middle = true;
        let _ = cut;
        self.rewrite(&keep, &steps);
    }

    fn rewrite(&mut self, keep: &[bool], steps: &[u32]) {
        let old = std::mem::take(&mut self.text);
        let mut new = Vec::with_capacity(keep.len() + 1);
        for (at, kept) in keep.iter().enumerate() {
            new.push(self.text.lines.len() as u32);
            if let (true, Some(line)) = (*kept, old.lines.get(at)) {
                let text = old
                    .all
                    .get(line.start as usize..line.end as usize)
                    .unwrap_or("");
                self.push(text, line.kind, line.slot);
            }
        }
        new.push(self.text.lines.len() as u32);
        let map = |line: &mut u32| *line = new.get(*line as usize).copied().unwrap_or(NONE);
        let lists = |load: &mut Load| {
            map(&mut load.first);
            map(&mut load.end);
            for list in [&mut load.told, &mut load.unknown, &mut load.beside] {
                list.iter_mut().for_each(map);
            }
            load.sources.values_mut().for_each(map);
        };
        for load in &mut self.done {
            lists(load);
            load.steps.iter_mut().for_each(|one| map(&mut one.line));
        }
        lists(&mut self.load);
        if self.source != NONE {
            map(&mut self.source);
            if self.source as usize >= self.text.lines.len() {
                self.source = NONE;
            }
        }
        let mut numbers = std::collections::HashMap::with_capacity(steps.len());
        let mut kept = Vec::with_capacity(steps.len());
        for number in steps {
            let Some(mut one) = self.load.step(*number).copied() else {
                continue;
            };
            numbers.insert(*number, kept.len() as u32);
            one.parent = numbers.get(&one.parent).copied().unwrap_or(NONE);
            one.caller = numbers.get(&one.caller).copied().unwrap_or(NONE);
            map(&mut one.line);
            kept.push(one);
        }
        let tip = (kept.len() as u32).checked_sub(1);
        self.load.steps = kept;
        self.walk.moved(tip);
    }
}
