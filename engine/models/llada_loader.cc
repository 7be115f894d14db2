#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/models/llada.h"
#include "engine/status_macros.h"
#include "kernels/half.h"

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
    floats[i] = matrix.dtype == kernels::DType::kF16 ? kernels::WidenF16(halves[i])
                                                     : kernels::WidenBF16(halves[i]);
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

  // In the type of the checkpoint, or in bf16 where the backend's activations are.
  absl::Status LoadEmbedding() {
    SPARSED_ASSIGN_OR_RETURN(SourceMatrix table,
                             Next(kEmbedding, info_.vocab_size, info_.hidden_size));
    const kernels::HostMatrix& matrix = table.matrix;
    const kernels::DType activations = backend_.Info().activation_dtype;
    const kernels::DType dtype = activations == kernels::DType::kBF16 ? activations : matrix.dtype;
    const size_t bytes = matrix.rows * matrix.cols * kernels::DTypeBytes(dtype);
    SPARSED_ASSIGN_OR_RETURN(model_.embedding_memory_, backend_.Alloc(bytes));
    model_.embedding_ = {model_.embedding_memory_.data(), dtype, matrix.rows, matrix.cols,
                         matrix.cols};
    if (dtype == matrix.dtype) {
      SPARSED_RETURN_IF_ERROR(backend_.CopyIn(model_.embedding_memory_.data(), matrix.data, bytes));
    } else {
      SPARSED_RETURN_IF_ERROR(CopyRounded(matrix));
    }
    Release(table);
    return absl::OkStatus();
  }

  // The embedding, row by row, to bf16.
  absl::Status CopyRounded(const kernels::HostMatrix& matrix) {
    const size_t row_bytes = matrix.cols * kernels::DTypeBytes(matrix.dtype);
    std::vector<uint16_t> rounded(matrix.cols);
    for (int64_t row = 0; row < matrix.rows; ++row) {
      kernels::HostMatrix one = matrix;
      one.data = static_cast<const char*>(matrix.data) + row * row_bytes;
      one.rows = 1;
      const std::vector<float> floats = ToFloats(one);
      std::transform(floats.begin(), floats.end(), rounded.begin(), kernels::RoundToBF16);
      SPARSED_RETURN_IF_ERROR(
          backend_.CopyIn(model_.embedding_memory_.as<uint16_t>() + row * matrix.cols,
                          rounded.data(), rounded.size() * sizeof(uint16_t)));
    }
    return absl::OkStatus();
  }

  absl::Status LoadLayer(int32_t layer, LladaLayer& weights) {
    const int64_t hidden = info_.hidden_size;
    const auto name = [layer](const char* kind) { return LayerTensor(layer, kind); };
    SPARSED_ASSIGN_OR_RETURN(weights.attention_norm, Norm(name("attn_norm")));
    SPARSED_RETURN_IF_ERROR(LoadQkv(layer, weights));
    SPARSED_ASSIGN_OR_RETURN(weights.out, Linear({{name("attn_out"), hidden}}, model_.q_cols()));
    SPARSED_ASSIGN_OR_RETURN(weights.mlp_norm, Norm(name("ff_norm")));
    SPARSED_ASSIGN_OR_RETURN(
        weights.gate_up,
        Linear({{name("ff_proj"), info_.ffn_size}, {name("up_proj"), info_.ffn_size}}, hidden));
    SPARSED_ASSIGN_OR_RETURN(weights.down, Linear({{name("ff_out"), hidden}}, info_.ffn_size));
    return absl::OkStatus();
  }

  absl::Status LoadQkv(int32_t layer, LladaLayer& weights) {
    const Part q = {LayerTensor(layer, "q_proj"), model_.q_cols()};
    const Part k = {LayerTensor(layer, "k_proj"), model_.kv_cols()};
    const Part v = {LayerTensor(layer, "v_proj"), model_.kv_cols()};
    const int64_t hidden = info_.hidden_size;
    if (layer + 1 < info_.num_layers) {
      SPARSED_ASSIGN_OR_RETURN(weights.qkv, Linear({q, k, v}, hidden));
      return absl::OkStatus();
    }
    SPARSED_ASSIGN_OR_RETURN(weights.q, Linear({q}, hidden));
    SPARSED_ASSIGN_OR_RETURN(weights.kv, Linear({k, v}, hidden));
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
    const std::vector<float> floats = ToFloats(weight.matrix);
    Release(weight);
    return Upload(floats);
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
    auto packed = backend_.PackLinear(matrices);
    for (const SourceMatrix& source : sources) Release(source);
    return packed;
  }

  static void Release(const SourceMatrix& source) {
    if (source.release) source.release();
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
