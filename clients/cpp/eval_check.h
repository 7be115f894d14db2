// From canvas to verdict. The rules are those of tests/golden/eval/README.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "clients/cpp/eval_data.h"

namespace sparsed::clients {

// The ids before the first of `end_ids`.
std::vector<uint32_t> CutAtEnd(const std::vector<uint32_t>& ids,
                               const std::vector<uint32_t>& end_ids);

// `text` with every run of Unicode white space (property White_Space) as one blank, none at either
// end.
std::string NormaliseWhiteSpace(std::string_view text);

// Whether `prediction` is right, after both are normalised.
// kExact: the same text. kList: the same comma-separated items, stripped, in the same order.
// kSet: the same as a multiset, so a repeated, missing or empty item counts.
bool IsCorrect(Checker checker, std::string_view answer, std::string_view prediction);

}  // namespace sparsed::clients
