//! The facts, as Rust types. `table.rs` adds the indexes that readers ask.

/// Half-open range of character offsets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

/// Something unusual about the reading itself: `not-utf8`, `nesting`, `length`, `syntax`, `unread`.
#[derive(Debug, Clone)]
pub struct Note {
    pub kind: &'static str,
    pub text: String,
    pub span: Span,
}

/// Everything read from one file. Ids are indices into the lists; `-1` is none.
#[derive(Debug, Default)]
pub struct Facts {
    pub lines: Vec<u32>,
    pub notes: Vec<Note>,
    pub items: Vec<Item>,
    pub attrs: Vec<Attr>,
    pub uses: Vec<Use>,
    pub paths: Vec<PathUse>,
    pub exprs: Vec<Expr>,
    /// Of blocks, loops, `break` and `continue`: their label, with the quote.
    pub labels: std::collections::HashMap<i32, String>,
}

impl Facts {
    pub(crate) fn unread(why: String) -> Self {
        let note = Note {
            kind: "unread",
            text: why,
            span: Span::default(),
        };
        Self {
            lines: vec![0],
            notes: vec![note],
            ..Self::default()
        }
    }
}

/// `kind`: fn struct enum union static const mod impl trait type macro_rules macro extern_block extern_crate.
#[derive(Debug)]
pub struct Item {
    pub kind: &'static str,
    pub parent: i32,
    pub span: Span,
    pub name: String,
    pub name_span: Span,
    /// Bits of `flag`.
    pub flags: u32,
    /// Static or const: its type. Fn: what it returns. Impl: the type it is for. Type alias: what it stands for.
    pub ty: Span,
    /// Impl: the trait. `macro`: the token tree. `mod`, `impl`, `trait`: nothing.
    pub extra: Span,
    /// Between the braces, braces included; empty without a body.
    pub body: Span,
    /// Fn: its block. Static, const: the value. Else -1.
    pub expr: i32,
    /// `<T: X>` as written.
    pub generics: Span,
    /// Fn: parameters (`self` too). Struct, union: fields. Enum: variants.
    pub params: Vec<Param>,
}

pub mod flag {
    //! Bits of `Item::flags`.
    pub const PUB: u32 = 1;
    pub const GENERIC: u32 = 2;
    pub const UNSAFE: u32 = 4;
    pub const CONST: u32 = 8;
    pub const ASYNC: u32 = 16;
    pub const MUT: u32 = 32;
    pub const EXTERN: u32 = 64;
}

/// A parameter, field or variant: pattern or name, and type (empty when there is none).
#[derive(Debug, Default)]
pub struct Param {
    pub name: String,
    pub span: Span,
    pub ty: Span,
    /// Bits of `flag`.
    pub flags: u32,
    /// Variant: its discriminant. Else -1.
    pub value: i32,
    /// What a pattern that is no plain name binds.
    pub names: Vec<String>,
}

/// `owner`: the item it stands on (`on_item`) or in; -1 for the file. `args`: the token tree or the value after `=`.
#[derive(Debug)]
pub struct Attr {
    pub owner: i32,
    pub path: String,
    pub span: Span,
    /// 1 inner (`#![..]`), 2 `unsafe(..)`, 4 stands on the item `owner` itself.
    pub flags: u32,
    pub args: Span,
    /// What it stands on.
    pub target: Span,
}

/// One leaf of a `use` tree. `path` is complete, without `*` for globs; `name` is what it is called here (empty: `_` or glob).
#[derive(Debug)]
pub struct Use {
    pub owner: i32,
    pub path: String,
    pub name: String,
    /// 1 glob, 2 `pub`, 4 renamed.
    pub flags: u32,
    /// The last segment as written (the `*` of a glob).
    pub span: Span,
    pub stmt: Span,
}

/// A path in a type, a pattern, a bound, a struct literal: everywhere but path expressions and `use`.
#[derive(Debug)]
pub struct PathUse {
    pub owner: i32,
    pub path: String,
    pub span: Span,
}

/// `parent`: the enclosing expression, or `-2 - item` for the outermost one of an item.
#[derive(Debug)]
pub struct Expr {
    pub parent: i32,
    pub span: Span,
    pub kind: ExprKind,
}

#[derive(Debug)]
pub enum ExprKind {
    /// `int` `float` `str` `cstr` `bytes` `char` `byte` `bool`; the text is the span's.
    Lit(&'static str),
    /// Normalised, without generic arguments: `a::b`. `<T as X>::f` is `<>::f`.
    Path(String),
    Call {
        callee: i32,
        args: Vec<i32>,
    },
    Method {
        receiver: i32,
        name: String,
        name_span: Span,
        generics: Span,
        args: Vec<i32>,
    },
    Field {
        base: i32,
        name: String,
    },
    Index {
        base: i32,
        index: i32,
    },
    Binary {
        op: String,
        lhs: i32,
        rhs: i32,
    },
    /// `!`, `-`, `*`.
    Unary {
        op: String,
        inner: i32,
    },
    Ref {
        mutable: bool,
        inner: i32,
    },
    Try(i32),
    Await(i32),
    Cast {
        inner: i32,
        ty: Span,
    },
    /// `args`: what stands between commas or semicolons; a part that is no expression is `Tokens`.
    Macro {
        path: String,
        tokens: Span,
        args: Vec<i32>,
    },
    Struct {
        path: String,
        fields: Vec<(String, i32)>,
        spread: i32,
    },
    Array(Vec<i32>),
    Repeat {
        value: i32,
        len: i32,
    },
    Tuple(Vec<i32>),
    Paren(i32),
    /// `flags`: 1 unsafe, 2 async, 4 const, 8 try, 16 labelled.
    Block {
        flags: u32,
        stmts: Vec<Stmt>,
        tail: i32,
    },
    If {
        cond: i32,
        then: i32,
        other: i32,
    },
    Let {
        pat: Span,
        names: Vec<String>,
        inner: i32,
    },
    Match {
        scrutinee: i32,
        arms: Vec<Arm>,
    },
    Loop(i32),
    While {
        cond: i32,
        body: i32,
    },
    For {
        pat: Span,
        names: Vec<String>,
        iter: i32,
        body: i32,
    },
    Return(i32),
    Break(i32),
    Continue,
    Closure {
        params: Vec<Param>,
        names: Vec<String>,
        body: i32,
    },
    Range {
        from: i32,
        to: i32,
        inclusive: bool,
    },
    /// Tokens of a macro that are no expression.
    Tokens,
    /// Anything else, with what is inside it.
    Other(Vec<i32>),
}

#[derive(Debug)]
pub struct Arm {
    pub pat: Span,
    pub names: Vec<String>,
    pub guard: i32,
    pub expr: i32,
}

#[derive(Debug)]
pub enum Stmt {
    Let {
        span: Span,
        pat: Span,
        names: Vec<String>,
        ty: Span,
        init: i32,
        other: i32,
    },
    Expr {
        expr: i32,
        semicolon: bool,
    },
    Item(i32),
}
