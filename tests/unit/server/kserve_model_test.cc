#include "server/kserve_model.h"

#include "tests/testing/catch.h"

namespace sparsed::server {

TEST_CASE("kserve: configuration and metadata name the same tensors") {
  const inference::ModelMetadataResponse metadata = InferMetadata("nano");
  const inference::ModelConfig config = InferConfig("nano");
  CHECK(config.name() == metadata.name());
  CHECK(config.platform() == metadata.platform());
  REQUIRE(config.input_size() == metadata.inputs_size());
  for (int i = 0; i < config.input_size(); ++i) {
    const auto& tensor = metadata.inputs(i);
    INFO(tensor.name());
    CHECK(config.input(i).name() == tensor.name());
    CHECK((config.input(i).data_type() == inference::TYPE_BOOL) == (tensor.datatype() == "BOOL"));
    CHECK((config.input(i).data_type() == inference::TYPE_STRING) ==
          (tensor.datatype() == "BYTES"));
    CHECK(config.input(i).dims_size() == 1);
    CHECK(config.input(i).optional() == (tensor.name() != "text_input"));
  }
  REQUIRE(config.output_size() == 1);
  CHECK(config.output(0).name() == metadata.outputs(0).name());
  CHECK(config.output(0).data_type() == inference::TYPE_STRING);
  CHECK(config.max_batch_size() == 0);
  CHECK(config.model_transaction_policy().decoupled());
}

TEST_CASE("kserve: statistics are the sums in nanoseconds") {
  const RequestTotals totals = {{3, 1.5}, {2, 0.25}, {4, 0.000000001}, {5, 2}, 77};
  const inference::ModelStatistics statistics = InferStatistics("nano", totals);
  CHECK(statistics.name() == "nano");
  CHECK(statistics.version() == "1");
  CHECK(statistics.inference_count() == 3);
  CHECK(statistics.execution_count() == 77);
  const inference::InferStatistics& sums = statistics.inference_stats();
  CHECK(sums.success().count() == 3);
  CHECK(sums.success().ns() == 1500000000);
  CHECK(sums.fail().count() == 2);
  CHECK(sums.fail().ns() == 250000000);
  CHECK(sums.queue().count() == 4);
  CHECK(sums.queue().ns() == 1);
  CHECK(sums.compute_infer().count() == 5);
  CHECK(sums.compute_infer().ns() == 2000000000);
}

TEST_CASE("kserve: the index says whether the model is ready, and else why not") {
  CHECK(InferIndex("nano", Phase::kServing, false).state() == "READY");
  CHECK(InferIndex("nano", Phase::kServing, false).reason().empty());
  for (const auto& [phase, stalled, reason] : {std::tuple(Phase::kDraining, false, "draining"),
                                               std::tuple(Phase::kFailed, false, "failed"),
                                               std::tuple(Phase::kServing, true, "stalled")}) {
    const auto index = InferIndex("nano", phase, stalled);
    CHECK(index.name() == "nano");
    CHECK(index.version() == "1");
    CHECK(index.state() == "UNAVAILABLE");
    CHECK(index.reason() == reason);
  }
}

}  // namespace sparsed::server
