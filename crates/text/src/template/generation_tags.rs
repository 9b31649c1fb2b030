//! `{% generation %}` tags, with which some templates mark what the assistant says.

/// Turns `{% generation %} .. {% endgeneration %}` into `{% with %} .. {% endwith %}`, which prints the same and has
/// the same scope. Lines and the tags' whitespace control stay as they are.
pub(super) fn as_scopes(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        // From behind the opening: in `{%}` one `%` cannot be both.
        let Some(length) = rest[start + 2..].find("%}") else { break };
        let end = start + 2 + length;
        let inner = &rest[start + 2..end];
        let word = inner.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim();
        let replacement = match word {
            "generation" => Some("with"),
            "endgeneration" => Some("endwith"),
            _ => None,
        };
        out.push_str(&rest[..start + 2]);
        match replacement {
            Some(tag) => out.push_str(&inner.replacen(word, tag, 1)),
            None => out.push_str(inner),
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::as_scopes;

    #[test]
    fn only_the_tags_change() {
        let source = "a{%- generation -%}b{% endgeneration %}\n{% if generation %}generation{% endif %}{%";
        let expected = "a{%- with -%}b{% endwith %}\n{% if generation %}generation{% endif %}{%";
        assert_eq!(as_scopes(source), expected);
    }

    #[test]
    fn a_tag_without_an_inside_is_left_to_the_compiler() {
        for source in ["{%}", "{%%}", "{%}%}"] {
            assert_eq!(as_scopes(source), source);
        }
    }
}
