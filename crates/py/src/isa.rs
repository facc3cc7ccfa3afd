//! Bindings of the `isa` crate.
use std::collections::HashMap;

use bpfsmith_isa::disasm::{self, Names};
use bpfsmith_isa::{Cfg, Endian, Insn, Loops, asm, decode_all, encode_all};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::read_error;

/// Blocks listed as parts of loops at most: only absurdly deep nests of loops have more.
const MAX_LOOP_BLOCKS: usize = 1 << 22;

/// Names given by the caller; what they lack is spelled out as [`disasm::Spelled`] does where `spell` says so.
struct Given<'a> {
    insns: &'a [Insn],
    helpers: HashMap<i32, String>,
    symbols: HashMap<usize, String>,
    spell: bool,
}

impl Names for Given<'_> {
    fn helper(&self, number: i32) -> Option<&str> {
        self.helpers.get(&number).map(String::as_str)
    }

    fn imm64(&self, slot: usize) -> Option<String> {
        let given = self.symbols.get(&slot).cloned();
        given.or_else(|| {
            self.spell
                .then(|| disasm::Spelled(self.insns).imm64(slot))
                .flatten()
        })
    }
}

fn endian(big: bool) -> Endian {
    if big { Endian::Big } else { Endian::Little }
}

/// What a syntax is called by.
#[derive(Clone, Copy, PartialEq)]
enum Syntax {
    Kernel,
    Spelled,
    Llvm,
}

#[pyfunction]
#[pyo3(signature = (insns, *, big_endian=false, syntax="kernel", base=0, helpers=None, symbols=None))]
fn disassemble(
    py: Python<'_>,
    insns: &[u8],
    big_endian: bool,
    syntax: &str,
    base: usize,
    helpers: Option<HashMap<i32, String>>,
    symbols: Option<HashMap<usize, String>>,
) -> PyResult<Vec<(usize, String)>> {
    let syntax = match syntax {
        "kernel" => Syntax::Kernel,
        "spelled" => Syntax::Spelled,
        "llvm" => Syntax::Llvm,
        other => {
            let message = format!("unknown disassembly syntax `{other}`");
            return Err(read_error(message, "", "use `kernel`, `spelled` or `llvm`"));
        }
    };
    let slots = whole(insns, big_endian)?;
    Ok(py.detach(|| {
        let names = Given {
            insns: &slots,
            helpers: helpers.unwrap_or_default(),
            symbols: symbols.unwrap_or_default(),
            spell: syntax == Syntax::Spelled,
        };
        let mut lines = Vec::with_capacity(slots.len());
        let mut slot = 0;
        while let Some(insn) = slots.get(slot) {
            let text = match syntax {
                Syntax::Llvm => disasm::llvm(&slots, slot),
                Syntax::Kernel | Syntax::Spelled => disasm::kernel(&slots, slot, &names),
            };
            // LLVM goes on with the next slot after what it does not know.
            let wide = insn.is_ld_imm64() && text != disasm::UNKNOWN;
            lines.push((base.saturating_add(slot), text));
            slot += if wide { 2 } else { 1 };
        }
        lines
    }))
}

#[pyfunction]
#[pyo3(signature = (text, *, big_endian=false))]
fn assemble<'py>(py: Python<'py>, text: &str, big_endian: bool) -> PyResult<Bound<'py, PyBytes>> {
    let insns = asm::assemble(text)
        .map_err(|error| read_error(error.message, format!("line {}", error.line), ""))?;
    Ok(PyBytes::new(py, &encode_all(&insns, endian(big_endian))))
}

#[pyfunction]
#[pyo3(name = "cfg", signature = (insns, *, big_endian=false))]
fn control_flow<'py>(
    py: Python<'py>,
    insns: &[u8],
    big_endian: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let slots = whole(insns, big_endian)?;
    let (graph, loops) = py.detach(|| {
        let graph = Cfg::new(&slots, 0..slots.len(), &[]);
        let loops = Loops::new(&graph);
        (graph, loops)
    });
    let blocks: Vec<(usize, usize)> = graph.blocks().map(|b| (b.start, b.end)).collect();
    let edges: Vec<(usize, usize, &str)> = graph
        .edges()
        .iter()
        .map(|edge| (edge.from, edge.to, edge.kind.name()))
        .collect();
    let idom: Vec<Option<usize>> = (0..graph.len()).map(|block| loops.idom(block)).collect();
    let headers = loops.loops().iter().map(|one| one.header);
    let bodies: Vec<(usize, Vec<usize>)> = headers.zip(loops.bodies(MAX_LOOP_BLOCKS)).collect();
    let dict = PyDict::new(py);
    dict.set_item("blocks", blocks)?;
    dict.set_item("edges", edges)?;
    dict.set_item("idom", idom)?;
    dict.set_item("loops", bodies)?;
    dict.set_item("irreducible", loops.irreducible().to_vec())?;
    dict.set_item("unreachable", graph.unreachable(&slots))?;
    dict.set_item("endless", graph.endless(&slots))?;
    Ok(dict)
}

fn whole(insns: &[u8], big_endian: bool) -> PyResult<Vec<Insn>> {
    if !insns.len().is_multiple_of(Insn::SIZE) {
        let message = format!("{} bytes are no whole number of instructions", insns.len());
        return Err(read_error(message, "", "an instruction slot has 8 bytes"));
    }
    Ok(decode_all(insns, endian(big_endian)))
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(disassemble, m)?)?;
    m.add_function(wrap_pyfunction!(assemble, m)?)?;
    m.add_function(wrap_pyfunction!(control_flow, m)?)
}
