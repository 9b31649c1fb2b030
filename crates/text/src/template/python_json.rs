//! JSON as Python's `json.dumps` writes it: models were trained on its spaces.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

/// Nesting that JSON in a prompt does not reach.
const MAX_DEPTH: usize = 64;
/// Spaces a level; more is an attack on memory, not a layout.
const MAX_INDENT: usize = 100;

/// `json.dumps` options that templates use.
struct Style {
    ensure_ascii: bool,
    indent: Option<usize>,
    item_separator: String,
    key_separator: String,
    sort_keys: bool,
}

/// The filter `tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)` of `transformers`.
#[expect(clippy::needless_pass_by_value, reason = "the signature that filters have")]
pub(super) fn to_json(state: &State, value: &Value, positional: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let mut options: Vec<Value> = Vec::with_capacity(4);
    for (place, name) in ["ensure_ascii", "indent", "separators", "sort_keys"].into_iter().enumerate() {
        let value = match positional.get(place) {
            Some(value) => value.clone(),
            None => named.get::<Option<Value>>(name)?.unwrap_or_default(),
        };
        options.push(value);
    }
    named.assert_all_used()?;
    let indent = &options[1];
    let indent = if indent.is_none() || indent.is_undefined() { None } else { Some(usize::try_from(indent.clone())?) };
    if let Some(indent) = indent.filter(|&indent| indent > MAX_INDENT) {
        let what = format!("tojson indents by at most {MAX_INDENT} spaces, not {indent}");
        return Err(Error::new(ErrorKind::InvalidOperation, what));
    }
    let mut separators = (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned());
    if !options[2].is_none() && !options[2].is_undefined() {
        separators = (options[2].get_item_by_index(0)?.to_string(), options[2].get_item_by_index(1)?.to_string());
    }
    let style = Style {
        ensure_ascii: options[0].is_true(),
        indent,
        item_separator: separators.0,
        key_separator: separators.1,
        sort_keys: options[3].is_true(),
    };
    let mut out = String::new();
    style.write(state, value, 0, &mut out)?;
    Ok(Value::from_safe_string(out))
}

impl Style {
    fn write(&self, state: &State, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
        // Memory taken here is not seen by the engine.
        state.consume_fuel(1 + (self.indent.unwrap_or(0).saturating_mul(depth) / 64) as u64)?;
        if depth > MAX_DEPTH {
            return Err(Error::new(ErrorKind::InvalidOperation, "tojson of a value that is nested too deeply"));
        }
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number if value.is_integer() => {
                let _ = write!(out, "{value}");
            }
            ValueKind::Number => out.push_str(&float(f64::try_from(value.clone())?)),
            ValueKind::String => {
                let text = value.as_str().unwrap_or_default();
                state.consume_fuel((text.len() / 64) as u64)?;
                self.write_text(text, out);
            }
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter()?.map(|item| (None, item)).collect();
                self.write_items(state, items, ['[', ']'], depth, out)?;
            }
            ValueKind::Map => {
                let mut items = Vec::new();
                for key in value.try_iter()? {
                    let item = value.get_item(&key)?;
                    items.push((Some(key_text(&key)?), item));
                }
                if self.sort_keys {
                    items.sort_by(|a, b| a.0.cmp(&b.0));
                }
                self.write_items(state, items, ['{', '}'], depth, out)?;
            }
            ValueKind::Undefined => {
                return Err(Error::new(ErrorKind::UndefinedError, "tojson of a value that is not defined"));
            }
            kind => {
                return Err(Error::new(ErrorKind::InvalidOperation, format!("tojson of a value of kind {kind}")));
            }
        }
        Ok(())
    }

    fn write_items(
        &self,
        state: &State,
        items: Vec<(Option<String>, Value)>,
        brackets: [char; 2],
        depth: usize,
        out: &mut String,
    ) -> Result<(), Error> {
        let line = |depth: usize, out: &mut String| {
            if let Some(indent) = self.indent {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent * depth));
            }
        };
        out.push(brackets[0]);
        let empty = items.is_empty();
        for (index, (key, item)) in items.into_iter().enumerate() {
            if index > 0 {
                out.push_str(&self.item_separator);
            }
            line(depth + 1, out);
            if let Some(key) = key {
                self.write_text(&key, out);
                out.push_str(&self.key_separator);
            }
            self.write(state, &item, depth + 1, out)?;
        }
        if !empty {
            line(depth, out);
        }
        out.push(brackets[1]);
        Ok(())
    }

    fn write_text(&self, text: &str, out: &mut String) {
        out.push('"');
        for character in text.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                plain if matches!(plain, ' '..='~') || (plain > '~' && !self.ensure_ascii) => out.push(plain),
                other => {
                    for unit in other.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
            }
        }
        out.push('"');
    }
}

/// Python turns keys of other types into text.
fn key_text(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String | ValueKind::Number => Ok(key.to_string()),
        ValueKind::Bool => Ok(if key.is_true() { "true" } else { "false" }.to_owned()),
        ValueKind::None => Ok("null".to_owned()),
        kind => Err(Error::new(ErrorKind::InvalidOperation, format!("tojson of a map with a key of kind {kind}"))),
    }
}

/// Python's `repr` of a float: the shortest digits that read back, with an exponent outside 1e-4 .. 1e16.
fn float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    // Rust's debug format has the same thresholds, but writes 1e16 where Python writes 1e+16.
    let digits = format!("{value:?}");
    match digits.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
            format!("{}e{sign}{digits:0>2}", mantissa.strip_suffix(".0").unwrap_or(mantissa))
        }
        None => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::float;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        let cases = [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (1.5e-7, "1.5e-07"),
            (1e-4, "0.0001"),
            (-2.5e300, "-2.5e+300"),
        ];
        for (value, expected) in cases {
            assert_eq!(float(value), expected);
        }
        assert_eq!(float(f64::NAN), "NaN");
        assert_eq!(float(f64::NEG_INFINITY), "-Infinity");
    }
}
