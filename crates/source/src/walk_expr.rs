//! Expressions: one fact each, children by id, so that a reader can walk up and down without the tree.

use ra_ap_syntax::ast::{
    self, ArrayExprKind, ElseBranch, HasArgList, HasLoopBody, HasName, LiteralKind, RangeItem,
};
use ra_ap_syntax::{AstNode, SyntaxKind, SyntaxNode};

use crate::facts::{Arm, Expr, ExprKind, Note, Param, Span, Stmt};
use crate::nesting;
use crate::path::path_text;
use crate::syntax;
use crate::walk::Walk;

/// Macros within macro arguments; each level lexes its text once more.
const MAX_MACRO_DEPTH: u32 = 6;
/// A longer macro argument is data, not an expression a rule reads.
const MAX_ARG_BYTES: usize = 64 << 10;
/// Statements of one block and expressions of one function: what follows is not read. Nobody writes as many, and what
/// rules ask of a function may take the square of its length.
const MAX_STATEMENTS: usize = 1000;
const MAX_EXPRS: usize = 20_000;

impl Walk<'_> {
    pub(crate) fn expr(&mut self, expr: &ast::Expr, owner: i32, parent: i32) -> i32 {
        let node = expr.syntax();
        let span = self.span(node);
        let id = self.reserve(parent, span);
        if node
            .first_child()
            .is_some_and(|child| child.kind() == SyntaxKind::ATTR)
        {
            self.attrs(node, owner, false);
        }
        if self.facts.exprs.len() - self.first_of_item > MAX_EXPRS {
            self.too_long(span);
            self.fill_expr(id, ExprKind::Tokens);
            return id;
        }
        self.label(expr, id);
        let kind = self.kind(expr, owner, id);
        self.fill_expr(id, kind);
        id
    }

    fn label(&mut self, expr: &ast::Expr, id: i32) {
        let lifetime = match expr {
            ast::Expr::BreakExpr(it) => it.lifetime(),
            ast::Expr::ContinueExpr(it) => it.lifetime(),
            ast::Expr::BlockExpr(_)
            | ast::Expr::LoopExpr(_)
            | ast::Expr::WhileExpr(_)
            | ast::Expr::ForExpr(_) => {
                let label = expr.syntax().children().find_map(ast::Label::cast);
                label.and_then(|label| label.lifetime())
            }
            _ => None,
        };
        if let Some(lifetime) = lifetime {
            let text = lifetime.syntax().text().to_string();
            self.facts.labels.insert(id, text);
        }
    }

    fn too_long(&mut self, span: Span) {
        if self
            .facts
            .notes
            .last()
            .is_none_or(|note| note.kind != "length")
        {
            self.facts.notes.push(Note {
                kind: "length",
                text: "this function is too long: the rest of it is not read".to_owned(),
                span,
            });
        }
    }

    fn reserve(&mut self, parent: i32, span: Span) -> i32 {
        self.facts.exprs.push(Expr {
            parent,
            span,
            kind: ExprKind::Continue,
        });
        self.facts.exprs.len() as i32 - 1
    }

    fn fill_expr(&mut self, id: i32, kind: ExprKind) {
        if let Some(slot) = usize::try_from(id)
            .ok()
            .and_then(|id| self.facts.exprs.get_mut(id))
        {
            slot.kind = kind;
        }
    }

    fn opt(&mut self, expr: Option<ast::Expr>, owner: i32, parent: i32) -> i32 {
        expr.map_or(-1, |expr| self.expr(&expr, owner, parent))
    }

    fn opt_block(&mut self, block: Option<ast::BlockExpr>, owner: i32, parent: i32) -> i32 {
        self.opt(block.map(ast::Expr::BlockExpr), owner, parent)
    }

    fn all(&mut self, exprs: impl Iterator<Item = ast::Expr>, owner: i32, parent: i32) -> Vec<i32> {
        exprs.map(|expr| self.expr(&expr, owner, parent)).collect()
    }

    fn args(&mut self, list: Option<ast::ArgList>, owner: i32, parent: i32) -> Vec<i32> {
        list.map_or_else(Vec::new, |list| self.all(list.args(), owner, parent))
    }

    fn kind(&mut self, expr: &ast::Expr, owner: i32, id: i32) -> ExprKind {
        match expr {
            ast::Expr::Literal(it) => ExprKind::Lit(literal(it)),
            ast::Expr::PathExpr(it) => {
                let Some(path) = it.path() else {
                    return ExprKind::Path(String::new());
                };
                self.generic_args(path.syntax(), owner, id);
                ExprKind::Path(path_text(path.syntax()))
            }
            ast::Expr::CallExpr(it) => {
                let callee = self.opt(it.expr(), owner, id);
                ExprKind::Call {
                    callee,
                    args: self.args(it.arg_list(), owner, id),
                }
            }
            ast::Expr::MethodCallExpr(it) => {
                let receiver = self.opt(it.receiver(), owner, id);
                let name = it.name_ref();
                let generics = it
                    .syntax()
                    .children()
                    .find(|child| child.kind() == SyntaxKind::GENERIC_ARG_LIST);
                if let Some(generics) = &generics {
                    self.loose(generics, owner, id);
                }
                ExprKind::Method {
                    receiver,
                    name: name
                        .as_ref()
                        .map_or_else(String::new, |name| name.text().to_string()),
                    name_span: self.maybe(name.as_ref()),
                    generics: generics.map_or(Span::default(), |generics| self.span(&generics)),
                    args: self.args(it.arg_list(), owner, id),
                }
            }
            ast::Expr::FieldExpr(it) => ExprKind::Field {
                base: self.opt(it.expr(), owner, id),
                name: it
                    .name_ref()
                    .map_or_else(String::new, |name| name.text().to_string()),
            },
            ast::Expr::IndexExpr(it) => {
                let base = self.opt(it.base(), owner, id);
                ExprKind::Index {
                    base,
                    index: self.opt(it.index(), owner, id),
                }
            }
            ast::Expr::BinExpr(it) => {
                let op = it
                    .op_token()
                    .map_or_else(String::new, |token| token.text().to_owned());
                let lhs = self.opt(it.lhs(), owner, id);
                ExprKind::Binary {
                    op,
                    lhs,
                    rhs: self.opt(it.rhs(), owner, id),
                }
            }
            ast::Expr::PrefixExpr(it) => {
                let op = it
                    .op_token()
                    .map_or_else(String::new, |token| token.text().to_owned());
                ExprKind::Unary {
                    op,
                    inner: self.opt(it.expr(), owner, id),
                }
            }
            ast::Expr::RefExpr(it) => ExprKind::Ref {
                mutable: it.mut_token().is_some(),
                inner: self.opt(it.expr(), owner, id),
            },
            ast::Expr::TryExpr(it) => ExprKind::Try(self.opt(it.expr(), owner, id)),
            ast::Expr::AwaitExpr(it) => ExprKind::Await(self.opt(it.expr(), owner, id)),
            ast::Expr::CastExpr(it) => {
                let inner = self.opt(it.expr(), owner, id);
                if let Some(ty) = it.ty() {
                    self.type_(&ty, owner, id);
                }
                ExprKind::Cast {
                    inner,
                    ty: self.maybe(it.ty().as_ref()),
                }
            }
            ast::Expr::MacroExpr(it) => match it.macro_call() {
                Some(call) => self.macro_kind(&call, owner, id),
                None => ExprKind::Tokens,
            },
            ast::Expr::RecordExpr(it) => self.record(it, owner, id),
            ast::Expr::ArrayExpr(it) => match it.kind() {
                ArrayExprKind::Repeat {
                    initializer,
                    repeat,
                } => {
                    let value = self.opt(initializer, owner, id);
                    ExprKind::Repeat {
                        value,
                        len: self.opt(repeat, owner, id),
                    }
                }
                ArrayExprKind::ElementList(exprs) => ExprKind::Array(self.all(exprs, owner, id)),
            },
            ast::Expr::TupleExpr(it) => ExprKind::Tuple(self.all(it.fields(), owner, id)),
            ast::Expr::ParenExpr(it) => ExprKind::Paren(self.opt(it.expr(), owner, id)),
            ast::Expr::ReturnExpr(it) => ExprKind::Return(self.opt(it.expr(), owner, id)),
            ast::Expr::BreakExpr(it) => ExprKind::Break(self.opt(it.expr(), owner, id)),
            ast::Expr::ContinueExpr(_) => ExprKind::Continue,
            ast::Expr::ClosureExpr(it) => {
                let list = it.param_list();
                let params: Vec<Param> = self.params(list.as_ref(), owner);
                let names = list
                    .as_ref()
                    .map_or_else(Vec::new, |list| bound(list.syntax()));
                for param in list.iter().flat_map(ast::ParamList::params) {
                    self.loose(param.syntax(), owner, id);
                }
                ExprKind::Closure {
                    params,
                    names,
                    body: self.opt(it.body(), owner, id),
                }
            }
            ast::Expr::RangeExpr(it) => {
                let inclusive = it
                    .op_token()
                    .is_some_and(|token| token.kind() == SyntaxKind::DOT2EQ);
                let from = self.opt(it.start(), owner, id);
                ExprKind::Range {
                    from,
                    to: self.opt(it.end(), owner, id),
                    inclusive,
                }
            }
            ast::Expr::BlockExpr(_)
            | ast::Expr::IfExpr(_)
            | ast::Expr::LetExpr(_)
            | ast::Expr::MatchExpr(_)
            | ast::Expr::LoopExpr(_)
            | ast::Expr::WhileExpr(_)
            | ast::Expr::ForExpr(_) => self.control(expr, owner, id),
            other => ExprKind::Other(self.inside(other.syntax(), owner, id)),
        }
    }

    fn control(&mut self, expr: &ast::Expr, owner: i32, id: i32) -> ExprKind {
        match expr {
            ast::Expr::BlockExpr(it) => self.block(it, owner, id),
            ast::Expr::IfExpr(it) => {
                let cond = self.opt(it.condition(), owner, id);
                let then = self.opt_block(it.then_branch(), owner, id);
                let other = it.else_branch().map(|branch| match branch {
                    ElseBranch::Block(block) => ast::Expr::BlockExpr(block),
                    ElseBranch::IfExpr(branch) => ast::Expr::IfExpr(branch),
                });
                ExprKind::If {
                    cond,
                    then,
                    other: self.opt(other, owner, id),
                }
            }
            ast::Expr::LetExpr(it) => {
                let (pat, names) = self.pat(it.pat().as_ref(), owner, id);
                ExprKind::Let {
                    pat,
                    names,
                    inner: self.opt(it.expr(), owner, id),
                }
            }
            ast::Expr::MatchExpr(it) => {
                let scrutinee = self.opt(it.expr(), owner, id);
                let arms = it.match_arm_list().into_iter().flat_map(|list| list.arms());
                let arms = arms.map(|arm| self.arm(&arm, owner, id)).collect();
                ExprKind::Match { scrutinee, arms }
            }
            ast::Expr::LoopExpr(it) => ExprKind::Loop(self.opt_block(it.loop_body(), owner, id)),
            ast::Expr::WhileExpr(it) => {
                let cond = self.opt(it.condition(), owner, id);
                ExprKind::While {
                    cond,
                    body: self.opt_block(it.loop_body(), owner, id),
                }
            }
            ast::Expr::ForExpr(it) => {
                let (pat, names) = self.pat(it.pat().as_ref(), owner, id);
                let iter = self.opt(it.iterable(), owner, id);
                ExprKind::For {
                    pat,
                    names,
                    iter,
                    body: self.opt_block(it.loop_body(), owner, id),
                }
            }
            other => ExprKind::Other(self.inside(other.syntax(), owner, id)),
        }
    }

    fn arm(&mut self, arm: &ast::MatchArm, owner: i32, id: i32) -> Arm {
        self.attrs(arm.syntax(), owner, false);
        let (pat, names) = self.pat(arm.pat().as_ref(), owner, id);
        let guard = arm
            .guard()
            .and_then(|guard| guard.syntax().children().find_map(ast::Expr::cast));
        Arm {
            pat,
            names,
            guard: self.opt(guard, owner, id),
            expr: self.opt(arm.expr(), owner, id),
        }
    }

    fn pat(&mut self, pat: Option<&ast::Pat>, owner: i32, id: i32) -> (Span, Vec<String>) {
        let Some(pat) = pat else {
            return (Span::default(), Vec::new());
        };
        self.loose(pat.syntax(), owner, id);
        (self.span(pat.syntax()), bound(pat.syntax()))
    }

    fn record(&mut self, it: &ast::RecordExpr, owner: i32, id: i32) -> ExprKind {
        let path = it.path();
        if let Some(path) = &path {
            self.path(path.syntax(), owner, id);
        }
        let mut fields = Vec::new();
        let list = it.record_expr_field_list();
        for field in list.iter().flat_map(ast::RecordExprFieldList::fields) {
            let value = self.opt(field.expr(), owner, id);
            let name = field
                .field_name()
                .map_or_else(String::new, |name| name.text().to_string());
            fields.push((name, value));
        }
        let spread = self.opt(list.and_then(|list| list.spread()), owner, id);
        ExprKind::Struct {
            path: path.map_or_else(String::new, |path| path_text(path.syntax())),
            fields,
            spread,
        }
    }

    fn block(&mut self, it: &ast::BlockExpr, owner: i32, id: i32) -> ExprKind {
        let flags = u32::from(it.unsafe_token().is_some())
            | (u32::from(it.async_token().is_some()) << 1)
            | (u32::from(it.const_token().is_some()) << 2)
            | (u32::from(it.try_block_modifier().is_some()) << 3)
            | (u32::from(it.label().is_some()) << 4);
        let Some(list) = it.stmt_list() else {
            return ExprKind::Block {
                flags,
                stmts: Vec::new(),
                tail: -1,
            };
        };
        let mut stmts = Vec::new();
        for (count, stmt) in list.statements().enumerate() {
            if count == MAX_STATEMENTS {
                let rest = self.range(stmt.syntax().text_range());
                self.too_long(rest);
                break;
            }
            match stmt {
                ast::Stmt::LetStmt(it) => stmts.push(self.let_stmt(&it, owner, id)),
                ast::Stmt::ExprStmt(it) => {
                    if let Some(expr) = it.expr() {
                        let semicolon = it.semicolon_token().is_some();
                        stmts.push(Stmt::Expr {
                            expr: self.expr(&expr, owner, id),
                            semicolon,
                        });
                    }
                }
                ast::Stmt::Item(ast::Item::MacroCall(call)) => {
                    let span = self.span(call.syntax());
                    let expr = self.reserve(id, span);
                    let kind = self.macro_kind(&call, owner, expr);
                    self.fill_expr(expr, kind);
                    stmts.push(Stmt::Expr {
                        expr,
                        semicolon: true,
                    });
                }
                ast::Stmt::Item(item) => {
                    let item = self.item(&item, owner);
                    if item >= 0 {
                        stmts.push(Stmt::Item(item));
                    }
                }
            }
        }
        ExprKind::Block {
            flags,
            stmts,
            tail: self.opt(list.tail_expr(), owner, id),
        }
    }

    fn let_stmt(&mut self, it: &ast::LetStmt, owner: i32, id: i32) -> Stmt {
        self.attrs(it.syntax(), owner, false);
        let (pat, names) = self.pat(it.pat().as_ref(), owner, id);
        if let Some(ty) = it.ty() {
            self.type_(&ty, owner, id);
        }
        let init = self.opt(it.initializer(), owner, id);
        let other = self.opt_block(
            it.let_else().and_then(|other| other.block_expr()),
            owner,
            id,
        );
        Stmt::Let {
            span: self.span(it.syntax()),
            pat,
            names,
            ty: self.maybe(it.ty().as_ref()),
            init,
            other,
        }
    }

    fn inside(&mut self, node: &SyntaxNode, owner: i32, id: i32) -> Vec<i32> {
        let first = self.facts.exprs.len() as i32;
        self.loose(node, owner, id);
        let exprs = self
            .facts
            .exprs
            .iter()
            .enumerate()
            .skip(usize::try_from(first).unwrap_or_default());
        exprs
            .filter(|(_, expr)| expr.parent == id)
            .map(|(at, _)| at as i32)
            .collect()
    }

    pub(crate) fn macro_call(&mut self, call: &ast::MacroCall, owner: i32, parent: i32) -> i32 {
        let span = self.span(call.syntax());
        let id = self.reserve(parent, span);
        let kind = self.macro_kind(call, owner, id);
        self.fill_expr(id, kind);
        id
    }

    fn macro_kind(&mut self, call: &ast::MacroCall, owner: i32, id: i32) -> ExprKind {
        let path = call
            .path()
            .map_or_else(String::new, |path| path_text(path.syntax()));
        let Some(tree) = call.token_tree() else {
            return ExprKind::Macro {
                path,
                tokens: Span::default(),
                args: Vec::new(),
            };
        };
        let tokens = self.span(tree.syntax());
        let mut args = Vec::new();
        let text = tree.syntax().text().to_string();
        let offset = usize::from(tree.syntax().text_range().start());
        for (start, end) in parts(tree.syntax()).into_iter().take(MAX_STATEMENTS) {
            let part = text.get(start - offset..end - offset).unwrap_or_default();
            args.push(self.macro_arg(part, start, owner, id));
        }
        ExprKind::Macro { path, tokens, args }
    }

    /// One part of a macro's tokens, `start` counted in the text being walked.
    fn macro_arg(&mut self, part: &str, start: usize, owner: i32, parent: i32) -> i32 {
        let shallow = self.macro_depth < MAX_MACRO_DEPTH && part.len() <= MAX_ARG_BYTES;
        let parsed = if shallow && nesting::cut(part).1.is_empty() {
            syntax::expr(part)
        } else {
            None
        };
        let outer = self.base;
        self.base += start;
        let id = match parsed {
            Some(expr) => {
                self.macro_depth += 1;
                let id = self.expr(&expr, owner, parent);
                self.macro_depth -= 1;
                id
            }
            None => {
                let span = Span {
                    start: self.index.chars(self.base),
                    end: self.index.chars(self.base + part.len()),
                };
                let id = self.reserve(parent, span);
                self.fill_expr(id, ExprKind::Tokens);
                id
            }
        };
        self.base = outer;
        id
    }
}

