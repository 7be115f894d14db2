#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/models/transformer.h"
#include "engine/status_macros.h"
#include "kernels/half.h"

namespace sparsed::engine {
namespace {

constexpr char kWeight[] = ".weight";

// Without its ending.
std::string LayerTensor(const TensorNaming& naming, int32_t layer, const char* kind) {
  return absl::StrCat(naming.layer, layer, ".", kind);
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

// Fills one TransformerModel from a source.
class TransformerLoader {
 public:
  TransformerLoader(TransformerModel& model, const TensorNaming& naming, const WeightSource& source,
                    kernels::Backend& backend, const std::function<void(int, int)>& progress)
      : model_(model),
        info_(model.info_),
        naming_(naming),
        source_(source),
        backend_(backend),
        progress_(progress),
        total_(static_cast<int>(TransformerModel::TensorNames(info_, naming_).size())) {}

  absl::Status Load() {
    SPARSED_RETURN_IF_ERROR(LoadEmbedding());
    model_.layers_.resize(info_.num_layers);
    for (int32_t layer = 0; layer < info_.num_layers; ++layer) {
      SPARSED_RETURN_IF_ERROR(LoadLayer(layer, model_.layers_[layer]));
    }
    SPARSED_ASSIGN_OR_RETURN(model_.final_norm_, Norm(naming_.final_norm));
    SPARSED_ASSIGN_OR_RETURN(model_.head_,
                             Linear({{naming_.head, info_.vocab_size}}, info_.hidden_size));
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
                             Next(naming_.embedding, info_.vocab_size, info_.hidden_size));
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

  absl::Status LoadLayer(int32_t layer, TransformerLayer& weights) {
    const int64_t hidden = info_.hidden_size;
    const auto name = [this, layer](const char* kind) { return LayerTensor(naming_, layer, kind); };
    SPARSED_ASSIGN_OR_RETURN(weights.attention_norm, Norm(name(naming_.attention_norm)));
    SPARSED_RETURN_IF_ERROR(LoadQkv(layer, weights));
    SPARSED_ASSIGN_OR_RETURN(weights.out, Linear({{name(naming_.out), hidden}}, model_.q_cols()));
    SPARSED_ASSIGN_OR_RETURN(weights.mlp_norm, Norm(name(naming_.mlp_norm)));
    SPARSED_ASSIGN_OR_RETURN(
        weights.gate_up,
        Linear({{name(naming_.gate), info_.ffn_size}, {name(naming_.up), info_.ffn_size}}, hidden));
    SPARSED_ASSIGN_OR_RETURN(weights.down, Linear({{name(naming_.down), hidden}}, info_.ffn_size));
    return absl::OkStatus();
  }

  absl::Status LoadQkv(int32_t layer, TransformerLayer& weights) {
    const Part q = {LayerTensor(naming_, layer, naming_.q), model_.q_cols()};
    const Part k = {LayerTensor(naming_, layer, naming_.k), model_.kv_cols()};
    const Part v = {LayerTensor(naming_, layer, naming_.v), model_.kv_cols()};
    const int64_t hidden = info_.hidden_size;
    if (layer + 1 < info_.num_layers) {
      SPARSED_ASSIGN_OR_RETURN(weights.qkv, Linear({q, k, v}, hidden));
      return absl::OkStatus();
    }
    SPARSED_ASSIGN_OR_RETURN(weights.q, Linear({q}, hidden));
    SPARSED_ASSIGN_OR_RETURN(weights.kv, Linear({k, v}, hidden));
    return absl::OkStatus();
  }

  // `name` is without its ending.
  absl::StatusOr<SourceMatrix> Next(const std::string& name, int64_t rows, int64_t cols) {
    absl::StatusOr<SourceMatrix> matrix = source_(absl::StrCat(name, kWeight), rows, cols);
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
    auto packed = backend_.PackLinear(matrices, {});
    for (const SourceMatrix& source : sources) Release(source);
    return packed;
  }

  static void Release(const SourceMatrix& source) {
    if (source.release) source.release();
  }

  TransformerModel& model_;
  const ModelInfo& info_;
  const TensorNaming& naming_;
  const WeightSource& source_;
  kernels::Backend& backend_;
  const std::function<void(int, int)>& progress_;
  const int total_;
  int done_ = 0;
};

std::vector<std::string> TransformerModel::TensorNames(const ModelInfo& info,
                                                       const TensorNaming& naming) {
  std::vector<std::string> names;
  for (const char* name : {naming.embedding, naming.final_norm, naming.head}) {
    names.push_back(absl::StrCat(name, kWeight));
  }
  for (int32_t layer = 0; layer < info.num_layers; ++layer) {
    for (const char* kind : {naming.attention_norm, naming.q, naming.k, naming.v, naming.out,
                             naming.mlp_norm, naming.gate, naming.up, naming.down}) {
      names.push_back(absl::StrCat(LayerTensor(naming, layer, kind), kWeight));
    }
  }
  return names;
}

absl::StatusOr<std::unique_ptr<Model>> TransformerModel::Create(
    const ModelInfo& info, const TensorNaming& naming, const WeightSource& source,
    kernels::Backend& backend, const std::function<void(int done, int total)>& progress) {
  std::unique_ptr<TransformerModel> model(new TransformerModel(info));
  TransformerLoader loader(*model, naming, source, backend, progress);
  SPARSED_RETURN_IF_ERROR(loader.Load());
  return std::unique_ptr<Model>(std::move(model));
}

}  // namespace sparsed::engine
