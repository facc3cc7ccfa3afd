//! Facts as compact JSON: objects at the top, arrays below, fields in the order of `facts.rs`.
//!
//! Expressions are `[kind, parent, start, end, ...]`; the reader is `bpfsmith.source.rust`, which documents each kind.

use std::fmt::Write;

use crate::facts::{Expr, ExprKind as K, Facts, Param, Span, Stmt};

/// Raised when the shape changes; the Python side refuses another one.
const VERSION: u32 = 1;

pub(crate) fn write(facts: &Facts) -> Vec<u8> {
    let mut out = Out {
        text: String::with_capacity(facts.exprs.len() * 48 + 1024),
    };
    out.raw("{\"v\":").int(VERSION).raw(",\"lines\":");
    out.ints(facts.lines.iter().map(|at| i64::from(*at)));
    out.list("notes", &facts.notes, |out, note| {
        out.str(note.kind).raw(",").str(&note.text).span(note.span);
    });
    out.list("items", &facts.items, |out, item| {
        out.str(item.kind)
            .num(item.parent)
            .span(item.span)
            .raw(",")
            .str(&item.name)
            .span(item.name_span);
        out.num(item.flags)
            .span(item.ty)
            .span(item.extra)
            .span(item.body)
            .num(item.expr)
            .raw(",")
            .params(&item.params);
    });
    out.list("attrs", &facts.attrs, |out, attr| {
        out.int(attr.owner)
            .raw(",")
            .str(&attr.path)
            .span(attr.span)
            .num(attr.flags)
            .span(attr.args)
            .span(attr.target);
    });
    out.list("uses", &facts.uses, |out, it| {
        out.int(it.owner)
            .raw(",")
            .str(&it.path)
            .raw(",")
            .str(&it.name)
            .num(it.flags)
            .span(it.span)
            .span(it.stmt);
    });
    out.list("paths", &facts.paths, |out, path| {
        out.int(path.owner).raw(",").str(&path.path).span(path.span);
    });
    out.list("exprs", &facts.exprs, Out::expr);
    out.raw("}");
    out.text.into_bytes()
}

struct Out {
    text: String,
}

