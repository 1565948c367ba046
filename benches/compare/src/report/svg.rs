//! A picture under construction: plain SVG that is legible on light and on dark pages.

/// Colours are classes, so that a dark page has others.
const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2328}\
.title{font-weight:600;font-size:13px}.small{font-size:11px}.faint{fill:#59636e}.own{font-weight:700;fill:#0550ae}\
.page{fill:#ffffff}.grid{stroke:#d1d9e0;stroke-width:1}.annals{fill:#0969da}.peer{fill:#9aa4af}.bare{fill:#d1d9e0}\
.line0{stroke:#0969da}.line1{stroke:#bc4c00}.line2{stroke:#1a7f37}.line3{stroke:#8250df}.line4{stroke:#9a6700}\
.mark0{fill:#0969da}.mark1{fill:#bc4c00}.mark2{fill:#1a7f37}.mark3{fill:#8250df}.mark4{fill:#9a6700}\
polyline{fill:none;stroke-width:2}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.faint{fill:#9198a1}.own{fill:#79c0ff}.page{fill:#0d1117}\
.grid{stroke:#30363d}.annals{fill:#4493f8}.peer{fill:#656c76}.bare{fill:#3d444d}\
.line0{stroke:#4493f8}.line1{stroke:#f0883e}.line2{stroke:#3fb950}.line3{stroke:#ab7df8}.line4{stroke:#d29922}\
.mark0{fill:#4493f8}.mark1{fill:#f0883e}.mark2{fill:#3fb950}.mark3{fill:#ab7df8}.mark4{fill:#d29922}}";

#[derive(Default)]
pub(crate) struct Svg {
    body: String,
}

#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    pub(crate) fn text(&mut self, (x, y): (f64, f64), class: &str, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        self.body += &format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{text}</text>\n"
        );
    }

    pub(crate) fn bar(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), class: &str) {
        let width = width.max(1.0);
        self.body += &format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"1.5\" class=\"{class}\"/>\n"
        );
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64)) {
        self.body += &format!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" class=\"grid\"/>\n",
            from.0, from.1, to.0, to.1
        );
    }

    pub(crate) fn curve(&mut self, points: &[(f64, f64)], number: usize) {
        let number = number % 5;
        let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.body += &format!("<polyline points=\"{}\" class=\"line{number}\"/>\n", path.join(" "));
        for (x, y) in points {
            self.body += &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" class=\"mark{number}\"/>\n");
        }
    }

    pub(crate) fn finish(self, width: f64, height: f64, title: &str) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" role=\"img\" aria-label=\"{title}\">\n<style>{STYLE}</style>\n\
             <rect width=\"{width:.0}\" height=\"{height:.0}\" class=\"page\" rx=\"6\"/>\n{}</svg>\n",
            self.body
        )
    }
}

/// Powers of ten around these values, and where a value lies between the first and the last, from 0 to 1.
pub(crate) struct LogScale {
    least: f64,
    most: f64,
}

impl LogScale {
    pub(crate) fn around(values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.into_iter().filter(|value| *value > 0.0).collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(0.0, f64::max);
        Self {
            least: (least * 0.9).log10().floor(),
            most: most.log10().ceil().max((least * 0.9).log10().floor() + 1.0),
        }
    }

    /// From half a power of ten below the least on, so that no bar is only a line and short ranges are not wide.
    pub(crate) fn tight(values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.into_iter().filter(|value| *value > 0.0).collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(0.0, f64::max);
        let span = (most / least).log10().max(0.3);
        Self { least: least.log10() - span * 0.12, most: most.log10() }
    }

    pub(crate) fn place(&self, value: f64) -> f64 {
        (value.max(f64::MIN_POSITIVE).log10() - self.least) / (self.most - self.least)
    }

    pub(crate) fn powers(&self) -> Vec<f64> {
        let (first, last) = (self.least.ceil() as i32, self.most.floor() as i32);
        (first..=last).map(|power| 10_f64.powi(power)).collect()
    }
}
