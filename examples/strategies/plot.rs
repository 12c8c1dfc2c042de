//! Quality against speed, as SVG.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::measure::Row;

const SIZE: (u32, u32) = (960, 600);

/// Height of a label, pixels.
const LABEL: i32 = 14;

/// A label: where its text begins and how far it reaches, pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Place {
    left: i32,
    /// Middle of the text.
    middle: i32,
    width: i32,
}

impl Place {
    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.left + other.width
            && other.left < self.left + self.width
            && (self.middle - other.middle).abs() < LABEL
    }

    fn covers(&self, (x, y): (i32, i32)) -> bool {
        let near = 6;
        (self.left - near..self.left + self.width + near).contains(&x)
            && (y - self.middle).abs() < LABEL / 2 + near
    }
}

/// Width of a text in the plot's font, at most.
fn width(text: &str) -> i32 {
    8 * text.chars().count() as i32
}

/// A place for each label: as near to its point as the points and the labels before it allow, and
/// within the plot.
fn places(points: &[(i32, i32)], labels: &[String], size: (i32, i32)) -> Vec<Place> {
    let mut placed: Vec<Place> = Vec::with_capacity(labels.len());
    for (&(x, y), label) in points.iter().zip(labels) {
        let width = width(label);
        let mut candidates: Vec<Place> = (-24..=24)
            .flat_map(|step| {
                let middle = y + step * LABEL / 2;
                let [right, left] = [x + 10, x - 10 - width];
                [right, left, right + 40, left - 40].map(|left| Place {
                    left,
                    middle,
                    width,
                })
            })
            .filter(|place| {
                let inside = place.left >= 0 && place.left + place.width <= size.0;
                inside && place.middle >= LABEL && place.middle <= size.1 - LABEL
            })
            .collect();
        candidates.sort_by_key(|place| {
            let aside = (place.left - x).abs().min((place.left + width - x).abs());
            2 * (place.middle - y).abs() + aside
        });
        let free = candidates.iter().find(|place| {
            !placed.iter().any(|other| other.overlaps(place))
                && !points.iter().any(|&point| place.covers(point))
        });
        let beside = Place {
            left: x + 10,
            middle: y,
            width,
        };
        placed.push(free.copied().unwrap_or(beside));
    }
    placed
}

/// Draws the measured rows.
///
/// # Errors
/// Text of whatever keeps the plot from being drawn.
pub fn svg(rows: &[Row], title: &str) -> Result<String, String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        draw(rows, title, &root).map_err(|error| error.to_string())?;
        root.present().map_err(|error| error.to_string())?;
    }
    Ok(text)
}

fn draw<'a>(
    rows: &[Row],
    title: &str,
    root: &DrawingArea<SVGBackend<'a>, Shift>,
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    let measured = |row: &Row| {
        let measured = row.measured.as_ref()?;
        let at = (measured.speedup, measured.quality);
        Some((row.strategy, at))
    };
    let rows: Vec<_> = rows.iter().filter_map(measured).collect();
    let fold = |f: fn(f64, f64) -> f64, start| {
        let speeds = rows.iter().map(|(_, (speed, _))| *speed);
        speeds.fold(start, f)
    };
    let qualities = rows.iter().map(|(_, (_, quality))| *quality);
    let lowest = qualities.fold(1.0, f64::min);
    // A row below is left for points at the very bottom.
    let bottom = (lowest * 20.0).floor() / 20.0 - 0.02;
    let (slowest, fastest) = (fold(f64::min, 1.0), fold(f64::max, 1.0));
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(root)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(
            (slowest / 1.5..fastest * 1.5).log_scale(),
            bottom..1.0 + (1.0 - bottom) / 8.0,
        )?;
    chart
        .configure_mesh()
        .x_desc("speed-up over one thread with 500 evaluations (log)")
        .y_desc("quality: share of the attainable improvement")
        .x_label_formatter(&|x| format!("{x:.2}"))
        .y_label_formatter(&|y| format!("{y:.2}"))
        .x_labels(10)
        .y_labels(12)
        .light_line_style(WHITE)
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 14))
        .draw()?;

    let points: Vec<(i32, i32)> = rows.iter().map(|(_, at)| chart.backend_coord(at)).collect();
    let labels: Vec<String> = rows
        .iter()
        .map(|(strategy, _)| strategy.to_string())
        .collect();
    let size = (SIZE.0 as i32, SIZE.1 as i32 - 60);
    let blue = RGBColor(31, 96, 168);
    for ((&(x, y), label), place) in points
        .iter()
        .zip(&labels)
        .zip(places(&points, &labels, size))
    {
        let near_end = match place.left > x {
            true => place.left - 2,
            false => place.left + place.width + 2,
        };
        let line = vec![(x, y), (near_end, place.middle)];
        root.draw(&PathElement::new(line, BLACK.mix(0.35)))?;
        root.draw(&Circle::new((x, y), 4, blue.filled()))?;
        use plotters::style::text_anchor::{HPos, Pos, VPos};
        let (side, at) = match place.left > x {
            true => (HPos::Left, place.left),
            false => (HPos::Right, place.left + place.width),
        };
        let style = ("sans-serif", LABEL)
            .into_text_style(root)
            .pos(Pos::new(side, VPos::Center));
        root.draw(&Text::new(label.clone(), (at, place.middle), style))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_neighbouring_points_do_not_overlap() {
        let points: Vec<(i32, i32)> = (0..12).map(|k| (400 + 9 * k, 100 + k % 3)).collect();
        let labels: Vec<String> = (0..12).map(|k| format!("strategy-{k}")).collect();
        let size = (960, 540);
        let places = places(&points, &labels, size);
        for (k, place) in places.iter().enumerate() {
            for other in &places[..k] {
                assert!(!place.overlaps(other), "{place:?} {other:?}");
            }
            for &point in &points {
                assert!(!place.covers(point), "{place:?} {point:?}");
            }
            assert!(place.left >= 0 && place.left + place.width <= size.0);
        }
    }
}
