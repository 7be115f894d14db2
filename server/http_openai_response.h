// What OpenAI's clients get: answers, the events of a stream, and errors. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "server/errors.h"
#include "server/http_openai_request.h"
#include "server/served_model.h"
#include "sparsed/v1/generation.pb.h"

namespace sparsed::server {

// {"error": {...}}; fields go by the names that the request had for them.
std::string OpenAiError(const Failure& failure, const FieldNames& names);
std::string OpenAiError(const std::string& message, const std::string& type,
                        const std::string& param, const std::string& code);

// Text that is followed by `ending` in the end: what of it may not be part of that.
class EndingHold {
 public:
  explicit EndingHold(std::string ending);

  // Takes in more text and gives out what cannot belong to the ending.
  std::string Add(const std::string& text);

 private:
  const std::string ending_;
  std::vector<size_t> borders_;  // of each beginning of it: its longest proper one that ends it
  size_t held_ = 0;              // so much of the ending has been taken in last
};

// The answer to one call. For infill its text is that of the hole.
class OpenAiAnswer {
 public:
  struct Head {
    std::string request_id;
    const ServedModel* model = nullptr;  // borrowed
    int64_t created = 0;                 // seconds since 1970
  };
  OpenAiAnswer(const OpenAiCall& call, Head head);

  // The whole answer.
  std::string Body(const v1::GenerateResponse& result) const;
  // What a stream sends for an event; empty: nothing.
  std::string Event(const v1::StreamGenerateResponse& event);
  // What it sends where it fails.
  std::string ErrorEvent(const Failure& failure) const;

 private:
  std::string Text(const v1::GenerateResponse& result) const;
  nlohmann::ordered_json Report(const v1::GenerateResponse& result) const;
  std::string PieceOf(uint32_t id) const;
  std::string Delta(const std::string& text) const;
  std::string Frame(const v1::Frame& frame) const;
  std::string End(const v1::GenerateResponse& result) const;

  const bool chat_;
  const bool include_usage_;
  const FieldNames names_;
  const Head head_;
  const bool infill_;
  size_t skip_bytes_ = 0;  // of the text before the hole
  EndingHold hold_;        // of the text after it
  size_t sent_bytes_ = 0;  // of the answer's text
};

}  // namespace sparsed::server
