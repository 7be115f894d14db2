// `sparsed check-model`: what the server would make of a model's folder, without loading it.
#pragma once

#include <string>

#include "engine/model_report.h"
#include "server/config.h"

namespace sparsed::server {

// Prints the report to standard output and the problems to standard error. Returns the exit code:
// 0, or 2 if the folder cannot be served.
int CheckModel(const std::string& dir, const Config& config);

// The report as lines of text. `max_batch_tokens`: what it was made for.
std::string ReportText(const std::string& dir, const engine::ModelReport& report,
                       int64_t max_batch_tokens);

}  // namespace sparsed::server
