#include "engine/checkpoint/safetensors.h"

#include <sys/stat.h>

#include <cstring>
#include <memory>
#include <utility>

#include "tests/testing/catch.h"
#include "tests/unit/engine/checkpoint/test_files.h"

namespace sparsed::engine {
namespace {

using testing::Header;
using testing::Prefix;
using testing::Safetensors;
using testing::TempFolder;
using testing::Tensor;

absl::StatusOr<std::map<std::string, TensorEntry>> ParseHeader(const std::string& file) {
  // An allocation of exactly this size, so that a sanitizer sees every byte read beyond the end.
  const auto bytes = std::make_unique<uint8_t[]>(file.size());
  std::memcpy(bytes.get(), file.data(), file.size());
  return ParseSafetensors(bytes.get(), file.size());
}

TEST_CASE("a well-formed header gives every tensor with its place") {
  const std::string header =
      Header({"\"__metadata__\":{\"format\":\"pt\"}", Tensor("b", "F32", "[2,3]", 4, 28),
              Tensor("a", "BF16", "[2]", 0, 4), Tensor("empty", "F32", "[0,7]", 28, 28),
              Tensor("scalar", "U8", "[]", 28, 29)});
  const std::string file = Safetensors(header, 29);
  const auto* base = reinterpret_cast<const uint8_t*>(file.data());
  const auto tensors = ParseSafetensors(base, file.size());
  REQUIRE(tensors.ok());
  REQUIRE(tensors->size() == 4);
  const TensorEntry& b = tensors->at("b");
  CHECK(b.dtype == "F32");
  CHECK(b.shape == std::vector<int64_t>{2, 3});
  CHECK(b.elements == 6);
  CHECK(b.bytes == 24);
  CHECK(b.data == base + 8 + header.size() + 4);
  CHECK(tensors->at("a").data == base + 8 + header.size());
  CHECK(tensors->at("empty").bytes == 0);
  CHECK(tensors->at("empty").elements == 0);
  CHECK(tensors->at("scalar").elements == 1);
}

TEST_CASE("headers that look odd but are legal") {
  const std::string tensor = Header({Tensor("a", "BF16", "[2]", 0, 4)});
  const std::vector<std::pair<std::string, uint64_t>> legal = {
      {"{}", 0},
      {" \n\t\r" + tensor, 4},
      {tensor + "   \n", 4},
      {"{\"__metadata__\":{}}", 0},
      {Header({Tensor("packed", "F4", "[4]", 0, 2)}), 2},
      {Header({Tensor("packed", "F6_E2M3", "[4]", 0, 3)}), 3},
      {Header({Tensor("", "I64", "[1,1,1,1,1,1,1,1,1]", 0, 8)}), 8},
      {Header({Tensor("\\u00e9\\n", "BOOL", "[1]", 0, 1)}), 1},
  };
  for (const auto& [header, data_bytes] : legal) {
    INFO(header);
    const auto tensors = ParseHeader(Safetensors(header, data_bytes));
    INFO(tensors.status().message());
    CHECK(tensors.ok());
  }
}

TEST_CASE("every dtype has its width") {
  const std::vector<std::pair<std::string, int>> bits = {
      {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
      {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
      {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
      {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
      {"I64", 64},        {"U64", 64}};
  for (const auto& [dtype, width] : bits) {
    INFO(dtype);
    const uint64_t bytes = static_cast<uint64_t>(width);  // of eight elements
    CHECK(ParseHeader(Safetensors(Header({Tensor("a", dtype, "[8]", 0, bytes)}), bytes)).ok());
    CHECK(!ParseHeader(Safetensors(Header({Tensor("a", dtype, "[8]", 0, bytes + 1)}), bytes + 1))
               .ok());
  }
}

struct Malformed {
  std::string what;
  std::string file;
  std::string reason;  // a part of the message
};

void CheckRefused(const std::vector<Malformed>& cases) {
  for (const Malformed& item : cases) {
    INFO(item.what);
    const auto tensors = ParseHeader(item.file);
    REQUIRE(!tensors.ok());
    CHECK(tensors.status().code() == absl::StatusCode::kInvalidArgument);
    const std::string message(tensors.status().message());
    INFO(message);
    CHECK(message.find(item.reason) != std::string::npos);
  }
}

TEST_CASE("a file whose length and header length disagree is refused") {
  const std::string good = Safetensors(Header({Tensor("a", "BF16", "[2]", 0, 4)}), 4);
  CheckRefused({
      {"empty file", "", "too short"},
      {"seven bytes", std::string(7, '\0'), "too short"},
      {"no header", Prefix(0), "not JSON"},
      {"header over the limit", Prefix(100'000'001) + "{}", "at most 100000000"},
      {"header length of all ones", std::string(8, '\xff') + "{}", "at most 100000000"},
      {"header at the limit, but no file", Prefix(100'000'000) + "{}", "beyond the file"},
      {"header one byte longer than the file", Prefix(3) + "{}", "beyond the file"},
      {"data one byte short", good.substr(0, good.size() - 1), "truncated"},
      {"all data missing", good.substr(0, good.size() - 4), "truncated"},
      {"one byte behind the data", good + "x", "trailing bytes"},
      {"data but no tensors", Safetensors("{}", 1), "trailing bytes"},
  });
}

TEST_CASE("a header that is not the JSON we want is refused") {
  const std::string a = Tensor("a", "BF16", "[2]", 0, 4);
  const std::string deep = std::string(70, '[') + std::string(70, ']');
  CheckRefused({
      {"not UTF-8", Safetensors("{\"\xff\":1}", 0), "not UTF-8"},
      {"cut UTF-8 sequence", Safetensors("{\"\xe2\x82\":1}", 0), "not UTF-8"},
      {"surrogate in UTF-8", Safetensors("{\"\xed\xa0\x80\":1}", 0), "not UTF-8"},
      {"lone surrogate escape", Safetensors("{\"\\ud800\":1}", 0), "not JSON"},
      {"byte order mark", Safetensors("\xEF\xBB\xBF{}", 0), "byte order mark"},
      {"text", Safetensors("hello", 0), "not JSON"},
      {"zero bytes", Safetensors(std::string(8, '\0'), 0), "not JSON"},
      {"unclosed", Safetensors(absl::StrCat("{", a), 4), "not JSON"},
      {"two documents", Safetensors("{}{}", 0), "not JSON"},
      {"trailing comma", Safetensors(absl::StrCat("{", a, ",}"), 4), "not JSON"},
      {"comment", Safetensors("{/* */}", 0), "not JSON"},
      {"NaN", Safetensors("{\"a\":NaN}", 0), "not JSON"},
      {"number out of range", Safetensors("{\"a\":1e999}", 0), "not JSON"},
      {"array", Safetensors("[]", 0), "not a JSON object"},
      {"null", Safetensors("null", 0), "not a JSON object"},
      {"too deep", Safetensors(absl::StrCat("{\"a\":", deep, "}"), 0), "nested deeper"},
      {"same tensor twice", Safetensors(Header({a, a}), 4), "appears twice"},
      {"same tensor twice, once escaped",
       Safetensors(Header({a, Tensor("\\u0061", "BF16", "[2]", 4, 8)}), 8), "appears twice"},
      {"same key twice in a tensor",
       Safetensors("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],"
                   "\"data_offsets\":[0,1]}}",
                   1),
       "appears twice"},
      {"metadata twice", Safetensors("{\"__metadata__\":{},\"__metadata__\":{}}", 0),
       "appears twice"},
      {"metadata null", Safetensors("{\"__metadata__\":null}", 0), "__metadata__"},
      {"metadata array", Safetensors("{\"__metadata__\":[]}", 0), "__metadata__"},
      {"metadata number", Safetensors("{\"__metadata__\":{\"n\":1}}", 0), "__metadata__"},
      {"nested metadata", Safetensors("{\"__metadata__\":{\"n\":{\"m\":\"x\"}}}", 0),
       "__metadata__"},
  });
}

// A file with the one tensor "a", its value as JSON text.
std::string One(const std::string& value, uint64_t data_bytes) {
  return Safetensors(absl::StrCat("{\"a\":", value, "}"), data_bytes);
}

TEST_CASE("a tensor with wrong keys or types is refused") {
  CheckRefused({
      {"a number", One("1", 0), "not an object"},
      {"null", One("null", 0), "not an object"},
      {"no dtype", One(R"({"shape":[1],"data_offsets":[0,1]})", 1), "has no dtype"},
      {"no shape", One(R"({"dtype":"U8","data_offsets":[0,1]})", 1), "has no shape"},
      {"no offsets", One(R"({"dtype":"U8","shape":[1]})", 1), "has no data_offsets"},
      {"another key", One(R"({"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1})", 1),
       "other keys"},
      {"dtype a number", One(R"({"dtype":8,"shape":[1],"data_offsets":[0,1]})", 1), "dtype"},
      {"unknown dtype", One(R"({"dtype":"F128","shape":[1],"data_offsets":[0,16]})", 16),
       "unknown dtype \"F128\""},
      {"dtype in small letters", One(R"({"dtype":"bf16","shape":[1],"data_offsets":[0,2]})", 2),
       "unknown dtype"},
      {"shape a number", One(R"({"dtype":"U8","shape":1,"data_offsets":[0,1]})", 1), "shape"},
      {"shape null", One(R"({"dtype":"U8","shape":null,"data_offsets":[0,1]})", 1), "shape"},
      {"negative size", One(R"({"dtype":"U8","shape":[-1],"data_offsets":[0,1]})", 1), "shape"},
      {"two negative sizes", One(R"({"dtype":"U8","shape":[-1,-1],"data_offsets":[0,1]})", 1),
       "shape"},
      {"fraction", One(R"({"dtype":"U8","shape":[1.0],"data_offsets":[0,1]})", 1), "shape"},
      {"size a string", One(R"({"dtype":"U8","shape":["1"],"data_offsets":[0,1]})", 1), "shape"},
      {"nested shape", One(R"({"dtype":"U8","shape":[[1]],"data_offsets":[0,1]})", 1), "shape"},
      {"one offset", One(R"({"dtype":"U8","shape":[1],"data_offsets":[0]})", 1), "data_offsets"},
      {"three offsets", One(R"({"dtype":"U8","shape":[1],"data_offsets":[0,1,1]})", 1),
       "data_offsets"},
      {"negative offset", One(R"({"dtype":"U8","shape":[1],"data_offsets":[-1,0]})", 1),
       "data_offsets"},
      {"offset a fraction", One(R"({"dtype":"U8","shape":[1],"data_offsets":[0,1.5]})", 1),
       "data_offsets"},
      {"offsets an object", One(R"({"dtype":"U8","shape":[1],"data_offsets":{}})", 1),
       "data_offsets"},
      {"offset over 64 bits",
       One(R"({"dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551616]})", 1),
       "data_offsets"},
  });
}

TEST_CASE("sizes that overflow or disagree are refused") {
  CheckRefused({
      {"size over 63 bits",
       One(R"({"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]})", 1), "shape"},
      {"size over 64 bits",
       One(R"({"dtype":"U8","shape":[18446744073709551617],"data_offsets":[0,1]})", 1), "shape"},
      // 2^32 x 2^32 = 2^64 would be 0 without the check.
      {"product overflows",
       One(R"({"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]})", 0),
       "overflows"},
      {"product overflows before a zero",
       One(R"({"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]})", 0),
       "overflows"},
      // 2^61 elements of 8 bits = 2^64 bits would be 0 as well.
      {"bits overflow",
       One(R"({"dtype":"U8","shape":[2305843009213693952],"data_offsets":[0,0]})", 0),
       "bits overflows"},
      {"half a byte", One(R"({"dtype":"F4","shape":[1],"data_offsets":[0,1]})", 1),
       "not whole bytes"},
      {"18 bits", One(R"({"dtype":"F6_E3M2","shape":[3],"data_offsets":[0,3]})", 3),
       "not whole bytes"},
      {"too few bytes", One(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", 4),
       "need 8 bytes, data_offsets span 4"},
      {"too many bytes", One(R"({"dtype":"F32","shape":[1],"data_offsets":[0,8]})", 8),
       "need 4 bytes, data_offsets span 8"},
      {"begin after end", One(R"({"dtype":"U8","shape":[0],"data_offsets":[1,0]})", 1),
       "after their end"},
      {"begin after end by 2^64",
       One(R"({"dtype":"U8","shape":[2],"data_offsets":[18446744073709551615,1]})", 1),
       "after their end"},
  });
}

