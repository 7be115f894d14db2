#include "engine/model_report.h"

#include <string>
#include <utility>
#include <vector>

#include "engine/model_folder.h"
#include "tests/testing/catch.h"
#include "tests/testing/forwarding_backend.h"
#include "tests/unit/engine/nano_folder.h"

namespace sparsed::engine {
namespace {

using testing::NanoFolder;

const EngineOptions kOptions = {.max_batch_tokens = 2048};

TEST_CASE("nano is described without its weights") {
  const ModelReport report = CheckModelFolder(testing::NanoPath(), kOptions);
  REQUIRE(report.problems.empty());
  REQUIRE(report.architectures == std::vector<std::string>{"LLaDAModelLM"});
  REQUIRE(report.info->family == "llada");
  REQUIRE(report.info->parameters == 17308032);
  REQUIRE(report.tokenizer == "BPE from tokenizer.json, 6 added tokens");
  REQUIRE(report.tokenizer_ids == 4096);
  REQUIRE(report.mask_token.id == 5);
  REQUIRE(report.mask_token.text == "<|mdm_mask|>");
  REQUIRE(report.end_tokens.size() == 2);
  REQUIRE(report.end_tokens[1].id == 4);
  REQUIRE(report.end_tokens[1].text == "<|eot_id|>");
  REQUIRE(report.has_chat_template);
  REQUIRE(report.tensors_found == 75);
  REQUIRE(report.tensor_bytes == 2 * 17308032);
  REQUIRE(report.tensor_dtype == "bf16");
  REQUIRE(report.missing_tensors.empty());
  REQUIRE(report.extra_tensors.empty());
  REQUIRE(report.devices.size() == 3);
}

TEST_CASE("the memory that is told is the memory that is taken") {
  const ModelReport report = CheckModelFolder(testing::NanoPath(), kOptions);
  const DeviceNeeds& needs = report.devices[GENERATE(0, 1)];
  REQUIRE(needs.device == "cpu");
  auto backend = kernels::CreateBackend({.device = "cpu", .threads = 1, .weights = needs.weights});
  REQUIRE(backend.ok());
  auto folder = LoadModelFolder(testing::NanoPath(), **backend, {});
  REQUIRE(folder.ok());
  REQUIRE((*backend)->Info().allocated_bytes == needs.weights_bytes);
  const auto engine = Engine::Create(*std::move(backend), std::move(folder->model), kOptions);
  REQUIRE(engine.ok());
  REQUIRE((*engine)->backend_info().allocated_bytes == needs.weights_bytes + needs.workspace_bytes);

  REQUIRE(needs.patterns.size() == 3);
  const std::pair<int32_t, uint64_t>& first = needs.patterns.front();
  REQUIRE(first.first == 1024);
  REQUIRE(needs.patterns.back().first == 8192);  // the context
  Request request = MakeRequest(std::vector<int32_t>(1000), 24, 5);
  request.sampling.steps = request.sampling.block_length = 24;
  request.sparse.mode = SparseMode::kSparseD;
  const auto id = (*engine)->Start(request);
  REQUIRE(id.ok());
  REQUIRE((*engine)->mask_cache_bytes() == static_cast<int64_t>(first.second));
  (*engine)->Remove(*id);
}

TEST_CASE("patterns are told up to the longest request") {
  const ModelReport report = CheckModelFolder(testing::NanoPath(), kOptions, 3000);
  for (const DeviceNeeds& needs : report.devices) {
    REQUIRE(needs.patterns.size() == 2);
    REQUIRE(needs.patterns[0].first == 1024);
    REQUIRE(needs.patterns[1].first == 3000);
    REQUIRE(needs.patterns[1].second > needs.patterns[0].second);
  }
}

TEST_CASE("int8 weights are counted as such") {
  const ModelReport report = CheckModelFolder(testing::NanoPath(), kOptions);
  const DeviceNeeds& full = report.devices[0];
  const DeviceNeeds& rounded = report.devices[1];
  REQUIRE(full.weights == kernels::WeightType::kFull);
  REQUIRE(rounded.weights == kernels::WeightType::kInt8);
  REQUIRE(rounded.workspace_bytes == full.workspace_bytes);
  // All but norms and embedding, at 4 bytes and at 1, and 8 bytes for each output.
  constexpr uint64_t kLinear = 17308032 - 17 * 384 - 4096 * 384;
  constexpr uint64_t kOutputs = 4096 + 8 * (3 * 384 + 384 + 2 * 1024 + 384);
  REQUIRE(full.weights_bytes - rounded.weights_bytes == 3 * kLinear - 8 * kOutputs);
}

TEST_CASE("a GPU's needs are in bf16, and counted without one") {
  const DeviceNeeds needs = CheckModelFolder(testing::NanoPath(), kOptions).devices[2];
  REQUIRE(needs.device == "cuda");
  REQUIRE(needs.error.empty());
  // Weights and embedding as they are stored; norms and the table of angles are float32.
  constexpr uint64_t kNorms = 17 * 384;
  constexpr uint64_t kAngles = 8192 * 64;
  REQUIRE(needs.weights_bytes == 2 * (17308032 - kNorms) + 4 * (kNorms + kAngles));
  REQUIRE(needs.workspace_bytes > (64u << 20) + (160u << 20));
}

TEST_CASE("a model with experts is counted for a GPU to the byte") {
  auto backend = kernels::CreateMeasuringBackend("cuda");
  REQUIRE(backend.ok());
  const uint64_t own = (*backend)->Info().allocated_bytes;
  auto model = MakeSyntheticModel("tiny-llada-moe", 1, **backend);
  REQUIRE(model.ok());
  const ModelInfo& info = (*model)->info();
  const uint64_t weights = (*backend)->Info().allocated_bytes - own;
  const uint64_t norms =
      info.num_layers * (2 * info.hidden_size + 2 * info.head_dim) + info.hidden_size;
  const uint64_t angles = info.max_tokens * info.head_dim;
  REQUIRE(weights == 2 * (info.parameters - norms) + 4 * (norms + angles));
}

// Counts the weights that are never held in 8 bits.
class KeepCountingBackend : public testing::ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  absl::StatusOr<std::unique_ptr<kernels::LinearWeight>> PackLinear(
      std::span<const kernels::HostMatrix> parts, std::span<const float> bias) override {
    if (parts[0].keep_full) ++kept;
    return ForwardingBackend::PackLinear(parts, bias);
  }
  int kept = 0;
};

TEST_CASE("routers alone are kept from 8 bits") {
  for (const auto& [shape, routers] : {std::pair{"tiny", 0}, std::pair{"tiny-llada-moe", 2}}) {
    CAPTURE(shape);
    KeepCountingBackend backend(*kernels::CreateMeasuringBackend("cpu"));
    REQUIRE(MakeSyntheticModel(shape, 1, backend).ok());
    REQUIRE(backend.kept == routers);
  }
}

struct Damage {
  std::string file;
  std::string from;
  std::string to;
  std::vector<std::string> problems;  // each a part of one, in their order
};

TEST_CASE("every damage is a problem, and LoadModelFolder fails with the first") {
  const Damage cases[] = {
      {"config.json", "LLaDAModelLM\"\n", "OtherModel\"\n", {"/config.json: architectures is"}},
      {"config.json",
       "\"n_layers\": 8",
       "\"n_layers\": 9",
       {": 9 tensors are missing, the first is model.transformer.blocks.8.attn_norm.weight"}},
      {"config.json",
       "\"n_layers\": 8",
       "\"n_layers\": 7",
       {": 9 tensors are not part of the model, the first is "
        "model.transformer.blocks.7.attn_norm"}},
      {"config.json",
       "\"embedding_size\": 4096",
       "\"embedding_size\": 5000",
       {"tensor \"model.transformer.ff_out.weight\": has shape [4096, 384], wanted is [5000, 384]",
        "tensor \"model.transformer.wte.weight\": has shape [4096, 384], wanted is [5000, 384]"}},
      {"config.json", "\"vocab_size\": 4096", "\"vocab_size\": 4000", {}},
      {"tokenizer.json", "\"BPE\"", "\"Unigram\"", {"/tokenizer.json: model.type: \"Unigram\""}},
      {"tokenizer_config.json",
       "{% for",
       "{% macro",
       {": chat template line 1: the tag macro is not implemented"}},
      {"tokenizer_config.json",
       "\"bos_token\":",
       "\"bos_token\"",
       {"/tokenizer_config.json: not JSON", "/tokenizer_config.json: not JSON"}},
      {"model.safetensors.index.json",
       "model-00001-of-00003",
       "model-00009-of-00003",
       {"/model-00001-of-00003.safetensors: holds tensor"}}};
  for (const Damage& item : cases) {
    INFO(item.file << ": " << item.to);
    const NanoFolder folder(item.file, item.from, item.to);
    const ModelReport report = CheckModelFolder(folder.dir(), kOptions);
    for (const std::string& problem : report.problems) UNSCOPED_INFO(problem);
    REQUIRE(report.problems.size() == item.problems.size());
    for (size_t i = 0; i < item.problems.size(); ++i) {
      REQUIRE(report.problems[i].find(folder.dir()) == 0);
      REQUIRE(report.problems[i].find(item.problems[i]) != std::string::npos);
    }
    auto backend = kernels::CreateMeasuringBackend("cpu");
    REQUIRE(backend.ok());
    REQUIRE(LoadModelFolder(folder.dir(), **backend, {}).ok() == item.problems.empty());
  }
}

TEST_CASE("what is not damaged is still described") {
  const NanoFolder folder("config.json", "\"n_layers\": 8", "\"n_layers\": 9");
  folder.Write("tokenizer.json", "{");
  const ModelReport report = CheckModelFolder(folder.dir(), kOptions);
  REQUIRE(report.problems.size() == 2);
  REQUIRE(report.missing_tensors.size() == 9);
  REQUIRE(report.tensors_found == 75);
  REQUIRE(report.has_chat_template);
  REQUIRE(report.mask_token.text.empty());
  REQUIRE(report.devices[0].weights_bytes > 0);  // of the model as it should be

  folder.Remove("model.safetensors.index.json");
  folder.Remove("chat_template.jinja");
  const ModelReport bare = CheckModelFolder(folder.dir(), kOptions);
  REQUIRE(bare.problems.size() == 2);
  REQUIRE(bare.problems[1].find("has neither model.safetensors nor") != std::string::npos);
  REQUIRE(bare.devices.empty());
  REQUIRE(bare.info->num_layers == 9);
}

TEST_CASE("a folder that is not there has every problem") {
  const ModelReport report = CheckModelFolder("/nowhere", kOptions);
  REQUIRE(report.problems.size() == 3);  // config.json, tokenizer, weights
  REQUIRE_FALSE(report.info.has_value());
  REQUIRE(report.devices.empty());
}

}  // namespace
}  // namespace sparsed::engine
