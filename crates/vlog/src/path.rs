//! Which step follows which: the verifier goes into the depth, and comes back to branches it left open.
use std::collections::HashMap;

use crate::insn::{Callee, InsnKind, LogInsn};
use crate::log::{How, NONE, Step};

/// Where the walk stands.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// The last step of the path, NONE before the first.
    tip: Option<u32>,
    /// The path has ended: pruned, or at its exit.
    ended: bool,
    /// A and B of the last `from A to B`.
    from: Option<(u32, u32)>,
    /// A function is begun anew.
    start: bool,
    /// The frame a state printed last was of.
    frame: Option<u32>,
    /// `to caller at 5:` was told.
    returned: Option<u32>,
    /// Lines are missing: what was printed cannot come right behind what stands before it.
    pub(crate) gap: bool,
}

impl Walk {
    pub(crate) fn from(&mut self, from: u32, to: u32) {
        self.from = Some((from, to));
    }

    pub(crate) fn safe(&mut self) {
        self.ended = true;
    }

    pub(crate) fn start(&mut self) {
        self.start = true;
    }

    pub(crate) fn returned(&mut self, slot: u32) {
        self.returned = Some(slot);
    }

    pub(crate) fn frame(&mut self, frame: u32) {
        self.frame = Some(frame);
    }

    /// The steps were thinned out: the last one's number is now another.
    pub(crate) fn moved(&mut self, tip: Option<u32>) {
        self.tip = tip;
    }

    /// Whether the first instruction, met now, is that of another load: nothing leads back to it.
    pub(crate) fn anew(&self, steps: &[Step], insns: &HashMap<u32, LogInsn>) -> bool {
        let going_on = !self.ended && !self.start && self.from.is_none();
        going_on && self.tip.is_some_and(|tip| straight(steps, insns, tip, 0))
    }

    pub(crate) fn tip(&self) -> Option<u32> {
        self.tip
    }

    /// A branch was come back to and found to be known already: `from 9 to 11: safe`.
    pub(crate) fn pruned(&mut self, steps: &mut [Step], insns: &HashMap<u32, LogInsn>) {
        let from = self.from.take();
        self.frame = None;
        self.ended = true;
        let (Some((_, slot)), Some(tip)) = (from, self.tip) else {
            return;
        };
        if let Some((parent, _)) = resumed(steps, insns, tip, from, slot, None) {
            if let Some(one) = steps.get_mut(parent as usize) {
                one.resumed = true;
            }
            self.tip = Some(parent);
        }
    }

    /// Adds the next instruction followed.
    pub(crate) fn add(
        &mut self,
        steps: &mut Vec<Step>,
        insns: &HashMap<u32, LogInsn>,
        insn: &LogInsn,
        line: u32,
    ) {
        let slot = insn.slot;
        let mut step = Step {
            slot,
            line,
            parent: NONE,
            caller: NONE,
            first_next: NONE,
            resumed: false,
            frame: 0,
            kind: insn.kind,
            how: How::Start,
            from: NONE,
        };
        let from = self.from.take();
        let told_frame = self.frame.take();
        let ended = std::mem::take(&mut self.ended);
        let start = std::mem::take(&mut self.start);
        let mut found = None;
        let returned = self.returned.take() == Some(slot);
        if let Some(tip) = self.tip.filter(|_| !start) {
            // `from A to B` may also stand where nothing is switched: at returns from subprograms.
            let same = from.is_none_or(|(a, b)| {
                b == slot
                    && steps
                        .get(tip as usize)
                        .is_some_and(|one| one.slot == a && one.first_next == NONE)
            });
            if same && returned && found.is_none() {
                found = returning(steps, tip).map(|how| (tip, how));
            }
            if same && !ended && found.is_none() {
                found = follows(steps, insns, tip, slot, told_frame).map(|how| (tip, how));
                if let (Some((_, how)), true) = (&mut found, from.is_some())
                    && matches!(how, (How::Next | How::Jump, _, _))
                {
                    how.0 = How::Switch;
                }
            }
            if found.is_none() {
                found = resumed(steps, insns, tip, from, slot, told_frame);
                if found.is_none() && from.is_none() {
                    // Behind an exit or what is known already the kernel tells where it goes on.
                    // So it does of callbacks that run later, with the state they begin in.
                    let told = told_frame.is_some();
                    self.gap |= !told && (ended || lacks(steps, insns, tip, slot));
                }
            }
        }
        if let Some((parent, (how, frame, caller))) = found {
            step.parent = parent;
            step.how = how;
            step.frame = frame;
            step.caller = caller;
            if let Some(one) = steps.get_mut(parent as usize) {
                if one.first_next == NONE {
                    one.first_next = slot;
                } else {
                    one.resumed = true;
                }
            }
        } else if let Some(frame) = told_frame.and_then(|n| u16::try_from(n).ok()) {
            step.frame = frame.min(31);
        }
        if step.how == How::Switch {
            step.from = from.map_or_else(
                || steps.get(step.parent as usize).map_or(NONE, |one| one.slot),
                |(from, _)| from,
            );
        }
        self.tip = Some(steps.len() as u32);
        self.ended = step.kind == InsnKind::Exit && step.frame == 0;
        steps.push(step);
    }
}

type Found = (How, u16, u32);

