//! The figures of the page, as SVG.
//!
//! Colours are those of Okabe and Ito (2008), which people with any colour vision can tell apart;
//! the heat map is viridis, whose lightness rises with the value. The page's style sheet finds the
//! colours below in the SVG and replaces them where the page is dark, so each figure is drawn once
//! per width, not once per scheme.

use std::error::Error;
use std::ops::Range;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::labels;

/// Text and axes.
pub const INK: RGBColor = RGBColor(0x22, 0x22, 0x23);

/// Lines behind the data.
pub const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xde);

pub const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xb2);
pub const VERMILION: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
pub const GREEN: RGBColor = RGBColor(0x00, 0x9e, 0x73);

/// For how wide a screen a figure is drawn: text has the same size on both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    Wide,
    Narrow,
}

impl Width {
    /// Width and height, pixels.
    fn size(self) -> (u32, u32) {
        match self {
            Self::Wide => (960, 420),
            Self::Narrow => (380, 320),
        }
    }

    /// Least distance of two labels of the x axis, pixels.
    fn label_distance(self) -> f64 {
        100.0
    }

    fn font(self) -> TextStyle<'static> {
        let height = match self {
            Self::Wide => 14,
            Self::Narrow => 15,
        };
        ("sans-serif", height).into_font().color(&INK)
    }
}

/// A line through points, oldest first.
#[derive(Debug, Clone)]
pub struct Line {
    pub colour: RGBColor,
    pub points: Vec<(f64, f64)>,
}

/// The area between two values at every x.
#[derive(Debug, Clone)]
pub struct Band {
    pub colour: RGBColor,
    /// x, least, greatest.
    pub points: Vec<(f64, f64, f64)>,
}

/// Lines over a common x axis.
pub struct Lines<'a> {
    pub x_label: &'a str,
    pub y_label: &'a str,
    pub x_text: &'a dyn Fn(f64) -> String,
    pub y_text: &'a dyn Fn(f64) -> String,
    pub lines: Vec<Line>,
    pub bands: Vec<Band>,
}

impl Lines<'_> {
    pub fn draw(&self, width: Width) -> Result<String, Box<dyn Error>> {
        let points = self.lines.iter().flat_map(|line| &line.points);
        let lows = self.bands.iter().flat_map(|band| &band.points);
        let all = points
            .map(|&(x, y)| (x, y, y))
            .chain(lows.copied())
            .collect::<Vec<_>>();
        let x = span(all.iter().map(|point| point.0), 0.0);
        // Zero, where nothing is gained or changed, is always on the chart.
        let values = all.iter().flat_map(|point| [point.1, point.2]);
        let y = span(values.chain([0.0]), 0.04);
        let (pixels, height) = width.size();
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (pixels, height)).into_drawing_area();
            let mut chart = ChartBuilder::on(&root)
                .margin(6)
                .margin_right(18)
                .x_label_area_size(46)
                .y_label_area_size(66)
                .build_cartesian_2d(x.clone(), y.clone())?;
            chart
                .configure_mesh()
                .disable_x_mesh()
                .bold_line_style(GRID)
                .light_line_style(TRANSPARENT)
                .axis_style(INK)
                .label_style(width.font())
                .axis_desc_style(width.font())
                .x_desc(self.x_label)
                .y_desc(self.y_label)
                .x_labels((f64::from(pixels) / width.label_distance()) as usize)
                .y_labels(6)
                .x_label_formatter(&|&x| (self.x_text)(x))
                .y_label_formatter(&|&y| (self.y_text)(y))
                .draw()?;
            chart.draw_series([PathElement::new([(x.start, 0.0), (x.end, 0.0)], INK)])?;
            for band in &self.bands {
                let there = band.points.iter().map(|&(x, low, _)| (x, low));
                let back = band.points.iter().rev().map(|&(x, _, high)| (x, high));
                let outline: Vec<_> = there.chain(back).collect();
                chart.draw_series([Polygon::new(outline, band.colour.mix(0.25))])?;
            }
            for line in &self.lines {
                let points = line.points.iter().copied();
                chart.draw_series(LineSeries::new(points, line.colour.stroke_width(2)))?;
            }
            root.present()?;
        }
        Ok(svg)
    }
}

