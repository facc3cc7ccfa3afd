//! Syntax tree -> facts: items, attributes, `use` trees and paths. Expressions are in `walk_expr.rs`.

use ra_ap_syntax::ast::{self, HasGenericParams, HasName, HasVisibility};
use ra_ap_syntax::{AstNode, SyntaxKind, SyntaxNode, SyntaxToken, TextRange};

use crate::facts::{Attr, Facts, Item, Note, Param, PathUse, Span, Use, flag};
use crate::path::path_text;
use crate::syntax;
use crate::text::CharIndex;

/// More complaints of the parser than this say nothing new.
const MAX_ERRORS: usize = 20;

pub(crate) fn collect(
    text: &str,
    index: CharIndex<'_>,
    notes: Vec<Note>,
    word: &mut dyn FnMut(&str),
) -> Facts {
    let (root, errors) = syntax::file(text, word);
    let mut walk = Walk {
        facts: Facts {
            notes,
            lines: index.lines(),
            ..Facts::default()
        },
        index,
        base: 0,
        macro_depth: 0,
        first_of_item: 0,
    };
    for (at, message) in errors.into_iter().take(MAX_ERRORS) {
        let at = walk.index.chars(at);
        walk.facts.notes.push(Note {
            kind: "syntax",
            text: message,
            span: Span { start: at, end: at },
        });
    }
    walk.attrs(&root, -1, true);
    walk.loose(&root, -1, -1);
    walk.facts
}

pub(crate) struct Walk<'a> {
    pub(crate) facts: Facts,
    pub(crate) index: CharIndex<'a>,
    /// Byte offset of the text being walked: macro arguments are trees of their own.
    pub(crate) base: usize,
    pub(crate) macro_depth: u32,
    /// Where the expressions of the item being walked begin.
    pub(crate) first_of_item: usize,
}

