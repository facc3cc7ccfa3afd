//! Facts with the indexes that readers ask: by kind, by name, who is inside whom, which pattern binds a local name.

use std::collections::HashMap;

use crate::facts::{ExprKind as K, Facts, Param, Span, Stmt};

/// What a word of the file stands for at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The method called by an expression.
    Method,
    /// The last segment of the path an expression calls.
    Call,
    /// The last segment of a macro call's path.
    Macro,
    /// The last segment of an attribute's path.
    Attr,
    /// The last segment of what a `use` names.
    Use,
    /// What a `use` calls it here.
    Alias,
    /// A segment of a path outside of expressions.
    Segment,
    /// A segment of a path expression.
    PathExpr,
    /// The last segment of a struct literal's path.
    Struct,
    /// The field an expression reads.
    Field,
    /// The name of an item.
    Item,
}

/// How a local name is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binds {
    /// A `let` statement; the reader sees whether its pattern is more than the name.
    Let,
    /// A parameter of a function or closure that is just the name.
    Param,
    /// Part of a pattern.
    Pattern,
}

/// Where a local name comes from.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    pub binds: Binds,
    /// The expression in which it is visible.
    pub scope: i32,
    /// The type written with it.
    pub ty: Span,
    /// Which statement of the block `scope` it is, or which parameter; -1 for none.
    pub index: i32,
    /// What the pattern takes apart: of `let`, `if let`, `match`, `for`.
    pub init: i32,
}

#[derive(Debug, Default)]
pub struct Table {
    pub facts: Facts,
    /// One past the last expression inside each.
    ends: Vec<i32>,
    /// The item each expression is in; -1 for none.
    owners: Vec<i32>,
    kinds: HashMap<&'static str, Vec<i32>>,
    words: HashMap<Box<str>, Vec<(Role, i32)>>,
    children: HashMap<i32, Vec<i32>>,
    item_attrs: HashMap<i32, Vec<i32>>,
    targets: HashMap<u32, Vec<i32>>,
    globs: HashMap<i32, Vec<i32>>,
    item_kinds: HashMap<&'static str, Vec<i32>>,
}

impl Table {
    pub(crate) fn new(facts: Facts, words: HashMap<Box<str>, Vec<(Role, i32)>>) -> Self {
        let mut table = Self {
            words,
            ..Self::default()
        };
        table.index_exprs(&facts);
        table.index_rest(&facts);
        table.facts = facts;
        table
    }

    pub(crate) fn unread(why: String) -> Self {
        Self::new(Facts::unread(why), HashMap::new())
    }

    fn index_exprs(&mut self, facts: &Facts) {
        let count = facts.exprs.len();
        self.ends = (1..=count as i32).collect();
        self.owners = Vec::with_capacity(count);
        for (at, expr) in facts.exprs.iter().enumerate() {
            let id = at as i32;
            let owner = match usize::try_from(expr.parent) {
                Ok(parent) => self.owners.get(parent).copied().unwrap_or(-1),
                Err(_) => -2 - expr.parent,
            };
            self.owners.push(owner);
            self.kinds
                .entry(kind_name(&expr.kind))
                .or_default()
                .push(id);
            match &expr.kind {
                K::Method { name, .. } => self.add(name, Role::Method, id),
                K::Field { name, .. } => self.add(name, Role::Field, id),
                K::Macro { path, .. } => self.add(last(path), Role::Macro, id),
                K::Struct { path, .. } => self.add(last(path), Role::Struct, id),
                K::Path(path) => {
                    for (at, part) in path.split("::").enumerate() {
                        if path.split("::").take(at).all(|before| before != part) {
                            self.add(part, Role::PathExpr, id);
                        }
                    }
                }
                K::Call { callee, .. } => {
                    let callee = usize::try_from(*callee).ok();
                    let callee = callee.and_then(|callee| facts.exprs.get(callee));
                    if let Some(K::Path(path)) = callee.map(|callee| &callee.kind) {
                        self.add(last(path), Role::Call, id);
                    }
                }
                _ => {}
            }
        }
        for (at, expr) in facts.exprs.iter().enumerate().rev() {
            let end = self.ends.get(at).copied().unwrap_or_default();
            let parent = usize::try_from(expr.parent).ok();
            if let Some(slot) = parent.and_then(|parent| self.ends.get_mut(parent)) {
                *slot = end.max(*slot);
            }
        }
    }

