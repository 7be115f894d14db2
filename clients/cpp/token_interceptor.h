// Adds the bearer token to every call of a channel. Unlike gRPC's call credentials it also does so
// where there is no TLS: whether tokens may go in clear text is for the server to say.
#pragma once

#include <grpcpp/support/client_interceptor.h>

#include <memory>
#include <string>
#include <vector>

namespace sparsed::clients {

// For CreateCustomChannelWithInterceptors; none for an empty token.
std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
TokenInterceptors(const std::string& token);

}  // namespace sparsed::clients
