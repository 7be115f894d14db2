#include "engine/checkpoint/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "tests/testing/catch.h"
#include "tests/unit/engine/checkpoint/test_files.h"

namespace sparsed::engine {
namespace {

using testing::Header;
using testing::Safetensors;
using testing::TempFolder;
using testing::Tensor;

const char kNano[] = SPARSED_SOURCE_DIR "/deploy/models/nano";

std::string OneTensorFile(const std::string& name) {
  return Safetensors(Header({Tensor(name, "U8", "[4]", 0, 4)}), 4);
}

void CheckOpenFails(const std::string& dir, absl::StatusCode code, const std::string& reason) {
  const auto checkpoint = Checkpoint::Open(dir);
  REQUIRE(!checkpoint.ok());
  const std::string message(checkpoint.status().message());
  INFO(message << " | wanted: " << reason);
  CHECK(checkpoint.status().code() == code);
  CHECK(message.find(reason) != std::string::npos);
  CHECK(message.find(dir) == 0);
}

TEST_CASE("a single file is a checkpoint") {
  const TempFolder folder;
  folder.Write(
      "model.safetensors",
      Safetensors(
          Header({Tensor("matrix", "F32", "[2,3]", 0, 24), Tensor("vector", "BF16", "[5]", 24, 34),
                  Tensor("row", "F16", "[1,2]", 34, 38), Tensor("bytes", "U8", "[2,2]", 38, 42)}),
          42));
  auto opened = Checkpoint::Open(folder.path());
  REQUIRE(opened.ok());
  const Checkpoint checkpoint = std::move(*opened);
  CHECK(checkpoint.parameters() == 6 + 5 + 2 + 4);
  CHECK(checkpoint.dtype() == "mixed");
  CHECK(checkpoint.TensorNames() == std::vector<std::string>{"bytes", "matrix", "row", "vector"});

  const auto matrix = checkpoint.Matrix("matrix", 2, 3);
  REQUIRE(matrix.ok());
  CHECK(matrix->dtype == kernels::DType::kF32);
  CHECK(matrix->rows == 2);
  CHECK(matrix->cols == 3);
  CHECK(static_cast<const uint8_t*>(matrix->data)[23] == 23);
  const auto vector = checkpoint.Matrix("vector", 1, 5);
  REQUIRE(vector.ok());
  CHECK(vector->dtype == kernels::DType::kBF16);
  CHECK(static_cast<const uint8_t*>(vector->data)[0] == 24);
  const auto row = checkpoint.Matrix("row", 1, 2);
  REQUIRE(row.ok());
  CHECK(row->dtype == kernels::DType::kF16);

  const auto transposed = checkpoint.Matrix("matrix", 3, 2);
  CHECK(transposed.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(transposed.status().message() == "tensor \"matrix\": has shape [2, 3], wanted is [3, 2]");
  CHECK(checkpoint.Matrix("matrix", 1, 6).status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(checkpoint.Matrix("vector", 5, 1).status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(checkpoint.Matrix("bytes", 2, 2).status().message() ==
        "tensor \"bytes\": has dtype U8; supported: BF16, F16, F32");
  CHECK(checkpoint.Matrix("none", 1, 1).status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("shards must hold what the index says, each tensor once") {
  const TempFolder folder;
  folder.Write("one.safetensors", OneTensorFile("a"));
  folder.Write("two.safetensors", OneTensorFile("b"));
  const auto index = [&](const std::string& map) {
    folder.Write("model.safetensors.index.json", map);
  };
  const auto bad = absl::StatusCode::kInvalidArgument;

  index(
      R"({"metadata":{"total_size":8},"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  const auto checkpoint = Checkpoint::Open(folder.path());
  REQUIRE(checkpoint.ok());
  CHECK(checkpoint->TensorNames() == std::vector<std::string>{"a", "b"});

  index(R"({"weight_map":{"a":"one.safetensors","b":"three.safetensors"}})");
  CheckOpenFails(folder.path(), bad, "three.safetensors\", which is not in the folder");
  index(R"({"weight_map":{"a":"one.safetensors","c":"two.safetensors"}})");
  CheckOpenFails(folder.path(), bad, "has no tensor \"c\"");
  index(R"({"weight_map":{"a":"two.safetensors","b":"one.safetensors"}})");
  CheckOpenFails(folder.path(), bad, "has no tensor");
  index(R"({"weight_map":{"a":"one.safetensors","a":"two.safetensors"}})");
  CheckOpenFails(folder.path(), bad, "key \"a\" appears twice");

  folder.Write(
      "two.safetensors",
      Safetensors(Header({Tensor("b", "U8", "[4]", 0, 4), Tensor("x", "U8", "[1]", 4, 5)}), 5));
  index(R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  CheckOpenFails(folder.path(), bad, "holds tensor \"x\", which the index does not place there");

  folder.Write(
      "two.safetensors",
      Safetensors(Header({Tensor("b", "U8", "[4]", 0, 4), Tensor("a", "U8", "[1]", 4, 5)}), 5));
  CheckOpenFails(folder.path(), bad, "holds tensor \"a\", which another shard holds too");

  folder.Write("two.safetensors", OneTensorFile("b").substr(0, 40));
  CheckOpenFails(folder.path(), bad, "two.safetensors: ");
}

TEST_CASE("an index that is not an index is refused") {
  const TempFolder folder;
  folder.Write("one.safetensors", OneTensorFile("a"));
  std::filesystem::create_directory(folder.path() + "/sub");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "not JSON"},
      {"{", "not JSON"},
      {"\xff", "not UTF-8"},
      {"[]", "has no object weight_map"},
      {"{}", "has no object weight_map"},
      {R"({"weight_map":[]})", "has no object weight_map"},
      {R"({"weight_map":{}})", "weight_map is empty"},
      {R"({"weight_map":{"a":1}})", "is not a string"},
      {R"({"weight_map":{"a":""}})", "not a plain file name"},
      {R"({"weight_map":{"a":".."}})", "not a plain file name"},
      {R"({"weight_map":{"a":"../one.safetensors"}})", "not a plain file name"},
      {R"({"weight_map":{"a":"sub/../one.safetensors"}})", "not a plain file name"},
      {R"({"weight_map":{"a":"/etc/passwd"}})", "not a plain file name"},
      {R"({"weight_map":{"a":"..\\one.safetensors"}})", "not a plain file name"},
      {R"({"weight_map":{"a":"one.safetensors\u0000"}})", "not a plain file name"},
      {R"({"weight_map":{"a":"sub"}})", "not a regular file"},
  };
  for (const auto& [text, reason] : cases) {
    INFO(text);
    folder.Write("model.safetensors.index.json", text);
    CheckOpenFails(folder.path(), absl::StatusCode::kInvalidArgument, reason);
  }
}

// Of this process, in files it has mapped.
int64_t ResidentFileBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("RssFile:", 0) == 0) return std::stoll(line.substr(8)) * 1024;
  }
  return -1;
}

TEST_CASE("a released tensor gives its memory back, and can be read again") {
  constexpr int64_t kBytes = 32 << 20;
  const TempFolder folder;
  folder.Write("model.safetensors",
               Safetensors(Header({Tensor("big", "BF16", "[1024,16384]", 0, kBytes)}), kBytes));
  const auto checkpoint = Checkpoint::Open(folder.path());
  REQUIRE(checkpoint.ok());
  const auto matrix = checkpoint->Matrix("big", 1024, 16384);
  REQUIRE(matrix.ok());
  const auto sum = [&] {
    const auto* bytes = static_cast<const uint8_t*>(matrix->data);
    return std::accumulate(bytes, bytes + kBytes, int64_t{0});
  };
  const int64_t before = ResidentFileBytes();
  REQUIRE(sum() == kBytes / 256 * (255 * 256 / 2));
  REQUIRE(ResidentFileBytes() - before >= kBytes / 4 * 3);
  checkpoint->Release("big");
  CHECK(ResidentFileBytes() - before <= kBytes / 4);
  checkpoint->Release("unknown");
  CHECK(sum() == kBytes / 256 * (255 * 256 / 2));
}

TEST_CASE("a folder without a checkpoint is not found") {
  const TempFolder folder;
  CheckOpenFails(folder.path(), absl::StatusCode::kNotFound, "has neither model.safetensors");
  CheckOpenFails(folder.path() + "/none", absl::StatusCode::kNotFound, "no such folder");
  CHECK(ReadModelConfig(folder.path()).status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("the embedded nano model opens") {
  const auto info = ReadModelConfig(kNano);
  REQUIRE(info.ok());
  CHECK(info->hidden_size == 384);
  CHECK(info->max_tokens == 8192);

  const auto checkpoint = Checkpoint::Open(kNano);
  REQUIRE(checkpoint.ok());
  CHECK(checkpoint->TensorNames().size() == 9 * 8 + 3);
  CHECK(checkpoint->dtype() == "bf16");
  CHECK(checkpoint->parameters() * 2 == 34616064);  // total_size of the index, in bf16
  const auto head = checkpoint->Matrix("model.transformer.ff_out.weight", 4096, 384);
  CHECK(head.ok());
  const auto norm = checkpoint->Matrix("model.transformer.ln_f.weight", 1, 384);
  REQUIRE(norm.ok());
  uint16_t first = 0;
  std::memcpy(&first, norm->data, sizeof(first));
  CHECK((first & 0x8000) == 0);  // a norm weight is positive
}

}  // namespace
}  // namespace sparsed::engine
