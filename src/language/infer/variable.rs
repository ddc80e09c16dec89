//! Type variables: what is known about a payload field nobody declared, gathered from its uses.
//!
//! A use demands something of a variable: to be text, a number, a list, a record with a field. Numbers are demanded
//! softly, since an int is welcome wherever a decimal is; every other pair of demands must agree.

use std::sync::Arc;

use crate::language::infer::Ty;
use crate::language::span::Span;

/// A type that only use can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Var(usize);

/// How much a use wants of a number, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// It is calculated with.
    Number,
    /// It stands beside a whole number.
    WholeLiteral,
    /// It is added up, or stands beside a decimal.
    Decimal,
    /// It goes where only an int may.
    Int,
}

#[derive(Debug, Clone)]
enum Binding {
    Free,
    Same(Var),
    Number(Need),
    /// Field by field, as uses name them.
    Open(Vec<(Arc<str>, Ty)>),
    Is(Ty),
}

#[derive(Debug, Clone)]
struct State {
    binding: Binding,
    /// How messages call it: `.amount`.
    path: String,
    /// The use that settled the binding.
    used: Option<Span>,
    /// Some use gives a value for the missing case.
    optional: bool,
    /// It is a key, or part of one.
    keyed: bool,
    /// An int exactly when all of these are: the operands of an arithmetic result.
    operands: Vec<Var>,
    /// Optional when this one is: the argument of an aggregate whose field has no written type.
    follows: Option<Var>,
}

/// Two uses that do not agree.
#[derive(Debug, Clone)]
pub(crate) struct Conflict {
    pub path: String,
    pub first: Option<Span>,
    pub first_type: String,
    pub second: Span,
    pub second_type: String,
}

/// All variables of one projection.
#[derive(Debug, Default)]
pub(crate) struct Inference {
    states: Vec<State>,
    conflicts: Vec<Conflict>,
}

impl Inference {
    /// A variable of which nothing is known.
    pub fn fresh(&mut self, path: impl Into<String>) -> Ty {
        self.add(Binding::Free, path.into())
    }

    /// A variable for a record whose fields come from use.
    pub fn open(&mut self, path: impl Into<String>) -> Ty {
        self.add(Binding::Open(Vec::new()), path.into())
    }

    /// The result of arithmetic on two open numbers.
    pub fn result_of(&mut self, left: Var, right: Var) -> Ty {
        let ty = self.add(Binding::Number(Need::WholeLiteral), String::new());
        if let Ty::Var(var) = ty {
            self.states[var.0].operands = vec![left, right];
        }
        ty
    }

    pub fn take_conflicts(&mut self) -> Vec<Conflict> {
        std::mem::take(&mut self.conflicts)
    }

    /// What is known now: the bound type, or the variable itself.
    pub fn known(&self, ty: &Ty) -> Ty {
        match ty {
            Ty::Var(var) => match &self.states[self.root(*var).0].binding {
                Binding::Is(bound) => self.known(bound),
                _ => Ty::Var(*var),
            },
            other => other.clone(),
        }
    }

    /// Notes that a use handles the missing case.
    pub fn allow_missing(&mut self, ty: &Ty) {
        if let Ty::Var(var) = ty {
            self.states[var.0].optional = true;
        }
    }

    /// Notes that the value is a key.
    pub fn use_as_key(&mut self, ty: &Ty) {
        if let Ty::Var(var) = ty {
            let root = self.root(*var);
            self.states[root.0].keyed = true;
        }
    }

    /// Makes the type of an aggregate's field optional when its argument is.
    pub fn follow(&mut self, field: &Ty, argument: &Ty) {
        if let (Ty::Var(field), Ty::Var(argument)) = (field, argument) {
            self.states[field.0].follows = Some(*argument);
        }
    }

    /// Demands a number. Returns whether that can be.
    pub fn need_number(&mut self, var: Var, need: Need, span: Span) -> bool {
        let root = self.root(var);
        let state = &mut self.states[root.0];
        match &mut state.binding {
            Binding::Free => {
                state.binding = Binding::Number(need);
                state.used = Some(span);
            }
            Binding::Number(have) if *have >= need => return true,
            Binding::Number(have) => *have = need,
            Binding::Is(Ty::Error) => return true,
            Binding::Is(bound) if bound.required().is_number() => return true,
            _ => return self.conflict(root, span, if need == Need::Int { "int" } else { "a number" }.into()),
        }
        if need == Need::Int {
            for operand in self.states[root.0].operands.clone() {
                self.need_number(operand, need, span);
            }
        }
        true
    }

