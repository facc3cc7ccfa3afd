//! Bindings of the `source` crate: tables of facts stay here, tuples go up for what is asked.
use bpfsmith_source::{Binds, ExprKind as K, Param, Role, Span, Stmt, Table, kind_name};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyList, PyString, PyTuple};

/// One parsed Rust file.
#[pyclass(frozen, module = "bpfsmith._native")]
struct RustFile {
    table: Table,
}

type Flat<'py> = Vec<Bound<'py, PyAny>>;

/// Collects the parts of a tuple of mixed types.
struct Row<'py> {
    py: Python<'py>,
    parts: Flat<'py>,
}

impl<'py> Row<'py> {
    fn new(py: Python<'py>) -> Self {
        let parts = Vec::with_capacity(8);
        Self { py, parts }
    }

    fn int(mut self, value: impl Into<i64>) -> PyResult<Self> {
        let value: i64 = value.into();
        self.parts.push(value.into_pyobject(self.py)?.into_any());
        Ok(self)
    }

    fn span(self, span: Span) -> PyResult<Self> {
        self.int(span.start)?.int(span.end)
    }

    fn text(mut self, text: &str) -> Self {
        self.parts.push(PyString::new(self.py, text).into_any());
        self
    }

    fn word(mut self, text: &str) -> Self {
        self.parts.push(PyString::intern(self.py, text).into_any());
        self
    }

    fn ids(mut self, ids: &[i32]) -> PyResult<Self> {
        self.parts.push(PyList::new(self.py, ids)?.into_any());
        Ok(self)
    }

    fn names(mut self, names: &[String]) -> PyResult<Self> {
        self.parts.push(PyList::new(self.py, names)?.into_any());
        Ok(self)
    }

    fn list<T>(
        mut self,
        values: &[T],
        each: impl Fn(Python<'py>, &T) -> PyResult<Bound<'py, PyTuple>>,
    ) -> PyResult<Self> {
        let rows: PyResult<Vec<_>> = values.iter().map(|value| each(self.py, value)).collect();
        self.parts.push(PyList::new(self.py, rows?)?.into_any());
        Ok(self)
    }

    fn done(self) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(self.py, self.parts)
    }
}

fn param<'py>(py: Python<'py>, it: &Param) -> PyResult<Bound<'py, PyTuple>> {
    let row = Row::new(py).text(&it.name).span(it.span)?.span(it.ty)?;
    row.int(it.flags)?.int(it.value)?.names(&it.names)?.done()
}

fn statement<'py>(py: Python<'py>, it: &Stmt) -> PyResult<Bound<'py, PyTuple>> {
    let row = Row::new(py);
    match it {
        Stmt::Let {
            span,
            pat,
            names,
            ty,
            init,
            other,
        } => {
            let row = row.word("let").span(*span)?.span(*pat)?.names(names)?;
            row.span(*ty)?.int(*init)?.int(*other)?.done()
        }
        Stmt::Expr { expr, semicolon } => row
            .word("expr")
            .int(*expr)?
            .int(u32::from(*semicolon))?
            .done(),
        Stmt::Item(item) => row.word("item").int(*item)?.done(),
    }
}

