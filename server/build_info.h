// Which build this is.
#pragma once

namespace sparsed::server {

const char* Version();  // "0.1.0"
const char* Commit();   // what `git describe` said when the build was configured, or "unknown"

}  // namespace sparsed::server