    fn index_rest(&mut self, facts: &Facts) {
        for (at, item) in facts.items.iter().enumerate() {
            let id = at as i32;
            self.add(last(&item.name), Role::Item, id);
            self.children.entry(item.parent).or_default().push(id);
            self.item_kinds.entry(item.kind).or_default().push(id);
        }
        for (at, attr) in facts.attrs.iter().enumerate() {
            let id = at as i32;
            self.add(last(&attr.path), Role::Attr, id);
            if attr.flags & 4 != 0 {
                self.item_attrs.entry(attr.owner).or_default().push(id);
            } else {
                self.targets.entry(attr.target.start).or_default().push(id);
            }
        }
        for (at, it) in facts.uses.iter().enumerate() {
            let id = at as i32;
            self.add(last(&it.path), Role::Use, id);
            if it.flags & 1 != 0 {
                self.globs.entry(it.owner).or_default().push(id);
            } else {
                self.add(&it.name, Role::Alias, id);
            }
        }
        for (at, it) in facts.paths.iter().enumerate() {
            for (place, part) in it.path.split("::").enumerate() {
                if it.path.split("::").take(place).all(|before| before != part) {
                    self.add(part, Role::Segment, at as i32);
                }
            }
        }
    }

    fn add(&mut self, word: &str, role: Role, id: i32) {
        if word.is_empty() {
            return;
        }
        match self.words.get_mut(word) {
            Some(list) => list.push((role, id)),
            None => {
                self.words.insert(word.into(), vec![(role, id)]);
            }
        }
    }

    /// Whether this word stands in the code: an identifier, a keyword, or in a literal. Comments do not count.
    #[must_use]
    pub fn has(&self, word: &str) -> bool {
        self.words.contains_key(word)
    }