impl Out {
    fn raw(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    fn int(&mut self, value: impl Into<i64>) -> &mut Self {
        // Writing to a `String` cannot fail.
        let _ = write!(self.text, "{}", value.into());
        self
    }

    /// A comma and a number.
    fn num(&mut self, value: impl Into<i64>) -> &mut Self {
        self.raw(",").int(value)
    }

    fn span(&mut self, span: Span) -> &mut Self {
        self.num(span.start).num(span.end)
    }

    fn str(&mut self, text: &str) -> &mut Self {
        self.text.push('"');
        for c in text.chars() {
            match c {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                c if c < ' ' => {
                    let _ = write!(self.text, "\\u{:04x}", u32::from(c));
                }
                c => self.text.push(c),
            }
        }
        self.text.push('"');
        self
    }

    fn list<T>(&mut self, name: &str, values: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.raw(",\"").raw(name).raw("\":");
        self.values(values, |out, value| {
            out.raw("[");
            each(out, value);
            out.raw("]");
        });
    }

    fn values<T>(&mut self, values: &[T], mut each: impl FnMut(&mut Self, &T)) -> &mut Self {
        self.raw("[");
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                self.raw(",");
            }
            each(self, value);
        }
        self.raw("]")
    }

    fn ints(&mut self, values: impl Iterator<Item = i64>) -> &mut Self {
        self.raw("[");
        for (at, value) in values.enumerate() {
            if at > 0 {
                self.raw(",");
            }
            self.int(value);
        }
        self.raw("]")
    }

    fn ids(&mut self, ids: &[i32]) -> &mut Self {
        self.raw(",").ints(ids.iter().map(|id| i64::from(*id)))
    }

    fn names(&mut self, names: &[String]) -> &mut Self {
        self.raw(",").values(names, |out, name| {
            out.str(name);
        })
    }

    fn params(&mut self, params: &[Param]) -> &mut Self {
        self.values(params, |out, param| {
            out.raw("[")
                .str(&param.name)
                .span(param.span)
                .span(param.ty)
                .raw("]");
        })
    }

    fn kind(&mut self, kind: &str, expr: &Expr) -> &mut Self {
        self.str(kind).num(expr.parent).span(expr.span)
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            K::Lit(kind) => self.kind("lit", expr).raw(",").str(kind),
            K::Path(path) => self.kind("path", expr).raw(",").str(path),
            K::Call { callee, args } => self.kind("call", expr).num(*callee).ids(args),
            K::Method {
                receiver,
                name,
                name_span,
                generics,
                args,
            } => self
                .kind("method", expr)
                .num(*receiver)
                .raw(",")
                .str(name)
                .span(*name_span)
                .span(*generics)
                .ids(args),
            K::Field { base, name } => self.kind("field", expr).num(*base).raw(",").str(name),
            K::Index { base, index } => self.kind("index", expr).num(*base).num(*index),
            K::Binary { op, lhs, rhs } => self
                .kind("binary", expr)
                .raw(",")
                .str(op)
                .num(*lhs)
                .num(*rhs),
            K::Unary { op, inner } => self.kind("unary", expr).raw(",").str(op).num(*inner),
            K::Ref { mutable, inner } => {
                self.kind("ref", expr).num(u32::from(*mutable)).num(*inner)
            }
            K::Try(inner) => self.kind("try", expr).num(*inner),
            K::Await(inner) => self.kind("await", expr).num(*inner),
            K::Cast { inner, ty } => self.kind("cast", expr).num(*inner).span(*ty),
            K::Macro { path, tokens, args } => self
                .kind("macro", expr)
                .raw(",")
                .str(path)
                .span(*tokens)
                .ids(args),
            K::Struct {
                path,
                fields,
                spread,
            } => {
                self.kind("struct", expr).raw(",").str(path).raw(",");
                self.values(fields, |out, (name, value)| {
                    out.raw("[").str(name).num(*value).raw("]");
                });
                self.num(*spread)
            }
            K::Array(exprs) => self.kind("array", expr).ids(exprs),
            K::Repeat { value, len } => self.kind("repeat", expr).num(*value).num(*len),
            K::Tuple(exprs) => self.kind("tuple", expr).ids(exprs),
            K::Paren(inner) => self.kind("paren", expr).num(*inner),
            K::Block { flags, stmts, tail } => {
                self.kind("block", expr).num(*flags).raw(",");
                self.values(stmts, Self::stmt);
                self.num(*tail)
            }
            K::If { cond, then, other } => self.kind("if", expr).num(*cond).num(*then).num(*other),
            K::Let { pat, names, inner } => {
                self.kind("let", expr).span(*pat).names(names).num(*inner)
            }
            K::Match { scrutinee, arms } => {
                self.kind("match", expr).num(*scrutinee).raw(",");
                self.values(arms, |out, arm| {
                    out.raw("[")
                        .int(arm.pat.start)
                        .num(arm.pat.end)
                        .names(&arm.names)
                        .num(arm.guard)
                        .num(arm.expr)
                        .raw("]");
                })
            }
            K::Loop(body) => self.kind("loop", expr).num(*body),
            K::While { cond, body } => self.kind("while", expr).num(*cond).num(*body),
            K::For {
                pat,
                names,
                iter,
                body,
            } => self
                .kind("for", expr)
                .span(*pat)
                .names(names)
                .num(*iter)
                .num(*body),
            K::Return(inner) => self.kind("return", expr).num(*inner),
            K::Break(inner) => self.kind("break", expr).num(*inner),
            K::Continue => self.kind("continue", expr),
            K::Closure {
                params,
                names,
                body,
            } => self
                .kind("closure", expr)
                .raw(",")
                .params(params)
                .names(names)
                .num(*body),
            K::Range {
                from,
                to,
                inclusive,
            } => self
                .kind("range", expr)
                .num(*from)
                .num(*to)
                .num(u32::from(*inclusive)),
            K::Tokens => self.kind("tokens", expr),
            K::Other(exprs) => self.kind("other", expr).ids(exprs),
        };
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Let {
                span,
                pat,
                names,
                ty,
                init,
                other,
            } => self
                .raw("[\"let\"")
                .span(*span)
                .span(*pat)
                .names(names)
                .span(*ty)
                .num(*init)
                .num(*other)
                .raw("]"),
            Stmt::Expr { expr, semicolon } => self
                .raw("[\"expr\"")
                .num(*expr)
                .num(u32::from(*semicolon))
                .raw("]"),
            Stmt::Item(item) => self.raw("[\"item\"").num(*item).raw("]"),
        };
    }
}
