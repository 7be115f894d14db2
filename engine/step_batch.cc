#include "engine/step_batch.h"

#include <algorithm>

#include "engine/sampler.h"
#include "engine/workspace.h"

namespace sparsed::engine {
namespace {

void Clear(StepBatch& batch) {
  batch.ids.clear();
  batch.positions.clear();
  batch.passes.clear();
  batch.head_rows.clear();
  batch.ranges.clear();
  batch.query_rows.clear();
  batch.query_positions.clear();
  batch.head_query_rows.clear();
  batch.num_query_rows = 0;
  batch.samples.clear();
  batch.canvas_indices.clear();
  batch.chunks.clear();
  batch.groups.clear();
  batch.entries.clear();
  batch.num_chosen = 0;
  batch.has_targets = false;
}

kernels::AttentionMode ModeOf(StepKind kind) {
  switch (kind) {
    case StepKind::kFull:
      return kernels::AttentionMode::kFull;
    case StepKind::kSelect:
      return kernels::AttentionMode::kFullSelect;
    case StepKind::kSparse:
      return kernels::AttentionMode::kSparse;
  }
  return kernels::AttentionMode::kFull;
}

void PackPass(Sequence& sequence, StepKind kind, int32_t pass, const ModelInfo& model,
              int32_t row_alignment, StepBatch& batch) {
  const int64_t num_tokens = static_cast<int64_t>(sequence.ids.size());
  PassPlan plan;
  plan.first_row = AlignedRows(static_cast<int64_t>(batch.ids.size()), row_alignment);
  plan.num_tokens = num_tokens;
  plan.mode = ModeOf(kind);
  if (kind != StepKind::kFull) plan.masks = sequence.masks->Layers(pass);
  if (kind == StepKind::kSelect) plan.selection = SelectionOf(sequence.plan);
  const bool own_counts = pass == 0 && sequence.UsesHeadCountsNext();
  const int32_t* head_counts = own_counts ? sequence.mass_budgets->device_counts() : nullptr;
  if (kind == StepKind::kSelect) plan.head_counts = head_counts;
  if (pass == 0 && sequence.InspectsNext()) {
    plan.inspection = sequence.inspection->Probe();
    plan.inspection.head_counts = head_counts;
  }
  if (pass == 0 && sequence.EstimatesNext()) {
    plan.recall = sequence.recall_monitor->Probe(sequence.request, sequence.next_step);
  }
  if (pass == 0 && sequence.MeasuresNext()) {
    plan.budgets = sequence.mass_budgets->Probe(sequence.request, sequence.next_step);
  }
  batch.passes.push_back(plan);

  // Any valid id will do for the rows of a gap: nothing reads them.
  batch.ids.resize(plan.first_row, model.mask_token_id);
  batch.positions.resize(plan.first_row, 0);
  if (pass == 0) {
    batch.ids.insert(batch.ids.end(), sequence.ids.begin(), sequence.ids.end());
  } else {
    batch.ids.resize(plan.first_row + num_tokens, model.mask_token_id);
    for (const int32_t position : sequence.request.canvas) {
      batch.ids[plan.first_row + position] = sequence.ids[position];
    }
  }
  for (int64_t i = 0; i < num_tokens; ++i) batch.positions.push_back(static_cast<int32_t>(i));
}

// The rows of one candidate are never split between two chunks: guidance combines them.
LogitChunk& ChunkFor(int32_t head_rows, StepBatch& batch) {
  if (batch.chunks.empty() ||
      batch.chunks.back().num_head_rows + head_rows > Workspace::kLogitRows) {
    LogitChunk chunk;
    chunk.first_head_row = static_cast<int32_t>(batch.head_rows.size());
    chunk.first_sample = static_cast<int32_t>(batch.samples.size());
    batch.chunks.push_back(chunk);
  }
  return batch.chunks.back();
}

void AddCandidate(const Sequence& sequence, const ModelInfo& model, int32_t canvas_index,
                  size_t first_pass, StepBatch& batch) {
  const int32_t num_passes = sequence.num_passes();
  LogitChunk& chunk = ChunkFor(num_passes, batch);
  kernels::SampleRow sample = SampleRowFor(sequence, model, canvas_index);
  sample.row = chunk.num_head_rows;
  if (num_passes == 2) sample.uncond_row = chunk.num_head_rows + 1;
  const int32_t asked = sequence.request.canvas[canvas_index] - (model.predicts_next ? 1 : 0);
  for (int32_t pass = 0; pass < num_passes; ++pass) {
    batch.head_rows.push_back(static_cast<int32_t>(batch.passes[first_pass + pass].first_row) +
                              asked);
  }
  batch.samples.push_back(sample);
  batch.has_targets = batch.has_targets || sample.target_token >= 0;
  batch.canvas_indices.push_back(canvas_index);
  chunk.num_head_rows += num_passes;
  chunk.num_samples += 1;
}

// The tiles of a pass that hold head rows, as few ranges as they make. Head rows ascend.
void AddRanges(const BatchEntry& entry, int32_t pass, StepBatch& batch) {
  constexpr int64_t kTile = kernels::kQueryTileTokens;
  const int32_t num_passes = entry.sequence->num_passes();
  PassPlan& plan = batch.passes[entry.first_pass + pass];
  plan.first_range = static_cast<int32_t>(batch.ranges.size());
  int64_t end = 0;  // of the last range
  for (int32_t sample = 0; sample < entry.num_samples; ++sample) {
    const int32_t head_row = entry.first_head_row + sample * num_passes + pass;
    const int64_t first = (batch.head_rows[head_row] - plan.first_row) / kTile * kTile;
    if (first < end) continue;
    const bool adjacent = plan.num_ranges > 0 && first == end;
    end = std::min(first + kTile, plan.num_tokens);
    if (adjacent) {
      batch.ranges.back().num_tokens = end - batch.ranges.back().first_token;
    } else {
      batch.ranges.push_back({first, end - first, 0});
      ++plan.num_ranges;
    }
  }
}

int32_t CountMasked(const Sequence& sequence, int32_t mask_token_id) {
  const std::vector<int32_t>& canvas = sequence.request.canvas;
  return static_cast<int32_t>(std::count_if(canvas.begin(), canvas.end(), [&](int32_t position) {
    return sequence.ids[position] == mask_token_id;
  }));
}

void AddSequence(SequenceId id, Sequence& sequence, const ModelInfo& model, int32_t row_alignment,
                 StepBatch& batch) {
  BatchEntry entry;
  entry.id = id;
  entry.sequence = &sequence;
  entry.kind = sequence.NextKind();
  entry.step = PlanDecodingStep(sequence.request.sampling, sequence.gen_length(),
                                sequence.schedule_step, CountMasked(sequence, model.mask_token_id));

  entry.first_pass = static_cast<int32_t>(batch.passes.size());
  entry.first_head_row = static_cast<int32_t>(batch.head_rows.size());
  for (int32_t pass = 0; pass < sequence.num_passes(); ++pass) {
    PackPass(sequence, entry.kind, pass, model, row_alignment, batch);
  }

  entry.first_sample = static_cast<int32_t>(batch.samples.size());
  for (int32_t i = 0; i < entry.step.block_end; ++i) {
    const bool masked = sequence.ids[sequence.request.canvas[i]] == model.mask_token_id;
    if (masked && Competes(sequence, i)) AddCandidate(sequence, model, i, entry.first_pass, batch);
  }
  entry.num_samples = static_cast<int32_t>(batch.samples.size()) - entry.first_sample;
  entry.first_chosen = batch.num_chosen;
  entry.num_chosen = std::min(entry.step.commits, entry.num_samples);
  batch.num_chosen += entry.num_chosen;
  batch.groups.push_back(
      CommitGroupFor(sequence, entry.first_sample, entry.num_samples, entry.num_chosen));
  for (int32_t pass = 0; pass < sequence.num_passes(); ++pass) AddRanges(entry, pass, batch);
  batch.entries.push_back(entry);
}

// Places the query rows, range by range, and says where each head row is among them.
void PlaceQueries(int32_t row_alignment, bool all_rows, StepBatch& batch) {
  batch.num_query_rows = all_rows ? static_cast<int64_t>(batch.ids.size()) : 0;
  batch.head_query_rows.resize(batch.head_rows.size());
  for (const BatchEntry& entry : batch.entries) {
    const int32_t num_passes = entry.sequence->num_passes();
    for (int32_t pass = 0; pass < num_passes; ++pass) {
      const PassPlan& plan = batch.passes[entry.first_pass + pass];
      int32_t sample = 0;
      for (int32_t r = 0; r < plan.num_ranges; ++r) {
        kernels::QueryRange& range = batch.ranges[plan.first_range + r];
        const int64_t first_packed = plan.first_row + range.first_token;
        if (all_rows) {
          range.first_row = first_packed;
        } else {
          range.first_row = AlignedRows(batch.num_query_rows, row_alignment);
          batch.num_query_rows = range.first_row + range.num_tokens;
          // Any packed row will do for the rows of a gap: nothing reads what becomes of them.
          batch.query_rows.resize(range.first_row, 0);
          batch.query_positions.resize(range.first_row, 0);
          for (int64_t i = 0; i < range.num_tokens; ++i) {
            batch.query_rows.push_back(static_cast<int32_t>(first_packed + i));
            batch.query_positions.push_back(static_cast<int32_t>(range.first_token + i));
          }
        }
        for (; sample < entry.num_samples; ++sample) {
          const int32_t head_row = entry.first_head_row + sample * num_passes + pass;
          const int64_t offset = batch.head_rows[head_row] - first_packed;
          if (offset >= range.num_tokens) break;
          batch.head_query_rows[head_row] = static_cast<int32_t>(range.first_row + offset);
        }
      }
    }
  }
}

}  // namespace

int64_t AlignedRows(int64_t num_tokens, int32_t row_alignment) {
  return (num_tokens + row_alignment - 1) / row_alignment * row_alignment;
}

void BuildStepBatch(std::map<SequenceId, Sequence>& sequences, const ModelInfo& model,
                    int32_t row_alignment, StepBatch& batch, std::span<const SequenceId> chosen) {
  Clear(batch);
  bool selects = false;
  for (auto& [id, sequence] : sequences) {
    const bool wanted = chosen.empty() || std::binary_search(chosen.begin(), chosen.end(), id);
    if (!wanted || sequence.finished) continue;
    AddSequence(id, sequence, model, row_alignment, batch);
    selects = selects || batch.entries.back().kind == StepKind::kSelect ||
              sequence.InspectsNext() || sequence.EstimatesNext() || sequence.MeasuresNext();
  }
  PlaceQueries(row_alignment, selects, batch);
}

}  // namespace sparsed::engine
