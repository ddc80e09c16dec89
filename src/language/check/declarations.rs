//! Declarations outside projections: each is looked at once, whether or not anything uses it.

use crate::language::ast::{self, ItemKind};
use crate::language::check::Globals;
use crate::language::check::context::{Context, EventShape, Where};
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::infer::{Inference, RecordTy, Ty};
use crate::language::resolve::{FnDecl, TopicDecl, ValueDecl};
use crate::language::span::FileId;

use std::sync::Arc;

impl<'a> Globals<'a> {
    /// Checks one declaration, but for projections and tests.
    pub fn declaration(&mut self, item: &'a ast::Item, file: FileId) {
        match &item.kind {
            ItemKind::Param(param) => {
                let diagnostic = Diagnostic::error(
                    codes::NO_PARAM,
                    "`param` is not supported yet",
                    param.name.span,
                    "not built yet",
                );
                self.report(diagnostic.with_help("write a `const`, or keep it in projector.toml"));
            }
            ItemKind::Const { name, .. } => {
                self.constant(name);
            }
            ItemKind::Enum { name, variants } => {
                variants.iter().for_each(|variant| self.refuse_attributes(&variant.attributes));
                self.enum_type(name);
            }
            ItemKind::Record { name, .. } => {
                self.record(name);
            }
            ItemKind::Event(event) => {
                self.event(event);
            }
            ItemKind::Topic { name, log_name, options } => {
                self.topic(TopicDecl { name, log_name, options });
            }
            ItemKind::Fn { name, .. } => {
                if let Some(ValueDecl::Fn(function)) = self.names.scope(file).values.get(&*name.text).copied()
                    && function.name.span == name.span
                {
                    self.function(function);
                }
            }
            ItemKind::Projection(_) | ItemKind::Test(_) | ItemKind::Import { .. } => return,
        }
        self.refuse_attributes(&item.attributes);
    }

    /// A function's body, checked for itself; each call checks it again in its place.
    fn function(&mut self, function: FnDecl<'a>) {
        let file = function.name.span.file;
        let mut inference = Inference::default();
        let types: Vec<Ty> = function.parameters.iter().map(|(_, ty)| self.type_of(ty, file)).collect();
        let mut context = Context::new(self, &mut inference, file, Where::Function);
        let parameters = function.parameters.iter().zip(types);
        let parameters: Vec<_> = parameters.map(|((name, _), ty)| (name, ty, context.new_local())).collect();
        context.inside(function, &parameters);
    }

    /// The shape of a declared event.
    pub fn event(&mut self, event: &ast::Event) -> EventShape {
        let file = event.name.span.file;
        if let Some(version) = &event.version {
            self.refuse(codes::NO_VERSIONS, "event versions are not supported yet", version.span);
        }
        for upcast in &event.upcasts {
            self.refuse(codes::NO_VERSIONS, "`upcast` is not supported yet", upcast.version.span);
        }
        if let Some(from) = &event.from {
            self.refuse(codes::NO_SCHEMA, "schemas from a registry or a file are not supported yet", from.span);
        }
        let mut fields: Vec<(Arc<str>, Ty)> = Vec::new();
        let mut defaults = Vec::new();
        for field in &event.fields {
            self.refuse_attributes(&field.attributes);
            if fields.iter().any(|(name, _)| *name == field.name.text) {
                self.field_twice(&field.name);
                continue;
            }
            let ty = self.type_of(&field.ty, file);
            if let Some(default) = &field.default
                && let Some((value, _)) = self.evaluate(default, Some(&ty), file)
            {
                defaults.push((field.name.text.clone(), value));
            }
            fields.push((field.name.text.clone(), ty));
        }
        let wire = event.wire.as_ref().map_or(event.name.text.clone(), |wire| wire.value.as_str().into());
        EventShape {
            name: event.name.text.clone(),
            wire,
            payload: Ty::Record(Arc::new(RecordTy { name: Some(event.name.text.clone()), fields })),
            defaults,
            keys_only: Vec::new(),
            fields: event.fields.iter().map(|field| (field.name.text.clone(), field.name.span)).collect(),
            declared: true,
            wanted: false,
        }
    }

    pub fn refuse(&mut self, code: &'static str, message: &str, span: crate::language::span::Span) {
        self.report(Diagnostic::error(code, message, span, "not built yet").with_help("take it out until it is built"));
    }
}
