#include <algorithm>
#include <initializer_list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/models/host_floats.h"
#include "engine/models/transformer.h"
#include "engine/status_macros.h"
#include "kernels/half.h"

namespace sparsed::engine {
namespace {

constexpr char kWeight[] = ".weight";
constexpr char kBias[] = ".bias";

// Without its ending.
std::string LayerTensor(const TensorNaming& naming, int32_t layer, const char* kind) {
  return absl::StrCat(naming.layer, layer, ".", kind);
}

std::string ExpertTensor(const TensorNaming& naming, int32_t layer, int32_t expert,
                         const char* kind) {
  return absl::StrCat(LayerTensor(naming, layer, naming.expert), expert, ".", kind);
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
    if (info_.experts.count > 0 && !backend_.Info().has_experts) {
      return absl::FailedPreconditionError(
          absl::StrCat("models of family ", info_.family, " have layers with experts, which ",
                       backend_.Info().device, " does not run; the device cpu does"));
    }
    SPARSED_RETURN_IF_ERROR(LoadEmbedding());
    model_.layers_.resize(info_.num_layers);
    for (int32_t layer = 0; layer < info_.num_layers; ++layer) {
      SPARSED_RETURN_IF_ERROR(LoadLayer(layer, model_.layers_[layer]));
    }
    SPARSED_ASSIGN_OR_RETURN(model_.final_norm_, Norm(naming_.final_norm, info_.hidden_size));
    if (!info_.tied_head) {
      SPARSED_ASSIGN_OR_RETURN(model_.head_,
                               Linear({{naming_.head, info_.vocab_size}}, info_.hidden_size));
    }
    SPARSED_ASSIGN_OR_RETURN(model_.cos_sin_,
                             Upload(RopeTable(info_, backend_.Info().activation_dtype)));
    return absl::OkStatus();
  }

 private:
  struct Part {
    std::string name;  // without its ending
    int64_t rows;
    bool has_bias = false;
    bool keep_full = false;  // as HostMatrix's
  };