/// Whether nothing leads from a step to `slot`, which is not behind it.
fn straight(steps: &[Step], insns: &HashMap<u32, LogInsn>, at: u32, slot: u32) -> bool {
    let Some(one) = steps.get(at as usize) else {
        return false;
    };
    match one.kind {
        InsnKind::Jump | InsnKind::Call | InsnKind::Exit => false,
        InsnKind::Branch => insns
            .get(&one.slot)
            .is_some_and(|insn| insn.target.is_some_and(|target| target != slot)),
        _ => true,
    }
}

/// Whether something must stand between a step and `slot`, which is neither behind it nor where it leads.
fn lacks(steps: &[Step], insns: &HashMap<u32, LogInsn>, at: u32, slot: u32) -> bool {
    let Some(one) = steps.get(at as usize) else {
        return false;
    };
    match one.kind {
        InsnKind::Jump => insns
            .get(&one.slot)
            .is_some_and(|insn| insn.target.is_some() && insn.target != Some(slot)),
        InsnKind::Call => insns
            .get(&one.slot)
            .is_some_and(|insn| insn.callee != Some(Callee::Subprogram) || insn.target.is_some()),
        InsnKind::Exit => one.frame > 0 && steps.get(one.caller as usize).is_some(),
        _ => straight(steps, insns, at, slot),
    }
}

/// Back to the caller of a step, as told.
fn returning(steps: &[Step], tip: u32) -> Option<Found> {
    let one = steps.get(tip as usize).filter(|one| one.frame > 0)?;
    let call = steps.get(one.caller as usize)?;
    Some((How::Return, call.frame, call.caller))
}

/// Whether `slot` can come right behind a step, and how: (how, frame, caller).
fn follows(
    steps: &[Step],
    insns: &HashMap<u32, LogInsn>,
    at: u32,
    slot: u32,
    told_frame: Option<u32>,
) -> Option<Found> {
    let one = steps.get(at as usize)?;
    let insn = insns.get(&one.slot)?;
    let here = (one.frame, one.caller);
    let deeper = one.frame.saturating_add(1).min(31);
    match one.kind {
        InsnKind::Exit => {
            let call = steps.get(one.caller as usize)?;
            // Behind a callback the verifier goes back to the call itself (6.7), or on.
            (one.frame > 0 && (slot == call.slot.saturating_add(1) || slot == call.slot))
                .then_some((How::Return, call.frame, call.caller))
        }
        InsnKind::Jump if insn.op == "gotox" => Some((How::Jump, here.0, here.1)),
        InsnKind::Jump => (insn.target == Some(slot)).then_some((How::Jump, here.0, here.1)),
        InsnKind::Branch => {
            if slot == insn.next() {
                Some((How::Next, here.0, here.1))
            } else {
                (insn.target == Some(slot)).then_some((How::Jump, here.0, here.1))
            }
        }
        InsnKind::Call if insn.callee == Some(Callee::Subprogram) => {
            if insn.target == Some(slot) && told_frame.is_none_or(|n| n == u32::from(deeper)) {
                Some((How::Call, deeper, at))
            } else {
                (slot == insn.next()).then_some((How::Next, here.0, here.1))
            }
        }
        InsnKind::Call => {
            if slot == insn.next() && told_frame.is_none_or(|n| n <= u32::from(one.frame)) {
                return Some((How::Next, here.0, here.1));
            }
            // A function that was given to the call: only its frame tells.
            (told_frame == Some(u32::from(deeper))).then_some((How::Callback, deeper, at))
        }
        _ => (slot == insn.next()).then_some((How::Next, here.0, here.1)),
    }
}

/// The latest step of the path that was left open towards `slot`. What lies behind it is finished, so that all these
/// walks together are no longer than the log.
fn resumed(
    steps: &[Step],
    insns: &HashMap<u32, LogInsn>,
    tip: u32,
    from: Option<(u32, u32)>,
    slot: u32,
    told_frame: Option<u32>,
) -> Option<(u32, Found)> {
    let mut at = tip;
    let mut second = None;
    loop {
        let one = steps.get(at as usize)?;
        let fits = from.is_none_or(|(a, _)| a == one.slot);
        let can = matches!(one.kind, InsnKind::Branch | InsnKind::Call | InsnKind::Exit)
            || from.is_some();
        if fits && can {
            let is_branch = one.kind == InsnKind::Branch;
            let both = insns
                .get(&one.slot)
                .is_some_and(|insn| insn.target == Some(insn.next()));
            let open = !(is_branch && (one.resumed || one.first_next == slot && !both));
            let found = follows(steps, insns, at, slot, told_frame).or_else(|| {
                // Told, so it is; if only the function of a callback was not known to be one.
                from.map(|_| (How::Next, one.frame, one.caller))
            });
            if let Some((how, frame, caller)) = found {
                let how = match how {
                    How::Next | How::Jump => How::Switch,
                    other => other,
                };
                // Nothing told: only a branch, or what had no step behind it, is come back to.
                if open && (from.is_some() || is_branch || one.first_next == NONE) {
                    return Some((at, (how, frame, caller)));
                }
                if second.is_none() && from.is_some() {
                    second = Some((at, (how, frame, caller)));
                }
            }
        }
        if one.parent >= at {
            return second;
        }
        at = one.parent;
    }
}
