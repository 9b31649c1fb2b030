//! What is said of evaluations: comparisons, gates, contamination.

use std::path::PathBuf;

use clap::Args;

use crate::evaluations::{EFFECT, Margins, read_margin, read_margins};

#[derive(Args, Debug)]
pub(crate) struct CompareArgs {
    /// The evaluation that others are held against, a directory
    pub(crate) before: PathBuf,
    /// One evaluation or more of the same tasks
    #[arg(required = true)]
    pub(crate) after: Vec<PathBuf>,
    /// Say how many items would find a true difference of this size
    #[arg(long, default_value_t = EFFECT)]
    pub(crate) effect: f64,
    /// Leave out items that camelid contamination found in the tuning data of any side
    #[arg(long)]
    pub(crate) without_leaked: bool,
    /// Also write a page
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// A judgement file to count win rates from, for the page
    #[arg(long, value_name = "FILE", requires = "report")]
    pub(crate) judgements: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct GateArgs {
    /// The evaluation before tuning, a directory
    pub(crate) before: PathBuf,
    /// The evaluation after it
    pub(crate) after: PathBuf,
    /// What every task of the evaluation before may lose, such as 0.02 for 2 points; --keep goes before it
    #[arg(long, value_parser = read_margin, required_unless_present = "keep")]
    pub(crate) margin: Option<f64>,
    /// What must be kept and how much it may lose, such as mmlu=0.02,gsm8k=0.03 for 2 and 3 points
    #[arg(long, value_name = "TASK=MARGIN,...", value_parser = read_margins)]
    pub(crate) keep: Option<Margins>,
    /// How often a loss of the whole margin may pass
    #[arg(long, default_value_t = 0.05)]
    pub(crate) alpha: f64,
    /// How often what lost nothing shall pass, for the number of items that is needed
    #[arg(long, default_value_t = 0.8)]
    pub(crate) power: f64,
    /// Leave out items that camelid contamination found in the tuning data of either side
    #[arg(long)]
    pub(crate) without_leaked: bool,
    /// Also write a page
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ContaminationArgs {
    /// What a model was tuned on: recipes, of which all data is taken, or data files
    #[arg(required = true, value_name = "RECIPE_OR_DATA")]
    pub(crate) data: Vec<PathBuf>,
    /// What is looked for: an evaluation's directory, or TASK=FILE with a row an item; may be repeated
    #[arg(long, required = true, value_name = "DIR|TASK=FILE")]
    pub(crate) items: Vec<String>,
    /// Only these tasks of the evaluation
    #[arg(long, value_delimiter = ',')]
    pub(crate) tasks: Vec<String>,
    /// Items of a task's train split, of which the use is told from a leak; may be repeated
    #[arg(long, value_name = "TASK=FILE")]
    pub(crate) train: Vec<String>,
    /// The column of item files that holds the question; all texts of a row when left out
    #[arg(long)]
    pub(crate) field: Option<String>,
    /// Write what was found here; into the evaluation's directory when left out
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}
