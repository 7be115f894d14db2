#include "engine/mask_cache.h"

#include <cstring>
#include <utility>

#include "tests/testing/catch.h"
#include "tests/testing/fake_backend.h"

namespace sparsed::engine {

TEST_CASE("Mask bytes: 64-bit words, passes x layers x heads x rows") {
  // LLaDA-8B at 65,536 tokens, B = 128: 512 blocks are 8 words a row.
  REQUIRE(MaskCache::BytesFor({1, 32, 32, 512, 128}) == 32LL * 32 * 512 * 8 * 8);
  REQUIRE(MaskCache::BytesFor({2, 32, 32, 512, 128}) == 2 * 32LL * 32 * 512 * 8 * 8);
  REQUIRE(MaskCache::BytesFor({1, 8, 6, 64, 32}) == 8 * 6 * 64 * 8);   // one word
  REQUIRE(MaskCache::BytesFor({1, 8, 6, 65, 32}) == 8 * 6 * 65 * 16);  // two words
  REQUIRE(MaskCache::BytesFor({1, 1, 1, 1, 32}) == 8);
}

TEST_CASE("A cache holds exactly its bytes and frees them") {
  testing::FakeBackend backend;
  const MaskCache::Shape shape = {2, 3, 4, 70, 32};
  {
    auto cache = MaskCache::Create(backend, shape);
    REQUIRE(cache.ok());
    REQUIRE(cache->bytes() == MaskCache::BytesFor(shape));
    REQUIRE(backend.Info().allocated_bytes == static_cast<uint64_t>(cache->bytes()));
    const MaskCache moved = std::move(cache).value();
    REQUIRE(backend.Info().allocated_bytes == static_cast<uint64_t>(moved.bytes()));
  }
  REQUIRE(backend.Info().allocated_bytes == 0);
}

TEST_CASE("Layers of all passes lie one after the other without overlap") {
  testing::FakeBackend backend;
  auto cache = MaskCache::Create(backend, {2, 3, 4, 70, 32});
  REQUIRE(cache.ok());
  const uint64_t* expected = cache->Layer(0, 0).bits;
  for (int32_t pass = 0; pass < 2; ++pass) {
    REQUIRE(cache->Layers(pass).size() == 3);
    for (int32_t layer = 0; layer < 3; ++layer) {
      const kernels::BlockMaskView view = cache->Layer(pass, layer);
      REQUIRE(view.bits == expected);
      REQUIRE(view.num_heads == 4);
      REQUIRE(view.num_blocks == 70);
      REQUIRE(view.block_size == 32);
      expected += view.Bytes() / 8;
    }
  }
}

TEST_CASE("Kept tiles are counted over all passes, layers and heads") {
  testing::FakeBackend backend;
  auto cache = MaskCache::Create(backend, {2, 1, 2, 10, 32});
  REQUIRE(cache.ok());
  REQUIRE(cache->num_tiles() == 400);
  int64_t kept = -1;
  std::memset(cache->Layer(0, 0).bits, 0, cache->bytes());
  REQUIRE(cache->CountKept(backend, &kept).ok());
  REQUIRE(kept == 0);
  cache->Layer(0, 0).Row(1, 9)[0] = 0x3ff;  // 10 tiles
  cache->Layer(1, 0).Row(0, 0)[0] = 0x201;  // 2 tiles
  REQUIRE(cache->CountKept(backend, &kept).ok());
  REQUIRE(kept == 12);
  backend.FailCall(0);
  REQUIRE(cache->CountKept(backend, &kept).code() == absl::StatusCode::kInternal);
}

TEST_CASE("A cache that does not fit is refused") {
  testing::FakeBackendOptions options;
  options.memory_bytes = 1000;
  testing::FakeBackend backend(options);
  REQUIRE(MaskCache::Create(backend, {1, 8, 6, 64, 32}).status().code() ==
          absl::StatusCode::kResourceExhausted);
}

}  // namespace sparsed::engine
