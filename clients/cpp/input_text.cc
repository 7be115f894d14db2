#include "clients/cpp/input_text.h"

#include <iostream>
#include <iterator>

namespace sparsed::clients {

std::string TextOrStdin(const std::string& value) {
  if (value != "-") return value;
  std::string text((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace sparsed::clients