TEST_CASE("tensors that do not tile the data are refused") {
  const auto two = [](uint64_t begin_a, uint64_t begin_b, uint64_t data_bytes) {
    return Safetensors(Header({Tensor("a", "U8", "[4]", begin_a, begin_a + 4),
                               Tensor("b", "U8", "[4]", begin_b, begin_b + 4)}),
                       data_bytes);
  };
  REQUIRE(ParseHeader(two(0, 4, 8)).ok());
  REQUIRE(ParseHeader(two(4, 0, 8)).ok());
  CheckRefused({
      {"gap at the start", two(1, 5, 9), "a gap"},
      {"gap between", two(0, 5, 9), "a gap"},
      {"overlap", two(0, 3, 8), "an overlap"},
      {"same place", two(0, 0, 4), "an overlap"},
      {"same place, other order", two(4, 4, 8), "a gap"},
      {"beyond the file", two(0, 4, 7), "truncated"},
      {"far beyond the file", two(0, 4, 0), "truncated"},
      {"a hole at the end", two(0, 4, 9), "trailing bytes"},
      {"an empty tensor inside another",
       Safetensors(Header({Tensor("a", "U8", "[4]", 0, 4), Tensor("z", "U8", "[0]", 2, 2)}), 4),
       "an overlap"},
  });
}

