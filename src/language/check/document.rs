//! `when` and `as { … }` → membership and the fields of a document, over key and state.

use std::sync::Arc;

use crate::language::ast;
use crate::language::check::context::Context;
use crate::language::check::facts::says;
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::infer::Ty;
use crate::language::span::Span;
use crate::language::typed::{Expr, ExprKind};

/// A document's field: its name, its value, its type.
pub(crate) struct DocumentField {
    pub name: Arc<str>,
    pub expr: Expr,
    pub ty: Ty,
}

impl Context<'_, '_> {
    /// Whether the document is there; what that says about the state holds in the document.
    pub fn membership_of(&mut self, when: &ast::Expr) -> Expr {
        let checked = self.condition(when);
        let says = says(self, when);
        self.facts = self.facts.take().map(|facts| facts.with(&says.when_true));
        checked.expr
    }

    /// The fields of `as { … }`.
    pub fn document(&mut self, document: &ast::Expr) -> Vec<DocumentField> {
        let checked = self.expr(document, None);
        if let ast::ExprKind::Record(parts) = &document.kind {
            for part in parts {
                if let ast::RecordPart::Field { name, .. } = part
                    && &*name.text == "_proj"
                {
                    let message = "`_proj` is the engine's own field";
                    let diagnostic = Diagnostic::error(codes::DOCUMENT_FIELD, message, name.span, "not yours");
                    self.report(diagnostic.with_help("choose another name"));
                }
            }
        }
        let Ty::Record(record) = &checked.ty else { return Vec::new() };
        // A spread record is evaluated once for each field that a document takes from it.
        let mut lets = Vec::new();
        let mut expr = checked.expr;
        while let ExprKind::Let { local, value, body } = expr.kind {
            lets.push((local, value, expr.span));
            expr = *body;
        }
        let ExprKind::Record(values) = expr.kind else { return Vec::new() };
        let field = |((name, ty), value): (&(Arc<str>, Ty), Expr)| DocumentField {
            name: name.clone(),
            ty: ty.clone(),
            expr: within(&lets, value),
        };
        record.fields.iter().zip(values).map(field).collect()
    }

    /// Key parts, then all fields of the state.
    pub fn default_document(&mut self, span: Span) -> Vec<DocumentField> {
        let mut fields = Vec::new();
        for (index, part) in self.key.iter().enumerate() {
            let expr = self.node(ExprKind::Key(index), part.ty.clone(), span).expr;
            fields.push(DocumentField { name: part.name.text.clone(), expr, ty: part.ty.clone() });
        }
        for field in self.state {
            let expr = self.node(ExprKind::State(field.index), field.ty.clone(), span).expr;
            fields.push(DocumentField { name: field.name.text.clone(), expr, ty: field.ty.clone() });
        }
        fields
    }
}

fn within(lets: &[(usize, Box<Expr>, Span)], value: Expr) -> Expr {
    lets.iter().rev().fold(value, |body, (local, bound, span)| Expr {
        ty: body.ty.clone(),
        kind: ExprKind::Let { local: *local, value: bound.clone(), body: Box::new(body) },
        span: *span,
    })
}
