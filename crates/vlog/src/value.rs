//! A register's or stack slot's value, in every notation since 4.19.
//!
//! `inv(id=0,umax_value=255,var_off=(0x0; 0xff))`, `invP5`, `fp-8`, `scalar(smin=umin=1,..)`, `P0`, `rcu_ptr_or_null_x(id=1)`.

use crate::scan::Scan;

/// Parts of a value are as the kernel prints them; what follows from them is worked out by methods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// What stood before the type: `trusted`, `rcu`, `untrusted`, `rdonly`, `percpu`, `user`, `alloc`, `ringbuf`.
    pub flags: Vec<&'static str>,
    /// The kernel's word without flags and `_or_null`; `scalar` also for numbers and the older `inv`.
    pub kind: String,
    pub maybe_null: bool,
    pub precise: bool,
    /// The number when that is all there is.
    pub number: Option<i64>,
    /// `fp-8`: below which frame's pointer, where told, and how far.
    pub frame: Option<u32>,
    pub fp: Option<i64>,
    /// What stands in brackets, in order; a part without `=` has no value.
    pub attrs: Vec<(String, String)>,
    /// Whether all of it was understood.
    pub exact: bool,
}

/// Words before a type, as the kernel puts them.
const FLAGS: [&str; 9] = [
    "rdonly_",
    "ringbuf_",
    "user_",
    "percpu_",
    "untrusted_",
    "trusted_",
    "rcu_",
    "alloc_",
    "non_own_ref_",
];
const FLAG_NAMES: [&str; 9] = [
    "rdonly",
    "ringbuf",
    "user",
    "percpu",
    "untrusted",
    "trusted",
    "rcu",
    "alloc",
    "non_own_ref",
];

