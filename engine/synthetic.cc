// Models with random weights: the shapes of known checkpoints without their files.
#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/model_folder.h"
#include "engine/models/families.h"
#include "engine/status_macros.h"
#include "kernels/half.h"

namespace sparsed::engine {
namespace {

// What the shapes of a family differ in.
struct Shape {
  const char* name;
  int32_t layers;
  int32_t heads;
  int32_t kv_heads;
  int32_t hidden;
  int32_t ffn;  // of one expert where there are experts
  int32_t vocab;
  int32_t max_tokens;
  int32_t mask_token;
  int32_t end_token;
  int32_t end_of_turn;
  int32_t experts = 0;
  int32_t experts_per_row = 0;
  int32_t dense_layers = 0;  // the first ones; as wide as the experts of a row together
};

// The large shapes take long contexts, which their checkpoints' own limits would refuse.
constexpr int32_t kLongContext = 262144;

constexpr Shape kLladaShapes[] = {
    {"llada-8b", 32, 32, 32, 4096, 12288, 126464, kLongContext, 126336, 126081, 126348},
    {"nano", 8, 6, 6, 384, 1024, 4096, 8192, 5, 1, 4},
    {"tiny", 2, 2, 2, 64, 96, 128, 512, 5, 1, 4},
};
constexpr Shape kDreamShapes[] = {
    {"dream-7b", 28, 28, 4, 3584, 18944, 152064, kLongContext, 151666, 151643, 151645},
    {"tiny-dream", 2, 4, 2, 256, 96, 128, 512, 5, 1, 4},
};

constexpr Shape kLladaMoeShapes[] = {
    {"llada-moe", 16, 16, 16, 2048, 1024, 157184, kLongContext, 156895, 156892, 156892, 64, 8, 0},
    {"tiny-llada-moe", 3, 2, 1, 128, 32, 136, 512, 5, 1, 4, 8, 3, 1},
};

std::string LladaConfig(const Shape& shape) {
  return absl::StrCat(
      R"({"architectures": ["LLaDAModelLM"], "activation_type": "silu", "block_type": "llama",
          "weight_tying": false, "include_bias": false, "layer_norm_type": "rms", "rope": true,
          "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "torch_dtype": "bfloat16", "n_layers": )",
      shape.layers, ", \"n_heads\": ", shape.heads, ", \"n_kv_heads\": ", shape.kv_heads,
      ", \"d_model\": ", shape.hidden, ", \"mlp_hidden_size\": ", shape.ffn,
      ", \"vocab_size\": ", shape.vocab, ", \"max_sequence_length\": ", shape.max_tokens,
      ", \"mask_token_id\": ", shape.mask_token, ", \"eos_token_id\": ", shape.end_token, "}");
}

// The keys that the families with Hugging Face's names share.
std::string SharedKeys(const Shape& shape) {
  return absl::StrCat(
      R"("torch_dtype": "bfloat16", "num_hidden_layers": )", shape.layers,
      ", \"num_attention_heads\": ", shape.heads, ", \"num_key_value_heads\": ", shape.kv_heads,
      ", \"hidden_size\": ", shape.hidden, ", \"vocab_size\": ", shape.vocab,
      ", \"max_position_embeddings\": ", shape.max_tokens,
      ", \"mask_token_id\": ", shape.mask_token, ", \"eos_token_id\": ", shape.end_token);
}

std::string DreamConfig(const Shape& shape) {
  return absl::StrCat(
      R"({"architectures": ["DreamModel"], "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
          "intermediate_size": )",
      shape.ffn, ", ", SharedKeys(shape), "}");
}

std::string LladaMoeConfig(const Shape& shape) {
  std::string layers;
  for (int32_t layer = 0; layer < shape.layers; ++layer) {
    absl::StrAppend(&layers, layer == 0 ? "" : ", ", layer < shape.dense_layers ? 0 : 1);
  }
  return absl::StrCat(
      R"({"architectures": ["LLaDAMoEModelLM"], "rms_norm_eps": 1e-5, "rope_theta": 50000.0,
          "qk_layernorm": true, "partial_rotary_factor": 1, "moe_router_score_function": "softmax",
          "shared_expert_intermediate_size": null, "num_experts": )",
      shape.experts, ", \"num_experts_per_tok\": ", shape.experts_per_row,
      ", \"expert_intermediate_size\": ", shape.ffn,
      ", \"dense_intermediate_size\": ", shape.experts_per_row * shape.ffn,
      ", \"moe_layer_freq\": [", layers, "], ", SharedKeys(shape), "}");
}

struct Config {
  std::string json;
  int32_t end_of_turn = 0;
};