/// What follows kind, parent and offsets, as `bpfsmith.source.rust` documents it.
fn fields<'py>(py: Python<'py>, kind: &K) -> PyResult<Bound<'py, PyTuple>> {
    let row = Row::new(py);
    let row = match kind {
        K::Lit(kind) => row.word(kind),
        K::Path(path) => row.text(path),
        K::Call { callee, args } => row.int(*callee)?.ids(args)?,
        K::Method {
            receiver,
            name,
            name_span,
            generics,
            args,
        } => {
            let row = row.int(*receiver)?.text(name).span(*name_span)?;
            row.span(*generics)?.ids(args)?
        }
        K::Field { base, name } => row.int(*base)?.text(name),
        K::Index { base, index } => row.int(*base)?.int(*index)?,
        K::Binary { op, lhs, rhs } => row.word(op).int(*lhs)?.int(*rhs)?,
        K::Unary { op, inner } => row.word(op).int(*inner)?,
        K::Ref { mutable, inner } => row.int(u32::from(*mutable))?.int(*inner)?,
        K::Cast { inner, ty } => row.int(*inner)?.span(*ty)?,
        K::Macro { path, tokens, args } => row.text(path).span(*tokens)?.ids(args)?,
        K::Struct {
            path,
            fields,
            spread,
        } => row
            .text(path)
            .list(fields, |py, (name, value)| {
                Row::new(py).text(name).int(*value)?.done()
            })?
            .int(*spread)?,
        K::Array(exprs) | K::Tuple(exprs) | K::Other(exprs) => row.ids(exprs)?,
        K::Repeat { value, len } => row.int(*value)?.int(*len)?,
        K::Try(inner) | K::Await(inner) | K::Paren(inner) | K::Loop(inner) => row.int(*inner)?,
        K::Return(inner) | K::Break(inner) => row.int(*inner)?,
        K::Block { flags, stmts, tail } => row.int(*flags)?.list(stmts, statement)?.int(*tail)?,
        K::If { cond, then, other } => row.int(*cond)?.int(*then)?.int(*other)?,
        K::Let { pat, names, inner } => row.span(*pat)?.names(names)?.int(*inner)?,
        K::Match { scrutinee, arms } => row.int(*scrutinee)?.list(arms, |py, arm| {
            let row = Row::new(py).span(arm.pat)?.names(&arm.names)?;
            row.int(arm.guard)?.int(arm.expr)?.done()
        })?,
        K::While { cond, body } => row.int(*cond)?.int(*body)?,
        K::For {
            pat,
            names,
            iter,
            body,
        } => row.span(*pat)?.names(names)?.int(*iter)?.int(*body)?,
        K::Closure {
            params,
            names,
            body,
        } => row.list(params, param)?.names(names)?.int(*body)?,
        K::Range {
            from,
            to,
            inclusive,
        } => row.int(*from)?.int(*to)?.int(u32::from(*inclusive))?,
        K::Continue | K::Tokens => row,
    };
    row.done()
}

fn role(name: &str) -> PyResult<Role> {
    Ok(match name {
        "method" => Role::Method,
        "call" => Role::Call,
        "macro" => Role::Macro,
        "attr" => Role::Attr,
        "use" => Role::Use,
        "alias" => Role::Alias,
        "segment" => Role::Segment,
        "path" => Role::PathExpr,
        "struct" => Role::Struct,
        "field" => Role::Field,
        "item" => Role::Item,
        _ => return Err(PyValueError::new_err(format!("no role `{name}`"))),
    })
}

fn known<T>(list: &[T], id: i32) -> PyResult<&T> {
    let found = usize::try_from(id).ok().and_then(|id| list.get(id));
    found.ok_or_else(|| PyIndexError::new_err(id))
}

#[pymethods]
impl RustFile {
    /// How many items, attributes, uses, paths and expressions there are.
    #[getter]
    fn counts(&self) -> (usize, usize, usize, usize, usize) {
        let facts = &self.table.facts;
        (
            facts.items.len(),
            facts.attrs.len(),
            facts.uses.len(),
            facts.paths.len(),
            facts.exprs.len(),
        )
    }

    fn lines(&self) -> Vec<u32> {
        self.table.facts.lines.clone()
    }

    fn position(&self, offset: u32) -> (u32, u32) {
        self.table.position(offset)
    }

    fn notes(&self) -> Vec<(&'static str, &str, u32, u32)> {
        (self.table.facts.notes.iter())
            .map(|note| {
                (
                    note.kind,
                    note.text.as_str(),
                    note.span.start,
                    note.span.end,
                )
            })
            .collect()
    }

