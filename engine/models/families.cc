#include "engine/models/families.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "kernels/check.h"

namespace sparsed::engine {
namespace {

std::array<const Family*, 3> Families() {
  return {&LladaFamily(), &DreamFamily(), &LladaMoeFamily()};
}

}  // namespace

absl::StatusOr<const Family*> FamilyOfConfig(const ConfigReader& config) {
  std::string supported;
  for (const Family* family : Families()) {
    if (config.Lists("architectures", family->architecture)) return family;
    absl::StrAppend(&supported, supported.empty() ? "" : " or ", "[\"", family->architecture,
                    "\"]");
  }
  return config.Unsupported("architectures", supported);
}

const Family& FamilyOf(const ModelInfo& info) {
  const Family* found = nullptr;
  for (const Family* family : Families()) {
    if (info.family == family->name) found = family;
  }
  SPARSED_CHECK(found != nullptr, "no such model family");
  return *found;
}

absl::StatusOr<std::unique_ptr<Model>> CreateModel(
    const ModelInfo& info, const WeightSource& source, kernels::Backend& backend,
    const std::function<void(int done, int total)>& progress) {
  return TransformerModel::Create(info, FamilyOf(info).tensors, source, backend, progress);
}

}  // namespace sparsed::engine
