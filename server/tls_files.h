// The files of --tls-cert, --tls-key and --tls-client-ca, checked before gRPC gets them: it would
// only fail every handshake.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace sparsed::server {

// The certificate can be read, the key is its key, and the authority's file, unless empty, has at
// least one certificate. Errors: INVALID_ARGUMENT naming the flag and the file.
absl::Status CheckTlsFiles(const std::string& cert, const std::string& key,
                           const std::string& client_ca);

}  // namespace sparsed::server
