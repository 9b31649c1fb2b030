//! A page with everything on it, written out for those who want to look (`CAMELID_REPORT_TO=DIRECTORY`), and what must hold
//! of any page.

use camelid_report::{Block, Cell, Fact, Page, Section, Table};
use proptest::prelude::*;

use crate::examples::{bars, curves, frontier, histogram, seeds};

fn page() -> Page {
    let table = Table {
        caption: "Means over three seeds with 95 % intervals".into(),
        columns: vec!["variant".into(), "reward".into(), "KL".into()],
        rows: vec![
            vec![Cell::text("dpo"), Cell::Measured { value: 0.81234, low: 0.78, high: 0.84 }, Cell::Number(4.25)],
            vec![Cell::text("ppo"), Cell::Measured { value: 0.7, low: 0.61, high: 0.79 }, Cell::Missing],
        ],
    };
    let facts = [("steps", "60"), ("tokens/s", "12345"), ("model", "runs/base/model")];
    let facts = facts.map(|(name, value)| Fact { name: name.into(), value: value.into() }).to_vec();
    Page {
        title: "A page with everything".into(),
        lead: "What each block looks like.".into(),
        sections: vec![
            Section {
                heading: "Words".into(),
                blocks: vec![
                    Block::Verdict { good: true, text: "certified".into() },
                    Block::Verdict { good: false, text: "not certified: length alone is as good".into() },
                    Block::Paragraph("A paragraph.".into()),
                    Block::Facts(facts),
                    Block::Table(table),
                    Block::Raw {
                        summary: "plan.toml".into(),
                        text: "model = \"m\"\n[[stage]]\nkind = \"sft\"\n".into(),
                    },
                ],
            },
            Section {
                heading: "Figures".into(),
                blocks: [curves(), seeds(), frontier(), bars(), histogram()].map(Block::Figure).to_vec(),
            },
        ],
    }
}

#[test]
fn a_page_needs_nothing_but_a_browser() {
    let html = page().html().unwrap();
    if let Some(folder) = std::env::var_os("CAMELID_REPORT_TO") {
        std::fs::write(std::path::Path::new(&folder).join("page.html"), &html).unwrap();
    }
    // Names of namespaces are not fetched.
    let outside = html.replace("http://www.w3.org/2000/svg", "");
    for reference in ["http:", "https:", "src=", "<script", "<link", "@import", "url(h", "url('", "url(\""] {
        assert!(!outside.contains(reference), "{reference}");
    }
    // Each figure has words for those who cannot see it and its numbers behind it.
    assert_eq!(html.matches("role=\"img\" aria-label=\"").count(), 5);
    assert_eq!(html.matches("<details><summary>Numbers").count(), 5);
}

#[test]
fn the_words_of_a_page() {
    let mut page = page();
    page.sections.truncate(1);
    let html = page.html().unwrap();
    insta::assert_snapshot!(html.split_once("<body>").unwrap().1);
}

/// Places that take text from data.
fn page_of(text: &str) -> Page {
    let mut figure = curves();
    figure.title = text.into();
    figure.caption = text.into();
    figure.x.label = text.into();
    if let camelid_report::Marks::Series(series) = &mut figure.marks {
        series[0].name = text.into();
        series[0].points[0].label = Some(text.into());
    }
    let mut bar = bars();
    if let camelid_report::Marks::Bars(bars) = &mut bar.marks {
        bars[0].label = text.into();
    }
    let mut counted = histogram();
    if let camelid_report::Marks::Histogram { sets, .. } = &mut counted.marks {
        sets[0].0 = text.into();
    }
    let table = Table { caption: text.into(), columns: vec![text.into()], rows: vec![vec![Cell::text(text)]] };
    let blocks = vec![
        Block::Verdict { good: false, text: text.into() },
        Block::Paragraph(text.into()),
        Block::Facts(vec![Fact { name: text.into(), value: text.into() }]),
        Block::Table(table),
        Block::Raw { summary: text.into(), text: text.into() },
        Block::Figure(figure),
        Block::Figure(bar),
        Block::Figure(counted),
    ];
    Page { title: text.into(), lead: text.into(), sections: vec![Section { heading: text.into(), blocks }] }
}

#[test]
fn text_stays_text() {
    let html = page_of("</title><script>alert('1')</script>\" onload=\"x & $y$").html().unwrap();
    assert!(!html.contains("<script"), "{html}");
    assert!(!html.contains("\" onload="));
    assert!(html.contains("&lt;script&gt;"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The page has the same parts whatever the text on it.
    #[test]
    fn no_text_changes_the_markup(text in "[a-z<>&\"'$/ \\\\-]{1,24}") {
        let (html, plain) = (page_of(&text).html().unwrap(), page_of("x").html().unwrap());
        for part in ["<section", "<figure", "<svg", "</svg", "<table", "<td", "<dt", "<pre", "<script"] {
            prop_assert_eq!(html.matches(part).count(), plain.matches(part).count(), "{}", part);
        }
        let (_, body) = html.split_once("</style>").unwrap();
        prop_assert_eq!(body.matches('<').count(), body.matches('>').count());
    }
}
