//! Labels of points and axes of a plot that cover neither each other nor the points.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// How far around a point nothing may lie, pixels.
const CLEAR: i32 = 7;

/// Where a label is, pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Place {
    left: i32,
    /// Middle of the text.
    middle: i32,
    width: i32,
    height: i32,
}

impl Place {
    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.left + other.width
            && other.left < self.left + self.width
            && (self.middle - other.middle).abs() < self.height
    }

    fn covers(&self, (x, y): (i32, i32)) -> bool {
        (self.left - CLEAR..self.left + self.width + CLEAR).contains(&x)
            && (y - self.middle).abs() < self.height / 2 + CLEAR
    }

    fn holds(&self, (x, y): (i32, i32)) -> bool {
        (self.left..self.left + self.width).contains(&x)
            && (y - self.middle).abs() < self.height / 2
    }

    /// Pixels of the line from a point to the label, from one end to the other.
    fn line(&self, (x, y): (i32, i32)) -> impl Iterator<Item = (i32, i32)> {
        const STEPS: i32 = 16;
        let end = if self.left > x {
            self.left - 2
        } else {
            self.left + self.width + 2
        };
        let middle = self.middle;
        (0..=STEPS).map(move |k| (x + (end - x) * k / STEPS, y + (middle - y) * k / STEPS))
    }

    fn is_within(&self, area: &(Range<i32>, Range<i32>)) -> bool {
        let half = self.height / 2;
        area.0.start <= self.left
            && self.left + self.width <= area.0.end
            && area.1.start <= self.middle - half
            && self.middle + half <= area.1.end
    }
}

/// A place for each label: within the area, and as near to its point as the points and the labels
/// before it allow.
fn places(
    points: &[(i32, i32)],
    labels: &[String],
    area: &(Range<i32>, Range<i32>),
    height: i32,
) -> Vec<Place> {
    let mut placed: Vec<Place> = Vec::with_capacity(labels.len());
    for (&(x, y), label) in points.iter().zip(labels) {
        // At most, in a sans-serif font.
        let width = label.chars().count() as i32 * height * 4 / 7;
        let beside = Place {
            left: x + CLEAR + 3,
            middle: y,
            width,
            height,
        };
        let mut candidates: Vec<Place> = (-32..=32)
            .flat_map(|step| {
                let middle = y + step * height / 2;
                let right = [0, 20, 40, 60, 80].map(|aside| beside.left + aside);
                let left = right.map(|left| 2 * x - left - width);
                let at = move |left| Place {
                    left,
                    middle,
                    ..beside
                };
                right.into_iter().chain(left).map(at)
            })
            .filter(|place| place.is_within(area))
            .collect();
        candidates.sort_by_key(|place| {
            let aside = (place.left - x).abs().min((place.left + width - x).abs());
            2 * (place.middle - y).abs() + aside
        });
        let is_free = |place: &&Place| {
            !placed.iter().any(|other| other.overlaps(place))
                && !points.iter().any(|&point| place.covers(point))
        };
        let is_line_free = |place: &&Place| {
            let mut others = points.iter().filter(|&&point| point != (x, y));
            let mut before = placed.iter().zip(points);
            let near =
                |a: (i32, i32), b: (i32, i32)| (a.0 - b.0).abs().max((a.1 - b.1).abs()) < CLEAR;
            let misses_points =
                !others.any(|&point| place.line((x, y)).any(|pixel| near(pixel, point)));
            misses_points
                && before.all(|(other, &point)| {
                    !other.line(point).any(|pixel| place.holds(pixel))
                        && !place.line((x, y)).any(|pixel| other.holds(pixel))
                })
        };
        let mut free = candidates.iter().filter(is_free);
        // Where points crowd, lines may cross what labels may not.
        let best = free.clone().find(is_line_free).or_else(|| free.next());
        placed.push(best.copied().unwrap_or(beside));
    }
    placed
}

/// Writes each label near its point, with a line between them, within columns and rows of pixels.
/// What marks the points is drawn over this.
pub fn draw<B: DrawingBackend>(
    on: &DrawingArea<B, Shift>,
    points: &[(i32, i32)],
    labels: &[String],
    area: &(Range<i32>, Range<i32>),
    style: &TextStyle<'_>,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let height = style.font.get_size() as i32;
    let places = places(points, labels, area, height);
    for ((&(x, y), label), place) in points.iter().zip(labels).zip(places) {
        let (side, at) = if place.left > x {
            (HPos::Left, place.left)
        } else {
            (HPos::Right, place.left + place.width)
        };
        let line: Vec<_> = place.line((x, y)).collect();
        let line = vec![line[0], line[line.len() - 1]];
        let (red, green, blue) = style.color.rgb;
        on.draw(&PathElement::new(line, RGBAColor(red, green, blue, 0.35)))?;
        let style = style.pos(Pos::new(side, VPos::Center));
        on.draw(&Text::new(label.clone(), (at, place.middle), style))?;
    }
    Ok(())
}

/// What to write on a logarithmic axis: 1, 2 and 5 times powers of ten; where these are many, powers
/// of ten alone.
pub fn ticks(range: &Range<f64>) -> Vec<f64> {
    let digits: &[f64] = if range.end / range.start > 100.0 {
        &[1.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    let decades = range.start.log10().floor() as i32..=range.end.log10().floor() as i32;
    decades
        .flat_map(|decade| digits.iter().map(move |digit| digit * 10f64.powi(decade)))
        .filter(|value| range.contains(value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logarithmic_axis_says_more_than_one_value_and_not_too_many() {
        for (range, count) in [
            (0.03..0.3, 3),
            (0.011..0.9, 5),
            (0.01..1.0, 6),
            (0.005..2.0, 3),
        ] {
            assert_eq!(ticks(&range).len(), count, "{range:?}: {:?}", ticks(&range));
        }
    }

    #[test]
    fn labels_of_neighbouring_points_do_not_overlap() {
        let area = (20..940, 10..540);
        let points: Vec<(i32, i32)> = (0..12).map(|k| (400 + 9 * k, 100 + k % 3)).collect();
        let labels: Vec<String> = (0..12).map(|k| format!("strategy-{k}")).collect();
        let places = places(&points, &labels, &area, 14);
        for (k, place) in places.iter().enumerate() {
            for other in &places[..k] {
                assert!(!place.overlaps(other), "{place:?} {other:?}");
            }
            for &point in &points {
                assert!(!place.covers(point), "{place:?} {point:?}");
            }
            assert!(place.is_within(&area), "{place:?}");
        }
    }

    #[test]
    fn the_line_to_a_label_does_not_cross_the_next_point() {
        let area = (0..300, 0..260);
        let points = [(283, 56), (267, 54)];
        let labels = ["DIRECT 500".to_owned(), "evolution".to_owned()];
        let places = places(&points, &labels, &area, 15);
        for (k, place) in places.iter().enumerate() {
            let (x, y) = points[1 - k];
            let mut line = place.line(points[k]);
            assert!(
                !line.any(|(a, b)| (a - x).abs() < 5 && (b - y).abs() < 5),
                "{places:?}"
            );
        }
    }
}