// name: of a shape, or with another number of layers, "llada-8b:4".
absl::StatusOr<Config> ConfigOf(const std::string& name) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(name, absl::MaxSplits(':', 1));
  int32_t layers = 0;
  const bool other_layers = parts.first != name;
  if (other_layers && (!absl::SimpleAtoi(parts.second, &layers) || layers < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("synthetic model ", name, " has no number of layers after the colon"));
  }
  std::string names;
  std::optional<Config> found;
  const auto look = [&](std::span<const Shape> shapes, std::string (*config)(const Shape&)) {
    for (Shape shape : shapes) {
      absl::StrAppend(&names, names.empty() ? "" : ", ", shape.name);
      if (parts.first != shape.name) continue;
      if (other_layers) shape.layers = layers;
      found = {config(shape), shape.end_of_turn};
    }
  };
  look(kLladaShapes, LladaConfig);
  look(kDreamShapes, DreamConfig);
  look(kLladaMoeShapes, LladaMoeConfig);
  if (found) return *std::move(found);
  return absl::InvalidArgumentError(
      absl::StrCat("synthetic model ", name, " is not one of ", names));
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
double Deviation(const std::string& name, const TensorNaming& naming, int64_t cols,
                 int32_t num_layers) {
  if (absl::StartsWith(name, absl::StrCat(naming.embedding, "."))) return 1.0;
  if (absl::StartsWith(name, absl::StrCat(naming.head, "."))) return 2.0 / std::sqrt(cols);
  if (absl::EndsWith(name, ".bias")) return 0.5;
  const auto is = [&name](const char* kind) {
    return kind != nullptr && absl::StrContains(name, absl::StrCat(".", kind, "."));
  };
  const bool adds_to_residual = is(naming.out) || is(naming.down) || is(naming.expert_down);
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
  RandomSource(uint64_t seed, const ModelInfo& info)
      : seed_(seed), naming_(FamilyOf(info).tensors), num_layers_(info.num_layers) {}

  SourceMatrix Make(const std::string& name, int64_t rows, int64_t cols) {
    Storage storage = Take(static_cast<size_t>(rows * cols));
    const std::span<uint16_t> elements(storage->data(), static_cast<size_t>(rows * cols));
    if (rows == 1 && !absl::EndsWith(name, ".bias")) {
      std::fill(elements.begin(), elements.end(), kernels::RoundToBF16(1.0f));  // a norm
    } else {
      FillUniform(Mix(seed_ ^ HashName(name)), Deviation(name, naming_, cols, num_layers_),
                  elements);
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
  const TensorNaming& naming_;
  const int32_t num_layers_;
  std::shared_ptr<std::vector<Storage>> free_ = std::make_shared<std::vector<Storage>>();
};

uint64_t CountParameters(const ModelInfo& info) {
  const uint64_t hidden = info.hidden_size;
  const uint64_t head_dim = info.head_dim;
  const uint64_t kv_rows = head_dim * static_cast<uint64_t>(info.num_kv_heads);
  const uint64_t bias = info.qkv_bias ? hidden + 2 * kv_rows : 0;
  const uint64_t head_norms = info.qk_norm ? 2 * head_dim : 0;
  const uint64_t attention =
      2 * hidden + 2 * hidden * hidden + 2 * kv_rows * hidden + bias + head_norms;
  const uint64_t expert =
      hidden + 3 * hidden * info.experts.ffn_size;  // with its row of the router
  uint64_t sum = 2 * hidden * info.vocab_size + hidden;
  for (int32_t layer = 0; layer < info.num_layers; ++layer) {
    sum += attention +
           (info.HasExperts(layer) ? expert * info.experts.count : 3 * hidden * info.ffn_size);
  }
  return sum;
}

}  // namespace

absl::StatusOr<ModelInfo> SyntheticModelInfo(const std::string& shape) {
  SPARSED_ASSIGN_OR_RETURN(const Config config, ConfigOf(shape));
  SPARSED_ASSIGN_OR_RETURN(ModelInfo info, ParseModelConfig(config.json));
  info.end_token_ids.push_back(config.end_of_turn);
  info.parameters = CountParameters(info);
  return info;
}

absl::StatusOr<std::unique_ptr<Model>> MakeSyntheticModel(const std::string& shape, uint64_t seed,
                                                          kernels::Backend& backend) {
  const absl::StatusOr<ModelInfo> info = SyntheticModelInfo(shape);
  if (!info.ok()) return info.status();
  auto random = std::make_shared<RandomSource>(seed, *info);
  const WeightSource source = [random](const std::string& name, int64_t rows,
                                       int64_t cols) -> absl::StatusOr<SourceMatrix> {
    return random->Make(name, rows, cols);
  };
  return CreateModel(*info, source, backend, {});
}

}  // namespace sparsed::engine
