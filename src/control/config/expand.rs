//! `${NAME}`, `${NAME:-default}` and `${file:/path}` in the strings of a configuration.

use crate::control::config::Environment;

/// Puts the values in. The error names the variable or the file, never what was found there.
pub(super) fn expand(text: &str, env: Environment<'_>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, reference) = rest.split_at(start);
        expanded.push_str(before);
        let (reference, after) = reference[2..].split_once('}').ok_or("`${` without its `}`")?;
        expanded.push_str(&value_of(reference, env)?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn value_of(reference: &str, env: Environment<'_>) -> Result<String, String> {
    if let Some(path) = reference.strip_prefix("file:") {
        let text =
            std::fs::read_to_string(path).map_err(|error| format!("the file `{path}` cannot be read: {error}"))?;
        // Editors and `echo` end a file with a newline, which is no part of the secret.
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("`${{{reference}}}` is not `${{NAME}}`, `${{NAME:-default}}` or `${{file:/path}}`"));
    }
    // As in a shell, `:-` also replaces what is set but empty.
    match (env(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!("the environment variable `{name}` is not set")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("db".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_defaults_and_files_are_put_in() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2\n").unwrap();
        assert_eq!(expand("a${HOST}:${PORT:-80}b", &env).unwrap(), "adb:80b");
        assert_eq!(expand("${EMPTY:-x}${EMPTY}", &env).unwrap(), "x");
        assert_eq!(expand("a:-b:c", &env).unwrap(), "a:-b:c");
        assert_eq!(expand(&format!("${{file:{}}}", file.path().display()), &env).unwrap(), "hunter2");
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(expand("${PASSWORD}", &env).unwrap_err(), "the environment variable `PASSWORD` is not set");
        assert!(expand("${file:/not/there}", &env).unwrap_err().contains("/not/there"));
        assert_eq!(expand("${HOST", &env).unwrap_err(), "`${` without its `}`");
        assert!(expand("${A B}", &env).unwrap_err().contains("is not `${NAME}`"));
    }
}
