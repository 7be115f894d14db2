// What the host holds of a checkpoint while it is loaded.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/model_folder.h"
#include "tests/testing/catch.h"
#include "tests/testing/forwarding_backend.h"
#include "tests/testing/resident.h"
#include "tests/unit/engine/nano_folder.h"

namespace sparsed::engine {
namespace {

constexpr int kLayers = 6;
constexpr int64_t kHidden = 1024;
constexpr int64_t kFfn = 4096;
constexpr int64_t kVocab = 512;

// Reads every weight once, as one that sends it to a device does, and keeps nothing.
class ReadingBackend : public testing::ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;

  absl::StatusOr<std::unique_ptr<kernels::LinearWeight>> PackLinear(
      std::span<const kernels::HostMatrix> parts, std::span<const float> bias) override {
    const int64_t page = sysconf(_SC_PAGESIZE);
    for (const kernels::HostMatrix& part : parts) {
      const auto* bytes = static_cast<const volatile uint8_t*>(part.data);
      for (int64_t i = 0; i < part.rows * part.cols * 2; i += page) sum += bytes[i];
    }
    most_resident = std::max(most_resident, testing::ResidentBytes());
    return ForwardingBackend::PackLinear(parts, bias);
  }

  int64_t sum = 0;
  int64_t most_resident = 0;
};

struct NamedMatrix {
  std::string name;
  int64_t rows;
  int64_t cols;
};

// A shard of bf16 zeros, which take no room on the disk. Returns its bytes.
int64_t WriteShard(const std::string& path, const std::vector<NamedMatrix>& matrices) {
  nlohmann::ordered_json entries;
  uint64_t offset = 0;
  for (const NamedMatrix& matrix : matrices) {
    const uint64_t bytes = static_cast<uint64_t>(matrix.rows * matrix.cols) * 2;
    auto shape =
        matrix.rows == 1 ? nlohmann::json{matrix.cols} : nlohmann::json{matrix.rows, matrix.cols};
    entries[matrix.name] = {
        {"dtype", "BF16"}, {"shape", shape}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  const std::string text = entries.dump();
  std::string header;
  for (int i = 0; i < 8; ++i) header += static_cast<char>(uint64_t{text.size()} >> (8 * i));
  header += text;
  std::ofstream(path, std::ios::binary) << header;
  std::filesystem::resize_file(path, header.size() + offset);
  return static_cast<int64_t>(header.size() + offset);
}

// A shard for each layer, and one for what stands beside them. Returns the bytes of the largest.
int64_t WriteCheckpoint(const testing::NanoFolder& folder) {
  nlohmann::json files;
  int64_t largest = 0;
  const auto write = [&](int number, const std::vector<NamedMatrix>& matrices) {
    const std::string name = absl::StrCat("model-", number, ".safetensors");
    for (const NamedMatrix& matrix : matrices) files[matrix.name] = name;
    largest = std::max(largest, WriteShard(folder.dir() + "/" + name, matrices));
  };
  const std::string root = "model.transformer.";
  write(0, {{root + "wte.weight", kVocab, kHidden},
            {root + "ln_f.weight", 1, kHidden},
            {root + "ff_out.weight", kVocab, kHidden}});
  for (int layer = 0; layer < kLayers; ++layer) {
    const std::string block = absl::StrCat(root, "blocks.", layer, ".");
    write(layer + 1, {{block + "attn_norm.weight", 1, kHidden},
                      {block + "q_proj.weight", kHidden, kHidden},
                      {block + "k_proj.weight", kHidden, kHidden},
                      {block + "v_proj.weight", kHidden, kHidden},
                      {block + "attn_out.weight", kHidden, kHidden},
                      {block + "ff_norm.weight", 1, kHidden},
                      {block + "ff_proj.weight", kFfn, kHidden},
                      {block + "up_proj.weight", kFfn, kHidden},
                      {block + "ff_out.weight", kHidden, kFfn}});
  }
  folder.Write("model.safetensors.index.json", nlohmann::json{{"weight_map", files}}.dump());
  return largest;
}

std::string LargerNanoConfig() {
  std::ifstream file(testing::NanoPath() + "/config.json");
  nlohmann::json config = nlohmann::json::parse(file);
  config.update({{"d_model", kHidden},
                 {"n_heads", 16},
                 {"n_kv_heads", 16},
                 {"n_layers", kLayers},
                 {"mlp_hidden_size", kFfn},
                 {"vocab_size", kVocab},
                 {"embedding_size", kVocab}});
  return config.dump();
}

}  // namespace

TEST_CASE("Loading to a device holds less than one shard of the checkpoint in host memory") {
  const testing::NanoFolder folder;
  const int64_t shard = WriteCheckpoint(folder);
  const auto info = ParseModelConfig(LargerNanoConfig());
  INFO(info.status().ToString());
  REQUIRE(info.ok());
  const auto checkpoint = Checkpoint::Open(folder.dir());
  INFO(checkpoint.status().ToString());
  REQUIRE(checkpoint.ok());
  auto measuring = kernels::CreateMeasuringBackend("cuda");
  REQUIRE(measuring.ok());
  ReadingBackend backend(*std::move(measuring));
  const int64_t before = testing::ResidentBytes();
  const auto model = LoadModel(*checkpoint, *info, backend, {});
  INFO(model.status().ToString());
  REQUIRE(model.ok());
  REQUIRE(backend.sum == 0);
  REQUIRE(checkpoint->bytes() > 5 * static_cast<uint64_t>(shard));
  if (testing::kResidentMeansHeld) REQUIRE(backend.most_resident - before < shard);
}

}  // namespace sparsed::engine