    /// Every word of the code.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.keys().map(AsRef::as_ref)
    }

    /// The ids that have this word in this role, in order of the text.
    pub fn with(&self, role: Role, word: &str) -> impl Iterator<Item = i32> {
        let found = self.words.get(word).map(Vec::as_slice).unwrap_or_default();
        found
            .iter()
            .filter(move |(it, _)| *it == role)
            .map(|(_, id)| *id)
    }

    #[must_use]
    pub fn of_kind(&self, kind: &str) -> &[i32] {
        self.kinds.get(kind).map(Vec::as_slice).unwrap_or_default()
    }

    #[must_use]
    pub fn items_of_kind(&self, kind: &str) -> &[i32] {
        let found = self.item_kinds.get(kind);
        found.map(Vec::as_slice).unwrap_or_default()
    }

    /// The items whose parent is this one; -1 for the file's own.
    #[must_use]
    pub fn children(&self, item: i32) -> &[i32] {
        let found = self.children.get(&item);
        found.map(Vec::as_slice).unwrap_or_default()
    }

    /// The attributes that stand on an item; -1 for the file.
    #[must_use]
    pub fn attrs_on(&self, item: i32) -> &[i32] {
        let found = self.item_attrs.get(&item);
        found.map(Vec::as_slice).unwrap_or_default()
    }

    /// The attributes on a field, variant, parameter, arm, statement or expression.
    pub fn attrs_at(&self, span: Span) -> impl Iterator<Item = i32> {
        let found = self.targets.get(&span.start);
        let found = found.map(Vec::as_slice).unwrap_or_default();
        found.iter().copied().filter(move |id| {
            let attr = at(&self.facts.attrs, *id);
            attr.is_some_and(|attr| attr.target == span)
        })
    }

    #[must_use]
    pub fn globs(&self, item: i32) -> &[i32] {
        self.globs.get(&item).map(Vec::as_slice).unwrap_or_default()
    }

    /// The first `use` in this scope that brings in the name.
    #[must_use]
    pub fn use_in(&self, scope: i32, name: &str) -> Option<i32> {
        self.with(Role::Alias, name)
            .find(|id| at(&self.facts.uses, *id).is_some_and(|it| it.owner == scope))
    }

    /// The first item in this scope with the name; macro calls and impls have none.
    #[must_use]
    pub fn item_in(&self, scope: i32, name: &str) -> Option<i32> {
        self.with(Role::Item, name).find(|id| {
            at(&self.facts.items, *id).is_some_and(|it| {
                it.parent == scope && it.name == name && !matches!(it.kind, "macro" | "impl")
            })
        })
    }

    /// The item an expression is in; -1 for none.
    #[must_use]
    pub fn owner(&self, id: i32) -> i32 {
        at(&self.owners, id).copied().unwrap_or(-1)
    }

    /// The expressions inside one, itself first, those of items declared in it left out.
    pub fn within(&self, id: i32) -> impl Iterator<Item = i32> {
        let end = at(&self.ends, id).copied().unwrap_or(id);
        let owner = self.owner(id);
        (id..end).filter(move |id| self.owner(*id) == owner)
    }

    #[must_use]
    pub fn kind(&self, id: i32) -> Option<&K> {
        at(&self.facts.exprs, id).map(|expr| &expr.kind)
    }

    #[must_use]
    pub fn parent(&self, id: i32) -> i32 {
        at(&self.facts.exprs, id).map_or(-1, |expr| expr.parent)
    }

    fn start(&self, id: i32) -> u32 {
        at(&self.facts.exprs, id).map_or(0, |expr| expr.span.start)
    }

    /// Line and column of a character offset, both from 1.
    #[must_use]
    pub fn position(&self, offset: u32) -> (u32, u32) {
        let line = self.facts.lines.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|at| self.facts.lines.get(at));
        (line as u32, offset - start.copied().unwrap_or(0) + 1)
    }

    /// Where the local name that a path of one segment uses comes from; None when it is no local.
    #[must_use]
    pub fn binding(&self, id: i32) -> Option<Bound> {
        let Some(K::Path(name)) = self.kind(id) else {
            return None;
        };
        self.bound(name, id)
    }

    /// What binds a local name as seen from an expression.
    #[must_use]
    pub fn bound(&self, name: &str, id: i32) -> Option<Bound> {
        let mut child = id;
        let mut up = self.parent(id);
        while up >= 0 {
            if let Some(found) = self.bound_by(up, child, name) {
                return Some(found);
            }
            child = up;
            up = self.parent(up);
        }
        let item = at(&self.facts.items, self.owner(id))?;
        if item.kind != "fn" {
            return None;
        }
        param_of(&item.params, name, item.expr)
    }

    fn bound_by(&self, up: i32, child: i32, name: &str) -> Option<Bound> {
        let has = |names: &[String]| names.iter().any(|one| one == name);
        let pattern = |init: i32| {
            Some(Bound {
                binds: Binds::Pattern,
                scope: up,
                ty: Span::default(),
                index: -1,
                init,
            })
        };
        match self.kind(up)? {
            K::Block { stmts, .. } => self.bound_in_block(up, child, name, stmts),
            K::Closure { params, names, .. } if has(names) => {
                param_of(params, name, up).or_else(|| pattern(-1))
            }
            K::For {
                names, iter, body, ..
            } if child == *body && has(names) => pattern(*iter),
            K::Match { scrutinee, arms } => {
                let arm = (arms.iter()).find(|arm| child == arm.guard || child == arm.expr)?;
                if child == arm.expr
                    && arm.guard >= 0
                    && let Some(init) = self.let_in(arm.guard, name)
                {
                    return pattern(init);
                }
                if has(&arm.names) {
                    return pattern(*scrutinee);
                }
                None
            }
            K::If { cond, then, .. } if child == *then => pattern(self.let_in(*cond, name)?),
            K::While { cond, body } if child == *body => pattern(self.let_in(*cond, name)?),
            K::Binary { op, lhs, rhs } if op == "&&" && child == *rhs => {
                pattern(self.let_in(*lhs, name)?)
            }
            _ => None,
        }
    }

    fn bound_in_block(&self, up: i32, child: i32, name: &str, stmts: &[Stmt]) -> Option<Bound> {
        let before = self.start(child);
        // Statements stand in order: those after the child are passed over at once.
        let count = stmts.partition_point(|stmt| match stmt {
            Stmt::Let { span, .. } => span.end <= before,
            Stmt::Expr { expr, .. } => self.start(*expr) <= before,
            Stmt::Item(item) => {
                at(&self.facts.items, *item).is_none_or(|item| item.span.start <= before)
            }
        });
        for (index, stmt) in stmts.iter().enumerate().take(count).rev() {
            let Stmt::Let {
                span,
                names,
                ty,
                init,
                ..
            } = stmt
            else {
                continue;
            };
            if span.end > before || !names.iter().any(|one| one == name) {
                continue;
            }
            return Some(Bound {
                binds: Binds::Let,
                scope: up,
                ty: *ty,
                index: index as i32,
                init: *init,
            });
        }
        None
    }

    /// What the `let` of a condition takes apart that binds the name: the last one in a chain of `&&`.
    fn let_in(&self, cond: i32, name: &str) -> Option<i32> {
        let mut at = cond;
        loop {
            match self.kind(at)? {
                K::Binary { op, lhs, rhs } if op == "&&" => {
                    if let Some(found) = self.let_in(*rhs, name) {
                        return Some(found);
                    }
                    at = *lhs;
                }
                K::Paren(inner) => at = *inner,
                K::Let { names, inner, .. } => {
                    return names.iter().any(|one| one == name).then_some(*inner);
                }
                _ => return None,
            }
        }
    }

    /// The paths that use what a `let` binds, and the tokens and strings after it that may.
    #[must_use]
    pub fn mentions(&self, block: i32, index: i32, name: &str) -> Vec<i32> {
        let Some(K::Block { stmts, .. }) = self.kind(block) else {
            return Vec::new();
        };
        let Some(Stmt::Let { span, .. }) = at(stmts, index) else {
            return Vec::new();
        };
        self.within(block)
            .filter(|id| self.start(*id) >= span.end)
            .filter(|id| match self.kind(*id) {
                Some(K::Path(path)) => {
                    path == name
                        && (self.binding(*id))
                            .is_some_and(|found| found.scope == block && found.index == index)
                }
                Some(K::Tokens | K::Lit("str")) => true,
                _ => false,
            })
            .collect()
    }
}

