//! A table for people: columns aligned by what a terminal shows, in which a Han character is two cells wide.

use unicode_width::UnicodeWidthStr;

/// Two cells between columns.
const GAP: &str = "  ";

/// Aligns rows under their heads; the last column is left as long as it is.
pub(crate) fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = heads.map(UnicodeWidthStr::width);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let head = line(&heads.map(str::to_owned), &widths);
    rows.iter().fold(head, |text, row| text + &line(row, &widths))
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (i, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if i > 0 {
            text.push_str(GAP);
        }
        text.extend(cell.chars().map(|c| if c.is_control() { ' ' } else { c }));
        text.push_str(&" ".repeat(width.saturating_sub(cell.width())));
    }
    format!("{}\n", text.trim_end())
}

/// `name  value` lines, the values under each other.
pub(crate) fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
    let one = |(name, value): &(&str, String)| format!("{name}{}{GAP}{value}\n", " ".repeat(width - name.width()));
    rows.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_in_cells_not_in_characters() {
        let text = table(["名称", "N"], &[["ab".to_owned(), "1".to_owned()], ["模型名".to_owned(), "2".to_owned()]]);
        assert_eq!(text, "名称    N\nab      1\n模型名  2\n");
    }

    #[test]
    fn no_cell_can_move_the_cursor() {
        assert_eq!(table(["a"], &[["x\u{1b}[2J\ny".to_owned()]]), "a\nx [2J y\n");
    }

    #[test]
    fn values_stand_under_each_other() {
        assert_eq!(pairs(&[("状态", "1".to_owned()), ("a", "2".to_owned())]), "状态  1\na     2\n");
    }
}
