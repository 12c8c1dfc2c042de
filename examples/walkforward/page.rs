//! One self-contained page: figures, tables that sort, and what made them.
//!
//! All text goes through `maud`, which escapes it: a symbol may have any name. The page asks
//! nothing of the network, and its policy forbids it to. Without scripts all is there but the
//! sorting.

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Nothing from outside, and no script but the one below.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      base-uri 'none'; form-action 'none'";

/// What the page shows.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub title: String,
    /// What the run was, in a sentence.
    pub lead: String,
    /// Name, value, and what it means.
    pub summary: Vec<(String, String, String)>,
    /// What a reader must know: repairs of the data, a run that was ended.
    pub notes: Vec<String>,
    pub figures: Vec<Figure>,
    pub tables: Vec<Table>,
    /// The options that made the run, name and value.
    pub options: Vec<(String, String)>,
}

/// A chart in two widths.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Of its anchor; letters and hyphens.
    pub id: &'static str,
    pub title: String,
    /// What is to be seen, for those who do not see it.
    pub alt: String,
    pub wide: String,
    pub narrow: String,
    pub legend: Vec<(Mark, String)>,
    /// What the chart says and how it was made.
    pub text: String,
}

/// How something is drawn in a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Blue,
    Vermilion,
    Green,
    Circle,
    Dot,
    Cross,
    Box,
}

#[derive(Debug, Clone)]
pub struct Table {
    pub id: &'static str,
    pub title: String,
    /// What a row is.
    pub text: String,
    /// Name of each column, and what it means.
    pub columns: Vec<(&'static str, &'static str)>,
    pub rows: Vec<Vec<Cell>>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Text(String),
    /// As it is shown, and as it is sorted; `None` where there is none.
    Number(String, Option<f64>),
}

impl Page {
    pub fn render(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(POLICY);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header {
                        h1 { (self.title) }
                        p { (self.lead) }
                        nav aria-label="Parts of this page" {
                            @for figure in &self.figures { a href={ "#" (figure.id) } { (figure.title) } " " }
                            @for table in &self.tables { a href={ "#" (table.id) } { (table.title) } " " }
                            a href="#options" { "Options" }
                        }
                    }
                    main {
                        (self.summary())
                        @for figure in &self.figures { (figure.render()) }
                        @for table in &self.tables { (table.render()) }
                        section id="options" aria-labelledby="options-title" {
                            h2 id="options-title" { "Options" }
                            p { "What made this run; the same options and data give the same results, to the bit." }
                            dl class="options" {
                                @for (name, value) in &self.options {
                                    dt { (name) } dd { (value) }
                                }
                            }
                        }
                    }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        };
        page.into_string()
    }

    fn summary(&self) -> Markup {
        html! {
            section aria-label="Summary" {
                dl class="summary" {
                    @for (name, value, meaning) in &self.summary {
                        div { dt { (name) } dd { strong { (value) } span { (meaning) } } }
                    }
                }
                @if !self.notes.is_empty() {
                    ul class="notes" { @for note in &self.notes { li { (note) } } }
                }
            }
        }
    }
}

impl Figure {
    fn render(&self) -> Markup {
        html! {
            section id=(self.id) aria-labelledby={ (self.id) "-title" } {
                h2 id={ (self.id) "-title" } { (self.title) }
                figure {
                    div class="wide" { (self.svg(&self.wide)) }
                    div class="narrow" { (self.svg(&self.narrow)) }
                    figcaption {
                        @if !self.legend.is_empty() {
                            ul class="legend" {
                                @for (mark, text) in &self.legend { li { (mark.render()) (text) } }
                            }
                        }
                        p { (self.text) }
                    }
                }
            }
        }
    }

    /// The drawing as one picture that has a name: its texts alone say little when read aloud.
    fn svg(&self, drawing: &str) -> Markup {
        let Some((_, inside)) = drawing.split_once("<svg ") else {
            return html! {};
        };
        html! {
            (PreEscaped("<svg role=\"img\" aria-label=\"")) (self.alt) (PreEscaped("\" "))
            (PreEscaped(inside))
        }
    }
}

