#include "engine/tokenizer/byte_level.h"

#include <array>

#include "engine/tokenizer/utf8.h"

namespace sparsed::engine {
namespace {

constexpr char32_t kFirstShifted = 0x100;
constexpr size_t kNumShifted = 68;

constexpr bool IsPrintable(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Alphabet {
  std::array<char32_t, 256> code{};
  std::array<uint8_t, kNumShifted> shifted{};  // the byte of kFirstShifted + i
};

constexpr Alphabet MakeAlphabet() {
  Alphabet alphabet;
  uint32_t next = 0;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    if (IsPrintable(byte)) {
      alphabet.code[byte] = byte;
    } else {
      alphabet.shifted[next] = static_cast<uint8_t>(byte);
      alphabet.code[byte] = kFirstShifted + next++;
    }
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = MakeAlphabet();

}  // namespace

void AppendByteAlphabet(std::string_view bytes, std::string* text) {
  for (const char byte : bytes) AppendUtf8(kAlphabet.code[static_cast<uint8_t>(byte)], text);
}

std::string BytesOfToken(std::string_view token) {
  std::string bytes;
  for (size_t i = 0; i < token.size();) {
    const Utf8Char c = DecodeUtf8(token, i);
    i += c.length;
    if (c.code < 0x100 && IsPrintable(c.code)) {
      bytes.push_back(static_cast<char>(c.code));
    } else if (c.code >= kFirstShifted && c.code < kFirstShifted + kNumShifted) {
      bytes.push_back(static_cast<char>(kAlphabet.shifted[c.code - kFirstShifted]));
    } else {
      return std::string(token);
    }
  }
  return bytes;
}

}  // namespace sparsed::engine
