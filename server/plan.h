// `sparsed plan`: what a server needs for so many requests of such a length, with a model that is
// not loaded for it.
#pragma once

#include <cstdint>
#include <string>

#include "engine/model_report.h"
#include "server/config.h"

namespace sparsed::server {

// Prints the plan to standard output and the problems to standard error. Returns the exit code: 0,
// or 2 if the folder or the requests cannot be served.
int Plan(const PlanRequest& wanted);

// The settings with which as many requests of that length run at once; max_mask_cache_mib is not
// among them, since only the model says what a pattern takes.
Config PlanSettings(const PlanRequest& wanted);

// The plan as lines of text. report: made for `settings` and the wanted length, with `info`.
std::string PlanText(const PlanRequest& wanted, const Config& settings,
                     const engine::ModelReport& report);

}  // namespace sparsed::server