/// Mean profit over a grid of multipliers, with what a search tried and found.
pub struct HeatMap<'a> {
    /// Multipliers, return units, ascending.
    pub high: &'a [f32],
    /// Multipliers, return units, ascending.
    pub low: &'a [f32],
    /// Mean profit, return units, `[high][low]`, row-major.
    pub profit: &'a [f64],
    /// What the search scored, `(high, low)`.
    pub evaluated: &'a [(f32, f32)],
    /// The exact optimum, `(high, low)`.
    pub optimum: (f32, f32),
    /// Least and greatest high and low of the box that keeps most of the gain.
    pub flat: ((f32, f32), (f32, f32)),
}

impl HeatMap<'_> {
    pub fn draw(&self, width: Width) -> Result<String, Box<dyn Error>> {
        let x = edges(self.high);
        let y = edges(self.low);
        let profit = span(self.profit.iter().copied(), 0.0);
        let (pixels, height) = match width {
            Width::Wide => (760, 560),
            Width::Narrow => (380, 380),
        };
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (pixels, height)).into_drawing_area();
            let (map, scale) = root.split_horizontally(pixels - 84);
            let mut chart = ChartBuilder::on(&map)
                .margin(6)
                .x_label_area_size(46)
                .y_label_area_size(66)
                .build_cartesian_2d(x[0]..x[x.len() - 1], y[0]..y[y.len() - 1])?;
            chart.draw_series((0..self.profit.len()).map(|cell| {
                let (h, l) = (cell / self.low.len(), cell % self.low.len());
                let colour =
                    ViridisRGB.get_color_normalized(self.profit[cell], profit.start, profit.end);
                Rectangle::new([(x[h], y[l]), (x[h + 1], y[l + 1])], colour.filled())
            }))?;
            chart
                .configure_mesh()
                .disable_mesh()
                .axis_style(INK)
                .label_style(width.font())
                .axis_desc_style(width.font())
                .x_desc("high: added to the predicted high (%)")
                .y_desc("low: added to the predicted low (%)")
                .x_labels(if width == Width::Wide { 8 } else { 4 })
                .y_labels(7)
                .x_label_formatter(&|x| percent(*x))
                .y_label_formatter(&|y| percent(*y))
                .draw()?;
            let radius = if width == Width::Wide { 3 } else { 2 };
            let place = |&(high, low): &(f32, f32)| (f64::from(high), f64::from(low));
            for point in self.evaluated.iter().map(place) {
                chart.draw_series([
                    Circle::new(point, radius, WHITE.filled()),
                    Circle::new(point, radius, BLACK.stroke_width(1)),
                ])?;
            }
            let (high, low) = self.flat;
            let corners = [place(&(high.0, low.0)), place(&(high.1, low.1))];
            chart.draw_series([
                Rectangle::new(corners, BLACK.stroke_width(4)),
                Rectangle::new(corners, WHITE.stroke_width(2)),
            ])?;
            let optimum = place(&self.optimum);
            chart.draw_series([
                Cross::new(optimum, 9, WHITE.stroke_width(7)),
                Cross::new(optimum, 8, VERMILION.stroke_width(4)),
            ])?;
            colour_scale(&scale, width, profit)?;
            root.present()?;
        }
        Ok(svg)
    }
}

/// The colours of the heat map, with the profits they stand for.
fn colour_scale<B: DrawingBackend>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    width: Width,
    profit: Range<f64>,
) -> Result<(), Box<dyn Error>>
where
    B::ErrorType: 'static,
{
    const STEPS: usize = 64;
    let mut chart = ChartBuilder::on(area)
        .margin(6)
        .margin_bottom(52)
        .margin_top(28)
        .right_y_label_area_size(58)
        .build_cartesian_2d(0.0..1.0, profit.clone())?;
    let step = (profit.end - profit.start) / STEPS as f64;
    chart.draw_series((0..STEPS).map(|k| {
        let from = profit.start + k as f64 * step;
        let middle = from + step / 2.0;
        let colour = ViridisRGB.get_color_normalized(middle, profit.start, profit.end);
        Rectangle::new([(0.0, from), (1.0, from + step)], colour.filled())
    }))?;
    chart
        .configure_mesh()
        .disable_mesh()
        .disable_x_axis()
        .axis_style(INK)
        .label_style(width.font())
        .y_labels(6)
        .y_label_formatter(&|y| percent(*y))
        .draw()?;
    let style = width.font().pos(Pos::new(HPos::Left, VPos::Top));
    area.draw(&Text::new("profit, %", (2, 6), style))?;
    Ok(())
}