    /// The type of a field of an open record; a new variable when nobody named it before.
    pub fn field(&mut self, var: Var, name: &Arc<str>, span: Span) -> Option<Ty> {
        let root = self.root(var);
        let path = format!("{}.{name}", self.states[root.0].path);
        match &mut self.states[root.0].binding {
            Binding::Open(fields) => {
                if let Some((_, ty)) = fields.iter().find(|(field, _)| field == name) {
                    return Some(ty.clone());
                }
            }
            Binding::Free => {
                self.states[root.0].binding = Binding::Open(Vec::new());
                self.states[root.0].used = Some(span);
            }
            Binding::Is(Ty::Error) => return None,
            _ => {
                self.conflict(root, span, "a record".into());
                return None;
            }
        }
        let ty = self.fresh(path);
        if let Binding::Open(fields) = &mut self.states[root.0].binding {
            fields.push((name.clone(), ty.clone()));
        }
        Some(ty)
    }

    /// Makes two types one, as far as variables are concerned. What is wrong among known types is not its concern.
    pub fn unify(&mut self, left: &Ty, right: &Ty, span: Span) {
        match (left, right) {
            (Ty::Var(a), Ty::Var(b)) => self.same(*a, *b, span),
            (Ty::Var(var), other) | (other, Ty::Var(var)) => self.bind(*var, other, span),
            (Ty::Optional(a), Ty::Optional(b)) | (Ty::List(a), Ty::List(b)) | (Ty::Set(a), Ty::Set(b)) => {
                self.unify(a, b, span);
            }
            (Ty::Optional(a), b) | (b, Ty::Optional(a)) if !matches!(b, Ty::None) => self.unify(a, b, span),
            (Ty::Map(k, v), Ty::Map(l, w)) => {
                self.unify(k, l, span);
                self.unify(v, w, span);
            }
            (Ty::Record(a), Ty::Record(b)) => {
                for (name, ty) in &a.fields {
                    if let Some((_, other)) = b.field(name) {
                        self.unify(ty, other, span);
                    }
                }
            }
            _ => {}
        }
    }

    /// The type that all uses agree on.
    pub fn settle(&self, ty: &Ty) -> Ty {
        match ty {
            Ty::Var(var) => self.settle_var(*var),
            Ty::Optional(inner) => self.settle(inner).optional(),
            Ty::List(element) => Ty::list(self.settle(element)),
            Ty::Set(element) => Ty::set(self.settle(element)),
            Ty::Map(key, value) => Ty::map(self.settle(key), self.settle(value)),
            Ty::Record(record) => {
                let fields = record.fields.iter().map(|(name, ty)| (name.clone(), self.settle(ty))).collect();
                Ty::Record(Arc::new(super::RecordTy { name: record.name.clone(), fields }))
            }
            other => other.clone(),
        }
    }

    /// Paths below `ty` of scalars that are keys and nothing else: text or an integer will do.
    pub fn keys_only(&self, ty: &Ty) -> Vec<Vec<Arc<str>>> {
        let mut found = Vec::new();
        self.collect_keys(ty, &mut Vec::new(), &mut found);
        found
    }

    fn collect_keys(&self, ty: &Ty, path: &mut Vec<Arc<str>>, found: &mut Vec<Vec<Arc<str>>>) {
        let Ty::Var(var) = ty else { return };
        let state = &self.states[self.root(*var).0];
        match &state.binding {
            Binding::Free if state.keyed => found.push(path.clone()),
            Binding::Open(fields) => {
                for (name, field) in fields {
                    path.push(name.clone());
                    self.collect_keys(field, path, found);
                    path.pop();
                }
            }
            _ => {}
        }
    }

