// The report of an inspection as one HTML page that needs nothing else: no script, no request.
#pragma once

#include <string>

#include "clients/cpp/mask_report.h"

namespace sparsed::clients {

// The report must have passed CheckReport.
std::string RenderMaskPage(const MaskReport& report);

}  // namespace sparsed::clients
