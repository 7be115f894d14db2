#include "server/build_info.h"

namespace sparsed::server {

const char* Version() { return SPARSED_VERSION; }
const char* Commit() { return SPARSED_COMMIT; }

}  // namespace sparsed::server
