#include "serve/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "wkv/error.h"
#include "wkv/zoo/generate_batch.h"
#include "wkv/zoo/state_cache.h"

namespace wkv::serve {
namespace {

using EngineClock = std::chrono::steady_clock;

double engine_seconds_since(EngineClock::time_point start) {
  return std::chrono::duration<double>(EngineClock::now() - start).count();
}

void require_fixed_state(const models::LanguageModel& model) {
  for (const auto& entry : model.initial_state(1).entries) {
    if (models::State::grows(entry.name)) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("serve: the state of this {} grows with the text: only models with a state of fixed size "
                              "are served",
                              model.family()));
    }
  }
}

}  // namespace

struct Engine::Thread {
  struct Request {
    int64_t number;
    std::vector<Job> jobs;
    Listener listener;
    EngineClock::time_point start = EngineClock::now();
  };
  // A text of a request in the batch.
  struct Text {
    std::shared_ptr<const Request> request;
    std::size_t place;
    bool has_begun = false;  // to show
  };

  Thread(models::LanguageModel& model_, const zoo::Tokenizer& tokenizer_, const EngineOptions& options_,
         Metrics& metrics_)
      : model(model_), tokenizer(tokenizer_), options(options_), metrics(metrics_), cache(options.state_cache_bytes) {
    require_fixed_state(model);
    renew();
    thread = std::thread([this] { run(); });
  }

  ~Thread() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    wake.notify_one();
    thread.join();
  }

  void renew() {
    texts.clear();
    batch = std::make_unique<BatchGenerator>(model, tokenizer, options.slots, &cache);
  }

  void run() {
    while (true) {
      std::vector<std::shared_ptr<const Request>> coming;
      std::vector<int64_t> leaving;
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return stopping || !submitted.empty() || !cancelled.empty() || !batch->idle(); });
        if (stopping) return;
        coming.swap(submitted);
        leaving.swap(cancelled);
      }
      try {
        for (const auto& request : coming) begin(request);
        for (const int64_t number : leaving) leave(number);
        for (auto& [id, piece] : batch->step()) report(id, std::move(piece));
      } catch (const std::exception& e) {  // no memory, for example
        fail_all(e.what());
      }
      const int64_t active = batch->active();
      metrics.set(Metric::active_texts, static_cast<double>(active));
      metrics.set(Metric::waiting_texts, static_cast<double>(static_cast<int64_t>(texts.size()) - active));
      metrics.set(Metric::state_cache_bytes, static_cast<double>(cache.bytes()));
      metrics.set(Metric::state_cache_entries, static_cast<double>(cache.size()));
    }
  }

  void begin(const std::shared_ptr<const Request>& request) {
    for (std::size_t place = 0; place < request->jobs.size(); ++place) {
      const Text text{request, place};
      try {
        texts.emplace(batch->add(request->jobs[place].prompt, request->jobs[place].options), text);
      } catch (const Error& e) {
        end(text, {.finish_reason = "error", .error = e.what()});
      }
    }
  }

  void leave(int64_t number) {
    for (auto it = texts.begin(); it != texts.end();) {
      const auto [id, text] = *it++;  // report() takes it out
      if (text.request->number != number) continue;
      batch->cancel(id);
      report(id, {});
    }
  }

  // Tells what has become of a text, and forgets it when it has ended.
  void report(int64_t id, std::string piece) {
    Text& text = texts.at(id);
    Progress progress{.piece = std::move(piece)};
    try {
      const GenerateResult& result = batch->result(id);
      progress.finish_reason = result.finish_reason;
      progress.prompt_tokens = result.prompt_tokens;
      progress.cached_tokens = result.cached_tokens;
      progress.generated_tokens = static_cast<int64_t>(result.tokens.size());
    } catch (const Error& e) {
      progress.finish_reason = "error";
      progress.error = e.what();
    }
    if (!text.has_begun && !progress.piece.empty()) {
      text.has_begun = true;
      metrics.observe(Metric::first_text_seconds, engine_seconds_since(text.request->start));
    }
    if (progress.finish_reason.empty()) {
      tell(text, std::move(progress));
    } else {
      const Text ended = text;
      texts.erase(id);
      batch->release(id);
      end(ended, std::move(progress));
    }
  }

  void tell(const Text& text, Progress progress) const {
    progress.text = text.place;
    text.request->listener(progress);
  }

  void end(const Text& text, Progress progress) {
    {
      const std::lock_guard lock(mutex);
      --in_flight;
    }
    metrics.add(Metric::texts, 1, fmt::format("reason=\"{}\"", progress.finish_reason));
    metrics.add(Metric::prompt_tokens, static_cast<double>(progress.prompt_tokens));
    metrics.add(Metric::cached_prompt_tokens, static_cast<double>(progress.cached_tokens));
    metrics.add(Metric::state_cache_hits, progress.cached_tokens > 0 ? 1 : 0);
    metrics.add(Metric::generated_tokens, static_cast<double>(progress.generated_tokens));
    metrics.observe(Metric::generation_seconds, engine_seconds_since(text.request->start));
    tell(text, std::move(progress));
  }

  void fail_all(const std::string& message) {
    const auto failed = std::exchange(texts, {});
    renew();
    for (const auto& [id, text] : failed) end(text, {.finish_reason = "error", .error = message});
  }

  models::LanguageModel& model;
  const zoo::Tokenizer& tokenizer;
  const EngineOptions options;
  Metrics& metrics;

  // Of the thread.
  StateCache cache;
  std::unique_ptr<BatchGenerator> batch;
  std::map<int64_t, Text> texts;  // by the batch's number

  // Of everyone.
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<std::shared_ptr<const Request>> submitted;
  std::vector<int64_t> cancelled;
  int64_t in_flight = 0;  // texts
  int64_t next_number = 0;
  bool stopping = false;

  std::thread thread;
};

Engine::Engine(models::LanguageModel& model, const zoo::Tokenizer& tokenizer, const EngineOptions& options,
               Metrics& metrics)
    : thread_(std::make_unique<Thread>(model, tokenizer, options, metrics)) {}

Engine::~Engine() = default;

std::optional<int64_t> Engine::submit(std::vector<Job> jobs, Listener listener) {
  Thread& t = *thread_;
  const auto count = static_cast<int64_t>(jobs.size());
  int64_t number = 0;
  {
    const std::lock_guard lock(t.mutex);
    if (t.in_flight + count > t.options.slots + t.options.queue) return std::nullopt;
    t.in_flight += count;
    number = t.next_number++;
    t.submitted.push_back(
        std::make_shared<const Thread::Request>(Thread::Request{number, std::move(jobs), std::move(listener)}));
  }
  t.wake.notify_one();
  return number;
}

void Engine::cancel(int64_t request) {
  {
    const std::lock_guard lock(thread_->mutex);
    thread_->cancelled.push_back(request);
  }
  thread_->wake.notify_one();
}

}  // namespace wkv::serve
