#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/models/llada.h"
#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

constexpr char kEmbedding[] = "model.transformer.wte.weight";
constexpr char kFinalNorm[] = "model.transformer.ln_f.weight";
constexpr char kHead[] = "model.transformer.ff_out.weight";
constexpr const char* kLayerTensors[] = {"attn_norm", "q_proj",  "k_proj",  "v_proj", "attn_out",
                                         "ff_norm",   "ff_proj", "up_proj", "ff_out"};

std::string LayerTensor(int32_t layer, const char* kind) {
  return absl::StrCat("model.transformer.blocks.", layer, ".", kind, ".weight");
}

float HalfToFloat(uint16_t half) {
  const int exponent = (half >> 10) & 0x1f;
  const int mantissa = half & 0x3ff;
  const float sign = (half & 0x8000) != 0 ? -1.0f : 1.0f;
  if (exponent == 0x1f) return mantissa == 0 ? sign * INFINITY : NAN;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -24);
  return sign * std::ldexp(static_cast<float>(mantissa + 0x400), exponent - 25);
}

std::vector<float> ToFloats(const kernels::HostMatrix& matrix) {
  const int64_t count = matrix.rows * matrix.cols;
  std::vector<float> floats(count);
  if (matrix.dtype == kernels::DType::kF32) {
    std::memcpy(floats.data(), matrix.data, count * sizeof(float));
    return floats;
  }
  std::vector<uint16_t> halves(count);
  std::memcpy(halves.data(), matrix.data, count * sizeof(uint16_t));
  for (int64_t i = 0; i < count; ++i) {
    if (matrix.dtype == kernels::DType::kF16) {
      floats[i] = HalfToFloat(halves[i]);
    } else {
      const uint32_t bits = uint32_t{halves[i]} << 16;
      std::memcpy(&floats[i], &bits, sizeof(bits));
    }
  }
  return floats;
}

// Row p: the cosines of the angles p / theta^(2j/D), j < D/2, then their sines. Angles are float32
// as in the reference, so that large positions are rotated by exactly its angles.
std::vector<float> RopeTable(const ModelInfo& info) {
  const int32_t half = info.head_dim / 2;
  std::vector<float> table(size_t{static_cast<uint32_t>(info.max_tokens)} * info.head_dim);
  std::vector<float> inverse_frequencies(half);
  for (int32_t j = 0; j < half; ++j) {
    const float exponent = static_cast<float>(2 * j) / static_cast<float>(info.head_dim);
    inverse_frequencies[j] = 1.0f / std::pow(info.rope_theta, exponent);
  }
  for (int64_t position = 0; position < info.max_tokens; ++position) {
    float* row = table.data() + position * info.head_dim;
    for (int32_t j = 0; j < half; ++j) {
      const float angle = static_cast<float>(position) * inverse_frequencies[j];
      row[j] = static_cast<float>(std::cos(static_cast<double>(angle)));
      row[half + j] = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
  }
  return table;
}

}  // namespace

// Fills one LladaModel from a source.
class LladaLoader {
 public:
  LladaLoader(LladaModel& model, const WeightSource& source, kernels::Backend& backend,
              const std::function<void(int, int)>& progress)
      : model_(model),
        info_(model.info_),
        source_(source),
        backend_(backend),
        progress_(progress),
        total_(static_cast<int>(LladaModel::TensorNames(info_).size())) {}

  absl::Status Load() {
    SPARSED_RETURN_IF_ERROR(LoadEmbedding());
    model_.layers_.resize(info_.num_layers);
    for (int32_t layer = 0; layer < info_.num_layers; ++layer) {
      SPARSED_RETURN_IF_ERROR(LoadLayer(layer, model_.layers_[layer]));
    }
    SPARSED_ASSIGN_OR_RETURN(model_.final_norm_, Norm(kFinalNorm));
    SPARSED_ASSIGN_OR_RETURN(model_.head_, Linear({{kHead, info_.vocab_size}}, info_.hidden_size));
    SPARSED_ASSIGN_OR_RETURN(model_.cos_sin_, Upload(RopeTable(info_)));
    return absl::OkStatus();
  }

 private:
  struct Part {
    std::string name;
    int64_t rows;
  };

