// The tiny checkpoints of the model families.
#pragma once

#include <memory>
#include <string>

#include "engine/engine.h"
#include "tests/golden/recording_backend.h"

namespace sparsed::testing {

// A folder of tests/golden/families by its name.
std::string FamilyFolder(const std::string& name);

// Its model on all cores of the processor. Where `recording` is given, it is filled step by step.
std::unique_ptr<engine::Engine> LoadFamily(const std::string& folder,
                                           Recording* recording = nullptr);

}  // namespace sparsed::testing
