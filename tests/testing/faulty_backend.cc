#include "tests/testing/faulty_backend.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace sparsed::testing {
namespace {

void Tell(const Fault& fault) {
  std::fprintf(stderr, "{\"event\":\"fault\",\"fault\":\"%s\"}\n", fault.text.c_str());
}

}  // namespace

absl::StatusOr<Fault> ParseFault(const std::string& text) {
  using Kind = Fault::Kind;
  static const std::map<std::string, std::pair<Kind, size_t>> kinds = {
      {"alloc", {Kind::kAlloc, 1}}, {"operation", {Kind::kOperation, 2}},
      {"sync", {Kind::kSync, 2}},   {"nan", {Kind::kNan, 2}},
      {"slow", {Kind::kSlow, 3}},
  };
  constexpr char kHold[] = "hold:";
  if (absl::StartsWith(text, kHold)) {
    Fault fault;
    fault.kind = Kind::kHold;
    fault.text = text;
    fault.path = text.substr(std::strlen(kHold));
    return fault;
  }
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  const auto kind = kinds.find(parts[0]);
  std::vector<uint64_t> numbers(parts.size() - 1);
  bool good = kind != kinds.end() && numbers.size() == kind->second.second;
  for (size_t i = 0; good && i < numbers.size(); ++i) {
    good = absl::SimpleAtoi(parts[i + 1], &numbers[i]);
  }
  if (!good) return absl::InvalidArgumentError(absl::StrCat("no fault: '", text, "'"));
  Fault fault;
  fault.kind = kind->second.first;
  fault.text = text;
  if (fault.kind == Kind::kAlloc) {
    fault.nth = numbers[0];
    return fault;
  }
  fault.seed = numbers[0];
  fault.step = numbers[1];
  if (fault.kind == Kind::kSlow) fault.delay = std::chrono::milliseconds(numbers[2]);
  return fault;
}

absl::StatusOr<std::unique_ptr<kernels::LinearWeight>> FaultyBackend::PackLinear(
    std::span<const kernels::HostMatrix> parts, std::span<const float> bias) {
  const auto fault = std::find_if(faults_.begin(), faults_.end(), [](const Fault& each) {
    return each.kind == Fault::Kind::kHold;
  });
  if (fault != faults_.end()) {
    Tell(*fault);
    while (std::filesystem::exists(fault->path)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    faults_.erase(fault);
  }
  return inner().PackLinear(parts, bias);
}

absl::StatusOr<kernels::Buffer> FaultyBackend::Alloc(size_t bytes) {
  if (warm_) ++allocs_;
  const auto fault = std::find_if(faults_.begin(), faults_.end(), [this](const Fault& each) {
    return each.kind == Fault::Kind::kAlloc && warm_ && each.nth == allocs_;
  });
  if (fault == faults_.end()) return inner().Alloc(bytes);
  Tell(*fault);
  faults_.erase(fault);
  return absl::ResourceExhaustedError(absl::StrCat("made to fail: ", bytes, " bytes asked for"));
}

absl::Status FaultyBackend::CopyOut(void* host_dst, const void* device_src, size_t bytes) {
  if (copy_out_fails_) return absl::InternalError("made to fail: at or before CopyOut");
  return inner().CopyOut(host_dst, device_src, bytes);
}

absl::Status FaultyBackend::SampleRows(kernels::TensorView logits,
                                       std::span<const kernels::SampleRow> rows,
                                       const kernels::SampleResults& results) {
  for (const kernels::SampleRow& row : rows) {
    const auto fault = std::find_if(faults_.begin(), faults_.end(), [&row](const Fault& each) {
      const bool of_request = each.kind != Fault::Kind::kAlloc && each.kind != Fault::Kind::kHold;
      return of_request && each.seed == row.seed && each.step == row.step;
    });
    if (fault == faults_.end()) continue;
    Fault happening = *fault;
    faults_.erase(fault);
    // From here: whoever reads of it may stop the process before the step has slept at all.
    happening.end = std::chrono::steady_clock::now() + happening.delay;
    Tell(happening);
    if (absl::Status status = Happen(happening, logits, row); !status.ok()) return status;
  }
  warm_ = true;
  return inner().SampleRows(logits, rows, results);
}

absl::Status FaultyBackend::Happen(const Fault& fault, const kernels::TensorView& logits,
                                   const kernels::SampleRow& row) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  switch (fault.kind) {
    case Fault::Kind::kHold:
    case Fault::Kind::kAlloc:
      break;
    case Fault::Kind::kOperation:
      return absl::InternalError("made to fail: SampleRows");
    case Fault::Kind::kSync:
      copy_out_fails_ = true;
      break;
    case Fault::Kind::kNan:
      return inner().CopyIn(static_cast<float*>(logits.data) + row.row * logits.stride, &kNan,
                            sizeof(kNan));
    case Fault::Kind::kSlow:
      while (std::chrono::steady_clock::now() < fault.end) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      break;
  }
  return absl::OkStatus();
}

}  // namespace sparsed::testing
