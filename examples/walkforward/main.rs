mod charts;
mod page;
fn main() {}
