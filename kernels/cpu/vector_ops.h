// The inner loops that are compiled once per instruction set: plain C-like structs and function
// pointers only. Nothing here has an inline function, so that no code of a wider instruction set
// can be merged by the linker into a translation unit that runs everywhere.
// Next: vector_kernels.inc (the one source), isa.h (which of them this processor runs).
#pragma once

#include <cstdint>

namespace sparsed::kernels {

// Attention walks tiles of kQueryRows queries over panels of kPanelKeys keys. Every block size is a
// multiple of both.
inline constexpr int kPanelKeys = 32;
inline constexpr int kQueryRows = 32;

// A panel holds kPanelKeys keys [kPanelKeys, D], then as many values [kPanelKeys, D]; missing keys
// of the last panel are zero.
inline constexpr int kPanelFloatsPerDim = 2 * kPanelKeys;

// Scratch that AttendTile needs, in floats, for any head_dim up to 256.
inline constexpr int kAttendScratchFloats = 2 * 256 * kQueryRows + 4 * kPanelKeys * kQueryRows;

// One query tile of one head over the kept panels, by online softmax.
struct AttendTileArgs {
  const float* q = nullptr;  // [rows, D], rows q_stride apart
  int64_t q_stride = 0;
  float* out = nullptr;  // [rows, D], rows out_stride apart
  int64_t out_stride = 0;
  int rows = 0;  // in [1, kQueryRows]
  int head_dim = 0;
  float scale_log2 = 0;           // of the scores, times log2(e)
  const float* panels = nullptr;  // [num_panels, 2, kPanelKeys, D]
  int64_t num_panels = 0;
  int64_t last_panel_keys = 0;
  const int32_t* kept = nullptr;  // ascending panel numbers; null: all panels
  int64_t num_kept = 0;
  float* scratch = nullptr;  // kAttendScratchFloats, 64-byte aligned
  // For the selection, else null: [num_kept, kQueryRows] each, the running maximum after the panel
  // and the panel's sum of 2^(score - maximum), scores multiplied by select_ratio.
  float* panel_max = nullptr;
  float* panel_sum = nullptr;
  float select_ratio = 1;  // selection scale / scale
};

// Turns what AttendTile left of one query tile into the softmax mass of each panel, summed over the
// rows of the tile.
struct PanelMassArgs {
  const float* panel_max = nullptr;
  float* panel_sum = nullptr;  // overwritten
  int64_t num_panels = 0;
  int64_t first_canvas_panel = 0;
  int rows = 0;
  float* mass = nullptr;         // [num_panels], softmax over all panels
  float* canvas_mass = nullptr;  // [num_panels - first_canvas_panel], over the canvas panels
};

// One panel of kInt8PanelColumns columns times some rows of 8-bit integers, as exact 32-bit sums.
// K counts the elements of a row in groups of 4. A panel is [K / 4, kInt8PanelColumns, 4]; of each
// group of a row the elements come in the order 0, 2, 1, 3, in 16 bits.
inline constexpr int kInt8PanelColumns = 16;

struct Int8PanelArgs {
  const int16_t* x = nullptr;  // [rows, 4 groups], in [0, 255]
  int64_t rows = 0;
  int64_t x_stride = 0;           // between rows, elements
  const int8_t* panel = nullptr;  // in [-127, 127]
  int64_t groups = 0;
  int32_t* sums = nullptr;  // [rows, kInt8PanelColumns]: what is there is added to
  int64_t sums_stride = 0;
};

struct RowMaximum {
  float value;
  int has_nan;
};

struct VectorOps {
  const char* name;
  void (*attend_tile)(const AttendTileArgs& args);
  void (*panel_mass)(const PanelMassArgs& args);
  // out = x * rsqrt(mean(x^2) + eps) * weight, n elements.
  void (*rms_norm)(float* out, const float* x, const float* weight, float eps, int64_t n);
  // out = silu(gate) * up, n elements.
  void (*silu_mul)(float* out, const float* gate, const float* up, int64_t n);
  // Rotates one head in place; cos_sin: D/2 cosines, then D/2 sines.
  void (*rope)(float* head, const float* cos_sin, int64_t head_dim);
  // out = 128 + round(127 x / max |x|), n elements; returns max |x| / 127, NaN where x has a NaN.
  float (*round_to_int8)(uint8_t* out, const float* x, int64_t n);
  void (*multiply_int8)(const Int8PanelArgs& args);
  RowMaximum (*row_max)(const float* x, int64_t n);
  // sum of exp(x - max).
  float (*sum_exp)(const float* x, float max, int64_t n);
};

}  // namespace sparsed::kernels
