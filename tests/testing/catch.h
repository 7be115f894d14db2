// The one place that knows which Catch2 is installed.
#pragma once

#ifdef SPARSED_CATCH2_V3
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif
