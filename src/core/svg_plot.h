// Small SVG pictures: line plots and bars with axes, ticks and a legend. Colours follow the reader's light or dark
// scheme and stay apart for the colour-blind (Okabe & Ito 2008). Text is escaped.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace starling {

struct PlotLine {
  std::string name;
  std::vector<std::pair<double, double>> points;  // not finite ones are left out
};

struct PlotLabels {
  std::string title, x, y;
};

std::string svg_line_plot(const PlotLabels& labels, const std::vector<PlotLine>& lines);

struct PlotBar {
  std::string name;
  double value = 0;
};

// Horizontal bars from 0 with their values; `y` of the labels is not shown, `x` is the values' unit.
std::string svg_bar_plot(const PlotLabels& labels, const std::vector<PlotBar>& bars);

}  // namespace starling
