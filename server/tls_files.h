// The files of --tls-cert, --tls-key and --tls-client-ca, checked before gRPC gets them: it would
// only fail every handshake.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"

namespace sparsed::server {

// The certificate can be read, the key is its key, and the authority's file, unless empty, has at
// least one certificate. Errors: INVALID_ARGUMENT naming the flag and the file.
absl::Status CheckTlsFiles(const std::string& cert, const std::string& key,
                           const std::string& client_ca);

// The earliest end of the certificates of the chain in the file, in seconds since 1970; nothing
// where the file has no certificate.
std::optional<int64_t> CertificateEnd(const std::string& cert);

}  // namespace sparsed::server
