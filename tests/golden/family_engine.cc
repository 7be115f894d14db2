#include "tests/golden/family_engine.h"

#include <utility>

#include "engine/checkpoint/checkpoint.h"
#include "engine/model_folder.h"
#include "tests/golden/golden_data.h"
#include "tests/testing/catch.h"

namespace sparsed::testing {

std::string FamilyFolder(const std::string& name) {
  return RepositoryPath("tests/golden/families/" + name);
}

std::unique_ptr<engine::Engine> LoadFamily(const std::string& folder, Recording* recording) {
  auto cpu = kernels::CreateBackend({"cpu", 0});
  REQUIRE(cpu.ok());
  std::unique_ptr<kernels::Backend> backend = std::move(cpu).value();
  if (recording != nullptr) {
    backend = std::make_unique<RecordingBackend>(std::move(backend), recording);
  }
  const auto info = engine::ReadModelConfig(folder);
  INFO(info.status().ToString());
  REQUIRE(info.ok());
  const auto checkpoint = engine::Checkpoint::Open(folder);
  REQUIRE(checkpoint.ok());
  auto model = engine::LoadModel(*checkpoint, *info, *backend, {});
  INFO(model.status().ToString());
  REQUIRE(model.ok());
  engine::EngineOptions options;
  options.max_batch_tokens = 1024;
  auto made = engine::Engine::Create(std::move(backend), std::move(model).value(), options);
  REQUIRE(made.ok());
  return std::move(made).value();
}

}  // namespace sparsed::testing