    fn settle_var(&self, var: Var) -> Ty {
        let followed = self.states[var.0].follows;
        let optional = self.states[var.0].optional || followed.is_some_and(|other| self.states[other.0].optional);
        let state = &self.states[self.root(var).0];
        let ty = match &state.binding {
            Binding::Free if state.keyed => Ty::TEXT,
            Binding::Free | Binding::Same(_) => Ty::Json,
            Binding::Number(need) => self.settle_number(*need, &state.operands),
            Binding::Open(fields) => {
                Ty::record(fields.iter().map(|(name, ty)| (name.clone(), self.settle(ty))).collect())
            }
            Binding::Is(bound) => self.settle(bound),
        };
        if optional { ty.optional() } else { ty }
    }

    fn settle_number(&self, need: Need, operands: &[Var]) -> Ty {
        let whole = match need {
            Need::Int => true,
            Need::WholeLiteral if operands.is_empty() => true,
            _ => !operands.is_empty() && operands.iter().all(|operand| self.is_whole(*operand, &mut Vec::new())),
        };
        if whole { Ty::Int } else { Ty::DECIMAL }
    }

    /// Whether a number settles as an int. A result that is its own operand does not decide.
    fn is_whole(&self, var: Var, seen: &mut Vec<Var>) -> bool {
        let root = self.root(var);
        if seen.contains(&root) {
            return true;
        }
        seen.push(root);
        let state = &self.states[root.0];
        match state.binding {
            Binding::Number(Need::Int) => true,
            Binding::Number(need) if state.operands.is_empty() => need == Need::WholeLiteral,
            Binding::Number(_) => state.operands.iter().all(|operand| self.is_whole(*operand, seen)),
            _ => false,
        }
    }

    fn add(&mut self, binding: Binding, path: String) -> Ty {
        self.states.push(State {
            binding,
            path,
            used: None,
            optional: false,
            keyed: false,
            operands: Vec::new(),
            follows: None,
        });
        Ty::Var(Var(self.states.len() - 1))
    }

    fn root(&self, mut var: Var) -> Var {
        while let Binding::Same(next) = self.states[var.0].binding {
            var = next;
        }
        var
    }

    fn same(&mut self, left: Var, right: Var, span: Span) {
        let (left, right) = (self.root(left), self.root(right));
        if left == right {
            return;
        }
        if self.occurs(left, &Ty::Var(right)) || self.occurs(right, &Ty::Var(left)) {
            self.conflict(left, span, "a part of itself".into());
            return;
        }
        let keyed = self.states[left.0].keyed || self.states[right.0].keyed;
        let taken = self.states[right.0].binding.clone();
        if let Binding::Free = self.states[left.0].binding {
            self.states[left.0].binding = Binding::Same(right);
            self.states[right.0].keyed = keyed;
            return;
        }
        self.states[right.0].binding = Binding::Same(left);
        self.states[left.0].keyed = keyed;
        match taken {
            Binding::Free | Binding::Same(_) => {}
            Binding::Is(ty) => self.bind(left, &ty, span),
            Binding::Number(need) => {
                let mut operands = std::mem::take(&mut self.states[right.0].operands);
                self.states[left.0].operands.append(&mut operands);
                self.need_number(left, need, span);
            }
            Binding::Open(fields) => {
                for (name, ty) in fields {
                    if let Some(mine) = self.field(left, &name, span) {
                        self.unify(&mine, &ty, span);
                    }
                }
            }
        }
    }

    fn bind(&mut self, var: Var, ty: &Ty, span: Span) {
        let root = self.root(var);
        match ty {
            Ty::Error | Ty::Never | Ty::None => return,
            Ty::Int | Ty::Decimal(_) => {
                let need = if *ty == Ty::Int { Need::Int } else { Need::Decimal };
                self.need_number(root, need, span);
                return;
            }
            Ty::Optional(inner) => return self.unify(&Ty::Var(root), &inner.clone(), span),
            _ => {}
        }
        let ty = if let Ty::Text(_) = ty { Ty::TEXT } else { ty.clone() };
        match self.states[root.0].binding.clone() {
            Binding::Free => {
                if !self.occurs(root, &ty) {
                    self.states[root.0].binding = Binding::Is(ty);
                    self.states[root.0].used = Some(span);
                }
            }
            Binding::Is(Ty::Error) => {}
            Binding::Is(bound) if same_kind(&bound, &ty) => self.unify(&bound, &ty, span),
            Binding::Open(fields) => match &ty {
                Ty::Record(record) => {
                    for (name, mine) in fields {
                        if let Some((_, other)) = record.field(&name) {
                            self.unify(&mine, other, span);
                        }
                    }
                }
                _ => {
                    self.conflict(root, span, ty.to_string());
                }
            },
            _ => {
                self.conflict(root, span, ty.to_string());
            }
        }
    }

