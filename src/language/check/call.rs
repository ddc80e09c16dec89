//! Calls: library functions by their signatures, functions of the file put in their place, lambdas.
//!
//! A signature is chosen by the receiver's type and the number of arguments. Its holes are filled from the arguments,
//! lambdas last, since their parameters come from the holes.

use std::collections::BTreeMap;

use crate::language::ast::{self, Argument, Name};
use crate::language::check::context::{Checked, Context, Where, error_at};
use crate::language::check::expression::not_deterministic;
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::infer::Ty;
use crate::language::library::Function;
use crate::language::library::signature::{LATER, Shape, Signature, signatures};
use crate::language::resolve::{FnDecl, ValueDecl};
use crate::language::span::Span;
use crate::language::typed::{Expr, ExprKind};
use crate::value::Value;

/// Calls of functions in one program, each put in its place: more are refused, since the program would grow too large.
const INLINED_MAX: usize = 2_000;

/// What checking a lambda once more counts for, so that nested folds end.
const RECHECK_COST: usize = 50;

/// Locals and their values, to be bound around an expression.
type Lets = Vec<(usize, Checked)>;

type Holes = BTreeMap<char, Ty>;

/// An argument: the receiver of a method is checked already.
enum Given<'e> {
    Value(Checked),
    Written(&'e ast::Expr),
}

impl Context<'_, '_> {
    /// `f(a, b)`.
    pub fn call(&mut self, name: &Name, arguments: &[Argument], span: Span) -> Checked {
        let word = &*name.text;
        if let Some(ValueDecl::Fn(function)) = self.globals.names.scope(self.file).values.get(word).copied() {
            return self.inline(function, arguments, span);
        }
        if let Some(replacement) = not_deterministic(word) {
            return self.not_deterministic(&format!("{word}()"), span, replacement);
        }
        if word == "round" {
            return self.round(None, arguments, span);
        }
        if matches!(word, "avg" | "count" | "collect" | "top") || (word == "sum" && arguments.len() != 1) {
            let message = format!("`{word}(…)` is an aggregate: it stands alone after the `=` of a state field");
            let diagnostic = Diagnostic::error(codes::AGGREGATE_NOT_HERE, message, span, "not here");
            return self.wrong(diagnostic.with_help("give it a state field of its own, and use that here"));
        }
        self.library(name, None, arguments, span)
    }

    /// `x.f(a)`.
    pub fn method(&mut self, receiver: Checked, name: &Name, arguments: &[Argument], span: Span) -> Checked {
        if receiver.ty.is_error() {
            return error_at(span);
        }
        if &*name.text == "round" {
            return self.round(Some(receiver), arguments, span);
        }
        self.library(name, Some(receiver), arguments, span)
    }

    fn library(&mut self, name: &Name, receiver: Option<Checked>, arguments: &[Argument], span: Span) -> Checked {
        let word = &*name.text;
        if !signatures().iter().any(|signature| signature.name == word) {
            return self.unknown_function(name, receiver.is_some());
        }
        self.check_argument_names(word, arguments);
        let mut given: Vec<Given> = receiver.into_iter().map(Given::Value).collect();
        given.extend(arguments.iter().map(|argument| Given::Written(&argument.value)));
        let Some(first) = given.first_mut() else {
            let message = format!("`{word}` needs an argument");
            let diagnostic = Diagnostic::error(codes::ARGUMENTS, message, span, "none given");
            return self.wrong(diagnostic.with_help(forms(word)));
        };
        let receiver = match first {
            Given::Value(value) => value.clone(),
            Given::Written(expr) => self.expr(expr, None),
        };
        if receiver.ty.is_error() {
            return error_at(span);
        }
        *first = Given::Value(receiver);
        self.checked_call(name, given, span)
    }

    fn check_argument_names(&mut self, word: &str, arguments: &[Argument]) {
        for name in arguments.iter().filter_map(|argument| argument.name.as_ref()) {
            if !matches!((word, &*name.text), ("mask", "keep")) {
                let message = format!("`{word}` has no argument named `{}`", name.text);
                let diagnostic = Diagnostic::error(codes::ARGUMENTS, message, name.span, "not known");
                self.report(diagnostic.with_help("give the arguments by position"));
            }
        }
    }

