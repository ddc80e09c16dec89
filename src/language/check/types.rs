//! Written types → types: primitives, collections, records, enums.

use std::sync::Arc;

use crate::language::ast::{self, Name, TypeExpr, TypeExprKind};
use crate::language::check::Globals;
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::infer::{RecordTy, Ty};
use crate::language::resolve::{TypeDecl, suggest};
use crate::language::span::{FileId, Span};
use crate::value::EnumType;

/// Decimals have at most this many places.
const SCALE_MAX: u64 = 28;
/// A type written out in full has at most this many parts, so that no walk over one takes long.
const TYPE_SIZE_MAX: usize = 2_000;
/// Records within records within records: more than this is refused.
const RECORD_DEPTH_MAX: usize = 32;

/// A record while it is being read, and afterwards.
#[derive(Debug, Clone)]
pub(crate) enum RecordState {
    Reading,
    Read(Ty),
}

impl<'a> Globals<'a> {
    /// The type that an author wrote in `file`.
    pub fn type_of(&mut self, expr: &TypeExpr, file: FileId) -> Ty {
        let ty = match &expr.kind {
            TypeExprKind::Primitive { name, argument } => self.primitive(name, *argument),
            TypeExprKind::Generic { name, arguments } => self.generic(name, arguments, expr.span, file),
            TypeExprKind::Record(fields) => {
                let field = |field: &ast::Field| (field.name.text.clone(), self.type_of(&field.ty, file));
                Ty::record(fields.iter().map(field).collect())
            }
            TypeExprKind::Named(name) => self.named(name, file),
        };
        if expr.optional { ty.optional() } else { ty }
    }

    fn primitive(&mut self, name: &Name, argument: Option<u64>) -> Ty {
        let ty = match &*name.text {
            "string" => Ty::Text(argument.map(|length| length.min(u64::from(u32::MAX)) as u32)),
            "decimal" => match argument {
                Some(scale) if scale > SCALE_MAX => return self.scale_too_large(name.span, scale),
                scale => Ty::Decimal(scale.map(|scale| scale as u8)),
            },
            "int" => Ty::Int,
            "float" => Ty::Float,
            "bool" => Ty::Bool,
            "timestamp" => Ty::Timestamp,
            "date" => Ty::Date,
            "duration" => Ty::Duration,
            "uuid" => Ty::Uuid,
            "bytes" => Ty::Bytes,
            "json" => Ty::Json,
            _ => return self.unknown_type(name, name.span.file),
        };
        if argument.is_some() && !matches!(ty, Ty::Text(_) | Ty::Decimal(_)) {
            let message = format!("`{}` takes no argument", name.text);
            self.report(
                Diagnostic::error(codes::BAD_TYPE, message, name.span, "only `decimal` and `string` do")
                    .with_help(format!("write `{}`", name.text)),
            );
        }
        ty
    }

    fn scale_too_large(&mut self, span: Span, scale: u64) -> Ty {
        let message = format!("a decimal has at most {SCALE_MAX} places, not {scale}");
        self.report(
            Diagnostic::error(codes::BAD_TYPE, message, span, "too many places")
                .with_help("write `decimal` for any number of places"),
        );
        Ty::Error
    }

    fn generic(&mut self, name: &Name, arguments: &[TypeExpr], span: Span, file: FileId) -> Ty {
        let types: Vec<Ty> = arguments.iter().map(|argument| self.type_of(argument, file)).collect();
        match (&*name.text, types.as_slice()) {
            ("list", [element]) => Ty::list(element.clone()),
            ("set", [element]) => {
                self.check_hashed(element, arguments[0].span, "an element of a set");
                Ty::set(element.clone())
            }
            ("map", [key, value]) => {
                self.check_hashed(key, arguments[0].span, "a key of a map");
                Ty::map(key.clone(), value.clone())
            }
            (word, _) => {
                let form = if word == "map" { "map<string, int>".into() } else { format!("{word}<string>") };
                let message = format!("`{word}` takes {} here", if word == "map" { "two types" } else { "one type" });
                self.report(
                    Diagnostic::error(codes::BAD_TYPE, message, span, format!("{} given", arguments.len()))
                        .with_help(format!("for example `{form}`")),
                );
                Ty::Error
            }
        }
    }

    fn check_hashed(&mut self, ty: &Ty, span: Span, what: &str) {
        if !ty.is_scalar() {
            let message = format!("{what} is one word, and `{ty}` is not");
            self.report(
                Diagnostic::error(codes::BAD_TYPE, message, span, format!("this is `{ty}`"))
                    .with_help("use a string, a number, a time, a uuid, a bool or an enum"),
            );
        }
    }

    fn named(&mut self, name: &Name, file: FileId) -> Ty {
        match self.names.scope(file).types.get(&*name.text).copied() {
            Some(TypeDecl::Enum { name, .. }) => Ty::Enum(self.enum_type(name)),
            Some(TypeDecl::Record { name, .. }) => self.record(name),
            Some(TypeDecl::Event(event)) => {
                let message = format!("`{}` is an event, not a type", name.text);
                self.report(
                    Diagnostic::error(codes::UNKNOWN_TYPE, message, name.span, "a type is needed here")
                        .with_label(event.name.span, "the event")
                        .with_help(format!("declare `record {}Fields {{ … }}` for a shape that both use", name.text)),
                );
                Ty::Error
            }
            None => self.unknown_type(name, file),
        }
    }