    /// Whether binding `var` to `ty` would make a type inside itself.
    fn occurs(&self, var: Var, ty: &Ty) -> bool {
        match ty {
            Ty::Var(other) => {
                let root = self.root(*other);
                root == var
                    || match &self.states[root.0].binding {
                        Binding::Is(bound) => self.occurs(var, bound),
                        Binding::Open(fields) => fields.iter().any(|(_, ty)| self.occurs(var, ty)),
                        _ => false,
                    }
            }
            Ty::Optional(inner) | Ty::List(inner) | Ty::Set(inner) => self.occurs(var, inner),
            Ty::Map(key, value) => self.occurs(var, key) || self.occurs(var, value),
            Ty::Record(record) => record.fields.iter().any(|(_, ty)| self.occurs(var, ty)),
            _ => false,
        }
    }

    fn conflict(&mut self, root: Var, span: Span, second_type: String) -> bool {
        let state = &self.states[root.0];
        let first_type = match &state.binding {
            Binding::Number(Need::Int) => "int".into(),
            Binding::Number(_) => "a number".into(),
            Binding::Open(_) => "a record".into(),
            Binding::Is(ty) => ty.to_string(),
            Binding::Free | Binding::Same(_) => "json".into(),
        };
        let (path, first) = (state.path.clone(), state.used);
        // Said once; from here on it fits everywhere.
        self.states[root.0].binding = Binding::Is(Ty::Error);
        self.conflicts.push(Conflict { path, first, first_type, second: span, second_type });
        false
    }
}

fn same_kind(left: &Ty, right: &Ty) -> bool {
    match (left, right) {
        (Ty::Text(_), Ty::Text(_)) | (Ty::List(_), Ty::List(_)) | (Ty::Set(_), Ty::Set(_)) => true,
        (Ty::Map(..), Ty::Map(..)) | (Ty::Record(_), Ty::Record(_)) => true,
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn var(ty: &Ty) -> Var {
        match ty {
            Ty::Var(var) => *var,
            other => panic!("not a variable: {other}"),
        }
    }

    #[test]
    fn a_product_is_an_int_only_when_both_factors_are() {
        let mut inference = Inference::default();
        let (price, qty) = (inference.fresh(".price"), inference.fresh(".qty"));
        let product = inference.result_of(var(&price), var(&qty));
        inference.need_number(var(&price), Need::Decimal, Span::default());
        inference.need_number(var(&qty), Need::WholeLiteral, Span::default());
        assert_eq!(inference.settle(&product), Ty::DECIMAL);
        inference.unify(&product, &Ty::Int, Span::default());
        assert_eq!(inference.settle(&price), Ty::Int);
    }

    #[test]
    fn uses_that_contradict_are_reported_once_each() {
        let mut inference = Inference::default();
        let amount = inference.fresh(".amount");
        inference.unify(&amount, &Ty::DECIMAL, Span::default());
        inference.unify(&amount, &Ty::TEXT, Span::default());
        let conflicts = inference.take_conflicts();
        assert_eq!(conflicts.len(), 1);
        assert_eq!((conflicts[0].path.as_str(), conflicts[0].second_type.as_str()), (".amount", "string"));
    }

    #[test]
    fn a_scalar_that_is_only_a_key_is_known_as_such() {
        let mut inference = Inference::default();
        let payload = inference.open("");
        let id = inference.field(var(&payload), &"id".into(), Span::default()).expect("an open record has any field");
        inference.use_as_key(&id);
        assert_eq!(inference.keys_only(&payload), vec![vec![Arc::from("id")]]);
        inference.unify(&id, &Ty::TEXT, Span::default());
        assert!(inference.keys_only(&payload).is_empty());
    }
}
