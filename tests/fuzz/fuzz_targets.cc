#include "tests/fuzz/fuzz_targets.h"

#include <algorithm>
#include <string>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/generation_config.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/tokenizer/chat_template.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/tokenizer_definition.h"
#include "kernels/check.h"

namespace sparsed::fuzz {
namespace {

using engine::Tokenizer;

std::string Text(const uint8_t* data, size_t size) {
  return std::string(reinterpret_cast<const char*>(data), size);
}

void CheckRefusal(const absl::Status& status) {
  SPARSED_CHECK(status.code() == absl::StatusCode::kInvalidArgument, "it is the input's fault");
  SPARSED_CHECK(!status.message().empty(), "an error has a reason");
}

}  // namespace

bool FuzzSafetensors(const uint8_t* data, size_t size) {
  const auto tensors = engine::ParseSafetensors(data, size);
  if (!tensors.ok()) {
    SPARSED_CHECK(!tensors.status().message().empty(), "an error has a reason");
    return false;
  }
  uint64_t sum = 0;
  for (const auto& [name, entry] : *tensors) {
    SPARSED_CHECK(entry.data >= data + 8 && entry.data <= data + size, "data begins in the file");
    SPARSED_CHECK(entry.bytes <= static_cast<uint64_t>(data + size - entry.data),
                  "data ends in the file");
    uint64_t elements = 1;
    for (const int64_t dim : entry.shape) {
      SPARSED_CHECK(dim >= 0, "no negative size");
      elements *= static_cast<uint64_t>(dim);
    }
    SPARSED_CHECK(elements == entry.elements, "the elements are the product of the shape");
    // At least half a byte and at most eight bytes an element.
    SPARSED_CHECK(entry.bytes <= 8 * elements && elements <= 2 * entry.bytes,
                  "the bytes fit the elements");
    sum += entry.bytes;
  }
  SPARSED_CHECK(sum <= size - 8, "no two tensors share bytes");
  return true;
}

bool FuzzModelConfig(const uint8_t* data, size_t size) {
  const auto info = engine::ParseModelConfig(Text(data, size));
  if (!info.ok()) {
    SPARSED_CHECK(!info.status().message().empty(), "an error has a reason");
    return false;
  }
  SPARSED_CHECK(info->num_layers > 0 && info->num_heads > 0 && info->num_kv_heads > 0 &&
                    info->head_dim > 0 && info->max_tokens > 0,
                "every size is positive");
  SPARSED_CHECK(info->experts.count >= 0 && info->experts.per_row <= info->experts.count &&
                    (info->experts.count == 0 || info->experts.ffn_size > 0),
                "experts have a size");
  for (int32_t layer = 0; layer < info->num_layers; ++layer) {
    SPARSED_CHECK(info->HasExperts(layer) || info->ffn_size > 0, "every layer has a size");
  }
  SPARSED_CHECK(info->num_heads * info->head_dim == info->hidden_size,
                "heads fill the hidden size");
  SPARSED_CHECK(info->num_heads % info->num_kv_heads == 0, "heads are grouped evenly");
  SPARSED_CHECK(info->head_dim % 16 == 0 && info->head_dim <= 256, "head dimension is supported");
  SPARSED_CHECK(info->mask_token_id >= 0 && info->mask_token_id < info->vocab_size,
                "the mask token is in the vocabulary");
  SPARSED_CHECK(info->end_token_ids.size() == 1 && info->end_token_ids[0] >= 0 &&
                    info->end_token_ids[0] < info->vocab_size &&
                    info->end_token_ids[0] != info->mask_token_id,
                "the end token is in the vocabulary and not the mask");
  SPARSED_CHECK(info->norm_eps > 0 && info->rope_theta > 1, "constants are in range");
  return true;
}

bool FuzzGenerationConfig(const uint8_t* data, size_t size) {
  engine::ModelInfo info;
  info.vocab_size = 100;
  info.mask_token_id = 7;
  const auto config = engine::ParseGenerationConfig(Text(data, size), info);
  if (!config.ok()) {
    CheckRefusal(config.status());
    return false;
  }
  for (const int32_t id : config->end_token_ids) {
    SPARSED_CHECK(id >= 0 && id < info.vocab_size && id != info.mask_token_id,
                  "end tokens are in the vocabulary and not the mask");
  }
  for (const auto& number : {config->temperature, config->alg_temp}) {
    SPARSED_CHECK(!number || (*number >= 0 && *number <= 100), "temperatures are in range");
  }
  SPARSED_CHECK(!config->top_p || (*config->top_p > 0 && *config->top_p <= 1), "top_p is a share");
  SPARSED_CHECK(config->top_k.value_or(0) >= 0 && config->steps.value_or(1) >= 1,
                "counts are in range");
  return true;
}

bool FuzzTokenizer(const uint8_t* data, size_t size) {
  const auto tokenizer = Tokenizer::Parse(Text(data, size), "");
  if (!tokenizer.ok()) {
    CheckRefusal(tokenizer.status());
    return false;
  }
  for (const Tokenizer::Special special :
       {Tokenizer::Special::kParse, Tokenizer::Special::kPlain}) {
    const auto ids = (*tokenizer)->Encode("abc <x>ab<y> c1 d\u00e9 e\u0301", special);
    if (!ids.ok()) {
      CheckRefusal(ids.status());
      continue;
    }
    for (const int32_t id : *ids) {
      SPARSED_CHECK(id >= 0 && id < (*tokenizer)->vocab_size(), "ids are in the vocabulary");
    }
    SPARSED_CHECK(engine::IsValidUtf8((*tokenizer)->Decode(*ids, true)), "text is UTF-8");
  }
  return true;
}

bool FuzzQwen2Files(const uint8_t* data, size_t size) {
  std::string files[4];
  const std::string text = Text(data, size);
  size_t begin = 0;
  for (std::string& file : files) {
    const size_t end = std::min(text.find('\0', begin), text.size());
    file = text.substr(begin, end - begin);
    begin = std::min(end + 1, text.size());
  }
  const auto definition = engine::ParseQwen2Files(files[0], files[1], files[2], files[3]);
  if (!definition.ok()) {
    CheckRefusal(definition.status());
    return false;
  }
  for (const engine::AddedToken& token : definition->added_tokens) {
    SPARSED_CHECK(!token.content.empty() && token.id >= 0 && token.id <= engine::kMaxTokenId,
                  "added tokens have a text and an id in range");
  }
  // Every byte has a token: any text has ids.
  std::vector<int32_t> ids;
  definition->bpe.Encode("ab\u0120abc\u010a", &ids);
  SPARSED_CHECK(!ids.empty(), "a word has ids");
  for (const int32_t id : ids) {
    SPARSED_CHECK(id >= 0 && id <= engine::kMaxTokenId, "ids are in range");
  }
  return true;
}

bool FuzzChatTemplate(const uint8_t* data, size_t size) {
  const auto chat_template = engine::ChatTemplate::Parse(Text(data, size), "<s>", "</s>");
  if (!chat_template.ok()) {
    CheckRefusal(chat_template.status());
    return false;
  }
  const std::vector<engine::ChatMessage> messages = {
      {"system", "be <s> brief"}, {"user", " a\n"}, {"assistant", "\u00e9"}, {"user", ""}};
  const auto text = (*chat_template)->Render(messages);
  if (!text.ok()) CheckRefusal(text.status());
  return text.ok();
}

}  // namespace sparsed::fuzz