TEST_CASE("a long or unprintable name is cut and escaped in the message") {
  const std::string name(5000, 'n');
  const auto tensors = ParseHeader(Safetensors(absl::StrCat("{\"\\u0007", name, "\":1}"), 0));
  REQUIRE(!tensors.ok());
  const std::string message(tensors.status().message());
  CHECK(message.size() < 300);
  CHECK(message.find('\a') == std::string::npos);
}

TEST_CASE("a file is mapped, and its errors name it") {
  const TempFolder folder;
  const std::string good =
      folder.Write("good.safetensors", Safetensors(Header({Tensor("a", "U8", "[3]", 0, 3)}), 3));
  auto opened = SafetensorsFile::Open(good);
  REQUIRE(opened.ok());
  const TensorEntry* entry = &opened->tensors().at("a");
  const SafetensorsFile moved = std::move(*opened);
  CHECK(&moved.tensors().at("a") == entry);
  CHECK(entry->data[0] == 0);
  CHECK(entry->data[2] == 2);

  const std::string missing = folder.path() + "/missing.safetensors";
  const auto none = SafetensorsFile::Open(missing);
  CHECK(none.status().code() == absl::StatusCode::kNotFound);
  CHECK(std::string(none.status().message()).find(missing) != std::string::npos);

  for (const std::string& bytes : {std::string(), std::string("short"), Safetensors("{}", 1)}) {
    const std::string path = folder.Write("bad.safetensors", bytes);
    const auto bad = SafetensorsFile::Open(path);
    CHECK(bad.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(std::string(bad.status().message()).find(path) == 0);
  }
}

TEST_CASE("something that is not a regular file is refused at once") {
  const TempFolder folder;
  const std::string pipe = folder.path() + "/pipe.safetensors";
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  for (const std::string& path : {pipe, folder.path()}) {
    const auto opened = SafetensorsFile::Open(path);
    CHECK(opened.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(std::string(opened.status().message()).find("not a regular file") != std::string::npos);
  }
}

}  // namespace
}  // namespace sparsed::engine
