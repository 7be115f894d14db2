// Models with random weights: the shapes of known checkpoints without their files.
#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/model_folder.h"
#include "engine/models/families.h"
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

// Uniform with the given standard deviation. A large matrix repeats after a million elements or so,
// a number that no row is a divisor of: models of 10^10 elements are made in seconds.
void FillUniform(uint64_t stream, double deviation, std::span<uint16_t> out) {
  constexpr size_t kDistinct = 1'000'003;
  const double limit = std::sqrt(3.0) * deviation;
  const size_t distinct = std::min(kDistinct, out.size());
  for (size_t i = 0; i < distinct; ++i) {
    const double unit = static_cast<double>(Mix(stream + i) >> 40) * 0x1p-24;
    out[i] = kernels::RoundToBF16(static_cast<float>((2 * unit - 1) * limit));
  }
  for (size_t done = distinct; done < out.size(); done += distinct) {
    std::copy_n(out.begin(), std::min(distinct, out.size() - done), out.begin() + done);
  }
}

// Gives the matrices of a model, one after the other, from memory that it uses again.
class RandomSource {
 public:
  RandomSource(uint64_t seed, int32_t num_layers) : seed_(seed), num_layers_(num_layers) {}

  SourceMatrix Make(const std::string& name, int64_t rows, int64_t cols) {
    Storage storage = Take(static_cast<size_t>(rows * cols));
    const std::span<uint16_t> elements(storage->data(), static_cast<size_t>(rows * cols));
    if (rows == 1) {
      std::fill(elements.begin(), elements.end(), kernels::RoundToBF16(1.0f));  // a norm
    } else {
      FillUniform(Mix(seed_ ^ HashName(name)), Deviation(name, cols, num_layers_), elements);
    }
    SourceMatrix result;
    result.matrix = {elements.data(), kernels::DType::kBF16, rows, cols};
    result.release = [free = free_, storage] { free->push_back(storage); };
    return result;
  }

 private:
  using Storage = std::shared_ptr<std::vector<uint16_t>>;

  Storage Take(size_t elements) {
    Storage storage = std::make_shared<std::vector<uint16_t>>();
    if (!free_->empty()) {
      storage = free_->back();
      free_->pop_back();
    }
    if (storage->size() < elements) storage->resize(elements);
    return storage;
  }

  const uint64_t seed_;
  const int32_t num_layers_;
  std::shared_ptr<std::vector<Storage>> free_ = std::make_shared<std::vector<Storage>>();
};

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
  auto random = std::make_shared<RandomSource>(seed, info->num_layers);
  const WeightSource source = [random](const std::string& name, int64_t rows,
                                       int64_t cols) -> absl::StatusOr<SourceMatrix> {
    return random->Make(name, rows, cols);
  };
  return CreateModel(*info, source, backend, {});
}

}  // namespace sparsed::engine