impl Walk<'_> {
    pub(crate) fn range(&self, range: TextRange) -> Span {
        Span {
            start: self.index.chars(self.base + usize::from(range.start())),
            end: self.index.chars(self.base + usize::from(range.end())),
        }
    }

    /// The node without the comments and white space that belong to it.
    pub(crate) fn span(&self, node: &SyntaxNode) -> Span {
        let first = node.children_with_tokens().find(|element| {
            !matches!(
                element.kind(),
                SyntaxKind::WHITESPACE | SyntaxKind::COMMENT | SyntaxKind::ATTR
            )
        });
        let whole = node.text_range();
        let start = first.map_or(whole.start(), |element| element.text_range().start());
        self.range(TextRange::new(start, whole.end()))
    }

    pub(crate) fn maybe<N: AstNode>(&self, node: Option<&N>) -> Span {
        node.map_or(Span::default(), |node| self.span(node.syntax()))
    }

    fn token(&self, token: Option<&SyntaxToken>) -> Span {
        token.map_or(Span::default(), |token| self.range(token.text_range()))
    }

    /// Whatever is inside `node` that facts are about, wherever it stands: the way through types, patterns and errors.
    pub(crate) fn loose(&mut self, node: &SyntaxNode, owner: i32, parent: i32) {
        for child in node.children() {
            let kind = child.kind();
            if kind == SyntaxKind::ATTR {
                continue;
            }
            if ast::Item::can_cast(kind) {
                if let Some(item) = ast::Item::cast(child) {
                    self.item(&item, owner);
                }
            } else if ast::Expr::can_cast(kind) {
                if let Some(expr) = ast::Expr::cast(child) {
                    self.expr(&expr, owner, parent);
                }
            } else if kind == SyntaxKind::PATH {
                self.path(&child, owner, parent);
            } else {
                self.loose(&child, owner, parent);
            }
        }
    }

    /// A path outside of expressions, and what its generic arguments name.
    pub(crate) fn path(&mut self, node: &SyntaxNode, owner: i32, parent: i32) {
        let path = path_text(node);
        let span = self.span(node);
        self.facts.paths.push(PathUse { owner, path, span });
        self.generic_args(node, owner, parent);
    }

    /// What the generic arguments inside a path name.
    pub(crate) fn generic_args(&mut self, path: &SyntaxNode, owner: i32, parent: i32) {
        for child in path.children() {
            match child.kind() {
                SyntaxKind::PATH | SyntaxKind::PATH_SEGMENT => {
                    self.generic_args(&child, owner, parent);
                }
                SyntaxKind::NAME_REF => {}
                _ => self.loose(&child, owner, parent),
            }
        }
    }

    pub(crate) fn attrs(&mut self, node: &SyntaxNode, owner: i32, on_item: bool) {
        let target = self.span(node);
        for attr in node.children().filter_map(ast::Attr::cast) {
            let inner = u32::from(attr.excl_token().is_some());
            let mut flags = inner | if on_item { 4 } else { 0 };
            let mut meta = attr.meta();
            while let Some(ast::Meta::UnsafeMeta(wrapped)) = meta {
                flags |= 2;
                meta = wrapped.meta();
            }
            let Some(meta) = meta else { continue };
            let span = self.span(attr.syntax());
            let (path, args) = self.meta(&meta);
            self.facts.attrs.push(Attr {
                owner,
                path,
                span,
                flags,
                args,
                target,
            });
        }
    }

    fn meta(&self, meta: &ast::Meta) -> (String, Span) {
        // `cfg(..)` and `cfg_attr(..)` are nodes of their own in this parser: from the first bracket on are arguments.
        let node = meta.syntax();
        let path = node
            .children()
            .find(|child| child.kind() == SyntaxKind::PATH);
        let name = match &path {
            Some(path) => path_text(path),
            None => node
                .first_token()
                .map_or_else(String::new, |token| token.text().to_owned()),
        };
        let after = path.map(|path| path.text_range().end());
        let start = node
            .children_with_tokens()
            .filter(|element| after.is_none_or(|after| element.text_range().start() >= after))
            .find(|element| {
                matches!(
                    element.kind(),
                    SyntaxKind::L_PAREN | SyntaxKind::TOKEN_TREE | SyntaxKind::EQ
                )
            })
            .map(|element| element.text_range().start());
        let args = start.map_or(Span::default(), |start| {
            self.range(TextRange::new(start, node.text_range().end()))
        });
        (name, args)
    }

    pub(crate) fn item(&mut self, item: &ast::Item, owner: i32) -> i32 {
        if let ast::Item::Use(it) = item {
            self.use_item(it, owner);
            return -1;
        }
        let id = self.facts.items.len() as i32;
        let node = item.syntax();
        let span = self.span(node);
        self.facts.items.push(Item {
            kind: kind_of(item),
            parent: owner,
            span,
            name: String::new(),
            name_span: Span::default(),
            flags: 0,
            ty: Span::default(),
            extra: Span::default(),
            body: Span::default(),
            expr: -1,
            generics: Span::default(),
            params: Vec::new(),
        });
        self.attrs(node, id, true);
        let mut fact = Filled::default();
        let outer = self.first_of_item;
        self.first_of_item = self.facts.exprs.len();
        self.fill(item, id, &mut fact);
        self.first_of_item = outer;
        if let Some(slot) = usize::try_from(id)
            .ok()
            .and_then(|id| self.facts.items.get_mut(id))
        {
            slot.name = fact.name;
            slot.name_span = fact.name_span;
            slot.flags = fact.flags;
            slot.ty = fact.ty;
            slot.extra = fact.extra;
            slot.body = fact.body;
            slot.expr = fact.expr;
            slot.generics = fact.generics;
            slot.params = fact.params;
        }
        id
    }

    fn named<N: HasName>(&self, node: &N, fact: &mut Filled) {
        if let Some(name) = node.name() {
            fact.name = name.text().to_string();
            fact.name_span = self.span(name.syntax());
        }
    }

    fn set(fact: &mut Filled, bits: u32, when: bool) {
        if when {
            fact.flags |= bits;
        }
    }

    fn fill(&mut self, item: &ast::Item, id: i32, fact: &mut Filled) {
        let root = -2 - id;
        fact.expr = -1;
        let public = item
            .syntax()
            .children()
            .any(|child| child.kind() == SyntaxKind::VISIBILITY);
        Self::set(fact, flag::PUB, public);
        let generics = item
            .syntax()
            .children()
            .find(|child| child.kind() == SyntaxKind::GENERIC_PARAM_LIST);
        fact.generics = generics.map_or(Span::default(), |node| self.span(&node));
        match item {
            ast::Item::Fn(it) => {
                self.named(it, fact);
                Self::set(fact, flag::GENERIC, it.generic_param_list().is_some());
                Self::set(fact, flag::UNSAFE, it.unsafe_token().is_some());
                Self::set(fact, flag::CONST, it.const_token().is_some());
                Self::set(fact, flag::ASYNC, it.async_token().is_some());
                Self::set(fact, flag::EXTERN, it.abi().is_some());
                let ret = it.ret_type().and_then(|ret| ret.ty());
                fact.ty = self.maybe(ret.as_ref());
                fact.params = self.params(it.param_list().as_ref(), id);
                for child in it.syntax().children() {
                    match child.kind() {
                        SyntaxKind::BLOCK_EXPR | SyntaxKind::ATTR => {}
                        _ => self.loose(&child, id, root),
                    }
                }
                if let Some(body) = it.body() {
                    fact.body = self.span(body.syntax());
                    fact.expr = self.expr(&ast::Expr::BlockExpr(body), id, root);
                }
            }
            ast::Item::Static(it) => {
                self.named(it, fact);
                Self::set(fact, flag::MUT, it.mut_token().is_some());
                fact.ty = self.maybe(it.ty().as_ref());
                fact.expr = self.type_and_value(it.ty().as_ref(), it.body().as_ref(), id);
            }
            ast::Item::Const(it) => {
                self.named(it, fact);
                fact.ty = self.maybe(it.ty().as_ref());
                fact.expr = self.type_and_value(it.ty().as_ref(), it.body().as_ref(), id);
            }
            ast::Item::Struct(it) => {
                self.named(it, fact);
                Self::set(fact, flag::GENERIC, it.generic_param_list().is_some());
                fact.params = self.fields(it.field_list().as_ref(), id);
                self.loose(it.syntax(), id, root);
            }
            ast::Item::Union(it) => {
                self.named(it, fact);
                Self::set(fact, flag::GENERIC, it.generic_param_list().is_some());
                let list = it.record_field_list().map(ast::FieldList::RecordFieldList);
                fact.params = self.fields(list.as_ref(), id);
                self.loose(it.syntax(), id, root);
            }
            ast::Item::Enum(it) => {
                self.named(it, fact);
                Self::set(fact, flag::GENERIC, it.generic_param_list().is_some());
                let first = self.facts.exprs.len();
                self.loose(it.syntax(), id, root);
                fact.params = self.variants(it, id, first);
            }
            ast::Item::Module(it) => {
                self.named(it, fact);
                if let Some(list) = it.item_list() {
                    fact.body = self.span(list.syntax());
                    self.attrs(list.syntax(), id, true);
                    self.loose(list.syntax(), id, root);
                }
            }
            ast::Item::Impl(it) => {
                Self::set(fact, flag::UNSAFE, it.unsafe_token().is_some());
                Self::set(fact, flag::GENERIC, it.generic_param_list().is_some());
                fact.ty = self.maybe(it.self_ty().as_ref());
                fact.extra = self.maybe(it.trait_().as_ref());
                fact.body = self.maybe(it.assoc_item_list().as_ref());
                self.loose(it.syntax(), id, root);
            }
            ast::Item::Trait(it) => {
                self.named(it, fact);
                fact.body = self.maybe(it.assoc_item_list().as_ref());
                self.loose(it.syntax(), id, root);
            }
            ast::Item::TypeAlias(it) => {
                self.named(it, fact);
                fact.ty = self.maybe(it.ty().as_ref());
                self.loose(it.syntax(), id, root);
            }
            ast::Item::ExternBlock(it) => {
                Self::set(fact, flag::UNSAFE, it.unsafe_token().is_some());
                fact.body = self.maybe(it.extern_item_list().as_ref());
                self.loose(it.syntax(), id, root);
            }
            ast::Item::ExternCrate(it) => {
                if let Some(name) = it.name_ref() {
                    fact.name = name.text().to_string();
                    fact.name_span = self.span(name.syntax());
                }
            }
            ast::Item::MacroRules(it) => {
                self.named(it, fact);
                fact.extra = self.maybe(it.token_tree().as_ref());
            }
            ast::Item::MacroDef(it) => self.named(it, fact),
            ast::Item::MacroCall(it) => {
                fact.extra = self.maybe(it.token_tree().as_ref());
                fact.expr = self.macro_call(it, id, root);
                if let Some(path) = it.path() {
                    fact.name = path_text(path.syntax());
                    fact.name_span = self.span(path.syntax());
                }
            }
            ast::Item::AsmExpr(_) | ast::Item::Use(_) => {}
        }
    }

    fn type_and_value(
        &mut self,
        ty: Option<&ast::Type>,
        value: Option<&ast::Expr>,
        id: i32,
    ) -> i32 {
        if let Some(ty) = ty {
            self.type_(ty, id, -2 - id);
        }
        value.map_or(-1, |value| self.expr(value, id, -2 - id))
    }

    /// The paths a type names and the expressions in its array lengths.
    pub(crate) fn type_(&mut self, ty: &ast::Type, owner: i32, parent: i32) {
        self.loose(ty.syntax(), owner, parent);
    }

    pub(crate) fn params(&mut self, list: Option<&ast::ParamList>, owner: i32) -> Vec<Param> {
        let Some(list) = list else { return Vec::new() };
        let mut out = Vec::new();
        if let Some(this) = list.self_param() {
            let flags = if this.mut_token().is_some() {
                flag::MUT
            } else {
                0
            };
            out.push(Param {
                name: "self".to_owned(),
                span: self.span(this.syntax()),
                ty: self.maybe(this.ty().as_ref()),
                flags,
                value: -1,
                ..Param::default()
            });
        }
        for param in list.params() {
            self.attrs(param.syntax(), owner, false);
            let mut fact = self.param(param.syntax(), param.ty().as_ref());
            match param.pat() {
                Some(ast::Pat::IdentPat(pat)) => {
                    fact.name = text_of(pat.name());
                    if pat.mut_token().is_some() {
                        fact.flags |= flag::MUT;
                    }
                }
                Some(pat) => fact.names = crate::walk_expr::bound(pat.syntax()),
                None => {}
            }
            out.push(fact);
        }
        out
    }

    fn param(&self, node: &SyntaxNode, ty: Option<&ast::Type>) -> Param {
        let public = node
            .children()
            .any(|child| child.kind() == SyntaxKind::VISIBILITY);
        Param {
            span: self.span(node),
            ty: self.maybe(ty),
            flags: if public { flag::PUB } else { 0 },
            value: -1,
            ..Param::default()
        }
    }

    fn fields(&mut self, list: Option<&ast::FieldList>, owner: i32) -> Vec<Param> {
        let mut out = Vec::new();
        match list {
            Some(ast::FieldList::RecordFieldList(list)) => {
                for field in list.fields() {
                    self.attrs(field.syntax(), owner, false);
                    let mut fact = self.param(field.syntax(), field.ty().as_ref());
                    fact.name = text_of(field.name());
                    out.push(fact);
                }
            }
            Some(ast::FieldList::TupleFieldList(list)) => {
                for (at, field) in list.fields().enumerate() {
                    self.attrs(field.syntax(), owner, false);
                    let mut fact = self.param(field.syntax(), field.ty().as_ref());
                    fact.name = at.to_string();
                    out.push(fact);
                }
            }
            None => {}
        }
        out
    }

    /// The variants of an enum whose expressions were walked already, from `first` on.
    fn variants(&mut self, item: &ast::Enum, owner: i32, first: usize) -> Vec<Param> {
        let values: std::collections::HashMap<u32, i32> = (self.facts.exprs.iter().enumerate())
            .skip(first)
            .filter(|(_, expr)| expr.parent == -2 - owner)
            .map(|(at, expr)| (expr.span.start, at as i32))
            .collect();
        let mut out = Vec::new();
        for variant in (item.variant_list().into_iter()).flat_map(|list| list.variants()) {
            self.attrs(variant.syntax(), owner, false);
            let mut fact = self.param(variant.syntax(), None);
            fact.name = text_of(variant.name());
            fact.ty = self.maybe(variant.field_list().as_ref());
            if let Some(value) = variant.const_arg() {
                let start = self.span(value.syntax()).start;
                fact.value = values.get(&start).copied().unwrap_or(-1);
            }
            out.push(fact);
        }
        out
    }

    fn use_item(&mut self, item: &ast::Use, owner: i32) {
        let stmt = self.span(item.syntax());
        self.attrs(item.syntax(), owner, false);
        let public = if item.visibility().is_some() { 2 } else { 0 };
        if let Some(tree) = item.use_tree() {
            self.use_tree(&tree, String::new(), owner, public, stmt);
        }
    }

    fn use_tree(
        &mut self,
        tree: &ast::UseTree,
        prefix: String,
        owner: i32,
        flags: u32,
        stmt: Span,
    ) {
        let own = tree.path();
        let text = own
            .as_ref()
            .map_or_else(String::new, |path| path_text(path.syntax()));
        let mut path = join(prefix, &text);
        if let Some(list) = tree.use_tree_list() {
            for child in list.use_trees() {
                self.use_tree(&child, path.clone(), owner, flags, stmt);
            }
            return;
        }
        if let Some(star) = tree.star_token() {
            let span = self.token(Some(&star));
            self.facts.uses.push(Use {
                owner,
                path,
                name: String::new(),
                flags: flags | 1,
                span,
                stmt,
            });
            return;
        }
        let span = own
            .as_ref()
            .and_then(ast::Path::segment)
            .map_or(Span::default(), |segment| self.span(segment.syntax()));
        // `a::{self}` names `a`.
        if text == "self" && path.len() > text.len() {
            path.truncate(path.len() - "::self".len());
        }
        let mut flags = flags;
        let name = match tree.rename() {
            Some(rename) => {
                flags |= 4;
                rename
                    .name()
                    .map_or_else(String::new, |name| name.text().to_string())
            }
            None => path.rsplit("::").next().unwrap_or_default().to_owned(),
        };
        self.facts.uses.push(Use {
            owner,
            path,
            name,
            flags,
            span,
            stmt,
        });
    }
}