/// What a way to tune costs and finds.
#[derive(Debug, Clone)]
pub struct Trial {
    pub name: String,
    /// Time per simulation, milliseconds, above 0.
    pub ms: f64,
    /// Mean share of the attainable improvement that was found.
    pub quality: f64,
    /// Whether it is the exact optimum.
    pub exact: bool,
}

/// Quality against time, time on a logarithmic scale.
pub fn quality_against_time(trials: &[Trial], width: Width) -> Result<String, Box<dyn Error>> {
    let times = trials.iter().map(|trial| trial.ms);
    let least = times.clone().fold(f64::INFINITY, f64::min);
    let most = times.fold(f64::NEG_INFINITY, f64::max);
    let x = (least / 1.6)..(most * 2.2);
    let ticks = labels::ticks(&x);
    let worst = trials.iter().map(|trial| trial.quality);
    let worst = worst.fold(1.0, f64::min);
    let y = (worst - 0.08)..1.06;
    let (pixels, height) = width.size();
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (pixels, height)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(6)
            .margin_right(18)
            .x_label_area_size(46)
            .y_label_area_size(66)
            .build_cartesian_2d(x.log_scale().with_key_points(ticks), y)?;
        chart
            .configure_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(INK)
            .label_style(width.font())
            .axis_desc_style(width.font())
            .x_desc("time per simulation (ms, logarithmic)")
            .y_desc("quality (%)")
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&|x| significant(*x))
            .y_label_formatter(&|y| format!("{:.0}", y * 100.0))
            .draw()?;
        let place = |trial: &Trial| chart.backend_coord(&(trial.ms, trial.quality));
        let points: Vec<(i32, i32)> = trials.iter().map(place).collect();
        let names: Vec<String> = trials.iter().map(|trial| trial.name.clone()).collect();
        let area = chart.plotting_area();
        let area = (area.get_x_axis_pixel_range(), area.get_y_axis_pixel_range());
        labels::draw(&root, &points, &names, &area, &width.font())?;
        for trial in trials {
            let place = (trial.ms, trial.quality);
            if trial.exact {
                chart.draw_series([Cross::new(place, 6, VERMILION.stroke_width(4))])?;
            } else {
                chart.draw_series([Circle::new(place, 5, BLUE.filled())])?;
            }
        }
        root.present()?;
    }
    Ok(svg)
}

/// From the least to the greatest value, with a margin, and never empty.
fn span(values: impl Iterator<Item = f64>, margin: f64) -> Range<f64> {
    let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.filter(|value| value.is_finite()) {
        least = least.min(value);
        greatest = greatest.max(value);
    }
    if least > greatest {
        return 0.0..1.0;
    }
    let size = greatest - least;
    if size <= f64::EPSILON * greatest.abs() || size == 0.0 {
        let around = greatest.abs().max(1e-6) * 0.5;
        return least - around..greatest + around;
    }
    least - margin * size..greatest + margin * size
}

/// The edges of cells around ascending middles.
fn edges(middles: &[f32]) -> Vec<f64> {
    let middle = |k: usize| f64::from(middles[k]);
    let last = middles.len() - 1;
    if last == 0 {
        return vec![middle(0) - 0.5e-3, middle(0) + 0.5e-3];
    }
    let inner = (0..last).map(|k| (middle(k) + middle(k + 1)) / 2.0);
    let first = middle(0) - (middle(1) - middle(0)) / 2.0;
    let end = middle(last) + (middle(last) - middle(last - 1)) / 2.0;
    std::iter::once(first).chain(inner).chain([end]).collect()
}

/// A fraction in percent, as short as an axis wants it.
pub fn percent(fraction: f64) -> String {
    let text = format!("{:.2}", fraction * 100.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text {
        "-0" => "0".to_owned(),
        _ => text.replace('-', "\u{2212}"),
    }
}

/// A positive number with up to two digits that matter.
fn significant(value: f64) -> String {
    let decimals = (1 - value.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}
