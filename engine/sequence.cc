#include "engine/sequence.h"

#include "engine/decoding_schedule.h"

namespace sparsed::engine {

Sequence Sequence::FromRequest(const Request& request, const ModelInfo& model) {
  Sequence sequence;
  sequence.request = request;
  sequence.plan = PlanSparse(request, model);
  sequence.ids = request.ids;
  sequence.confidences.resize(request.canvas.size(), 0);
  sequence.commit_steps.resize(request.canvas.size(), -1);
  return sequence;
}

std::vector<int32_t> Sequence::CanvasIds(const ModelInfo& model) const {
  int32_t computed = gen_length();
  if (finished && next_step > 0 && next_step < request.sampling.steps) {
    computed =
        PlanDecodingStep(request.sampling, gen_length(), next_step - 1, /*masked=*/0).block_end;
  }
  std::vector<int32_t> canvas(gen_length());
  for (int32_t i = 0; i < gen_length(); ++i) {
    canvas[i] = i < computed ? ids[request.canvas[i]] : model.end_token_ids.front();
  }
  return canvas;
}

}  // namespace sparsed::engine
