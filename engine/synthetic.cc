// Models with random weights: the shapes of known checkpoints without their files.
#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/model_folder.h"
#include "engine/models/llada.h"
#include "kernels/half.h"

namespace sparsed::engine {
namespace {

ModelInfo Shape(int32_t layers, int32_t heads, int32_t kv_heads, int32_t head_dim, int32_t ffn,
                int32_t vocab) {
  ModelInfo info;
  info.family = "llada";
  info.num_layers = layers;
  info.num_heads = heads;
  info.num_kv_heads = kv_heads;
  info.head_dim = head_dim;
  info.hidden_size = heads * head_dim;
  info.ffn_size = ffn;
  info.vocab_size = vocab;
  info.norm_eps = 1e-5f;
  info.rope_theta = 500000.0f;
  info.dtype = "bf16";
  return info;
}

// The large shapes take long contexts, which their checkpoints' own limits would refuse.
constexpr int32_t kLongContext = 131072;

absl::StatusOr<ModelInfo> InfoOf(const std::string& shape) {
  ModelInfo info;
  if (shape == "llada-8b") {
    info = Shape(32, 32, 32, 128, 12288, 126464);
    info.max_tokens = kLongContext;
    info.mask_token_id = 126336;
    info.end_token_ids = {126081, 126348};
  } else if (shape == "dream-7b") {
    info = Shape(28, 28, 4, 128, 18944, 152064);
    info.max_tokens = kLongContext;
    info.mask_token_id = 151666;
    info.end_token_ids = {151643, 151645};
  } else if (shape == "nano") {
    info = Shape(8, 6, 6, 64, 1024, 4096);
    info.max_tokens = 8192;
    info.mask_token_id = 5;
    info.end_token_ids = {1, 4};
  } else if (shape == "tiny") {
    info = Shape(2, 2, 2, 32, 96, 128);
    info.max_tokens = 512;
    info.mask_token_id = 5;
    info.end_token_ids = {1, 4};
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("synthetic model ", shape, " is not one of llada-8b, dream-7b, nano, tiny"));
  }
  return info;
}

// splitmix64 (Steele, Lea, Flood 2014) at a place of its sequence.
uint64_t Mix(uint64_t state) {
  state += 0x9e3779b97f4a7c15u;
  state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9u;
  state = (state ^ (state >> 27)) * 0x94d049bb133111ebu;
  return state ^ (state >> 31);
}

uint64_t HashName(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return hash;
}

// Standard deviations that keep the residual stream and the logits in a trained model's range.
double Deviation(const std::string& name, int64_t cols, int32_t num_layers) {
  if (absl::StrContains(name, ".wte.")) return 1.0;
  if (name == "model.transformer.ff_out.weight") return 2.0 / std::sqrt(cols);
  const bool adds_to_residual =
      absl::StrContains(name, ".attn_out.") || absl::StrContains(name, ".ff_out.");
  return adds_to_residual ? 1.0 / std::sqrt(2.0 * num_layers * cols) : 1.5 / std::sqrt(cols);
}

// Uniform with the given standard deviation, in kLevels steps: four elements of one random number,
// by a table that stays in the processor's nearest memory, since these matrices have 10^10
// elements.
void FillUniform(uint64_t stream, double deviation, std::vector<uint16_t>& out) {
  constexpr size_t kLevels = 4096;
  constexpr int kShift = 16 - 12;
  const double limit = std::sqrt(3.0) * deviation;
  std::array<uint16_t, kLevels> table;
  for (size_t i = 0; i < kLevels; ++i) {
    const double unit = (static_cast<double>(i) + 0.5) / kLevels;
    table[i] = kernels::RoundToBF16(static_cast<float>((2 * unit - 1) * limit));
  }
  for (size_t i = 0; i < out.size(); i += 4) {
    const uint64_t bits = Mix(stream + i);
    const size_t count = std::min<size_t>(4, out.size() - i);
    for (size_t j = 0; j < count; ++j) out[i + j] = table[(bits >> (16 * j) & 0xffff) >> kShift];
  }
}

SourceMatrix RandomMatrix(const std::string& name, int64_t rows, int64_t cols, uint64_t seed,
                          int32_t num_layers) {
  SourceMatrix result;
  result.storage.resize(rows * cols);
  if (rows == 1) {
    for (uint16_t& element : result.storage) element = kernels::RoundToBF16(1.0f);  // a norm
  } else {
    FillUniform(Mix(seed ^ HashName(name)), Deviation(name, cols, num_layers), result.storage);
  }
  result.matrix = {result.storage.data(), kernels::DType::kBF16, rows, cols};
  return result;
}

uint64_t CountParameters(const ModelInfo& info) {
  const uint64_t hidden = info.hidden_size;
  const uint64_t kv_rows = uint64_t{static_cast<uint32_t>(info.num_kv_heads)} * info.head_dim;
  const uint64_t layer =
      2 * hidden + 2 * hidden * hidden + 2 * kv_rows * hidden + 3 * hidden * info.ffn_size;
  return 2 * hidden * info.vocab_size + hidden + layer * info.num_layers;
}

}  // namespace

absl::StatusOr<ModelInfo> SyntheticModelInfo(const std::string& shape) {
  absl::StatusOr<ModelInfo> info = InfoOf(shape);
  if (info.ok()) info->parameters = CountParameters(*info);
  return info;
}

absl::StatusOr<std::unique_ptr<Model>> MakeSyntheticModel(const std::string& shape, uint64_t seed,
                                                          kernels::Backend& backend) {
  const absl::StatusOr<ModelInfo> info = SyntheticModelInfo(shape);
  if (!info.ok()) return info.status();
  const int32_t num_layers = info->num_layers;
  const WeightSource source = [seed, num_layers](const std::string& name, int64_t rows,
                                                 int64_t cols) -> absl::StatusOr<SourceMatrix> {
    return RandomMatrix(name, rows, cols, seed, num_layers);
  };
  return LladaModel::Create(*info, source, backend, {});
}

}  // namespace sparsed::engine
