// Shared memory of the Hopper attention kernel: where its rings and barriers lie, and a position in
// a ring. Device code only.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/cuda/selection.cuh"

namespace sparsed::kernels::cuda {

constexpr int kStages = 2;
constexpr int kGroups = 2;       // consumer warpgroups
constexpr int kBoxColumns = 64;  // bf16 columns of a box: 128 bytes
constexpr int kBoxBytes = AttentionMaps::kKeyRows * kBoxColumns * 2;
constexpr int kQueryBoxBytes = AttentionMaps::kQueryRows * kBoxColumns * 2;
constexpr int kSelectFloats = 8192;  // importances of an item's query blocks

template <int kHeadDim, bool kSelect>
struct Layout {
  static constexpr int kBoxes = kHeadDim / kBoxColumns;
  static constexpr int kTileBytes = kBoxes * kBoxBytes;
  static constexpr int kQueryBytes = kBoxes * kQueryBoxBytes;  // of a warpgroup
  static constexpr int kQuery = 0;  // an item's output leaves through the place of its queries
  static constexpr int kKey = kQuery + kStages * kGroups * kQueryBytes;
  static constexpr int kValue = kKey + kStages * kTileBytes;
  static constexpr int kSelection = kValue + kStages * kTileBytes;
  static constexpr int kBarriers = kSelection + (kSelect ? (kItemRows + kSelectFloats) * 4 : 0);
  static constexpr int kTileInfo = kBarriers + 8 * (2 * kGroups + 6) * kStages;
  // 1024: the base is aligned by hand.
  static constexpr int kBytes = kTileInfo + 4 * kStages + 1024;
};

// Addresses of the barriers. Full: what is waited for is there; empty: all who read it are done.
struct Barriers {
  uint32_t base;
  __device__ uint32_t KeyFull(int stage) const { return base + 32 * stage; }
  __device__ uint32_t KeyEmpty(int stage) const { return base + 32 * stage + 8; }
  __device__ uint32_t ValueFull(int stage) const { return base + 32 * stage + 16; }
  __device__ uint32_t ValueEmpty(int stage) const { return base + 32 * stage + 24; }
  __device__ uint32_t MassFull(int buffer) const { return base + 64 + 16 * buffer; }
  __device__ uint32_t MassEmpty(int buffer) const { return base + 64 + 16 * buffer + 8; }
  __device__ uint32_t QueryFull(int stage, int group) const {
    return base + 96 + 32 * stage + 16 * group;
  }
  __device__ uint32_t QueryEmpty(int stage, int group) const { return QueryFull(stage, group) + 8; }
};

// Position in a ring: the stage and the parity of the round.
struct Ring {
  int stage = 0;
  uint32_t parity = 0;
  __device__ void Advance(int stages = kStages) {
    stage += 1;
    if (stage == stages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

}  // namespace sparsed::kernels::cuda