  // In the type of the checkpoint, or in bf16 where the backend's activations are.
  absl::Status LoadEmbedding() {
    SPARSED_ASSIGN_OR_RETURN(SourceMatrix table, Next(absl::StrCat(naming_.embedding, kWeight),
                                                      info_.vocab_size, info_.hidden_size));
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
    if (info_.tied_head) {
      SPARSED_ASSIGN_OR_RETURN(model_.head_, backend_.PackLinear(std::span(&matrix, 1), {}));
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
    SPARSED_ASSIGN_OR_RETURN(weights.attention_norm, Norm(name(naming_.attention_norm), hidden));
    SPARSED_RETURN_IF_ERROR(LoadQkv(layer, weights));
    SPARSED_ASSIGN_OR_RETURN(weights.out, Linear({{name(naming_.out), hidden}}, model_.q_cols()));
    SPARSED_ASSIGN_OR_RETURN(weights.mlp_norm, Norm(name(naming_.mlp_norm), hidden));
    return info_.HasExperts(layer) ? LoadExperts(layer, weights.experts)
                                   : LoadDense(layer, weights);
  }

  absl::Status LoadDense(int32_t layer, TransformerLayer& weights) {
    const int64_t hidden = info_.hidden_size;
    const auto name = [this, layer](const char* kind) { return LayerTensor(naming_, layer, kind); };
    SPARSED_ASSIGN_OR_RETURN(
        weights.gate_up,
        Linear({{name(naming_.gate), info_.ffn_size}, {name(naming_.up), info_.ffn_size}}, hidden));
    SPARSED_ASSIGN_OR_RETURN(weights.down, Linear({{name(naming_.down), hidden}}, info_.ffn_size));
    return absl::OkStatus();
  }

  absl::Status LoadExperts(int32_t layer, ExpertWeights& weights) {
    const int64_t hidden = info_.hidden_size;
    const int64_t ffn = info_.experts.ffn_size;
    // Small, and it chooses: a row that goes to another expert is not a little wrong.
    const Part router = {.name = LayerTensor(naming_, layer, naming_.router),
                         .rows = info_.experts.count,
                         .keep_full = true};
    SPARSED_ASSIGN_OR_RETURN(weights.router, Linear({router}, hidden));
    for (int32_t expert = 0; expert < info_.experts.count; ++expert) {
      const auto name = [&](const char* kind) {
        return ExpertTensor(naming_, layer, expert, kind);
      };
      SPARSED_ASSIGN_OR_RETURN(
          weights.gate_up.emplace_back(),
          Linear({{name(naming_.expert_gate), ffn}, {name(naming_.expert_up), ffn}}, hidden));
      SPARSED_ASSIGN_OR_RETURN(weights.down.emplace_back(),
                               Linear({{name(naming_.expert_down), hidden}}, ffn));
    }
    return absl::OkStatus();
  }

  absl::Status LoadQkv(int32_t layer, TransformerLayer& weights) {
    const Part q = {LayerTensor(naming_, layer, naming_.q), model_.q_cols(), info_.qkv_bias};
    const Part k = {LayerTensor(naming_, layer, naming_.k), model_.kv_cols(), info_.qkv_bias};
    const Part v = {LayerTensor(naming_, layer, naming_.v), model_.kv_cols(), info_.qkv_bias};
    const int64_t hidden = info_.hidden_size;
    if (info_.qk_norm) {
      SPARSED_ASSIGN_OR_RETURN(weights.q_norm,
                               Norm(LayerTensor(naming_, layer, naming_.q_norm), info_.head_dim));
      SPARSED_ASSIGN_OR_RETURN(weights.k_norm,
                               Norm(LayerTensor(naming_, layer, naming_.k_norm), info_.head_dim));
    }
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

  absl::StatusOr<std::vector<float>> Vector(const std::string& name, int64_t size) {
    SPARSED_ASSIGN_OR_RETURN(const SourceMatrix weight, Next(name, 1, size));
    std::vector<float> floats = ToFloats(weight.matrix);
    Release(weight);
    return floats;
  }

  absl::StatusOr<kernels::Buffer> Norm(const std::string& name, int64_t size) {
    SPARSED_ASSIGN_OR_RETURN(const std::vector<float> weight,
                             Vector(absl::StrCat(name, kWeight), size));
    return Upload(weight);
  }

  absl::StatusOr<std::unique_ptr<kernels::LinearWeight>> Linear(const std::vector<Part>& parts,
                                                                int64_t cols) {
    std::vector<SourceMatrix> sources;
    std::vector<kernels::HostMatrix> matrices;
    std::vector<float> bias;
    for (const Part& part : parts) {
      SPARSED_ASSIGN_OR_RETURN(SourceMatrix source,
                               Next(absl::StrCat(part.name, kWeight), part.rows, cols));
      matrices.push_back(source.matrix);
      matrices.back().keep_full = part.keep_full;
      sources.push_back(std::move(source));
      if (!part.has_bias) continue;
      SPARSED_ASSIGN_OR_RETURN(const std::vector<float> numbers,
                               Vector(absl::StrCat(part.name, kBias), part.rows));
      bias.insert(bias.end(), numbers.begin(), numbers.end());
    }
    auto packed = backend_.PackLinear(matrices, bias);
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
  const auto add = [&names](const std::string& name, const char* ending) {
    names.push_back(absl::StrCat(name, ending));
  };
  add(naming.embedding, kWeight);
  add(naming.final_norm, kWeight);
  if (!info.tied_head) add(naming.head, kWeight);
  for (int32_t layer = 0; layer < info.num_layers; ++layer) {
    const auto add_all = [&](std::initializer_list<const char*> kinds, const char* ending) {
      for (const char* kind : kinds) add(LayerTensor(naming, layer, kind), ending);
    };
    add_all({naming.attention_norm, naming.q, naming.k, naming.v, naming.out, naming.mlp_norm},
            kWeight);
    if (info.qkv_bias) add_all({naming.q, naming.k, naming.v}, kBias);
    if (info.qk_norm) add_all({naming.q_norm, naming.k_norm}, kWeight);
    if (!info.HasExperts(layer)) {
      add_all({naming.gate, naming.up, naming.down}, kWeight);
      continue;
    }
    add_all({naming.router}, kWeight);
    for (int32_t expert = 0; expert < info.experts.count; ++expert) {
      for (const char* kind : {naming.expert_gate, naming.expert_up, naming.expert_down}) {
        add(ExpertTensor(naming, layer, expert, kind), kWeight);
      }
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
