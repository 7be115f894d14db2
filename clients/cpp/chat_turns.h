// Turns of a conversation as the command line gives them.
#pragma once

#include <string>

#include "sparsed/v1/generation.pb.h"

namespace sparsed::clients {

// `ROLE:TEXT` where ROLE is system, user or assistant; anything else is a user's turn as it is, so
// that "note: buy milk" needs no prefix. One space after the colon is dropped.
v1::ChatMessage ParseTurn(const std::string& argument);

}  // namespace sparsed::clients
