#include "clients/cpp/infill_template.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/testing/catch.h"

namespace sparsed::clients {
namespace {

// "text|<n>|text": a readable form of the parts.
std::string Shape(const char* text) {
  const auto infill = ParseInfillTemplate(text);
  if (!infill.ok()) return std::string(infill.status().message());
  std::string shape;
  for (const auto& part : infill->parts()) {
    if (!shape.empty()) shape += "|";
    shape += part.has_text() ? part.text() : absl::StrCat("<", part.hole_tokens(), ">");
  }
  return shape;
}

TEST_CASE("templates are text and holes") {
  CHECK(Shape("The capital of {{4}} is Paris{{2}}.") == "The capital of |<4>| is Paris|<2>|.");
  CHECK(Shape("{{1}}{{2}}") == "<1>|<2>");
  CHECK(Shape("a{{ 12 }}") == "a|<12>");
  CHECK(Shape("{ {a} } {{3}}") == "{ {a} } |<3>");
  CHECK(Shape("<|eot_id|>\n{{3}}") == "<|eot_id|>\n|<3>");
}

TEST_CASE("a backslash before the braces makes them text") {
  CHECK(Shape(R"(\{{4}} {{2}})") == "{{4}} |<2>");
  CHECK(Shape(R"(\\{{4}})") == R"(\|<4>)");
  CHECK(Shape(R"(\\\{{4}} {{1}})") == R"(\{{4}} |<1>)");
  CHECK(Shape(R"(a\nb\\ {{1}})") == R"(a\nb\\ |<1>)");
  CHECK(Shape(R"({{1}}\)") == R"(<1>|\)");
}

TEST_CASE("wrong templates are refused with their column") {
  const std::string unclosed = Shape("ab {{4} c");
  CHECK(unclosed.find("column 4") != std::string::npos);
  CHECK(unclosed.find("no closing braces") != std::string::npos);
  for (const char* wrong : {"{{0}}", "{{}}", "{{x}}", "{{-1}}", "{{4294967296}}", "{{1 2}}"}) {
    CAPTURE(wrong);
    CHECK(Shape(wrong).find("column 1: expected {{N}}") != std::string::npos);
  }
  CHECK(Shape("no hole").find("no hole") != std::string::npos);
  CHECK(Shape("").find("no hole") != std::string::npos);
}

}  // namespace
}  // namespace sparsed::clients
