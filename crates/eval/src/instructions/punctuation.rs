//! Marks that must not be there.

pub(super) fn has_no_comma(text: &str) -> bool {
    !text.contains(',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas() {
        assert!(has_no_comma("no; none") && !has_no_comma("one, two") && !has_no_comma("3,000"));
    }
}
