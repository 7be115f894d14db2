// A C border around Backend::Attention of the GPU backend, so that attention_rivals.py can time it
// on PyTorch's tensors, in PyTorch's process. Functions that can fail give 0, or 1 and a message
// for sparsed_message.
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "kernels/backend.h"
#include "kernels/cuda_library.h"

namespace sparsed::bench {
namespace {

using kernels::AttentionMode;

// Mirrored by class Call in attention_rivals.py.
struct Call {
  void* out;  // bf16, all of them token-major and dense: [T, H*D], [T, Hkv*D]
  void* q;
  void* k;
  void* v;
  void* mask;  // [H, blocks, words]; null: full attention
  int64_t tokens;
  int64_t first_query;  // -1: all tokens ask
  int32_t num_heads;
  int32_t num_kv_heads;
  int32_t head_dim;
  int32_t block_size;
  int32_t select;  // 1: a full pass that writes the mask
  int32_t first_canvas_block;
  int32_t keep_prompt;
  int32_t keep_canvas;
  int32_t split;  // 1: the keys of the queries may be parted; with first_query only
  float scale;
  float selection_scale;
};

struct Session {
  std::unique_ptr<kernels::Backend> backend;
  std::string message;
};

int Report(Session& session, const absl::Status& status) {
  session.message = std::string(status.message());
  return status.ok() ? 0 : 1;
}

absl::Status Attention(Session& session, const Call& call) {
  kernels::AttentionSequence sequence;
  sequence.num_tokens = call.tokens;
  int64_t queries = call.tokens;
  if (call.first_query >= 0) {
    queries = call.tokens - call.first_query;
    sequence.queries = kernels::QueryRange{call.first_query, queries, 0, call.split != 0};
  }
  if (call.mask != nullptr) {
    sequence.mode = call.select != 0 ? AttentionMode::kFullSelect : AttentionMode::kSparse;
    sequence.mask = {static_cast<uint64_t*>(call.mask), call.num_heads,
                     static_cast<int32_t>((call.tokens + call.block_size - 1) / call.block_size),
                     call.block_size};
    sequence.selection.first_canvas_block = call.first_canvas_block;
    sequence.selection.keep_prompt = call.keep_prompt;
    sequence.selection.keep_canvas = call.keep_canvas;
    sequence.selection.scale = call.selection_scale;
  }
  const auto view = [](void* data, int64_t rows, int64_t cols) {
    return kernels::TensorView{data, kernels::DType::kBF16, rows, cols, cols};
  };
  const int64_t q_cols = int64_t{call.num_heads} * call.head_dim;
  const int64_t kv_cols = int64_t{call.num_kv_heads} * call.head_dim;
  kernels::AttentionParams params;
  params.out = view(call.out, queries, q_cols);
  params.q = view(call.q, queries, q_cols);
  params.k = view(call.k, call.tokens, kv_cols);
  params.v = view(call.v, call.tokens, kv_cols);
  params.num_heads = call.num_heads;
  params.num_kv_heads = call.num_kv_heads;
  params.head_dim = call.head_dim;
  params.scale = call.scale;
  params.sequences = std::span(&sequence, 1);
  return session.backend->Attention(params);
}

}  // namespace
}  // namespace sparsed::bench

#define SPARSED_EXPORT extern "C" __attribute__((visibility("default")))

using sparsed::bench::Session;

SPARSED_EXPORT Session* sparsed_open() { return new Session; }

SPARSED_EXPORT int sparsed_start(Session* session, int portable) {
  auto backend = sparsed::kernels::OpenCudaBackend(0, {.portable = portable != 0});
  if (!backend.ok()) return sparsed::bench::Report(*session, backend.status());
  session->backend = std::move(*backend);
  return 0;
}

SPARSED_EXPORT const char* sparsed_message(const Session* session) {
  return session->message.c_str();
}

SPARSED_EXPORT int sparsed_attention(Session* session, const sparsed::bench::Call* call) {
  return sparsed::bench::Report(*session, sparsed::bench::Attention(*session, *call));
}

SPARSED_EXPORT int sparsed_sync(Session* session) {
  return sparsed::bench::Report(*session, session->backend->Sync());
}