    fn checked_call(&mut self, name: &Name, mut given: Vec<Given>, span: Span) -> Checked {
        let word = &*name.text;
        let Some(Given::Value(receiver)) = given.first() else { return error_at(span) };
        let mut receiver = receiver.clone();
        let by_name = || signatures().iter().filter(|signature| signature.name == word);
        let mut ty = self.inference.known(&receiver.ty);
        if let Ty::Map(key, value) = &ty
            && !by_name().any(|signature| self.fits(&signature.parameters[0], &ty))
        {
            let entries = Ty::list(entry(key, value));
            if by_name().any(|signature| self.fits(&signature.parameters[0], &entries)) {
                let call = ExprKind::Call { function: Function::Entries, arguments: vec![receiver.expr] };
                receiver = self.node(call, entries.clone(), span);
                ty = entries;
            }
        }
        let fitting: Vec<&Signature> = by_name().filter(|signature| self.fits(&signature.parameters[0], &ty)).collect();
        if fitting.is_empty() {
            return self.no_such_receiver(name, &receiver, &ty);
        }
        let candidates: Vec<&Signature> =
            fitting.iter().filter(|signature| signature.parameters.len() == given.len()).copied().collect();
        let signature = match candidates.as_slice() {
            [] => {
                let message = format!("`{word}` takes other arguments");
                let diagnostic = Diagnostic::error(codes::ARGUMENTS, message, span, format!("{} given", given.len()));
                return self.wrong(diagnostic.with_help(format!("it is {}", shown(&fitting))));
            }
            [only] => *only,
            several => self.by_second_argument(several, &mut given),
        };
        given[0] = Given::Value(receiver);
        self.apply(signature, given, span)
    }

