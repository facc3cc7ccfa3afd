//! Writing a relocation into its instruction.
use super::Resolution;
use crate::{Error, Result};

/// The immediate of a poisoned instruction, a call: the verifier says `invalid func unknown#195896080`.
pub const POISON: i32 = 195_896_080; // 0xbad2310, "bad relo"

/// What happened to the instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patched {
    Written,
    /// It could not be relocated and is now an invalid call (both halves of an `ld_imm64`).
    Poisoned,
}

const LD_IMM64: u8 = 0x18;

/// One slot's fields, read and written in the object's byte order.
struct Slot<'a> {
    raw: &'a mut [u8; 8],
    big: bool,
}

impl Slot<'_> {
    fn code(&self) -> u8 {
        self.raw[0]
    }

    fn set_code(&mut self, code: u8) {
        self.raw[0] = code;
    }

    fn registers(&self) -> u8 {
        self.raw[1]
    }

    /// The source register: the high nibble in little endian, the low one in big endian.
    fn source(&self) -> u8 {
        if self.big {
            self.raw[1] & 15
        } else {
            self.raw[1] >> 4
        }
    }

    fn off(&self) -> i16 {
        let raw = [self.raw[2], self.raw[3]];
        if self.big {
            i16::from_be_bytes(raw)
        } else {
            i16::from_le_bytes(raw)
        }
    }

    fn set_off(&mut self, off: i16) {
        let raw = if self.big {
            off.to_be_bytes()
        } else {
            off.to_le_bytes()
        };
        [self.raw[2], self.raw[3]] = raw;
    }

    fn imm(&self) -> i32 {
        let raw = [self.raw[4], self.raw[5], self.raw[6], self.raw[7]];
        if self.big {
            i32::from_be_bytes(raw)
        } else {
            i32::from_le_bytes(raw)
        }
    }

    fn set_imm(&mut self, imm: i32) {
        let raw = if self.big {
            imm.to_be_bytes()
        } else {
            imm.to_le_bytes()
        };
        [self.raw[4], self.raw[5], self.raw[6], self.raw[7]] = raw;
    }

    fn poison(&mut self) {
        *self.raw = [0x85, 0, 0, 0, 0, 0, 0, 0];
        self.set_imm(POISON);
    }
}

/// Relocates the instruction at `slot`, in place; slots are in the object's byte order.
///
/// Takes assignments and additions of an immediate, `ld_imm64`, loads and stores. Loads and stores change their
/// size with the field's.
///
/// # Errors
/// What libbpf refuses: another instruction, another value in it than the local type implies, a new offset over
/// 32767, a new size that no load has. The slots are then unchanged.
pub fn patch(
    slots: &mut [[u8; 8]],
    slot: usize,
    resolution: &Resolution,
    big_endian: bool,
) -> Result<Patched> {
    let value = resolution.value;
    let fail = |message: String| {
        Err(Error::new(
            message,
            format!("CO-RE relocation of instruction {slot}"),
        ))
    };
    let Some((raw, rest)) = slots.get_mut(slot..).and_then(<[_]>::split_first_mut) else {
        return fail("there is no such instruction".into());
    };
    let mut insn = Slot {
        raw,
        big: big_endian,
    };
    let mut second = rest.first_mut().map(|raw| Slot {
        raw,
        big: big_endian,
    });
    let code = insn.code();
    let poison = |insn: &mut Slot<'_>, second: Option<&mut Slot<'_>>| {
        if let Some(second) = second.filter(|_| code == LD_IMM64) {
            second.poison();
        }
        insn.poison();
        Ok(Patched::Poisoned)
    };
    if value.poison {
        return poison(&mut insn, second.as_mut());
    }
    match code & 7 {
        // ALU and ALU64 with an immediate
        4 | 7 => {
            if code & 8 != 0 {
                return fail(format!(
                    "an ALU instruction (code {code:#04x}) without an immediate"
                ));
            }
            if value.validate && i64::from(insn.imm()) as u64 != value.orig {
                return fail(format!(
                    "the immediate is {}, expected {}",
                    insn.imm(),
                    value.orig
                ));
            }
            insn.set_imm(value.new as i32);
        }
        // LDX, ST, STX
        1..=3 => {
            if value.validate && i64::from(insn.off()) as u64 != value.orig {
                return fail(format!(
                    "the offset is {}, expected {}",
                    insn.off(),
                    value.orig
                ));
            }
            let Some(off) = i16::try_from(value.new).ok() else {
                return fail(format!(
                    "the new offset {} does not fit a load or store",
                    value.new
                ));
            };
            if value.fail_memsz_adjust {
                return poison(&mut insn, second.as_mut());
            }
            if value.new_size != value.orig_size {
                let size = [4, 2, 1, 8]
                    .get(usize::from(code >> 3 & 3))
                    .copied()
                    .unwrap_or_default();
                if size != value.orig_size {
                    return fail(format!(
                        "it accesses {size} bytes, expected {}",
                        value.orig_size
                    ));
                }
                let bits = match value.new_size {
                    8 => 0x18,
                    4 => 0x00,
                    2 => 0x08,
                    1 => 0x10,
                    other => return fail(format!("no load or store has {other} bytes")),
                };
                insn.set_code(code & 0xe7 | bits);
            }
            insn.set_off(off);
        }
        0 => {
            let Some(second) = second.filter(|second| {
                second.code() == 0 && second.registers() == 0 && second.off() == 0
            }) else {
                return fail("not the first half of an `ld_imm64`".into());
            };
            let mut second = second;
            if code != LD_IMM64 || insn.source() != 0 || insn.off() != 0 {
                return fail(format!("not a plain `ld_imm64` (code {code:#04x})"));
            }
            let held = u64::from(insn.imm() as u32) | (second.imm() as u64) << 32;
            if value.validate && held != value.orig {
                return fail(format!(
                    "the 64-bit immediate is {held}, expected {}",
                    value.orig
                ));
            }
            insn.set_imm(value.new as i32);
            second.set_imm((value.new >> 32) as i32);
        }
        _ => {
            return fail(format!(
                "code {code:#04x} is not an instruction that can be relocated"
            ));
        }
    }
    Ok(Patched::Written)
}
