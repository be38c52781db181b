//! Horizontal bars of what was measured, as pictures.

use crate::report::{median, percentile, spread};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// Horizontal bars: a median each, and the range of its values. Less is better in all of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plot {
    /// The file's name, without extension.
    pub name: String,
    /// Heading, with the unit.
    pub title: String,
    /// Label of each bar, and what each round measured.
    pub bars: Vec<(String, Vec<f64>)>,
    /// Decimal places, as in the table beside it.
    pub digits: usize,
}

const STYLE: &str = "<style>
.bg { fill: #fff } .t { fill: #1c2733 } .s { fill: #4a5868 } .o { fill: #9aa5b1 } .r { fill: #1b6ec2 }
.w { stroke: #1c2733; stroke-width: 1.5; fill: none }
@media (prefers-color-scheme: dark) {
.bg { fill: #0d1117 } .t { fill: #e6edf3 } .s { fill: #a9b4c0 } .o { fill: #5d6875 } .r { fill: #4a97e8 } .w { stroke: #e6edf3 }
}
</style>";

impl Plot {
    /// The bars, readable on light and dark pages.
    pub(crate) fn svg(&self) -> String {
        let (label, width, step) = (230.0, 380.0, 26.0);
        let height = 62.0 + step * self.bars.len() as f64;
        let most = self.bars.iter().flat_map(|(_, values)| values).copied().fold(f64::MIN_POSITIVE, f64::max);
        let length = |value: f64| (value / most * width).max(1.0);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
             {STYLE}\n<rect class=\"bg\" width=\"760\" height=\"{height}\"/>\n\
             <text class=\"t\" x=\"10\" y=\"20\" font-weight=\"bold\">{}</text>\n\
             <text class=\"s\" x=\"10\" y=\"40\">lower is better; bar: median, line: range</text>\n",
            escape(&self.title)
        );
        for (number, (name, values)) in self.bars.iter().enumerate() {
            let y = 54.0 + step * number as f64;
            let (colour, baseline, line) = (if name.starts_with("Rust") { "r" } else { "o" }, y + 14.0, y + 9.0);
            let [from, to] = [0.0, 100.0].map(|percent| label + length(percentile(values, percent)));
            let _ = writeln!(
                svg,
                "<text class=\"t\" x=\"{}\" y=\"{baseline}\" text-anchor=\"end\">{}</text>\
                 <rect class=\"{colour}\" x=\"{label}\" y=\"{y}\" width=\"{:.1}\" height=\"18\"/>\
                 <path class=\"w\" d=\"M{from:.1} {line}H{to:.1}M{from:.1} {}v8M{to:.1} {}v8\"/>\
                 <text class=\"t\" x=\"{:.1}\" y=\"{baseline}\">{}</text>",
                label - 8.0,
                escape(name),
                length(median(values)),
                line - 4.0,
                line - 4.0,
                to + 8.0,
                spread(values, self.digits),
            );
        }
        svg + "</svg>\n"
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_says_which_way_is_better_and_shows_the_median_and_the_range_of_each_bar() {
        let bars = vec![("Rust".to_owned(), vec![3.0, 1.0, 2.0]), ("A < B".to_owned(), vec![8.0, 4.0, 5.0])];
        let svg = Plot { name: "some".to_owned(), title: "Time, ms".to_owned(), bars, digits: 2 }.svg();
        for part in ["lower is better", "2.00 (1.00–3.00)", "5.00 (4.00–8.00)", "A &lt; B"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        // The longest line takes the whole width, and the bars are as long as their medians.
        assert!(svg.contains("H610.0") && svg.contains("width=\"95.0\"") && svg.contains("width=\"237.5\""), "{svg}");
    }
}