impl Value {
    /// Reads a value's text as it stands behind `R0=`. Never fails: what is not understood is in `kind`.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut made = Self {
            exact: true,
            ..Self::default()
        };
        let text = text.trim();
        let (head, inner) = match text.find('(') {
            Some(at) => {
                let inner = text.get(at + 1..).unwrap_or("");
                let closed = inner.strip_suffix(')');
                made.exact = closed.is_some();
                (text.get(..at).unwrap_or(""), Some(closed.unwrap_or(inner)))
            }
            None => (text, None),
        };
        let mut word = head;
        // 5.17 and older: `inv`, then `P`, then a number.
        if let Some(rest) = word.strip_prefix("inv") {
            "scalar".clone_into(&mut made.kind);
            word = rest.strip_prefix('P').map_or(rest, |rest| {
                made.precise = true;
                rest
            });
            made.number = whole_number(word);
            made.exact &= word.is_empty() || made.number.is_some();
        } else {
            if let Some(rest) = word.strip_prefix('P') {
                made.precise = true;
                word = rest;
            }
            made.head(word);
        }
        if let Some(inner) = inner {
            made.attributes(inner);
        }
        made
    }

    fn head(&mut self, word: &str) {
        if word.is_empty() {
            // `P(id=1)` is not printed; an empty value is.
            "scalar".clone_into(&mut self.kind);
            return;
        }
        self.number = whole_number(word);
        if self.number.is_some() {
            "scalar".clone_into(&mut self.kind);
            return;
        }
        if let Some(rest) = word.strip_prefix("fp") {
            let mut scan = Scan::new(rest);
            if scan.lit("[") {
                self.frame = scan.number().and_then(|n| u32::try_from(n).ok());
                self.exact &= scan.lit("]");
            }
            // `fp0,call_-1` up to 5.2; with a variable part there is no number.
            let off = scan.signed();
            let rest = scan.rest();
            let old = rest.is_empty() || rest.starts_with(",call_");
            if old && (off.is_some() || scan.at() == rest.len()) {
                "fp".clone_into(&mut self.kind);
                self.fp = off;
                if !rest.is_empty() {
                    self.attrs
                        .push((rest.trim_start_matches(',').to_owned(), String::new()));
                }
                return;
            }
        }
        let mut rest = word;
        'again: loop {
            for (flag, name) in FLAGS.iter().zip(FLAG_NAMES) {
                if let Some(after) = rest.strip_prefix(flag) {
                    // `rdonly_mem`, `ringbuf_mem`, `user_..`: the flag is of the type unless nothing is left.
                    if after.is_empty() {
                        break 'again;
                    }
                    self.flags.push(name);
                    rest = after;
                    continue 'again;
                }
            }
            break;
        }
        if let Some(at) = rest.find("_or_null") {
            self.maybe_null = true;
            self.kind = format!(
                "{}{}",
                rest.get(..at).unwrap_or(""),
                rest.get(at + 8..).unwrap_or("")
            );
        } else {
            rest.clone_into(&mut self.kind);
        }
        self.exact &= is_word(&self.kind);
    }

    fn attributes(&mut self, inner: &str) {
        let mut depth = 0_i32;
        let mut start = 0;
        for (at, byte) in inner.bytes().enumerate() {
            match byte {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth -= 1,
                b',' if depth == 0 => {
                    self.attribute(inner.get(start..at).unwrap_or(""));
                    start = at + 1;
                }
                _ => {}
            }
        }
        self.exact &= depth == 0;
        self.attribute(inner.get(start..).unwrap_or(""));
    }

    fn attribute(&mut self, part: &str) {
        if part.is_empty() {
            return;
        }
        match part.split_once('=') {
            Some((key, rest)) => {
                self.exact &= is_word(key);
                self.attrs.push((key.to_owned(), rest.to_owned()));
            }
            None => self.attrs.push((part.to_owned(), String::new())),
        }
    }

    /// The value of a part, by name. Chains (`smin=umin=1`) give each of their names the value.
    #[must_use]
    pub fn attr(&self, name: &str) -> Option<&str> {
        for (key, rest) in &self.attrs {
            if key == name {
                return Some(rest.rsplit('=').next().unwrap_or(rest));
            }
            let mut rest = rest.as_str();
            while let Some((next, after)) = rest.split_once('=') {
                if next == name {
                    return Some(after.rsplit('=').next().unwrap_or(after));
                }
                rest = after;
            }
        }
        None
    }

    fn number_of(&self, names: &[&str]) -> Option<i64> {
        names
            .iter()
            .find_map(|name| self.attr(name))
            .and_then(signed)
    }

    /// (value, mask).
    #[must_use]
    pub fn var_off(&self) -> Option<(u64, u64)> {
        if let Some(known) = self.known() {
            return Some((known as u64, 0));
        }
        let text = self.attr("var_off")?;
        let inner = text.strip_prefix('(')?.strip_suffix(')')?;
        let (value, mask) = inner.split_once(';')?;
        Some((signed(value.trim())? as u64, signed(mask.trim())? as u64))
    }

    #[must_use]
    pub fn is_scalar(&self) -> bool {
        self.kind == "scalar"
    }

    /// Its only value.
    #[must_use]
    pub fn known(&self) -> Option<i64> {
        if !self.is_scalar() {
            return None;
        }
        if self.number.is_some() {
            return self.number;
        }
        let imm = self.attr("imm").and_then(signed);
        if imm.is_some() {
            return imm;
        }
        let umin = self.number_of(&["umin_value", "umin"])?;
        (self.number_of(&["umax_value", "umax"]) == Some(umin)).then_some(umin)
    }

    /// Whether there is a variable part with bounds: scalars, and pointers that have one.
    fn has_bounds(&self) -> bool {
        self.is_scalar()
            || self.attrs.iter().any(|(key, _)| {
                key == "var_off"
                    || key.starts_with("umax")
                    || key.starts_with("umin")
                    || key.starts_with("smin")
                    || key.starts_with("smax")
            })
    }

    /// (smin, smax, umin, umax): as printed, else what follows from the others and `var_off`.
    #[must_use]
    pub fn bounds(&self) -> Option<(i64, i64, u64, u64)> {
        if let Some(known) = self.known() {
            return Some((known, known, known as u64, known as u64));
        }
        if !self.has_bounds() {
            return None;
        }
        let (value, mask) = self.var_off().unwrap_or((0, u64::MAX));
        let umin = self
            .number_of(&["umin_value", "umin"])
            .map_or(value, |n| (n as u64).max(value));
        let umax = self
            .number_of(&["umax_value", "umax"])
            .map_or(value | mask, |n| (n as u64).min(value | mask));
        let mut smin = self.number_of(&["smin_value", "smin"]).unwrap_or(i64::MIN);
        let mut smax = self.number_of(&["smax_value", "smax"]).unwrap_or(i64::MAX);
        if i64::try_from(umax).is_ok() || i64::try_from(umin).is_err() {
            smin = smin.max(umin as i64);
            smax = smax.min(umax as i64);
        }
        let (mut umin, mut umax) = (umin, umax);
        if smin >= 0 {
            umin = umin.max(smin as u64);
            umax = umax.min(smax as u64);
        }
        Some((smin, smax, umin, umax))
    }

    /// The same for the lower 32 bits.
    #[must_use]
    pub fn bounds32(&self) -> Option<(i32, i32, u32, u32)> {
        if let Some(known) = self.known() {
            let (signed, unsigned) = (known as i32, known as u32);
            return Some((signed, signed, unsigned, unsigned));
        }
        let (_, _, low, high) = self.bounds()?;
        let (value, mask) = self.var_off().unwrap_or((0, u64::MAX));
        let (value, mask) = (value as u32, mask as u32);
        let mut umin = value;
        let mut umax = value | mask;
        if low >> 32 == high >> 32 {
            umin = umin.max(low as u32);
            umax = umax.min(high as u32);
        }
        if let Some(n) = self.number_of(&["u32_min_value", "umin32"]) {
            umin = umin.max(n as u32);
        }
        if let Some(n) = self.number_of(&["u32_max_value", "umax32"]) {
            umax = umax.min(n as u32);
        }
        let mut smin = self
            .number_of(&["s32_min_value", "smin32"])
            .map_or(i32::MIN, |n| n as i32);
        let mut smax = self
            .number_of(&["s32_max_value", "smax32"])
            .map_or(i32::MAX, |n| n as i32);
        if i32::try_from(umax).is_ok() || i32::try_from(umin).is_err() {
            smin = smin.max(umin as i32);
            smax = smax.min(umax as i32);
        }
        Some((smin, smax, umin, umax))
    }

    /// `id=3`; 0 is none. Newer kernels add a constant: `id=3+8`.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        let word = self.attr("id")?;
        let digits = word.split_once('+').map_or(word, |(id, _)| id);
        digits.parse().ok().filter(|id| *id != 0)
    }

    #[must_use]
    pub fn reference(&self) -> Option<u32> {
        self.attr("ref_obj_id")?.parse().ok().filter(|id| *id != 0)
    }

    /// The constant part of a pointer.
    #[must_use]
    pub fn off(&self) -> Option<i64> {
        if self.kind == "fp" {
            return self.fp.or_else(|| self.number_of(&["off"]));
        }
        if self.is_scalar() {
            return None;
        }
        // Up to 6.7 `off` is the constant part, `imm` a known variable part; 7.3 calls their sum `imm`.
        let off = self.number_of(&["off"]);
        let imm = self.number_of(&["imm"]);
        match (off, imm) {
            (Some(off), Some(imm)) => Some(off.wrapping_add(imm)),
            (None, None) => Some(0),
            (one, other) => one.or(other),
        }
    }

    /// `r=14`.
    #[must_use]
    pub fn range(&self) -> Option<i64> {
        self.number_of(&["r"])
    }

    /// Name (6.10 and newer), size of a key and of a value.
    #[must_use]
    pub fn map(&self) -> Option<(Option<String>, Option<u32>, Option<u32>)> {
        let name = self.attr("map").map(str::to_owned);
        let size = |name| self.number_of(&[name]).and_then(|n| u32::try_from(n).ok());
        let (key, value) = (size("ks"), size("vs"));
        (name.is_some() || key.is_some() || value.is_some()).then_some((name, key, value))
    }

    #[must_use]
    pub fn mem_size(&self) -> Option<i64> {
        self.number_of(&["sz", "mem_size"])
    }

    /// A number that was worked out from an instruction.
    #[must_use]
    pub fn constant(value: i64) -> Self {
        Self {
            kind: "scalar".to_owned(),
            number: Some(value),
            exact: true,
            ..Self::default()
        }
    }
}

fn is_word(word: &str) -> bool {
    !word.is_empty()
        && word.bytes().all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'_' | b'.' | b'-' | b'$' | b' ' | b'?' | b'+')
        })
}

fn whole_number(word: &str) -> Option<i64> {
    let mut scan = Scan::new(word);
    let value = scan.signed()?;
    scan.rest().is_empty().then_some(value)
}

/// Decimal, or hex of 64 bits.
fn signed(word: &str) -> Option<i64> {
    whole_number(word.trim())
}