/// What stands between the commas and semicolons of a token tree, without the white space around: (start, end) in bytes.
fn parts(tree: &SyntaxNode) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    let mut part: Option<(usize, usize)> = None;
    let last = tree.last_token().map(|token| token.text_range().start());
    for (at, element) in tree.children_with_tokens().enumerate() {
        let range = element.text_range();
        match element.kind() {
            SyntaxKind::COMMA | SyntaxKind::SEMICOLON => out.extend(part.take()),
            SyntaxKind::WHITESPACE | SyntaxKind::COMMENT => {}
            SyntaxKind::L_PAREN | SyntaxKind::L_BRACK | SyntaxKind::L_CURLY if at == 0 => {}
            SyntaxKind::R_PAREN | SyntaxKind::R_BRACK | SyntaxKind::R_CURLY
                if Some(range.start()) == last => {}
            _ => {
                let start = part.map_or(usize::from(range.start()), |(start, _)| start);
                part = Some((start, usize::from(range.end())));
            }
        }
    }
    out.extend(part);
    out
}

/// Names a pattern binds. `None` and `MAX` look like bindings to a parser: what starts upper-case is taken for a constant.
pub(crate) fn bound(pat: &SyntaxNode) -> Vec<String> {
    pat.descendants()
        .filter_map(ast::IdentPat::cast)
        .filter_map(|pat| pat.name())
        .map(|name| name.text().to_string())
        .filter(|name| !name.starts_with(|c: char| c.is_uppercase()))
        .collect()
}

fn literal(it: &ast::Literal) -> &'static str {
    match it.kind() {
        LiteralKind::String(_) => "str",
        LiteralKind::ByteString(_) => "bytes",
        LiteralKind::CString(_) => "cstr",
        LiteralKind::IntNumber(_) => "int",
        LiteralKind::FloatNumber(_) => "float",
        LiteralKind::Char(_) => "char",
        LiteralKind::Byte(_) => "byte",
        LiteralKind::Bool(_) => "bool",
    }
}