    /// `union` takes a set or a list: the second argument tells which.
    fn by_second_argument<'s>(&mut self, candidates: &[&'s Signature], given: &mut [Given]) -> &'s Signature {
        let second = match given.get(1) {
            Some(Given::Written(expr)) if !matches!(expr.kind, ast::ExprKind::Lambda { .. }) => self.expr(expr, None),
            _ => return candidates[0],
        };
        let ty = self.inference.known(&second.ty);
        given[1] = Given::Value(second);
        let found = candidates.iter().find(|signature| self.fits(&signature.parameters[1], &ty));
        found.copied().unwrap_or(candidates[0])
    }

    fn apply(&mut self, signature: &Signature, given: Vec<Given>, span: Span) -> Checked {
        let mut holes = Holes::new();
        let mut values: Vec<Option<Checked>> = Vec::new();
        for (shape, argument) in signature.parameters.iter().zip(&given) {
            values.push(match (shape, argument) {
                (Shape::Lambda(..), _) => None,
                (_, Given::Value(value)) => Some(value.clone()),
                (_, Given::Written(expr)) => {
                    let hint = instantiate(shape, &holes);
                    Some(self.expr(expr, hint.as_ref()))
                }
            });
            if let Some(value) = values.last().and_then(Option::as_ref) {
                let ty = value.ty.clone();
                let at = value.expr.span;
                if !self.bind(shape, &ty, &mut holes, at) && !ty.is_error() {
                    return self.wrong_argument(signature, shape, &holes, value.clone());
                }
            }
        }
        let mut arguments: Vec<Expr> = Vec::new();
        for ((shape, argument), value) in signature.parameters.iter().zip(&given).zip(values) {
            let argument = match (shape, argument, value) {
                (Shape::Lambda(parameters, result), Given::Written(expr), _) => {
                    self.lambda(expr, parameters, result, &mut holes)
                }
                (_, _, Some(value)) => match instantiate(shape, &holes) {
                    Some(want) => self.coerce(value, &want),
                    None => value,
                },
                (_, _, None) => error_at(span),
            };
            if argument.ty.is_error() {
                return error_at(span);
            }
            arguments.push(argument.expr);
        }
        let result = instantiate(&signature.result, &holes).unwrap_or(Ty::Error);
        self.finished(signature, arguments, result, span)
    }

    /// Rules of single functions that no signature can say.
    fn finished(&mut self, signature: &Signature, arguments: Vec<Expr>, result: Ty, span: Span) -> Checked {
        let mut result = result;
        match signature.function {
            Function::Div | Function::Mod if matches!(arguments[1].kind, ExprKind::Constant(Value::Int(n)) if n != 0) =>
            {
                result = result.required().clone();
            }
            Function::SumList if result == Ty::Never => result = Ty::Int,
            Function::Matches => {
                let ExprKind::Constant(Value::Text(pattern)) = &arguments[1].kind else {
                    let message = "a pattern is known before any event is";
                    let diagnostic =
                        Diagnostic::error(codes::NOT_CONSTANT, message, arguments[1].span, "not a constant");
                    return self.wrong(diagnostic.with_help("write the pattern as text in quotes"));
                };
                if let Err(error) = regex::Regex::new(pattern.as_str()) {
                    let first = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
                    let diagnostic =
                        Diagnostic::error(codes::BAD_LITERAL, "this is no pattern", arguments[1].span, first);
                    return self.wrong(diagnostic.with_help("write a regular expression; `\\\\` is one backslash"));
                }
            }
            _ => {}
        }
        self.node(ExprKind::Call { function: signature.function, arguments }, result, span)
    }

    /// A lambda whose parameters have the types of the holes.
    fn lambda(&mut self, expr: &ast::Expr, parameters: &[Shape], result: &Shape, holes: &mut Holes) -> Checked {
        let ast::ExprKind::Lambda { parameters: names, body } = &expr.kind else {
            let diagnostic = Diagnostic::error(codes::ARGUMENTS, "a lambda is needed here", expr.span, "not a lambda");
            return self.wrong(diagnostic.with_help("write `x => …`"));
        };
        let types: Vec<Ty> = parameters.iter().map(|shape| instantiate(shape, holes).unwrap_or(Ty::Never)).collect();
        let before = holes.clone();
        let checked = self.lambda_body(expr, names, &types, body, result, holes);
        // The first value of a fold may be widened by what the lambda gives: then its parameter is wider too.
        let widened: Vec<Ty> = parameters.iter().map(|shape| instantiate(shape, holes).unwrap_or(Ty::Never)).collect();
        if widened != types && *holes != before && self.inlined + RECHECK_COST <= INLINED_MAX {
            self.inlined += RECHECK_COST;
            return self.lambda_body(expr, names, &widened, body, result, holes);
        }
        checked
    }

    fn lambda_body(
        &mut self,
        expr: &ast::Expr,
        names: &[Name],
        types: &[Ty],
        body: &ast::Body,
        result: &Shape,
        holes: &mut Holes,
    ) -> Checked {
        let locals = self.locals.len();
        let Some((parameters, lets)) = self.lambda_parameters(expr, names, types) else { return error_at(expr.span) };
        let hint = instantiate(result, holes);
        let value = self.body(body, hint.as_ref());
        self.locals.truncate(locals);
        if value.ty.is_error() {
            return error_at(expr.span);
        }
        let ty = value.ty.clone();
        if !self.bind(result, &ty, holes, value.expr.span) {
            let want = instantiate(result, holes).map_or("something else".into(), |want| want.to_string());
            let message = format!("this lambda gives `{ty}`, and `{want}` is needed");
            let diagnostic = Diagnostic::error(codes::MISMATCH, message, value.expr.span, format!("this is `{ty}`"));
            return self.wrong(diagnostic.with_help("change what stands after `=>`"));
        }
        let value = match instantiate(result, holes) {
            Some(want) => self.coerce(value, &want),
            None => value,
        };
        let ty = value.ty.clone();
        let body = lets.into_iter().rev().fold(value, |body, (local, value)| {
            let ty = body.ty.clone();
            self.node(ExprKind::Let { local, value: Box::new(value.expr), body: Box::new(body.expr) }, ty, expr.span)
        });
        self.node(ExprKind::Lambda { parameters, body: Box::new(body.expr) }, ty, expr.span)
    }

    /// The locals of a lambda's parameters, and those that take an entry of a map apart.
    fn lambda_parameters(&mut self, expr: &ast::Expr, names: &[Name], types: &[Ty]) -> Option<(Vec<usize>, Lets)> {
        if names.len() == types.len() {
            let locals = names.iter().zip(types).map(|(name, ty)| self.declare(name, ty.clone())).collect();
            return Some((locals, Vec::new()));
        }
        if let ([key, value], [entry]) = (names, types)
            && let Ty::Record(record) = self.inference.known(entry)
            && let [(first, key_ty), (second, value_ty)] = record.fields.as_slice()
            && (&**first, &**second) == ("key", "value")
        {
            let whole = self.new_local();
            let mut lets = Vec::new();
            for (index, (name, ty)) in [(key, key_ty), (value, value_ty)].into_iter().enumerate() {
                let base = Box::new(self.node(ExprKind::Local(whole), entry.clone(), name.span).expr);
                let field = self.node(ExprKind::Field { base, index }, ty.clone(), name.span);
                let local = self.declare(name, ty.clone());
                lets.push((local, field));
            }
            return Some((vec![whole], lets));
        }
        let message = format!("this lambda takes {}, and {} needed", count(names.len()), are(types.len()));
        let diagnostic = Diagnostic::error(codes::ARGUMENTS, message, expr.span, "other parameters are needed");
        self.report(diagnostic.with_help(if types.len() == 1 { "write `x => …`" } else { "write `(a, b) => …`" }));
        None
    }

    /// `{ let a = 1  b }`, or one expression.
    pub fn body(&mut self, body: &ast::Body, want: Option<&Ty>) -> Checked {
        let mut lets = Vec::new();
        for binding in &body.lets {
            let value = self.let_value(binding);
            let local = self.declare(&binding.name, value.ty.clone());
            lets.push((local, value));
        }
        let value = self.expr(&body.value, want);
        lets.into_iter().rev().fold(value, |body, (local, value): (usize, Checked)| {
            let (ty, span) = (body.ty.clone(), body.expr.span);
            self.node(ExprKind::Let { local, value: Box::new(value.expr), body: Box::new(body.expr) }, ty, span)
        })
    }

    pub fn let_value(&mut self, binding: &ast::Let) -> Checked {
        match &binding.ty {
            Some(ty) => {
                let ty = self.globals.type_of(ty, self.file);
                self.expr_as(&binding.value, &ty)
            }
            None => self.expr(&binding.value, None),
        }
    }

    /// Puts a function of the files in the place of its call.
    fn inline(&mut self, function: FnDecl, arguments: &[Argument], span: Span) -> Checked {
        if arguments.len() != function.parameters.len() {
            let message = format!("`{}` takes {}", function.name.text, count(function.parameters.len()));
            return self.wrong(
                Diagnostic::error(codes::ARGUMENTS, message, span, format!("{} given", arguments.len()))
                    .with_label(function.name.span, "declared here")
                    .with_help("give one argument for each parameter"),
            );
        }
        if self.globals.calling.contains(&function.name.span) {
            let message = format!("`{}` calls itself", function.name.text);
            return self.wrong(
                Diagnostic::error(codes::RECURSION, message, span, "called again here")
                    .with_label(function.name.span, "the function")
                    .with_help("use `.fold(…)` or another function over lists"),
            );
        }
        self.inlined += 1;
        if self.inlined > INLINED_MAX {
            let message = "the functions called here grow too large when each call is put in its place";
            let diagnostic =
                Diagnostic::error(codes::TOO_LARGE_INLINED, message, span, format!("more than {INLINED_MAX} calls"));
            return self.wrong(diagnostic.with_help("give repeated parts names with `let`"));
        }
        let file = function.name.span.file;
        let mut lets = Vec::new();
        for ((name, ty), argument) in function.parameters.iter().zip(arguments) {
            let ty = self.globals.type_of(ty, file);
            let value = self.expr_as(&argument.value, &ty);
            let local = self.new_local();
            lets.push((name, ty, local, value));
        }
        let value = self.inside(function, &lets.iter().map(|(n, t, l, _)| (*n, t.clone(), *l)).collect::<Vec<_>>());
        if value.ty.is_error() || lets.iter().any(|(_, _, _, argument)| argument.ty.is_error()) {
            return Checked { ty: self.globals.type_of(function.result, file), ..error_at(span) };
        }
        lets.into_iter().rev().fold(value, |body, (_, _, local, value)| {
            let ty = body.ty.clone();
            self.node(ExprKind::Let { local, value: Box::new(value.expr), body: Box::new(body.expr) }, ty, span)
        })
    }

    /// Checks a function's body with its parameters in these locals.
    pub fn inside(&mut self, function: FnDecl, parameters: &[(&Name, Ty, usize)]) -> Checked {
        let file = std::mem::replace(&mut self.file, function.name.span.file);
        let place = std::mem::replace(&mut self.place, Where::Function);
        let visible_from = std::mem::replace(&mut self.visible_from, self.locals.len());
        self.globals.calling.push(function.name.span);
        let locals = self.locals.len();
        for (name, ty, local) in parameters {
            self.declare_as(name, ty.clone(), *local);
        }
        let result = self.globals.type_of(function.result, self.file);
        let value = self.body(function.body, Some(&result));
        let value = self.coerce(value, &result);
        self.locals.truncate(locals);
        self.globals.calling.pop();
        self.visible_from = visible_from;
        self.place = place;
        self.file = file;
        value
    }

    /// `round(x, n, mode: "half_up")`: a decimal of exactly `n` places.
    fn round(&mut self, receiver: Option<Checked>, arguments: &[Argument], span: Span) -> Checked {
        let (value, rest) = match (receiver, arguments) {
            (Some(value), rest) => (value, rest),
            (None, [first, rest @ ..]) => (self.expr(&first.value, None), rest),
            (None, []) => return self.round_form(span),
        };
        if value.ty.is_error() {
            return error_at(span);
        }
        let (places, mode) = match rest {
            [places] => (&places.value, None),
            [places, mode] if mode.name.as_ref().is_none_or(|name| &*name.text == "mode") => {
                (&places.value, Some(&mode.value))
            }
            _ => return self.round_form(span),
        };
        let places_value = self.expr_as(places, &Ty::Int);
        let scale = match places_value.as_constant() {
            Some(Value::Int(places)) if (0..=28).contains(places) => *places as u8,
            _ if places_value.ty.is_error() => return error_at(span),
            _ => {
                let message = "the places to round to are a number from 0 to 28";
                let diagnostic = Diagnostic::error(codes::NOT_CONSTANT, message, places.span, "not such a number");
                return self.wrong(diagnostic.with_help("write the number itself, as in `round(x, 2)`"));
            }
        };
        let mode = match mode {
            Some(mode) => self.rounding_mode(mode),
            None => Some(self.constant(Value::text("half_even"), Ty::TEXT, span)),
        };
        let Some(mode) = mode else { return error_at(span) };
        let ty = self.inference.known(&value.ty);
        let result = Ty::Decimal(Some(scale));
        // What may be missing stays so: `round(a / b, 2)` is a `decimal(2)?`, which `?? 0` then settles.
        let want = if ty.is_optional() { Ty::DECIMAL.optional() } else { Ty::DECIMAL };
        let value = self.coerce(value, &want);
        if value.ty.is_error() {
            return error_at(span);
        }
        if !ty.is_optional() {
            let arguments = vec![value.expr, places_value.expr, mode.expr];
            return self.node(ExprKind::Call { function: Function::Round, arguments }, result, span);
        }
        let local = self.new_local();
        let inner = self.node(ExprKind::Local(local), Ty::DECIMAL, span);
        let arguments = vec![inner.expr, places_value.expr, mode.expr];
        let rest = self.node(ExprKind::Call { function: Function::Round, arguments }, result.clone(), span);
        let kind = ExprKind::Chain { base: Box::new(value.expr), local, rest: Box::new(rest.expr) };
        self.node(kind, result.optional(), span)
    }

    fn rounding_mode(&mut self, mode: &ast::Expr) -> Option<Checked> {
        let checked = self.expr_as(mode, &Ty::TEXT);
        match checked.as_constant() {
            Some(Value::Text(text)) if crate::value::decimal::Rounding::by_name(text.as_str()).is_some() => {
                Some(checked)
            }
            _ if checked.ty.is_error() => None,
            _ => {
                let diagnostic =
                    Diagnostic::error(codes::BAD_LITERAL, "this is no way to round", mode.span, "not known");
                self.report(diagnostic.with_help("modes: half_even, half_up, half_down, up, down, floor, ceil"));
                None
            }
        }
    }

    fn round_form(&mut self, span: Span) -> Checked {
        let diagnostic = Diagnostic::error(codes::ARGUMENTS, "`round` takes other arguments", span, "");
        self.wrong(diagnostic.with_help("write `round(x, 2)` or `round(x, 2, mode: \"half_up\")`"))
    }

    fn unknown_function(&mut self, name: &Name, method: bool) -> Checked {
        let word = &*name.text;
        if LATER.contains(&word) {
            let message = format!("`{word}` is not supported yet");
            return self.not_yet(codes::NO_FUNCTION, &message, name.span);
        }
        let message = format!("there is no function `{word}`");
        let diagnostic = Diagnostic::error(codes::NO_FUNCTION_NAMED, message, name.span, "not found");
        let scope = self.globals.names.scope(self.file);
        let own = scope.values.iter().filter(|(_, decl)| matches!(decl, ValueDecl::Fn(_))).map(|(name, _)| *name);
        let declared = own.clone().any(|name| name == word);
        let all = signatures().iter().map(|signature| signature.name).chain(own.filter(|_| !method));
        let near = crate::language::diagnostic::near(word, all);
        let help = match word {
            _ if method && declared => Some(format!("it is a function of this file: write `{word}(…)`")),
            "get" if method => Some("write `[…]` for an entry".to_owned()),
            "concat" => Some("join with `++`".to_owned()),
            "length" | "size" => Some("did you mean `len`?".to_owned()),
            _ => near.map(|near| format!("did you mean `{near}`?")),
        };
        self.wrong(Diagnostic { help, ..diagnostic })
    }

    fn no_such_receiver(&mut self, name: &Name, receiver: &Checked, ty: &Ty) -> Checked {
        let by_name: Vec<&Signature> = signatures().iter().filter(|signature| *signature.name == *name.text).collect();
        if let Ty::Optional(inner) = ty
            && by_name.iter().any(|signature| self.fits(&signature.parameters[0], inner))
        {
            return self.optional_base(receiver, &format!("{}(…)", name.text), name.span);
        }
        let message = format!("`{}` does not go with `{ty}`", name.text);
        let diagnostic = Diagnostic::error(codes::NO_FUNCTION_NAMED, message, name.span, format!("called on `{ty}`"));
        let there: Vec<&str> =
            signatures().iter().filter(|s| self.fits(&s.parameters[0], ty)).map(|s| s.name).collect();
        let help = crate::language::diagnostic::near(&name.text, there.iter().copied())
            .map(|near| format!("did you mean `{near}`?"))
            .unwrap_or_else(|| format!("it is {}", shown(&by_name)));
        self.wrong(diagnostic.with_help(help))
    }

    fn wrong_argument(&mut self, signature: &Signature, shape: &Shape, holes: &Holes, value: Checked) -> Checked {
        let ty = self.inference.known(&value.ty);
        if let (Some(want), true) = (instantiate(shape, holes), ty.is_optional())
            && self.convertible(ty.required(), &want)
        {
            return self.may_be_missing(value, &want);
        }
        let message = format!("`{}` does not take a `{ty}` here", signature.name);
        let diagnostic = Diagnostic::error(codes::ARGUMENTS, message, value.expr.span, format!("this is `{ty}`"));
        self.wrong(diagnostic.with_help(format!("it is `{}`", signature.text)))
    }

    /// Whether a type may stand where a shape is, as far as its outer form tells.
    fn fits(&self, shape: &Shape, ty: &Ty) -> bool {
        match (shape, ty) {
            (_, Ty::Error | Ty::Never) => true,
            (Shape::Optional(_), ty) => ty.is_optional(),
            (Shape::Hole('T' | 'U' | 'V'), _) => true,
            (_, Ty::Var(_)) => true,
            (Shape::Hole('N'), ty) => ty.is_number(),
            (Shape::Hole('O'), ty) => ty.is_ordered(),
            (Shape::Hole(_), ty) => ty.is_scalar(),
            (Shape::Word(word), ty) => word_type(word).is_some_and(|want| self.convertible(ty, &want)),
            (Shape::List(element), Ty::List(ty)) | (Shape::Set(element), Ty::Set(ty)) => match &**element {
                Shape::Word(_) | Shape::Hole('N' | 'O') => self.fits(element, ty),
                _ => true,
            },
            (Shape::Map(..), Ty::Map(..)) => true,
            (Shape::Set(_) | Shape::Map(..), Ty::Record(record)) => record.fields.is_empty(),
            _ => false,
        }
    }

    /// Fills the holes of a shape from a type. False when they do not fit together.
    fn bind(&mut self, shape: &Shape, ty: &Ty, holes: &mut Holes, span: Span) -> bool {
        let ty = self.inference.known(ty);
        match (shape, &ty) {
            (_, Ty::Error) => true,
            (Shape::Hole(hole), _) => {
                let joined = match holes.get(hole).cloned() {
                    Some(bound) => match self.join(&bound, &ty, span) {
                        Some(joined) => joined,
                        None => return false,
                    },
                    None => ty,
                };
                if *hole == 'N' {
                    self.need(&joined, crate::language::infer::Need::Decimal, span);
                }
                let fits = self.fits(shape, &joined) || matches!(joined, Ty::Never);
                holes.insert(*hole, joined);
                fits
            }
            (Shape::Word(word), _) => {
                let want = word_type(word).unwrap_or(Ty::Error);
                self.inference.unify(&ty, &want, span);
                self.convertible(&ty, &want)
            }
            (Shape::Optional(inner), _) => self.bind(inner, &ty.required().clone(), holes, span),
            (Shape::List(element), Ty::List(inner)) | (Shape::Set(element), Ty::Set(inner)) => {
                self.bind(element, inner, holes, span)
            }
            (Shape::Map(key, value), Ty::Map(k, v)) => {
                self.bind(key, k, holes, span) && self.bind(value, v, holes, span)
            }
            (Shape::Set(_) | Shape::Map(..), Ty::Record(record)) if record.fields.is_empty() => true,
            (_, Ty::Var(_)) => {
                let made = self.make(shape, holes);
                self.inference.unify(&ty, &made, span);
                true
            }
            _ => matches!(ty, Ty::Never),
        }
    }

    /// The type of a shape, with new variables in holes that nothing filled.
    fn make(&mut self, shape: &Shape, holes: &mut Holes) -> Ty {
        match shape {
            Shape::Hole(hole) => {
                if !holes.contains_key(hole) {
                    let fresh = self.inference.fresh("an element");
                    holes.insert(*hole, fresh);
                }
                holes[hole].clone()
            }
            Shape::List(element) => Ty::list(self.make(element, holes)),
            Shape::Set(element) => Ty::set(self.make(element, holes)),
            Shape::Map(key, value) => Ty::map(self.make(key, holes), self.make(value, holes)),
            Shape::Optional(inner) => self.make(inner, holes).optional(),
            Shape::Word(word) => word_type(word).unwrap_or(Ty::Error),
            Shape::Entry | Shape::Lambda(..) => Ty::Error,
        }
    }
}

