#include "server/trace_context.h"

#include "tests/testing/catch.h"

namespace sparsed::server {
namespace {

const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kSpan = "00f067aa0ba902b7";
const std::string kGood = "00-" + kTrace + "-" + kSpan + "-01";

}  // namespace

TEST_CASE("trace: a good header gives the trace and the caller's span") {
  for (const std::string& good :
       {kGood, "00-" + kTrace + "-" + kSpan + "-00", "01-" + kTrace + "-" + kSpan + "-ff",
        "cc-" + kTrace + "-" + kSpan + "-01-what-comes-later"}) {
    INFO(good);
    const auto trace = ParseTraceParent(good);
    REQUIRE(trace.has_value());
    CHECK(trace->trace_id == kTrace);
    CHECK(trace->parent_id == kSpan);
  }
}

TEST_CASE("trace: anything else is none") {
  const std::string zeros(32, '0');
  for (const std::string& bad :
       {std::string(), kGood.substr(0, 54), kGood + " ", kGood + "-00", " " + kGood,
        "ff-" + kTrace + "-" + kSpan + "-01", "0g-" + kTrace + "-" + kSpan + "-01",
        "00-" + zeros + "-" + kSpan + "-01", "00-" + kTrace + "-" + zeros.substr(16) + "-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" + kSpan + "-01",
        "00_" + kTrace + "-" + kSpan + "-01", "00-" + kTrace + "_" + kSpan + "-01",
        "00-" + kTrace + "-" + kSpan + "_01", "00-" + kTrace + "-" + kSpan + "-0x",
        "01-" + kTrace + "-" + kSpan + "-01.later", std::string(55, '-'), std::string(55, '\0'),
        std::string(4096, 'a')}) {
    INFO(bad);
    CHECK_FALSE(ParseTraceParent(bad).has_value());
  }
}

TEST_CASE("trace: every single character matters") {
  for (size_t i = 0; i < kGood.size(); ++i) {
    std::string changed = kGood;
    changed[i] = '+';
    INFO(changed);
    CHECK_FALSE(ParseTraceParent(changed).has_value());
  }
}

TEST_CASE("trace: lists of vendors' members") {
  for (const char* good :
       {"a=1", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "1t@sys=x , b=y,", "a_-*/9=!#$%&"}) {
    INFO(good);
    CHECK(IsTraceState(good));
  }
  std::string many = "k0=v";
  for (int i = 1; i < 33; ++i) many += ",k" + std::to_string(i) + "=v";
  for (const std::string& bad :
       {std::string(), std::string(","), std::string("a"), std::string("A=1"), std::string("a="),
        std::string("1a=1"), std::string("a=1,a=2"), std::string("a=b=c"), std::string("a@b@c=1"),
        std::string("a@1=1"), std::string("a=\x7f"), std::string("a=\n"), std::string("a=1\n"),
        std::string("a=1,\vb=1"), many, "a=" + std::string(257, 'v'),
        std::string(257, 'k') + "=1"}) {
    INFO(bad);
    CHECK_FALSE(IsTraceState(bad));
  }
}

}  // namespace sparsed::server
