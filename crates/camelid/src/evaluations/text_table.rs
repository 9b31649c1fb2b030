/// Rows with their columns under each other: the first to the left, numbers to the right.
pub(crate) fn text_table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    // The heading says nothing of what stands below it.
    let is_number = |cell: &String| cell.starts_with(|first: char| first.is_ascii_digit() || "+-–".contains(first));
    let right: Vec<bool> =
        (0..columns).map(|column| rows.iter().skip(1).filter_map(|row| row.get(column)).all(is_number)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column] - cell.chars().count());
            line += if column > 0 { "  " } else { "" };
            line += &if right[column] { padding + cell } else { cell.clone() + &padding };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_under_each_other() {
        let rows = [["task", "n", "note"], ["gsm8k", "10", "ω"], ["mmlu", "1000", ""]];
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect();
        assert_eq!(text_table(&rows), "task      n  note\ngsm8k    10  ω\nmmlu   1000\n");
        assert_eq!(text_table(&[]), "");
    }
}
