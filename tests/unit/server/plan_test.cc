#include "server/plan.h"

#include "tests/testing/catch.h"

namespace sparsed::server {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// A model of 100 MiB, with steps of 50 MiB and patterns of 1 and 4 MiB, and one device without it.
engine::ModelReport Report() {
  engine::ModelReport report;
  report.info.emplace();
  report.info->family = "llada";
  report.info->max_tokens = 4096;
  engine::DeviceNeeds cpu;
  cpu.device = "cpu";
  cpu.weights = kernels::WeightType::kInt8;
  cpu.weights_bytes = 100 * kMiB;
  cpu.workspace_bytes = 50 * kMiB;
  cpu.patterns = {{1024, kMiB}, {4096, 4 * kMiB}};
  engine::DeviceNeeds cuda;
  cuda.device = "cuda";
  cuda.error = "too small heads";
  report.devices = {cpu, cuda};
  return report;
}

std::string TextOf(const PlanRequest& wanted) {
  return PlanText(wanted, PlanSettings(wanted), Report());
}

// The rest of the line that begins with `name`.
std::string LineOf(const std::string& text, const std::string& name) {
  const size_t at = ("\n" + text).find("\n" + name + "  ");
  if (at == std::string::npos) return "missing";
  const size_t begin = text.find_first_not_of(' ', at + name.size());
  return text.substr(begin, text.find('\n', begin) - begin);
}

}  // namespace

TEST_CASE("plan: settings let all run at once, and the longest have a step") {
  const Config few = PlanSettings({"x", 1000, 3, 0});
  CHECK(few.max_running == 3);
  CHECK(few.max_running_tokens == 3 * 1024);  // a GPU's rows come in 64s
  CHECK(few.max_batch_tokens == 3 * 1024);
  const Config many = PlanSettings({"x", 1024, 100, 0});
  CHECK(many.max_running_tokens == 102400);
  CHECK(many.max_batch_tokens == Config().max_batch_tokens);
  CHECK(PlanSettings({"x", 65536, 2, 0}).max_batch_tokens == 65536);
  CHECK(PlanSettings({"x", 2, 1, 0}).max_batch_tokens == 64);
}

TEST_CASE("plan: the memory of weights, steps and all patterns") {
  const std::string text = TextOf({"models/x", 4096, 3, 0});
  CHECK(LineOf(text, "model") == "models/x: llada, context 4096 tokens");
  CHECK(LineOf(text, "settings") ==
        "--max-running 3 --max-running-tokens 12288 --max-batch-tokens 12288 --max-mask-cache-mib "
        "12");
  CHECK(LineOf(text, "memory on cpu, int8 weights") ==
        "162.0 MiB: weights 100.0 MiB, steps of up to 12288 tokens 50.0 MiB, patterns 12.0 MiB");
  CHECK(LineOf(text, "memory on cuda") == "cannot be served there: too small heads");
  CHECK(text.find("\nin ") == std::string::npos);
}

TEST_CASE("plan: how many of each length fit, to the byte") {
  CHECK(LineOf(TextOf({"x", 4096, 1, 158}), "in 158 MiB") ==
        "8 of 1024 tokens, or 2 of 4096 tokens");
  CHECK(LineOf(TextOf({"x", 4096, 1, 157}), "in 157 MiB") ==
        "7 of 1024 tokens, or 1 of 4096 tokens");
  CHECK(LineOf(TextOf({"x", 4096, 1, 150}), "in 150 MiB") ==
        "0 of 1024 tokens, or 0 of 4096 tokens");
  CHECK(LineOf(TextOf({"x", 4096, 1, 149}), "in 149 MiB") == "does not fit: 1.0 MiB too little");
  // As many as one server runs at once, however much memory there is.
  CHECK(LineOf(TextOf({"x", 4096, 1, 1 << 20}), "in 1048576 MiB") ==
        "4096 of 1024 tokens, or 4096 of 4096 tokens");
}

}  // namespace sparsed::server
