//! Quality against speed, as SVG.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::labels;
use crate::measure::Row;

const SIZE: (u32, u32) = (960, 600);

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
    let speeds = slowest / 1.5..fastest * 1.5;
    let ticks = labels::ticks(&speeds);
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(root)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(
            speeds.log_scale().with_key_points(ticks),
            bottom..1.0 + (1.0 - bottom) / 8.0,
        )?;
    chart
        .configure_mesh()
        .x_desc("speed-up over one thread with 500 evaluations (log)")
        .y_desc("quality: share of the attainable improvement")
        .x_label_formatter(&|x| format!("{x}"))
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
    let area = (
        chart.plotting_area().get_x_axis_pixel_range(),
        chart.plotting_area().get_y_axis_pixel_range(),
    );
    let style = ("sans-serif", 14).into_text_style(root);
    labels::draw(root, &points, &labels, &area, &style)?;
    for point in points {
        root.draw(&Circle::new(point, 4, RGBColor(31, 96, 168).filled()))?;
    }
    Ok(())
}
