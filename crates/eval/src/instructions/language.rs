//! The language that a whole text is in.

use std::sync::LazyLock;

use langdetect::{DetectorFactory, Seed};

/// Detection draws at random; this is the seed of the published verdicts.
static DETECTOR: LazyLock<DetectorFactory> = LazyLock::new(|| {
    let mut factory = DetectorFactory::builtin().clone();
    factory.seed = Seed::Int(0);
    factory
});

/// Whether a text is in the language with this code of two letters. One in which no language can be seen (digits, say)
/// is.
pub(super) fn is_in(text: &str, code: &str) -> bool {
    DETECTOR.detect(text).map_or(true, |found| found == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages() {
        for (code, text) in [
            ("en", "The quick brown fox jumps over the lazy dog."),
            ("de", "Der schnelle braune Fuchs springt über den faulen Hund."),
            ("sw", "Kwa nini pete ya uchumba ni kama mpira wa miguu?"),
            ("ne", "बिहान उडानले काठमाडौंबाट बिराटनगर जान्छ।"),
            ("kn", "ಹೌದು, ಹ್ಯಾಂಬರ್ಗರ್ಗಳು ಸ್ಯಾಂಡ್ವಿಚ್ಗಳು."),
        ] {
            assert!(is_in(text, code) && !is_in(text, "fr"), "{code}");
        }
        assert!(is_in("123", "fr"));
    }
}
