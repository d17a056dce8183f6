// The thread that owns the model: texts come and go while it steps, and nobody who listens can hold it up.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "serve/metrics.h"
#include "wkv/export.h"
#include "wkv/models/language_model.h"
#include "wkv/zoo/generate.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::serve {

struct EngineOptions {
  int64_t slots = 16;                              // texts that decode together
  int64_t queue = 64;                              // texts that wait for a slot
  int64_t state_cache_bytes = int64_t{256} << 20;  // 0: none
};

struct Job {
  std::vector<int64_t> prompt;
  GenerateOptions options = {};
};

// News of one of a request's texts.
struct Progress {
  std::size_t text = 0;                                                // its place among the request's jobs
  std::string piece = {};                                              // what became certain
  std::string finish_reason = {};                                      // at the end: as GenerateResult's, or "error"
  std::string error = {};                                              // then: what went wrong
  int64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;  // at the end
};

class WKV_API Engine {
 public:
  // Called on the engine's thread: returns at once, throws nothing.
  using Listener = std::function<void(const Progress&)>;

  // The model, the tokenizer and the metrics must outlive it. Throws wkv::Error for a model whose state grows.
  Engine(models::LanguageModel& model, const zoo::Tokenizer& tokenizer, const EngineOptions& options, Metrics& metrics);
  ~Engine();  // ends every text; no listener is called any more

  // Takes all texts of a request, and returns its number; none where the queue has no room for them.
  std::optional<int64_t> submit(std::vector<Job> jobs, Listener listener);
  // Ends a request's texts, with the finish_reason "cancelled" for those that have not ended.
  void cancel(int64_t request);

 private:
  struct Thread;
  std::unique_ptr<Thread> thread_;
};

}  // namespace wkv::serve
