#include "engine/tokenizer/text_assembler.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "tests/unit/engine/tokenizer/test_files.h"

namespace sparsed::testing {
namespace {

using engine::TemplatePart;
using engine::TextAssembler;
using engine::Tokenizer;
using Ids = std::vector<int32_t>;

constexpr int32_t kEndOfText = 1;
constexpr int32_t kEndOfTurn = 4;

class Fixture {
 public:
  Fixture() : tokenizer(Ok(Tokenizer::Load(NanoDir()))) {
    options.end_token_ids = {kEndOfText, kEndOfTurn};
  }
  TextAssembler Plain(int32_t size) const { return {tokenizer.get(), options, {{"", size}}}; }
  // One token for each byte.
  Ids ByteTokens(const std::string& bytes) const {
    Ids ids;
    for (const char byte : bytes) {
      for (int32_t id = 0; id < tokenizer->vocab_size(); ++id) {
        if (tokenizer->Bytes(id, false) == std::string(1, byte)) ids.push_back(id);
      }
    }
    REQUIRE(ids.size() == bytes.size());
    return ids;
  }

  std::unique_ptr<Tokenizer> tokenizer;
  TextAssembler::Options options;
};

TEST_CASE_METHOD(Fixture, "text waits for the first masked position") {
  const Ids ids = ByteTokens("abcd");
  TextAssembler assembler = Plain(4);
  CHECK(assembler.Take().empty());
  assembler.Commit(1, ids[1]);
  assembler.Commit(3, ids[3]);
  CHECK(assembler.Take().empty());
  CHECK(assembler.taken_positions() == 0);
  assembler.Commit(0, ids[0]);
  CHECK(assembler.Take() == "ab");
  CHECK(assembler.taken_positions() == 2);
  assembler.Commit(2, ids[2]);
  CHECK(assembler.Take() == "cd");
  CHECK(assembler.taken_positions() == 4);
  CHECK_FALSE(assembler.complete());
  CHECK_FALSE(assembler.stopped());
  CHECK(assembler.Finish().empty());
  CHECK(assembler.HoleTexts() == std::vector<std::string>{"abcd"});
}

TEST_CASE_METHOD(Fixture, "an emoji over four tokens comes out whole") {
  const Ids ids = ByteTokens("a\U0001f600b");
  TextAssembler assembler = Plain(6);
  std::vector<std::string> taken;
  std::vector<int32_t> positions;
  for (int32_t i = 0; i < 6; ++i) {
    assembler.Commit(i, ids[static_cast<size_t>(i)]);
    taken.push_back(assembler.Take());
    positions.push_back(assembler.taken_positions());
  }
  CHECK(taken == std::vector<std::string>{"a", "", "", "", "\U0001f600", "b"});
  CHECK(positions == std::vector<int32_t>{1, 1, 1, 1, 5, 6});
}

TEST_CASE_METHOD(Fixture, "an unfinished sequence becomes U+FFFD at an end") {
  const Ids ids = ByteTokens("a\xF0\x9F");
  TextAssembler assembler = Plain(5);
  for (int32_t i = 0; i < 3; ++i) assembler.Commit(i, ids[static_cast<size_t>(i)]);
  CHECK(assembler.Take() == "a");
  CHECK(assembler.taken_positions() == 1);
  assembler.Commit(3, kEndOfTurn);
  CHECK(assembler.Take() == "\uFFFD");
  CHECK(assembler.complete());
  CHECK(assembler.stopped());
  CHECK(assembler.taken_positions() == 4);
  assembler.Commit(4, ids[0]);
  CHECK(assembler.Take().empty());
  CHECK(assembler.taken_positions() == 5);
  CHECK(assembler.Finish().empty());
}

TEST_CASE_METHOD(Fixture, "stop strings: held back, cut, or let go") {
  options.stop = {"##", "END"};
  const auto run = [&](const std::string& text) {
    const Ids ids = ByteTokens(text);
    TextAssembler assembler = Plain(static_cast<int32_t>(ids.size()));
    std::vector<std::string> taken;
    for (size_t i = 0; i < ids.size() && !assembler.complete(); ++i) {
      assembler.Commit(static_cast<int32_t>(i), ids[i]);
      taken.push_back(assembler.Take());
    }
    taken.push_back(assembler.stopped() ? "|" : "-");
    taken.push_back(assembler.Finish());
    return taken;
  };
  using Texts = std::vector<std::string>;
  CHECK(run("a#b##c") == Texts{"a", "", "#b", "", "", "|", ""});
  CHECK(run("xENEND") == Texts{"x", "", "", "EN", "", "", "|", ""});
  CHECK(run("xEN") == Texts{"x", "", "EN", "-", ""});
  options.stop = {"abcd", "bc"};
  CHECK(run("abcx") == Texts{"", "", "", "a", "|", ""});  // "abcd" would have begun first
  CHECK(run("abcd") == Texts{"", "", "", "", "|", ""});
  options.stop = {"", "\xff"};
  CHECK(run("ab") == Texts{"a", "b", "-", ""});
}

TEST_CASE_METHOD(Fixture, "special tokens leave nothing; without stop_at_end so do end tokens") {
  const Ids ids = ByteTokens("ab");
  options.stop_at_end = false;
  TextAssembler assembler = Plain(5);
  const int32_t tokens[] = {0, ids[0], kEndOfTurn, ids[1], 5};
  for (int32_t i = 0; i < 5; ++i) assembler.Commit(i, tokens[i]);
  CHECK(assembler.Take() == "ab");
  CHECK(assembler.taken_positions() == 5);
  CHECK_FALSE(assembler.stopped());
}

TEST_CASE_METHOD(Fixture, "infill: parts in order, every hole with its own end") {
  const Ids ids = ByteTokens("abcd");
  options.stop = {"a"};  // ignored
  TextAssembler assembler(tokenizer.get(), options,
                          {{"<", 0}, {"", 2}, {"><", 0}, {"", 3}, {">", 0}});
  CHECK(assembler.Take() == "<");
  assembler.Commit(2, ids[2]);
  assembler.Commit(0, ids[0]);
  CHECK(assembler.Take() == "a");
  assembler.Commit(1, kEndOfText);
  CHECK(assembler.Take() == "><c");
  CHECK(assembler.taken_positions() == 3);
  CHECK_FALSE(assembler.stopped());
  assembler.Commit(4, ids[3]);
  CHECK(assembler.Take().empty());
  CHECK_FALSE(assembler.complete());
  CHECK(assembler.Finish() == "d>");
  CHECK(assembler.taken_positions() == 5);
  CHECK(assembler.HoleTexts() == std::vector<std::string>{"a", "cd"});
}

// A random run checked against decoding everything at once.
class RandomRun {
 public:
  RandomRun(const Fixture& fixture, uint32_t seed) : fixture_(fixture), random_(seed) {}

