// The factory and the memory calls.

#include "kernels/backend.h"

#include <cstdint>
#include <vector>

#include "tests/testing/catch.h"

namespace sparsed::kernels {
namespace {

std::unique_ptr<Backend> Create() {
  auto backend = CreateBackend({.device = "cpu", .threads = 2});
  REQUIRE(backend.ok());
  return *std::move(backend);
}

TEST_CASE("the factory gives what is asked for and says what is wrong else") {
  const BackendInfo info = Create()->Info();
  CHECK(info.device == "cpu");
  CHECK(info.description.find("2 threads") != std::string::npos);
  CHECK(info.memory_total_bytes > 0);
  CHECK(info.activation_dtype == DType::kF32);
  CHECK(CreateBackend({.device = "cuda:999", .threads = 0}).status().code() ==
        absl::StatusCode::kFailedPrecondition);
  for (const char* device : {"tpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x"}) {
    CHECK(CreateBackend({.device = device, .threads = 0}).status().code() ==
          absl::StatusCode::kInvalidArgument);
  }
  CHECK(CreateBackend({.device = "cpu", .threads = -1}).status().code() ==
        absl::StatusCode::kInvalidArgument);
}

TEST_CASE("auto takes a GPU, or the CPU and says why") {
  std::string why;
  const auto backend = CreateBackend({.device = "auto", .threads = 1}, &why);
  REQUIRE(backend.ok());
  CHECK(((*backend)->Info().device == "cpu") == !why.empty());
}

TEST_CASE("buffers are aligned, counted while they live, and copy in and out") {
  const auto backend = Create();
  auto buffer = backend->Alloc(100);
  REQUIRE(buffer.ok());
  CHECK(reinterpret_cast<uintptr_t>(buffer->data()) % 64 == 0);
  CHECK(buffer->bytes() == 100);
  CHECK(backend->Info().allocated_bytes == 100);
  std::vector<char> in(100, 'x');
  std::vector<char> out(100, ' ');
  REQUIRE(backend->CopyIn(buffer->data(), in.data(), 100).ok());
  REQUIRE(backend->CopyOut(out.data(), buffer->data(), 100).ok());
  CHECK(out == in);
  {
    const Buffer moved = *std::move(buffer);
    CHECK(moved.bytes() == 100);
    CHECK(backend->Info().allocated_bytes == 100);
  }
  CHECK(backend->Info().allocated_bytes == 0);
  CHECK(backend->Sync().ok());
}

TEST_CASE("memory that does not exist is refused, none is none") {
  const auto backend = Create();
  CHECK(backend->Alloc(SIZE_MAX - 10).status().code() == absl::StatusCode::kResourceExhausted);
  const auto empty = backend->Alloc(0);
  REQUIRE(empty.ok());
  CHECK(empty->data() == nullptr);
  CHECK(backend->Info().allocated_bytes == 0);
}

TEST_CASE("a measuring backend counts as the real one and computes nothing") {
  CHECK(CreateMeasuringBackend("tpu").status().code() == absl::StatusCode::kInvalidArgument);
  const std::vector<float> weight(100 * 64);
  const HostMatrix part = {weight.data(), DType::kF32, 100, 64};
  const std::vector<float> bias(100, 0.5f);
  const auto real = Create();
  const auto measuring = CreateMeasuringBackend("cpu");
  REQUIRE(measuring.ok());
  for (Backend* backend : {real.get(), measuring->get()}) {
    const auto buffer = backend->Alloc(100);
    REQUIRE(buffer.ok());
    CHECK(buffer->data() != nullptr);
    CHECK(backend->Info().allocated_bytes == 100);
  }
  {
    const auto packed = real->PackLinear(std::span(&part, 1), bias);
    const auto counted = (*measuring)->PackLinear(std::span(&part, 1), bias);
    REQUIRE(packed.ok());
    REQUIRE(counted.ok());
    CHECK((*counted)->out_features == 100);
    CHECK((*measuring)->Info().allocated_bytes == real->Info().allocated_bytes);
  }
  CHECK((*measuring)->Info().allocated_bytes == 0);
  char out = 0;
  CHECK((*measuring)->CopyOut(&out, &out, 1).code() == absl::StatusCode::kInternal);

  const auto cuda = CreateMeasuringBackend("cuda");
  REQUIRE(cuda.ok());
  CHECK((*cuda)->Info().activation_dtype == DType::kBF16);
  CHECK((*cuda)->Info().has_experts);
  const uint64_t own = (*cuda)->Info().allocated_bytes;
  const auto counted = (*cuda)->PackLinear(std::span(&part, 1), bias);
  REQUIRE(counted.ok());
  CHECK((*cuda)->Info().allocated_bytes == own + 2 * 100 * 64 + 2 * 100);
  const HostMatrix odd = {weight.data(), DType::kF32, 100, 63};
  CHECK((*cuda)->PackLinear(std::span(&odd, 1), {}).status().code() ==
        absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sparsed::kernels