    fn item<'py>(&self, py: Python<'py>, id: i32) -> PyResult<Bound<'py, PyTuple>> {
        let it = known(&self.table.facts.items, id)?;
        let row = Row::new(py).word(it.kind).int(it.parent)?.span(it.span)?;
        let row = row.text(&it.name).span(it.name_span)?.int(it.flags)?;
        let row = row.span(it.ty)?.span(it.extra)?.span(it.body)?;
        row.int(it.expr)?.span(it.generics)?.done()
    }

    fn params<'py>(&self, py: Python<'py>, id: i32) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let it = known(&self.table.facts.items, id)?;
        it.params.iter().map(|one| param(py, one)).collect()
    }

    fn attr<'py>(&self, py: Python<'py>, id: i32) -> PyResult<Bound<'py, PyTuple>> {
        let it = known(&self.table.facts.attrs, id)?;
        let row = Row::new(py).int(it.owner)?.text(&it.path).span(it.span)?;
        row.int(it.flags)?.span(it.args)?.span(it.target)?.done()
    }

    fn use_<'py>(&self, py: Python<'py>, id: i32) -> PyResult<Bound<'py, PyTuple>> {
        let it = known(&self.table.facts.uses, id)?;
        let row = Row::new(py).int(it.owner)?.text(&it.path).text(&it.name);
        row.int(it.flags)?.span(it.span)?.span(it.stmt)?.done()
    }

    fn path(&self, id: i32) -> PyResult<(i32, &str, u32, u32)> {
        let it = known(&self.table.facts.paths, id)?;
        Ok((it.owner, &it.path, it.span.start, it.span.end))
    }

    fn expr<'py>(
        &self,
        py: Python<'py>,
        id: i32,
    ) -> PyResult<(Bound<'py, PyString>, i32, u32, u32)> {
        let it = known(&self.table.facts.exprs, id)?;
        let kind = PyString::intern(py, kind_name(&it.kind));
        Ok((kind, it.parent, it.span.start, it.span.end))
    }

    fn fields<'py>(&self, py: Python<'py>, id: i32) -> PyResult<Bound<'py, PyTuple>> {
        fields(py, &known(&self.table.facts.exprs, id)?.kind)
    }

    fn label(&self, id: i32) -> Option<&str> {
        self.table.facts.labels.get(&id).map(String::as_str)
    }

    fn of_kind(&self, kind: &str) -> Vec<i32> {
        self.table.of_kind(kind).to_vec()
    }

    fn items_of_kind(&self, kind: &str) -> Vec<i32> {
        self.table.items_of_kind(kind).to_vec()
    }

    fn having(&self, role_name: &str, word: &str) -> PyResult<Vec<i32>> {
        Ok(self.table.with(role(role_name)?, word).collect())
    }

    fn has(&self, word: &str) -> bool {
        self.table.has(word)
    }

    #[allow(
        clippy::needless_pass_by_value,
        reason = "PyO3 hands over extracted arguments by value"
    )]
    fn has_any(&self, words: Vec<PyBackedStr>) -> bool {
        words.iter().any(|word| self.table.has(word))
    }

    /// Names of the methods called that start so, each once.
    fn methods_like(&self, start: &str) -> Vec<&str> {
        let words = self.table.words().filter(|word| word.starts_with(start));
        words
            .filter(|word| self.table.with(Role::Method, word).next().is_some())
            .collect()
    }

    fn words(&self) -> Vec<&str> {
        self.table.words().collect()
    }

    fn children(&self, item: i32) -> Vec<i32> {
        self.table.children(item).to_vec()
    }

    fn attrs_on(&self, item: i32) -> Vec<i32> {
        self.table.attrs_on(item).to_vec()
    }

    fn attrs_at(&self, start: u32, end: u32) -> Vec<i32> {
        self.table.attrs_at(Span { start, end }).collect()
    }

    fn globs(&self, item: i32) -> Vec<&str> {
        let uses = &self.table.facts.uses;
        let ids = self.table.globs(item).iter();
        ids.filter_map(|id| known(uses, *id).ok())
            .map(|it| it.path.as_str())
            .collect()
    }

    fn use_in(&self, scope: i32, name: &str) -> Option<&str> {
        let id = self.table.use_in(scope, name)?;
        known(&self.table.facts.uses, id)
            .ok()
            .map(|it| it.path.as_str())
    }

    fn item_in(&self, scope: i32, name: &str) -> i32 {
        self.table.item_in(scope, name).unwrap_or(-1)
    }

    fn owner(&self, id: i32) -> i32 {
        self.table.owner(id)
    }

    #[pyo3(signature = (id, kinds = None))]
    fn within(&self, id: i32, kinds: Option<Vec<PyBackedStr>>) -> Vec<i32> {
        let inside = self.table.within(id);
        let Some(kinds) = kinds else {
            return inside.collect();
        };
        inside
            .filter(|id| {
                let kind = self.table.kind(*id).map(kind_name);
                kind.is_some_and(|kind| kinds.iter().any(|one| &**one == kind))
            })
            .collect()
    }

    fn ancestors(&self, id: i32) -> Vec<i32> {
        let mut out = Vec::new();
        let mut up = self.table.parent(id);
        while up >= 0 {
            out.push(up);
            up = self.table.parent(up);
        }
        out
    }

    fn binding<'py>(&self, py: Python<'py>, id: i32) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let found = self.table.binding(id);
        found.map(|found| bound(py, &found)).transpose()
    }

    fn bound<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        id: i32,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let found = self.table.bound(name, id);
        found.map(|found| bound(py, &found)).transpose()
    }

    fn mentions(&self, block: i32, index: i32, name: &str) -> Vec<i32> {
        self.table.mentions(block, index, name)
    }
}

