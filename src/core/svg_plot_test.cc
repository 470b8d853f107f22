#include "core/svg_plot.h"

#include <gtest/gtest.h>

#include <cmath>

namespace starling {
namespace {

TEST(SvgPlot, DrawsALineANamedLegendAndEscapesText) {
  const std::string svg =
      svg_line_plot({"a < b & c", "tokens", "loss"}, {{"train", {{0, 5}, {100, 3}}}, {"valid", {{100, 4}}}});
  EXPECT_TRUE(svg.starts_with("<svg "));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  EXPECT_NE(svg.find("a &lt; b &amp; c"), std::string::npos);
  EXPECT_NE(svg.find(">train</text>"), std::string::npos);
  EXPECT_NE(svg.find("<polyline"), svg.rfind("<polyline"));
}

TEST(SvgPlot, LeavesOutWhatIsNotFiniteAndTakesNoPoints) {
  const std::string svg = svg_line_plot({"t", "x", "y"}, {{"a", {{0, 1}, {1, NAN}, {2, INFINITY}}}, {"empty", {}}});
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

TEST(SvgPlot, ValuesThatDifferByRoundingOnlyAreAFlatLine) {  // a step of the axis must not vanish beside its values
  const double a = 0.3, b = std::nextafter(a, 1);
  EXPECT_LT(svg_line_plot({"t", "x", "y"}, {{"a", {{0, a}, {1, b}}}}).size(), 10'000u);
}

TEST(SvgPlot, TheLongestBarIsTheLargestValue) {
  const std::string svg = svg_bar_plot({"bits per byte", "bits", ""}, {{"model", 1.5}, {"xz", 3.0}});
  EXPECT_NE(svg.find("width=\"440.0\""), std::string::npos);
  EXPECT_NE(svg.find("width=\"220.0\""), std::string::npos);
}

}  // namespace
}  // namespace starling
