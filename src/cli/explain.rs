//! `projector explain PATH [NAME] | CODE`: the pipeline of projections, or what a code means.

use std::io::Write;
use std::path::PathBuf;

use crate::cli::{Exit, Failure, Global, run};
use crate::control::compile::compile;
use crate::language::codes;
use crate::language::diagnostic::near;
use crate::plan::explain::explain;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A .proj file or a folder of them; or the code of a message, such as P0301
    #[arg(value_name = "PATH|CODE")]
    subject: String,
    /// Only this projection
    name: Option<String>,
}

pub(super) fn run(arguments: &Arguments, _global: &Global) -> Result<Exit, Failure> {
    let mut out = std::io::stdout().lock();
    let path = PathBuf::from(&arguments.subject);
    if is_code(&arguments.subject) && !path.exists() {
        let code = arguments.subject.to_ascii_uppercase();
        let meaning = codes::meaning(&code).ok_or_else(|| Failure::usage(format!("there is no code `{code}`")))?;
        writeln!(out, "{code}: {meaning}")?;
        return Ok(Exit::Done);
    }
    let mut compiled = compile(&[path]).map_err(Failure::usage)?;
    let mut plans = run::plans(&mut compiled)?;
    if let Some(name) = &arguments.name {
        let names: Vec<_> = plans.iter().map(|plan| plan.projection.name.clone()).collect();
        plans.retain(|plan| *plan.projection.name == **name);
        if plans.is_empty() {
            let help = near(name, names.iter().map(|name| &**name));
            let help = help.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(Failure::usage(format!("the files declare no projection `{name}`{help}")));
        }
    }
    for (index, plan) in plans.iter().enumerate() {
        let separator = if index > 0 { "\n" } else { "" };
        write!(out, "{separator}{}", explain(plan))?;
    }
    Ok(Exit::Done)
}

/// `P0301`, `W0520`, `R0102`, in either case.
fn is_code(text: &str) -> bool {
    let digits = text.strip_prefix(['P', 'W', 'R', 'p', 'w', 'r']);
    digits.is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}