  void Check() {
    MakeParts();
    MakeTokens();
    TextAssembler assembler(fixture_.tokenizer.get(), options_, parts_);
    std::vector<size_t> order(tokens_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    const size_t window = 1 + Below(order.size() + 1);  // from left to right up to any order
    for (size_t i = 0; i + 1 < order.size(); ++i) {
      std::swap(order[i], order[i + Below(std::min(window, order.size() - i))]);
    }
    committed_.assign(tokens_.size(), false);
    const size_t commits = Below(3) == 0 ? Below(order.size() + 1) : order.size();
    std::string text;
    int32_t taken = 0;
    for (size_t i = 0; i < commits; ++i) {
      assembler.Commit(static_cast<int32_t>(order[i]), tokens_[order[i]]);
      committed_[order[i]] = true;
      if (Below(3) == 0) continue;
      text += assembler.Take();
      CheckProgress(assembler, text, &taken);
    }
    text += assembler.Finish();
    std::vector<std::string> holes;
    CHECK(text == Expected(&holes));
    CHECK(assembler.HoleTexts() == holes);
    CHECK(assembler.taken_positions() == static_cast<int32_t>(tokens_.size()));
  }

 private:
  size_t Below(size_t limit) { return random_() % limit; }

  void MakeParts() {
    options_ = fixture_.options;
    options_.stop_at_end = Below(4) != 0;
    if (Below(3) == 0) {
      const size_t count = 1 + Below(3);
      for (size_t i = 0; i < count; ++i) {
        if (Below(2) == 0) parts_.push_back({"[\u00e9]", 0});
        parts_.push_back({"", static_cast<int32_t>(1 + Below(12))});
      }
      parts_.push_back({".", 0});
    } else {
      parts_.push_back({"", static_cast<int32_t>(1 + Below(40))});
      const std::string stops[] = {"ab",     "aab",  "b",           "ba\u00e9",
                                   "\u00e9", "aaaa", "\U0001f600b", "\uFFFD"};
      for (size_t i = Below(4); i > 0; --i) options_.stop.push_back(stops[Below(8)]);
    }
    for (const TemplatePart& part : parts_) {
      tokens_.resize(tokens_.size() + static_cast<size_t>(part.hole_tokens));
    }
  }

  void MakeTokens() {
    static const Ids kLetters = fixture_.ByteTokens("aab");
    static const Ids kBytes = fixture_.ByteTokens("\xC3\xA9\xF0\x9F\x98\x80\xE2\x80");
    for (size_t i = 0; i < tokens_.size();) {
      const size_t kind = Below(20);
      if (kind == 0) {
        tokens_[i++] = static_cast<int32_t>(Below(6));
      } else if (kind < 4) {
        for (size_t b = 2; b < 6 && i < tokens_.size(); ++b) tokens_[i++] = kBytes[b];
      } else if (kind < 7) {
        for (size_t b = 0; b < 2 && i < tokens_.size(); ++b) tokens_[i++] = kBytes[b];
      } else if (kind < 9) {
        tokens_[i++] = kBytes[Below(kBytes.size())];
      } else if (kind == 9) {
        tokens_[i++] = static_cast<int32_t>(Below(4100));
      } else {
        tokens_[i++] = kLetters[Below(3)];
      }
    }
  }

  // What the committed tokens of [begin, end) decode to, up to the first gap if `contiguous`.
  std::string HoleText(size_t begin, size_t end, bool contiguous) const {
    Ids ids;
    for (size_t i = begin; i < end; ++i) {
      if (!committed_[i] && contiguous) break;
      if (!committed_[i]) continue;
      const bool is_end = tokens_[i] == kEndOfText || tokens_[i] == kEndOfTurn;
      if (is_end && options_.stop_at_end) break;
      ids.push_back(tokens_[i]);
    }
    const std::string text = fixture_.tokenizer->Decode(ids, false);
    size_t cut = text.size();
    for (const std::string& stop : options_.stop) cut = std::min(cut, text.find(stop));
    return text.substr(0, cut);
  }

  std::string Expected(std::vector<std::string>* holes) const {
    std::string text;
    size_t begin = 0;
    for (const TemplatePart& part : parts_) {
      text += part.text;
      if (part.hole_tokens == 0) continue;
      const size_t end = begin + static_cast<size_t>(part.hole_tokens);
      holes->push_back(HoleText(begin, end, false));
      text += holes->back();
      begin = end;
    }
    return text;
  }

  void CheckProgress(const TextAssembler& assembler, const std::string& text,
                     int32_t* taken) const {
    CHECK(assembler.taken_positions() >= *taken);
    *taken = assembler.taken_positions();
    for (int32_t i = 0; i < *taken; ++i) CHECK(committed_[static_cast<size_t>(i)]);
    if (parts_.size() > 1) return;
    // Nothing more is held back than a sequence and the beginning of a stop string.
    size_t longest = 0;
    for (const std::string& stop : options_.stop) longest = std::max(longest, stop.size());
    const std::string known = HoleText(0, tokens_.size(), true);
    CHECK(text.size() + longest + 3 >= known.size());
  }

  const Fixture& fixture_;
  std::mt19937 random_;
  TextAssembler::Options options_;
  std::vector<TemplatePart> parts_;
  Ids tokens_;
  std::vector<bool> committed_;
};

TEST_CASE_METHOD(Fixture, "any order of commits gives the text of decoding at once") {
  for (uint32_t seed = 0; seed < 4000; ++seed) {
    INFO("seed " << seed);
    RandomRun(*this, seed).Check();
  }
}

}  // namespace
}  // namespace sparsed::testing
