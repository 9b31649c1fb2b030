//! The value of an expression such as `(3 + 4.5) * 2`, as solutions to word problems write them.

/// What `%` after a number means; people write both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Percent {
    Hundredth,
    Ignored,
}

/// Deeper nesting than this is no solution to a word problem, and must not exhaust the stack.
const DEEPEST: usize = 64;

/// The value, or `None` if the text is not an expression. Knows `+ - * / // ** ^ ( ) %`, `x × ÷ −`, and passes over spaces
/// and `$`; commas are between thousands.
pub(super) fn evaluate(text: &str, percent: Percent) -> Option<f64> {
    let symbols = text.chars().filter(|symbol| !matches!(symbol, '$' | ',')).map(|symbol| match symbol {
        '×' | 'x' => '*',
        '÷' => '/',
        '−' | '–' => '-',
        other => other,
    });
    let mut parser = Parser { symbols: symbols.collect(), place: 0, depth: 0, percent };
    let value = parser.sum()?;
    (parser.peek().is_none() && value.is_finite()).then_some(value)
}

struct Parser {
    symbols: Vec<char>,
    place: usize,
    depth: usize,
    percent: Percent,
}

impl Parser {
    fn peek(&mut self) -> Option<char> {
        while self.symbols.get(self.place).is_some_and(|symbol| symbol.is_whitespace()) {
            self.place += 1;
        }
        self.symbols.get(self.place).copied()
    }

    fn take(&mut self, symbol: char) -> bool {
        let found = self.peek() == Some(symbol);
        self.place += usize::from(found);
        found
    }

    fn sum(&mut self) -> Option<f64> {
        let mut value = self.product()?;
        loop {
            if self.take('+') {
                value += self.product()?;
            } else if self.take('-') {
                value -= self.product()?;
            } else {
                return Some(value);
            }
        }
    }

    fn product(&mut self) -> Option<f64> {
        let mut value = self.signed()?;
        loop {
            if self.take('*') {
                value *= self.signed()?;
            } else if self.take('/') {
                let whole = self.take('/');
                value /= self.signed()?;
                value = if whole { value.floor() } else { value };
            } else {
                return Some(value);
            }
        }
    }

    fn signed(&mut self) -> Option<f64> {
        self.depth += 1;
        let value = if self.depth > DEEPEST {
            None
        } else if self.take('-') {
            self.signed().map(|value| -value)
        } else if self.take('+') {
            self.signed()
        } else {
            self.power()
        };
        self.depth -= 1;
        value
    }

    fn power(&mut self) -> Option<f64> {
        let base = self.single()?;
        let starred = self.peek() == Some('*') && self.symbols.get(self.place + 1) == Some(&'*');
        if starred {
            self.place += 2;
        }
        if starred || self.take('^') { Some(base.powf(self.signed()?)) } else { Some(base) }
    }

    fn single(&mut self) -> Option<f64> {
        let value = if self.take('(') {
            let value = self.sum()?;
            self.take(')').then_some(value)?
        } else {
            self.number()?
        };
        let percent = self.take('%') && self.percent == Percent::Hundredth;
        Some(if percent { value / 100.0 } else { value })
    }

    fn number(&mut self) -> Option<f64> {
        self.peek();
        let digits = self.symbols[self.place..].iter().take_while(|symbol| symbol.is_ascii_digit() || **symbol == '.');
        let text: String = digits.collect();
        self.place += text.len();
        text.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        for (text, value) in [
            ("1+2*3", 7.0),
            ("(1 + 2) * 3", 9.0),
            ("10 - 4 - 3", 3.0),
            ("12/4/3", 1.0),
            ("-3 + -(2)", -5.0),
            ("2**3**2", 512.0),
            ("2^3", 8.0),
            ("-2^2", -4.0),
            ("7//2", 3.0),
            ("$1,200 × .5", 600.0),
            ("6 x 7 ÷ 2 − 1", 20.0),
        ] {
            assert_eq!(evaluate(text, Percent::Ignored), Some(value), "{text}");
        }
        assert_eq!(evaluate("20% * 50", Percent::Hundredth), Some(10.0));
        assert_eq!(evaluate("20%", Percent::Ignored), Some(20.0));
    }

    #[test]
    fn no_expressions() {
        for text in ["", "1 +", "2 3", "(1", "1)", "1..2", "apples", "1/0", ".", "*", "2 ** ", "1e5", "٣"] {
            assert_eq!(evaluate(text, Percent::Ignored), None, "{text}");
        }
        for deep in ["(", "-", "2^"] {
            assert_eq!(evaluate(&format!("{}1", deep.repeat(100_000)), Percent::Ignored), None);
        }
    }
}