impl Mark {
    fn render(self) -> Markup {
        let shape = match self {
            Self::Blue => r##"<path d="M0 6H30" stroke="#0072B2" stroke-width="3"/>"##,
            Self::Vermilion => r##"<path d="M0 6H30" stroke="#D55E00" stroke-width="3"/>"##,
            Self::Green => r##"<path d="M0 6H30" stroke="#009E73" stroke-width="3"/>"##,
            Self::Circle => r##"<circle cx="15" cy="6" r="4" fill="#FFFFFF" stroke="#000000"/>"##,
            Self::Box => {
                r##"<path d="M7 1H23V11H7Z" stroke="#000000" stroke-width="4"/><path d="M7 1H23V11H7Z" stroke="#FFFFFF" stroke-width="2"/>"##
            }
            Self::Dot => r##"<circle cx="15" cy="6" r="5" fill="#0072B2"/>"##,
            Self::Cross => {
                r##"<path d="M10 1L20 11M20 1L10 11" stroke="#D55E00" stroke-width="3.5"/>"##
            }
        };
        html! {
            (PreEscaped(format!(r#"<svg class="mark" width="30" height="12" aria-hidden="true" fill="none">{shape}</svg>"#)))
        }
    }
}

impl Table {
    fn render(&self) -> Markup {
        let numeric = |column: usize| {
            let cell = self.rows.first().map(|row| &row[column]);
            matches!(cell, Some(Cell::Number(..)))
        };
        html! {
            section id=(self.id) aria-labelledby={ (self.id) "-title" } {
                h2 id={ (self.id) "-title" } { (self.title) }
                p { (self.text) }
                div class="table" tabindex="0" role="region" aria-labelledby={ (self.id) "-title" } {
                    table {
                        thead { tr {
                            @for (column, (name, meaning)) in self.columns.iter().enumerate() {
                                th scope="col" title=(meaning) class=[numeric(column).then_some("number")] { (name) }
                            }
                        } }
                        tbody {
                            @for row in &self.rows { tr {
                                @for cell in row { (cell.render()) }
                            } }
                        }
                    }
                }
                details {
                    summary { "What the columns mean" }
                    dl class="options" {
                        @for (name, meaning) in &self.columns { dt { (name) } dd { (meaning) } }
                    }
                }
            }
        }
    }
}

impl Cell {
    /// A fraction in percent, with a sign.
    pub fn percent(value: Option<f64>) -> Self {
        Self::number(value, |value| format!("{:+.3}", value * 100.0))
    }

    pub fn decimals(value: Option<f64>, decimals: usize) -> Self {
        Self::number(value, |value| format!("{value:.decimals$}"))
    }

    pub fn count(value: usize) -> Self {
        Self::Number(value.to_string(), Some(value as f64))
    }

    fn number(value: Option<f64>, text: impl Fn(f64) -> String) -> Self {
        let finite = value.filter(|value| value.is_finite());
        let shown = finite.map_or_else(
            || "\u{2013}".to_owned(),
            |value| text(value).replace('-', "\u{2212}"),
        );
        Self::Number(shown, finite)
    }

    fn render(&self) -> Markup {
        match self {
            Self::Text(text) => html! { td { (text) } },
            Self::Number(shown, Some(value)) => {
                html! { td class="number" data-value=(value) { (shown) } }
            }
            Self::Number(shown, None) => html! { td class="number" { (shown) } },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_of(name: &str) -> String {
        let figure = Figure {
            id: "equity",
            title: name.to_owned(),
            alt: name.to_owned(),
            wide: "<svg width=\"1\"><rect/></svg>".to_owned(),
            narrow: "<svg width=\"1\"><path/></svg>".to_owned(),
            legend: vec![(Mark::Blue, name.to_owned())],
            text: name.to_owned(),
        };
        let table = Table {
            id: "symbols",
            title: name.to_owned(),
            text: name.to_owned(),
            columns: vec![("symbol", "its name")],
            rows: vec![vec![Cell::Text(name.to_owned())]],
        };
        let page = Page {
            title: name.to_owned(),
            lead: name.to_owned(),
            summary: vec![(name.to_owned(), name.to_owned(), name.to_owned())],
            notes: vec![name.to_owned()],
            figures: vec![figure],
            tables: vec![table],
            options: vec![(name.to_owned(), name.to_owned())],
        };
        page.render()
    }

    #[test]
    fn names_are_escaped_wherever_they_stand() {
        let hostile = "</td><script>alert(1)</script>\" onload=\"x' & <b>";
        let page = page_of(hostile);
        assert!(!page.contains("<script>alert"));
        assert!(!page.contains("\" onload=\""));
        assert!(!page.contains("<b>"));
        // It is there, though: as text, in each of the places above.
        let escaped = page
            .matches("&lt;script&gt;alert(1)&lt;/script&gt;")
            .count();
        assert!(escaped >= 13, "{escaped}");
    }

    #[test]
    fn what_is_not_a_number_is_a_dash_and_sorts_as_none() {
        for value in [None, Some(f64::NAN), Some(f64::INFINITY)] {
            let dash = Cell::Number("\u{2013}".to_owned(), None);
            assert_eq!(Cell::percent(value), dash);
        }
        let loss = Cell::Number("\u{2212}1.250".to_owned(), Some(-0.0125));
        assert_eq!(Cell::percent(Some(-0.0125)), loss);
    }
}