fn bound<'py>(py: Python<'py>, found: &bpfsmith_source::Bound) -> PyResult<Bound<'py, PyTuple>> {
    let binds = match found.binds {
        Binds::Let => "let",
        Binds::Param => "param",
        Binds::Pattern => "pattern",
    };
    let row = Row::new(py).word(binds).int(found.scope)?.span(found.ty)?;
    row.int(found.index)?.int(found.init)?.done()
}

/// Parses one Rust file.
#[pyfunction]
fn rust_parse(py: Python<'_>, text: &[u8]) -> RustFile {
    let table = py.detach(|| bpfsmith_source::table(text));
    RustFile { table }
}

/// Parses many Rust files, in order, on `threads` threads (0: all cores).
#[pyfunction]
#[pyo3(signature = (texts, threads = 0))]
#[allow(
    clippy::needless_pass_by_value,
    reason = "PyO3 hands over extracted arguments by value"
)]
fn rust_parse_many(py: Python<'_>, texts: Vec<PyBackedBytes>, threads: usize) -> Vec<RustFile> {
    let tables = py.detach(|| {
        let texts: Vec<&[u8]> = texts.iter().map(AsRef::as_ref).collect();
        bpfsmith_source::tables(&texts, threads)
    });
    tables.into_iter().map(|table| RustFile { table }).collect()
}

/// Those of the words that stand in one of the files.
#[pyfunction]
#[allow(
    clippy::needless_pass_by_value,
    reason = "PyO3 hands over extracted arguments by value"
)]
fn rust_words(files: Vec<PyRef<'_, RustFile>>, words: Vec<PyBackedStr>) -> Vec<String> {
    let stands = |word: &str| files.iter().any(|file| file.table.has(word));
    let found = words.iter().filter(|word| stands(word));
    found.map(ToString::to_string).collect()
}

/// An object that is never freed: for what lives until the process ends, which is soon.
#[pyfunction]
#[allow(
    clippy::needless_pass_by_value,
    reason = "PyO3 hands over extracted arguments by value"
)]
fn keep_for_ever(object: Py<PyAny>) {
    std::mem::forget(object);
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<RustFile>()?;
    m.add_function(wrap_pyfunction!(rust_parse, m)?)?;
    m.add_function(wrap_pyfunction!(rust_parse_many, m)?)?;
    m.add_function(wrap_pyfunction!(rust_words, m)?)?;
    m.add_function(wrap_pyfunction!(keep_for_ever, m)?)?;
    Ok(())
}
