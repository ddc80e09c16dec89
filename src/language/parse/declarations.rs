//! Declarations other than projections and tests: imports, parameters, types, events, topics, functions.

use crate::language::ast::{
    Attribute, Body, Event, Expr, ExprKind, Field, Item, ItemKind, Name, OptionEntry, OptionValue, Param, RecordPart,
    TypeExpr, TypeExprKind, Upcast, Variant,
};

use super::grammar::{Pair, Rule};
use super::nodes::{Builder, Nodes};
use super::slips;

impl Builder<'_> {
    /// The declarations of a file, or of a part of one.
    pub(super) fn items(&mut self, file: Pair<'_>) -> Vec<Item> {
        Nodes::of(file).filter(|pair| pair.as_rule() == Rule::item).map(|item| self.item(item)).collect()
    }

    fn item(&mut self, pair: Pair<'_>) -> Item {
        let span = self.span(&pair);
        let docs = self.docs_before(span);
        let mut nodes = Nodes::of(pair);
        let attributes = self.attributes(&mut nodes);
        let declaration = nodes.need_any();
        let kind = match declaration.as_rule() {
            Rule::import => self.import(declaration),
            Rule::param => ItemKind::Param(self.param(declaration)),
            Rule::constant => self.constant(declaration),
            Rule::enumeration => self.enumeration(declaration),
            Rule::record_type => {
                let mut nodes = Nodes::of(declaration);
                let name = self.name(&nodes.need(Rule::type_name));
                ItemKind::Record { name, fields: self.fields(nodes.need(Rule::fields)) }
            }
            Rule::event => ItemKind::Event(self.event(declaration)),
            Rule::topic => self.topic(declaration),
            Rule::function => self.function(declaration),
            Rule::projection => ItemKind::Projection(self.projection(declaration)),
            _ => ItemKind::Test(self.test(declaration)),
        };
        Item { docs, attributes, kind, span }
    }

    fn import(&mut self, pair: Pair<'_>) -> ItemKind {
        let path = Nodes::of(pair).need(Rule::string);
        if matches!(path.as_str(), "\"\"" | "\"\"\"\"\"\"") {
            let span = self.span(&path);
            self.report(slips::empty_path(span));
        }
        ItemKind::Import { path: self.plain_text(path) }
    }

    /// The `///` lines between the token before a declaration and the declaration.
    fn docs_before(&self, item: crate::language::span::Span) -> Vec<Name> {
        let start = item.start as usize;
        let from = self.tokens.trimmed_end(start).unwrap_or(0);
        let first = self.tokens.docs.partition_point(|doc| doc.start < from);
        let docs = self.tokens.docs[first..].iter().take_while(|doc| doc.start < start);
        docs.map(|doc| {
            let span = crate::language::span::Span { start: doc.start as u32, end: doc.end as u32, ..item };
            Name { text: self.source(span).trim_start_matches('/').trim().into(), span }
        })
        .collect()
    }

    pub(super) fn attributes(&mut self, nodes: &mut Nodes<'_>) -> Vec<Attribute> {
        let mut attributes = Vec::new();
        while let Some(pair) = nodes.accept(Rule::attribute) {
            let span = self.span(&pair);
            let mut nodes = Nodes::of(pair);
            let name = self.name(&nodes.need(Rule::ident));
            let arguments = nodes.accept(Rule::arguments).map(|pair| self.arguments(pair)).unwrap_or_default();
            attributes.push(Attribute { name, arguments, span });
        }
        attributes
    }

    fn param(&mut self, pair: Pair<'_>) -> Param {
        let mut nodes = Nodes::of(pair);
        let name = self.name(&nodes.need(Rule::ident));
        let ty = self.type_expr(nodes.need(Rule::type_expr));
        let default = self.optional_expr(&mut nodes);
        let from = nodes.accept(Rule::param_from).map(|from| {
            let from = self.name(&from);
            (from, self.plain_text(nodes.need(Rule::string)))
        });
        Param { name, ty, default, from }
    }

    fn constant(&mut self, pair: Pair<'_>) -> ItemKind {
        let mut nodes = Nodes::of(pair);
        let name = self.name(&nodes.need(Rule::ident));
        let ty = self.optional_type(&mut nodes);
        ItemKind::Const { name, ty, value: self.expr(nodes.need(Rule::expr)) }
    }

    fn enumeration(&mut self, pair: Pair<'_>) -> ItemKind {
        let mut nodes = Nodes::of(pair);
        let name = self.name(&nodes.need(Rule::type_name));
        let variants = nodes.map(|variant| {
            let mut nodes = Nodes::of(variant);
            let attributes = self.attributes(&mut nodes);
            let name = self.name(&nodes.need(Rule::ident));
            let wire = nodes.accept(Rule::string).map(|wire| self.plain_text(wire));
            Variant { name, wire, attributes }
        });
        ItemKind::Enum { name, variants: variants.collect() }
    }

    fn fields(&mut self, pair: Pair<'_>) -> Vec<Field> {
        Nodes::of(pair).map(|field| self.field(field)).collect()
    }

    fn field(&mut self, pair: Pair<'_>) -> Field {
        let span = self.span(&pair);
        let mut nodes = Nodes::of(pair);
        let attributes = self.attributes(&mut nodes);
        let name = self.name(&nodes.need(Rule::field_name));
        let ty = self.type_expr(nodes.need(Rule::type_expr));
        Field { name, ty, default: self.optional_expr(&mut nodes), attributes, span }
    }

    fn event(&mut self, pair: Pair<'_>) -> Event {
        let mut nodes = Nodes::of(pair);
        let name = self.name(&nodes.need(Rule::type_name));
        let version = nodes.accept(Rule::version).map(|version| self.name(&version));
        let wire = nodes.accept(Rule::string).map(|wire| self.plain_text(wire));
        let fields = nodes.accept(Rule::fields).map(|fields| self.fields(fields)).unwrap_or_default();
        let from = nodes.accept(Rule::schema_call).map(|call| self.schema_call(call));
        let upcasts = nodes.map(|upcast| {
            let span = self.span(&upcast);
            let mut nodes = Nodes::of(upcast);
            let version = self.name(&nodes.need(Rule::version));
            let fields = self.fields(nodes.need(Rule::fields));
            Upcast { version, fields, value: self.record(nodes.need(Rule::record)), span }
        });
        Event { name, version, wire, fields, from, upcasts: upcasts.collect() }
    }

    /// `registry("subject")`, as a call.
    fn schema_call(&mut self, pair: Pair<'_>) -> Expr {
        let span = self.span(&pair);
        let mut nodes = Nodes::of(pair);
        let name = self.name(&nodes.need(Rule::ident));
        let arguments = nodes.accept(Rule::arguments).map(|pair| self.arguments(pair)).unwrap_or_default();
        let callee = Box::new(Expr { span: name.span, kind: ExprKind::Name(name) });
        Expr { kind: ExprKind::Call { callee, arguments }, span }
    }

    fn topic(&mut self, pair: Pair<'_>) -> ItemKind {
        let mut nodes = Nodes::of(pair);
        let name = self.name(&nodes.need(Rule::ident));
        let log_name = self.plain_text(nodes.need(Rule::string));
        let options = nodes.accept(Rule::options).map(|options| self.options(options)).unwrap_or_default();
        ItemKind::Topic { name, log_name, options }
    }

    fn function(&mut self, pair: Pair<'_>) -> ItemKind {
        let mut nodes = Nodes::of(pair);
        let name = self.name(&nodes.need(Rule::ident));
        let mut parameters = Vec::new();
        while let Some(parameter) = nodes.accept(Rule::parameter) {
            let mut nodes = Nodes::of(parameter);
            let name = self.name(&nodes.need(Rule::ident));
            parameters.push((name, self.type_expr(nodes.need(Rule::type_expr))));
        }
        let result = self.type_expr(nodes.need(Rule::type_expr));
        let body = match nodes.accept(Rule::body) {
            Some(body) => self.body(body),
            None => Body { lets: Vec::new(), value: self.expr(nodes.need(Rule::expr)) },
        };
        ItemKind::Fn { name, parameters, result, body }
    }

    /// `key: value` pairs in braces.
    pub(super) fn options(&mut self, pair: Pair<'_>) -> Vec<OptionEntry> {
        let mut entries = Vec::new();
        for option in Nodes::of(pair) {
            let span = self.span(&option);
            let mut nodes = Nodes::of(option);
            let name = self.name(&nodes.need(Rule::field_name));
            let value = match nodes.accept(Rule::types) {
                Some(types) => OptionValue::Types(Nodes::of(types).map(|name| self.name(&name)).collect()),
                None => option_value(self.expr(nodes.need(Rule::expr))),
            };
            entries.push(OptionEntry { name, value, span });
        }
        entries
    }

    pub(super) fn optional_expr(&mut self, nodes: &mut Nodes<'_>) -> Option<Expr> {
        nodes.accept(Rule::expr).map(|expr| self.expr(expr))
    }

    pub(super) fn optional_type(&mut self, nodes: &mut Nodes<'_>) -> Option<TypeExpr> {
        nodes.accept(Rule::type_expr).map(|ty| self.type_expr(ty))
    }

    pub(super) fn type_expr(&mut self, pair: Pair<'_>) -> TypeExpr {
        let span = self.span(&pair);
        let mut nodes = Nodes::of(pair);
        let ty = nodes.need_any();
        let optional = nodes.accept(Rule::optional_mark).is_some();
        let at = self.span(&ty);
        let kind = self.deeper(1, span, |builder| builder.type_kind(ty));
        let unnamed = || TypeExprKind::Named(Name { text: "".into(), span: at });
        TypeExpr { kind: kind.unwrap_or_else(unnamed), optional, span }
    }

    fn type_kind(&mut self, pair: Pair<'_>) -> TypeExprKind {
        match pair.as_rule() {
            Rule::fields => TypeExprKind::Record(self.fields(pair)),
            Rule::type_name => TypeExprKind::Named(self.name(&pair)),
            Rule::generic => {
                let mut nodes = Nodes::of(pair);
                let name = self.name(&nodes.need(Rule::generic_name));
                TypeExprKind::Generic { name, arguments: nodes.map(|ty| self.type_expr(ty)).collect() }
            }
            _ => {
                let mut nodes = Nodes::of(pair);
                let name = self.name(&nodes.need(Rule::primitive_name));
                let argument = nodes.accept(Rule::integer);
                // One that is too large for any bound is refused by `check` as the largest there is.
                let argument = argument.map(|n| n.as_str().replace('_', "").parse().unwrap_or(u64::MAX));
                TypeExprKind::Primitive { name, argument }
            }
        }
    }
}

/// A record of named values in an option is a block of options.
fn option_value(value: Expr) -> OptionValue {
    let named = |part: &RecordPart| matches!(part, RecordPart::Field { .. });
    match value.kind {
        ExprKind::Record(parts) if parts.iter().all(named) => {
            let entries = parts.into_iter().filter_map(|part| match part {
                RecordPart::Field { name, value } => {
                    let span = name.span.to(value.span);
                    Some(OptionEntry { name, value: option_value(value), span })
                }
                RecordPart::Spread(_) => None,
            });
            OptionValue::Block(entries.collect())
        }
        kind => OptionValue::Expr(Expr { kind, span: value.span }),
    }
}