fn word_type(word: &str) -> Option<Ty> {
    Some(match word {
        "string" => Ty::TEXT,
        "int" => Ty::Int,
        "decimal" => Ty::DECIMAL,
        "float" => Ty::Float,
        "bool" => Ty::Bool,
        "timestamp" => Ty::Timestamp,
        "date" => Ty::Date,
        "duration" => Ty::Duration,
        "uuid" => Ty::Uuid,
        _ => return None,
    })
}

/// The type of a shape whose holes are all filled.
fn instantiate(shape: &Shape, holes: &Holes) -> Option<Ty> {
    Some(match shape {
        Shape::Word(word) => word_type(word)?,
        Shape::Hole(hole) => holes.get(hole)?.clone(),
        Shape::List(element) => Ty::list(instantiate(element, holes)?),
        Shape::Set(element) => Ty::set(instantiate(element, holes)?),
        Shape::Map(key, value) => Ty::map(instantiate(key, holes)?, instantiate(value, holes)?),
        Shape::Optional(inner) => instantiate(inner, holes)?.optional(),
        Shape::Entry => entry(holes.get(&'K')?, holes.get(&'V')?),
        Shape::Lambda(..) => return None,
    })
}

fn entry(key: &Ty, value: &Ty) -> Ty {
    Ty::record(vec![("key".into(), key.clone()), ("value".into(), value.clone())])
}

fn forms(word: &str) -> String {
    let by_name: Vec<&Signature> = signatures().iter().filter(|signature| signature.name == word).collect();
    format!("it is {}", shown(&by_name))
}

fn shown(signatures: &[&Signature]) -> String {
    let texts: Vec<String> = signatures.iter().map(|signature| format!("`{}`", signature.text)).collect();
    texts.join(" or ")
}

fn count(arguments: usize) -> String {
    if arguments == 1 { "1 argument".into() } else { format!("{arguments} arguments") }
}

fn are(parameters: usize) -> String {
    if parameters == 1 { "1 is".into() } else { format!("{parameters} are") }
}