#[derive(Default)]
struct Filled {
    name: String,
    name_span: Span,
    flags: u32,
    ty: Span,
    extra: Span,
    body: Span,
    expr: i32,
    generics: Span,
    params: Vec<Param>,
}

fn text_of(name: Option<ast::Name>) -> String {
    name.map_or_else(String::new, |name| name.text().to_string())
}

fn join(mut prefix: String, text: &str) -> String {
    if !prefix.is_empty() && !text.is_empty() {
        prefix.push_str("::");
    }
    prefix.push_str(text);
    prefix
}

fn kind_of(item: &ast::Item) -> &'static str {
    match item {
        ast::Item::Fn(_) => "fn",
        ast::Item::Struct(_) => "struct",
        ast::Item::Enum(_) => "enum",
        ast::Item::Union(_) => "union",
        ast::Item::Static(_) => "static",
        ast::Item::Const(_) => "const",
        ast::Item::Module(_) => "mod",
        ast::Item::Impl(_) => "impl",
        ast::Item::Trait(_) => "trait",
        ast::Item::TypeAlias(_) => "type",
        ast::Item::MacroRules(_) | ast::Item::MacroDef(_) => "macro_rules",
        ast::Item::MacroCall(_) => "macro",
        ast::Item::ExternBlock(_) => "extern_block",
        ast::Item::ExternCrate(_) => "extern_crate",
        ast::Item::AsmExpr(_) => "asm",
        ast::Item::Use(_) => "use",
    }
}
