#include "core/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace starling {
namespace {

constexpr double kWidth = 720, kHeight = 380, kLeft = 64, kRight = 20, kTop = 44, kBottom = 52;
constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"};
constexpr const char* kStyle =
    "<style>text{font:12px "
    "system-ui,sans-serif;fill:#333}.title{font-size:15px;font-weight:600}.grid{stroke:#8884;stroke-width:1}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}}</style>";

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '&') out += "&amp;";
    else if (c == '"') out += "&quot;";
    else out += c;
  }
  return out;
}

struct Axis {
  double low = 0, high = 1, step = 0.2;
  double place(double value) const { return (value - low) / (high - low); }
};

// Ticks at 1, 2 or 5 times a power of ten, about five of them. Where the values differ by their rounding only, a step
// would be too small to be added to them.
Axis axis_over(double low, double high) {
  if (!(high - low > 1e-12 * std::max(std::abs(low), std::abs(high))))
    high = low + (low == 0 ? 1 : std::abs(low) * 0.1);
  const double rough = (high - low) / 5, power = std::pow(10.0, std::floor(std::log10(rough)));
  const double factor = rough / power > 5 ? 10 : rough / power > 2 ? 5 : rough / power > 1 ? 2 : 1;
  const double step = factor * power;
  return {std::floor(low / step) * step, std::ceil(high / step) * step, step};
}

std::string tick_text(double value) {
  const double size = std::abs(value);
  if (size >= 1e6) return fmt::format("{:.3g}M", value / 1e6);
  if (size >= 1e4) return fmt::format("{:.3g}k", value / 1e3);
  return fmt::format("{:.4g}", size < 1e-12 ? 0.0 : value);
}

std::string text_at(double x, double y, const char* anchor, const std::string& text, const std::string& more = {}) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" {}>{}</text>\n", x, y, anchor, more,
                     escaped(text));
}

std::string frame(double height, const PlotLabels& labels) {
  return fmt::format(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">{}\n",
             kWidth, height, escaped(labels.title), kStyle) +
         text_at(kLeft, 24, "start", labels.title, "class=\"title\"");
}

double plot_x(const Axis& axis, double value) { return kLeft + axis.place(value) * (kWidth - kLeft - kRight); }
double plot_y(const Axis& axis, double value) {
  return kHeight - kBottom - axis.place(value) * (kHeight - kTop - kBottom);
}

std::string grid(const Axis& x, const Axis& y, const PlotLabels& labels) {
  std::string out;
  for (double v = y.low; v <= y.high + y.step / 2; v += y.step) {
    out += fmt::format("<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>\n", kLeft,
                       kWidth - kRight, plot_y(y, v), plot_y(y, v));
    out += text_at(kLeft - 8, plot_y(y, v) + 4, "end", tick_text(v));
  }
  for (double v = x.low; v <= x.high + x.step / 2; v += x.step)
    out += text_at(plot_x(x, v), kHeight - kBottom + 18, "middle", tick_text(v));
  out += text_at((kLeft + kWidth - kRight) / 2, kHeight - 12, "middle", labels.x);
  return out + text_at(16, kTop - 8, "start", labels.y);
}

}  // namespace

std::string svg_line_plot(const PlotLabels& labels, const std::vector<PlotLine>& lines) {
  double x_low = 1e300, x_high = -1e300, y_low = 1e300, y_high = -1e300;
  const auto finite = [](const auto& point) { return std::isfinite(point.first) && std::isfinite(point.second); };
  for (const PlotLine& line : lines)
    for (const auto& point : line.points) {
      if (!finite(point)) continue;
      x_low = std::min(x_low, point.first), x_high = std::max(x_high, point.first);
      y_low = std::min(y_low, point.second), y_high = std::max(y_high, point.second);
    }
  if (x_low > x_high) x_low = y_low = 0, x_high = y_high = 1;
  const Axis x = axis_over(x_low, x_high), y = axis_over(y_low, y_high);
  std::string out = frame(kHeight, labels) + grid(x, y, labels);
  for (size_t i = 0; i < lines.size(); ++i) {
    const char* colour = kColours[i % std::size(kColours)];
    out += fmt::format("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-linejoin=\"round\" points=\"",
                       colour);
    for (const auto& point : lines[i].points)
      if (finite(point)) out += fmt::format("{:.1f},{:.1f} ", plot_x(x, point.first), plot_y(y, point.second));
    out += "\"/>\n";
    const double top = kTop + 6 + 18 * static_cast<double>(i);
    out += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"12\" height=\"3\" fill=\"{}\"/>\n", kWidth - 190, top, colour);
    out += text_at(kWidth - 172, top + 6, "start", lines[i].name);
  }
  return out + "</svg>\n";
}

std::string svg_bar_plot(const PlotLabels& labels, const std::vector<PlotBar>& bars) {
  constexpr double kBarLeft = 190, kRow = 30;
  double largest = 1e-12;
  for (const PlotBar& bar : bars)
    if (std::isfinite(bar.value)) largest = std::max(largest, bar.value);
  const double height = kTop + kRow * static_cast<double>(bars.size()) + 34;
  std::string out = frame(height, labels);
  for (size_t i = 0; i < bars.size(); ++i) {
    const double value = std::isfinite(bars[i].value) ? std::max(bars[i].value, 0.0) : 0.0,
                 top = kTop + kRow * static_cast<double>(i);
    const double width = value / largest * (kWidth - kBarLeft - 90);
    out += text_at(kBarLeft - 10, top + 16, "end", bars[i].name);
    out += fmt::format("<rect x=\"{}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"20\" rx=\"3\" fill=\"{}\"/>\n", kBarLeft,
                       top + 2, width, kColours[i % std::size(kColours)]);
    out += text_at(kBarLeft + width + 8, top + 16, "start", fmt::format("{:.4g}", bars[i].value));
  }
  return out + text_at(kBarLeft, height - 10, "start", labels.x) + "</svg>\n";
}

}  // namespace starling
