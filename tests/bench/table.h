// Plain text tables for the terminal.
#pragma once

#include <string>
#include <vector>

namespace sparsed::bench {

// The first row is the header. The first column is left-aligned, the others right-aligned.
void PrintTable(const std::vector<std::vector<std::string>>& rows);

std::string Milliseconds(double seconds);  // "12.34"
std::string Fixed(double value, int digits);
std::string Percent(double share);  // "71%"

}  // namespace sparsed::bench
