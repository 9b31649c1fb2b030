//! Text of a sample on its way out: what might become a stop string is held back.

/// Text that was given in and not yet given out.
#[derive(Default)]
pub(crate) struct Tail {
    held: String,
}

/// What to do after more text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// Give this out and go on.
    Text(String),
    /// Give this out and end: a stop string followed.
    Stopped(String),
}

impl Tail {
    /// Adds text; what cannot be part of a stop string comes out.
    pub(crate) fn push(&mut self, text: &str, stops: &[String]) -> Passed {
        self.held.push_str(text);
        let first = stops.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(place) = first {
            self.held.truncate(place);
            return Passed::Stopped(std::mem::take(&mut self.held));
        }
        let longest = stops.iter().map(|stop| self.overlap(stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - longest);
        Passed::Text(std::mem::replace(&mut self.held, rest))
    }

    /// Everything that was held back.
    pub(crate) fn flush(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Bytes at the end that are the beginning of `stop`.
    fn overlap(&self, stop: &str) -> usize {
        let longest = stop.len().min(self.held.len());
        let begins = |&len: &usize| stop.is_char_boundary(len) && self.held.ends_with(&stop[..len]);
        (1..=longest).rev().find(begins).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Passed {
        Passed::Text(text.into())
    }

    #[test]
    fn the_first_stop_string_ends_the_text_wherever_it_is_cut() {
        let stops = ["END".to_owned(), "\n\n".to_owned()];
        let mut tail = Tail::default();
        assert_eq!(tail.push("so E", &stops), text("so "));
        assert_eq!(tail.push("N", &stops), text(""));
        assert_eq!(tail.push("E", &stops), text("EN"));
        assert_eq!(tail.push("ND and", &stops), Passed::Stopped(String::new()));
        let mut tail = Tail::default();
        assert_eq!(tail.push("é\n", &stops), text("é"));
        assert_eq!(tail.push("x", &stops), text("\nx"));
        assert_eq!(tail.push("a\n\nEND", &stops), Passed::Stopped("a".into()));
        let mut tail = Tail::default();
        assert_eq!(tail.push("EN", &stops), text(""));
        assert_eq!(tail.flush(), "EN");
        assert_eq!(tail.push("as it is", &[]), text("as it is"));
    }
}
