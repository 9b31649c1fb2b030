//! Python's string methods, as templates call them.

use minijinja::value::{Value, from_args};
use minijinja::{Error, ErrorKind, State};

/// The methods of `minijinja-contrib`, and some more of strings.
pub(super) fn call(state: &mut State, value: &Value, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    match minijinja_contrib::pycompat::unknown_method_callback(state, value, method, arguments) {
        Err(error) if error.kind() == ErrorKind::UnknownMethod => match value.as_str() {
            Some(text) => of_text(state, text, method, arguments),
            None => Err(error),
        },
        result => result,
    }
}

fn of_text(state: &State, text: &str, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    state.consume_fuel((text.len() / 64) as u64)?;
    Ok(match method {
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(arguments)?;
            Value::from(text.strip_prefix(prefix).unwrap_or(text))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(arguments)?;
            Value::from(text.strip_suffix(suffix).unwrap_or(text))
        }
        "partition" => {
            let (separator,): (&str,) = from_args(arguments)?;
            let (before, after) = text.split_once(non_empty(separator)?).unzip();
            let found = if before.is_some() { separator } else { "" };
            list([before.unwrap_or(text), found, after.unwrap_or("")])
        }
        "rpartition" => {
            let (separator,): (&str,) = from_args(arguments)?;
            let (before, after) = text.rsplit_once(non_empty(separator)?).unzip();
            let found = if before.is_some() { separator } else { "" };
            list([before.unwrap_or(""), found, after.unwrap_or(text)])
        }
        "rsplit" => {
            let (separator, most): (&str, Option<usize>) = from_args(arguments)?;
            let separator = non_empty(separator)?;
            let mut parts: Vec<&str> = match most {
                Some(most) => text.rsplitn(most.saturating_add(1), separator).collect(),
                None => text.rsplit(separator).collect(),
            };
            parts.reverse();
            list(parts)
        }
        _ => {
            let what = format!("strings have no method named {method}");
            return Err(Error::new(ErrorKind::UnknownMethod, what));
        }
    })
}

fn list<'a>(parts: impl IntoIterator<Item = &'a str>) -> Value {
    parts.into_iter().map(Value::from).collect()
}

fn non_empty(separator: &str) -> Result<&str, Error> {
    if separator.is_empty() {
        return Err(Error::new(ErrorKind::InvalidOperation, "empty separator"));
    }
    Ok(separator)
}
