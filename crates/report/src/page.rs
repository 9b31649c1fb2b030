//! Pages.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use crate::figure::Figure;
use crate::table::{Cell, Table};

/// Why a page could not be written: the template and its data do not fit, which is a fault of this crate.
#[derive(Debug)]
pub struct PageError(minijinja::Error);

impl std::fmt::Display for PageError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "the report's template failed: {}\n  fix: report this", self.0)
    }
}

impl std::error::Error for PageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// A name with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    pub name: String,
    pub value: String,
}

/// A part of a section.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    Paragraph(String),
    /// A sentence that decides, and whether it is good news.
    Verdict {
        good: bool,
        text: String,
    },
    Facts(Vec<Fact>),
    Table(Table),
    /// Its table is folded up behind it.
    Figure(Figure),
    /// Text as it is, folded up.
    Raw {
        summary: String,
        text: String,
    },
    /// Text as it is, in view.
    Text {
        label: String,
        text: String,
    },
    /// Other blocks, folded up.
    Folded {
        summary: String,
        blocks: Vec<Block>,
    },
}

/// A heading with what stands below it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Section {
    pub heading: String,
    pub blocks: Vec<Block>,
}

/// A report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    pub title: String,
    /// A sentence below the title.
    pub lead: String,
    pub sections: Vec<Section>,
}

impl Page {
    /// The page as one file. Nothing is loaded from elsewhere, nothing in it runs.
    pub fn html(&self) -> Result<String, PageError> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(PageError)?;
        environment.set_syntax(syntax);
        environment.add_template("page", include_str!("page.html.jinja")).map_err(PageError)?;
        let sections =
            self.sections.iter().enumerate().map(|(index, section)| ShownSection::of(index, section)).collect();
        let shown = Shown { title: &self.title, lead: &self.lead, sections };
        let template = environment.get_template("page").map_err(PageError)?;
        template.render(Value::from(Serde(&shown))).map_err(PageError)
    }
}

/// The page as the template sees it.
#[derive(Serialize)]
struct Shown<'a> {
    title: &'a str,
    lead: &'a str,
    sections: Vec<ShownSection<'a>>,
}

#[derive(Serialize)]
struct ShownSection<'a> {
    heading: &'a str,
    blocks: Vec<ShownBlock<'a>>,
}

impl<'a> ShownSection<'a> {
    fn of(index: usize, section: &'a Section) -> Self {
        Self { heading: &section.heading, blocks: shown(&format!("figure-{}", index + 1), &section.blocks) }
    }
}

/// Figures are named for their place, which `name` begins.
fn shown<'a>(name: &str, blocks: &'a [Block]) -> Vec<ShownBlock<'a>> {
    blocks.iter().enumerate().map(|(place, block)| ShownBlock::of(&format!("{name}-{}", place + 1), block)).collect()
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum ShownBlock<'a> {
    Paragraph {
        text: &'a str,
    },
    Verdict {
        good: bool,
        text: &'a str,
    },
    Facts {
        facts: &'a [Fact],
    },
    Table {
        table: ShownTable<'a>,
    },
    /// `svg` is markup, made by this crate.
    Figure {
        title: &'a str,
        caption: &'a str,
        svg: String,
        table: ShownTable<'a>,
    },
    Raw {
        summary: &'a str,
        text: &'a str,
    },
    Text {
        label: &'a str,
        text: &'a str,
    },
    Folded {
        summary: &'a str,
        blocks: Vec<ShownBlock<'a>>,
    },
}

impl<'a> ShownBlock<'a> {
    fn of(name: &str, block: &'a Block) -> Self {
        match block {
            Block::Paragraph(text) => Self::Paragraph { text },
            Block::Verdict { good, text } => Self::Verdict { good: *good, text },
            Block::Facts(facts) => Self::Facts { facts },
            Block::Table(table) => Self::Table { table: ShownTable::of(&table.caption, &table.columns, &table.rows) },
            Block::Figure(figure) => {
                let Table { columns, rows, .. } = figure.table();
                Self::Figure {
                    title: &figure.title,
                    caption: &figure.caption,
                    svg: figure.svg(name),
                    table: ShownTable::of("", &columns, &rows),
                }
            }
            Block::Raw { summary, text } => Self::Raw { summary, text },
            Block::Text { label, text } => Self::Text { label, text },
            Block::Folded { summary, blocks } => Self::Folded { summary, blocks: shown(name, blocks) },
        }
    }
}

#[derive(Serialize)]
struct ShownTable<'a> {
    caption: &'a str,
    columns: Vec<String>,
    rows: Vec<Vec<ShownCell>>,
}

#[derive(Serialize)]
struct ShownCell {
    words: String,
    number: bool,
}

impl<'a> ShownTable<'a> {
    fn of(caption: &'a str, columns: &[String], rows: &[Vec<Cell>]) -> Self {
        let cell = |cell: &Cell| ShownCell { words: cell.words(), number: !matches!(cell, Cell::Text(_)) };
        let rows = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
        Self { caption, columns: columns.to_vec(), rows }
    }
}
