// The evaluation set's reference results: nearly all outputs are the same ids. By default the first
// example of every task, length and setting; all of them with `eval_reference_test "[.whole]"`.
#include <cmath>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/golden/golden_data.h"
#include "tests/golden/gzip_file.h"
#include "tests/testing/catch.h"

namespace sparsed::testing {
namespace {

constexpr double kMinAgreement = 0.99;

struct Reference {
  std::string id;    // dev-TASK-LENGTH-NN
  std::string name;  // with the setting
  engine::Request request;
  std::vector<int32_t> output_ids;
};

template <typename Visit>
void ForEachRecord(const std::string& path, Visit visit) {
  std::istringstream lines(ReadGzipFile(RepositoryPath(path)));
  for (std::string line; std::getline(lines, line);) visit(nlohmann::json::parse(line));
}

std::vector<Reference> ReadReferences() {
  std::map<std::string, std::vector<int32_t>> prompts;
  ForEachRecord("tests/golden/eval/dev.jsonl.gz", [&prompts](const nlohmann::json& record) {
    prompts[record["id"]] = record["prompt_ids"].get<std::vector<int32_t>>();
  });
  std::vector<Reference> references;
  ForEachRecord("tests/golden/eval/reference-cpu-fp32.jsonl",
                [&prompts, &references](const nlohmann::json& record) {
                  const bool sparse = record["setting"][0] == "sparsed";
                  Reference reference;
                  reference.output_ids = record["output_ids"].get<std::vector<int32_t>>();
                  reference.request = RequestFor(prompts.at(record["id"]),
                                                 static_cast<int32_t>(reference.output_ids.size()),
                                                 record["steps"], sparse);
                  reference.id = record["id"];
                  reference.name = reference.id + (sparse ? ", SparseD 0.3" : ", full");
                  references.push_back(std::move(reference));
                });
  return references;
}

// The canvas index that differs from the reference and was committed first.
size_t FirstDifference(const Reference& reference, const std::vector<int32_t>& canvas,
                       const std::vector<int32_t>& commit_steps) {
  size_t first = canvas.size();
  for (size_t i = 0; i < canvas.size(); ++i) {
    if (canvas[i] == reference.output_ids[i]) continue;
    if (first == canvas.size() || commit_steps[i] < commit_steps[first]) first = i;
  }
  return first;
}

// Runs the request again up to the step where it first left the reference, and tells both tokens'
// confidences there.
void ExplainDifference(const Reference& reference, const std::vector<int32_t>& canvas,
                       const std::vector<int32_t>& commit_steps) {
  const size_t index = FirstDifference(reference, canvas, commit_steps);
  Recording recording;
  recording.keep_logits = true;
  auto engine = MakeNanoEngine(2048, &recording);
  REQUIRE(engine->Start(reference.request).ok());
  for (int32_t step = 0; step <= commit_steps[index]; ++step) {
    recording.Clear();
    REQUIRE(engine->Step().ok());
  }
  const uint32_t position = static_cast<uint32_t>(reference.request.canvas[index]);
  for (size_t i = 0; i < recording.samples.size(); ++i) {
    if (recording.samples[i].position != position) continue;
    const std::vector<float>& logits = recording.logits[i];
    const int32_t theirs = reference.output_ids[index];
    const double ratio = std::exp(double{logits[theirs]} - logits[canvas[index]]);
    std::cout << reference.name << ": first differs at step " << commit_steps[index]
              << ", canvas index " << index << ": token " << canvas[index] << " with confidence "
              << recording.confidences[i] << ", the reference's " << theirs << " has "
              << recording.confidences[i] * ratio << "\n";
  }
}

struct Running {
  engine::SequenceId id;
  const Reference* reference;
};

// Takes finished sequences out; returns how many of them agree.
int Collect(engine::Engine& engine, std::vector<Running>& running) {
  int agreeing = 0;
  std::vector<Running> still_running;
  for (const Running& entry : running) {
    const engine::Sequence* sequence = engine.Find(entry.id);
    if (!sequence->finished) {
      still_running.push_back(entry);
      continue;
    }
    const std::vector<int32_t> canvas = sequence->CanvasIds(engine.model_info());
    if (canvas == entry.reference->output_ids) {
      ++agreeing;
    } else {
      ExplainDifference(*entry.reference, canvas, sequence->commit_steps);
    }
    engine.Remove(entry.id);
  }
  running = still_running;
  return agreeing;
}

// Runs as many at once as the engine takes; `of_all`: how many references there are.
void CompareOutputs(const std::vector<Reference>& references, size_t of_all) {
  auto engine = MakeNanoEngine(4096, nullptr);
  std::vector<Running> running;
  size_t next = 0;
  size_t reported = 0;
  int agreeing = 0;
  while (next < references.size() || !running.empty()) {
    for (; next < references.size(); ++next) {
      const auto id = engine->Start(references[next].request);
      if (!id.ok()) break;
      running.push_back({*id, &references[next]});
    }
    const auto steps = engine->Step();
    REQUIRE(steps.ok());
    agreeing += Collect(*engine, running);
    const size_t done = next - running.size();
    if (done >= reported + 24) {
      std::cout << done << " of " << references.size() << " done, " << agreeing << " agree"
                << std::endl;
      reported = done;
    }
  }
  std::cout << agreeing << " of " << references.size() << " outputs are the reference's; "
            << references.size() << " of " << of_all << " references were compared\n";
  REQUIRE(agreeing >= kMinAgreement * static_cast<double>(references.size()));
}

}  // namespace

TEST_CASE("Outputs of the evaluation set are the reference's: the first of every task and length") {
  std::vector<Reference> references = ReadReferences();
  const size_t of_all = references.size();
  std::erase_if(references, [](const Reference& each) { return !each.id.ends_with("-00"); });
  // 17 tasks at 128, 12 at 256 and 3 at 1024, in full attention and with SparseD.
  REQUIRE(references.size() == 64);
  CompareOutputs(references, of_all);
}

TEST_CASE("Outputs of the evaluation set are the reference's: all of them", "[.whole]") {
  const std::vector<Reference> references = ReadReferences();
  REQUIRE(references.size() == 238);
  CompareOutputs(references, references.size());
}

}  // namespace sparsed::testing