  absl::Status LoadEmbedding() {
    SPARSED_ASSIGN_OR_RETURN(SourceMatrix table,
                             Next(kEmbedding, info_.vocab_size, info_.hidden_size));
    const kernels::HostMatrix& matrix = table.matrix;
    const size_t bytes = matrix.rows * matrix.cols * kernels::DTypeBytes(matrix.dtype);
    SPARSED_ASSIGN_OR_RETURN(model_.embedding_memory_, backend_.Alloc(bytes));
    model_.embedding_ = {model_.embedding_memory_.data(), matrix.dtype, matrix.rows, matrix.cols,
                         matrix.cols};
    return backend_.CopyIn(model_.embedding_memory_.data(), matrix.data, bytes);
  }

  absl::Status LoadLayer(int32_t layer, LladaLayer& weights) {
    const int64_t hidden = info_.hidden_size;
    const int64_t q_rows = int64_t{info_.num_heads} * info_.head_dim;
    const int64_t kv_rows = int64_t{info_.num_kv_heads} * info_.head_dim;
    const auto name = [layer](const char* kind) { return LayerTensor(layer, kind); };
    SPARSED_ASSIGN_OR_RETURN(weights.attention_norm, Norm(name("attn_norm")));
    SPARSED_ASSIGN_OR_RETURN(
        weights.qkv,
        Linear({{name("q_proj"), q_rows}, {name("k_proj"), kv_rows}, {name("v_proj"), kv_rows}},
               hidden));
    SPARSED_ASSIGN_OR_RETURN(weights.out, Linear({{name("attn_out"), hidden}}, q_rows));
    SPARSED_ASSIGN_OR_RETURN(weights.mlp_norm, Norm(name("ff_norm")));
    SPARSED_ASSIGN_OR_RETURN(
        weights.gate_up,
        Linear({{name("ff_proj"), info_.ffn_size}, {name("up_proj"), info_.ffn_size}}, hidden));
    SPARSED_ASSIGN_OR_RETURN(weights.down, Linear({{name("ff_out"), hidden}}, info_.ffn_size));
    return absl::OkStatus();
  }

  absl::StatusOr<SourceMatrix> Next(const std::string& name, int64_t rows, int64_t cols) {
    absl::StatusOr<SourceMatrix> matrix = source_(name, rows, cols);
    if (matrix.ok() && progress_) progress_(++done_, total_);
    return matrix;
  }

  absl::StatusOr<kernels::Buffer> Upload(const std::vector<float>& floats) {
    const size_t bytes = floats.size() * sizeof(float);
    SPARSED_ASSIGN_OR_RETURN(kernels::Buffer buffer, backend_.Alloc(bytes));
    SPARSED_RETURN_IF_ERROR(backend_.CopyIn(buffer.data(), floats.data(), bytes));
    return buffer;
  }

  absl::StatusOr<kernels::Buffer> Norm(const std::string& name) {
    SPARSED_ASSIGN_OR_RETURN(SourceMatrix weight, Next(name, 1, info_.hidden_size));
    return Upload(ToFloats(weight.matrix));
  }

  absl::StatusOr<std::unique_ptr<kernels::LinearWeight>> Linear(const std::vector<Part>& parts,
                                                                int64_t cols) {
    std::vector<SourceMatrix> sources;
    std::vector<kernels::HostMatrix> matrices;
    for (const Part& part : parts) {
      SPARSED_ASSIGN_OR_RETURN(SourceMatrix source, Next(part.name, part.rows, cols));
      matrices.push_back(source.matrix);
      sources.push_back(std::move(source));
    }
    return backend_.PackLinear(matrices);
  }

  LladaModel& model_;
  const ModelInfo& info_;
  const WeightSource& source_;
  kernels::Backend& backend_;
  const std::function<void(int, int)>& progress_;
  const int total_;
  int done_ = 0;
};

std::vector<std::string> LladaModel::TensorNames(const ModelInfo& info) {
  std::vector<std::string> names = {kEmbedding, kFinalNorm, kHead};
  for (int32_t layer = 0; layer < info.num_layers; ++layer) {
    for (const char* kind : kLayerTensors) names.push_back(LayerTensor(layer, kind));
  }
  return names;
}

absl::StatusOr<std::unique_ptr<Model>> LladaModel::Create(
    const ModelInfo& info, const WeightSource& source, kernels::Backend& backend,
    const std::function<void(int done, int total)>& progress) {
  std::unique_ptr<LladaModel> model(new LladaModel(info));
  LladaLoader loader(*model, source, backend, progress);
  SPARSED_RETURN_IF_ERROR(loader.Load());
  return std::unique_ptr<Model>(std::move(model));
}

}  // namespace sparsed::engine