    fn unknown_type(&mut self, name: &Name, file: FileId) -> Ty {
        let scope = self.names.scope(file);
        let declared =
            scope.types.iter().filter(|(_, decl)| !matches!(decl, TypeDecl::Event(_))).map(|(name, _)| *name);
        let help = suggest(&name.text, "types here", declared)
            .unwrap_or_else(|| format!("declare it: record {} {{ … }} or enum {} {{ … }}", name.text, name.text));
        let message = format!("there is no type `{}`", name.text);
        self.report(Diagnostic::error(codes::UNKNOWN_TYPE, message, name.span, "not found").with_help(help));
        Ty::Error
    }

    /// An enum by the name in its declaration.
    pub fn enum_type(&mut self, name: &'a Name) -> Arc<EnumType> {
        if let Some(known) = self.enums.get(&name.span) {
            return known.clone();
        }
        let mut members: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        if let Some(TypeDecl::Enum { variants, .. }) = self.declared_type(name) {
            for variant in variants {
                let text = variant.wire.as_ref().map_or(variant.name.text.clone(), |wire| wire.value.as_str().into());
                self.check_member(name, &members, &variant.name, &text);
                members.push((variant.name.text.clone(), text));
            }
        }
        let ty = Arc::new(EnumType { name: name.text.clone(), members });
        self.enums.insert(name.span, ty.clone());
        ty
    }

    fn check_member(&mut self, name: &Name, members: &[(Arc<str>, Arc<str>)], member: &Name, wire: &str) {
        if let Some((other, _)) = members.iter().find(|(other, text)| *other == member.text || &**text == wire) {
            let message = format!("`{}` and `{other}` of enum `{}` cannot be told apart", member.text, name.text);
            self.report(
                Diagnostic::error(codes::DECLARED_TWICE, message, member.span, "same name or same text outside")
                    .with_help("give each member its own name and its own text"),
            );
        }
    }

    /// A record by the name in its declaration.
    pub fn record(&mut self, name: &'a Name) -> Ty {
        match self.records.get(&name.span) {
            Some(RecordState::Read(ty)) => return ty.clone(),
            Some(RecordState::Reading) => {
                let message = format!("record `{}` contains itself", name.text);
                self.report(
                    Diagnostic::error(codes::RECORD_CYCLE, message, name.span, "this record")
                        .with_help("keep a key of the other record instead of the record"),
                );
                return Ty::Error;
            }
            None => {}
        }
        if self.record_depth >= RECORD_DEPTH_MAX {
            let message = format!("records are nested more than {RECORD_DEPTH_MAX} deep");
            self.report(
                Diagnostic::error(codes::BAD_TYPE, message, name.span, "too deep here")
                    .with_help("make the shape flatter"),
            );
            return Ty::Error;
        }
        let Some(TypeDecl::Record { fields, .. }) = self.declared_type(name) else { return Ty::Error };
        self.records.insert(name.span, RecordState::Reading);
        self.record_depth += 1;
        let fields = self.record_fields(name, fields);
        self.record_depth -= 1;
        let mut ty = Ty::Record(Arc::new(RecordTy { name: Some(name.text.clone()), fields }));
        if size(&ty, TYPE_SIZE_MAX) > TYPE_SIZE_MAX {
            let message = format!("record `{}` is too large", name.text);
            let label = format!("more than {TYPE_SIZE_MAX} fields, nested ones counted");
            self.report(
                Diagnostic::error(codes::BAD_TYPE, message, name.span, label)
                    .with_help("declare only the fields that are used"),
            );
            ty = Ty::Error;
        }
        self.records.insert(name.span, RecordState::Read(ty.clone()));
        ty
    }

    fn record_fields(&mut self, name: &Name, fields: &[ast::Field]) -> Vec<(Arc<str>, Ty)> {
        let mut read: Vec<(Arc<str>, Ty)> = Vec::new();
        for field in fields {
            self.refuse_attributes(&field.attributes);
            if let Some(default) = &field.default {
                let message = "defaults in records are not supported yet";
                let label = "only fields of events and of the state have defaults";
                self.report(
                    Diagnostic::error(codes::NO_RECORD_DEFAULT, message, default.span, label)
                        .with_help(format!("write `{}: …?` and use `?? …` where it is read", field.name.text)),
                );
            }
            if read.iter().any(|(other, _)| *other == field.name.text) {
                self.field_twice(&field.name);
            }
            read.push((field.name.text.clone(), self.type_of(&field.ty, name.span.file)));
        }
        read
    }

    pub fn field_twice(&mut self, name: &Name) {
        let message = format!("field `{}` is there twice", name.text);
        self.report(
            Diagnostic::error(codes::DECLARED_TWICE, message, name.span, "again here")
                .with_help("take one of them out"),
        );
    }

    fn declared_type(&self, name: &Name) -> Option<TypeDecl<'a>> {
        self.names.scope(name.span.file).types.get(&*name.text).copied().filter(|decl| decl.name().span == name.span)
    }
}

/// How many parts a type has, counting little further than `limit`.
fn size(ty: &Ty, limit: usize) -> usize {
    match ty {
        Ty::Optional(inner) | Ty::List(inner) | Ty::Set(inner) => 1 + size(inner, limit),
        Ty::Map(key, value) => 1 + size(key, limit) + size(value, limit),
        Ty::Record(record) => {
            let mut total = 1;
            for (_, field) in &record.fields {
                total += size(field, limit.saturating_sub(total));
                if total > limit {
                    break;
                }
            }
            total
        }
        _ => 1,
    }
}