fn param_of(params: &[Param], name: &str, scope: i32) -> Option<Bound> {
    let found = |binds, index: usize, ty| Bound {
        binds,
        scope,
        ty,
        index: index as i32,
        init: -1,
    };
    params.iter().enumerate().find_map(|(index, param)| {
        if param.name == name {
            Some(found(Binds::Param, index, param.ty))
        } else if param.names.iter().any(|one| one == name) {
            Some(found(Binds::Pattern, index, Span::default()))
        } else {
            None
        }
    })
}

/// An entry by id; ids below zero are none.
pub(crate) fn at<T>(list: &[T], id: i32) -> Option<&T> {
    usize::try_from(id).ok().and_then(|id| list.get(id))
}

fn last(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

/// The kind as readers call it.
#[must_use]
pub fn kind_name(kind: &K) -> &'static str {
    match kind {
        K::Lit(_) => "lit",
        K::Path(_) => "path",
        K::Call { .. } => "call",
        K::Method { .. } => "method",
        K::Field { .. } => "field",
        K::Index { .. } => "index",
        K::Binary { .. } => "binary",
        K::Unary { .. } => "unary",
        K::Ref { .. } => "ref",
        K::Try(_) => "try",
        K::Await(_) => "await",
        K::Cast { .. } => "cast",
        K::Macro { .. } => "macro",
        K::Struct { .. } => "struct",
        K::Array(_) => "array",
        K::Repeat { .. } => "repeat",
        K::Tuple(_) => "tuple",
        K::Paren(_) => "paren",
        K::Block { .. } => "block",
        K::If { .. } => "if",
        K::Let { .. } => "let",
        K::Match { .. } => "match",
        K::Loop(_) => "loop",
        K::While { .. } => "while",
        K::For { .. } => "for",
        K::Return(_) => "return",
        K::Break(_) => "break",
        K::Continue => "continue",
        K::Closure { .. } => "closure",
        K::Range { .. } => "range",
        K::Tokens => "tokens",
        K::Other(_) => "other",
    }
}
