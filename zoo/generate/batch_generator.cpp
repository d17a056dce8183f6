#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <exception>
#include <unordered_map>

#include "generate/text_run.h"
#include "wkv/error.h"
#include "wkv/zoo/generate_batch.h"

namespace wkv {
namespace {

models::State pool_of(const models::LanguageModel& model, int64_t width) {
  if (width < 1) {
    throw Error(ErrorCode::invalid_argument, fmt::format("generate_batch: width must be at least 1, got {}", width));
  }
  models::State pool = model.initial_state(width);
  for (const auto& entry : pool.entries) {
    if (models::State::grows(entry.name)) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("generate_batch: the state of this {} grows with the text: generate one text at a time",
                              model.family()));
    }
  }
  return pool;
}

}  // namespace

struct BatchGenerator::Batch {
  // A text of the queue or of a slot.
  struct Text {
    Text(const zoo::Tokenizer& tokenizer, const GenerateOptions& options, int64_t model_vocab)
        : run(tokenizer, options, model_vocab) {}
    TextRun run;
    std::vector<int64_t> prompt;
    bool cacheable = false;  // the prompt is the text's beginning
    bool begun = false;
    int64_t read = 0;     // tokens of the prompt
    int64_t branch = -1;  // where in the prompt others went on differently, if that is worth keeping
    int64_t slot = -1;
    at::Tensor hidden;  // [C], of the last token read
    std::exception_ptr failure;
  };

  Batch(models::LanguageModel& model_, const zoo::Tokenizer& tokenizer_, int64_t width, StateCache* cache_)
      : model(model_), tokenizer(tokenizer_), cache(cache_), pool(pool_of(model, width)) {
    for (int64_t slot = width; slot-- > 0;) free_slots.push_back(slot);
  }

  Text& text(int64_t id) const {
    const auto found = texts.find(id);
    if (found == texts.end()) {
      throw Error(ErrorCode::invalid_argument, fmt::format("generate_batch: there is no text {}", id));
    }
    return *found->second;
  }

  int64_t add(std::vector<int64_t> prompt, const GenerateOptions& options, const Context& context) {
    if (!context.state.empty() && context.state.batch() != 1) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("generate: the state must be of one sequence, got {}", context.state.batch()));
    }
    auto text = std::make_unique<Text>(tokenizer, options, model.vocab_size());
    text->prompt = std::move(prompt);
    text->cacheable = cache && context.state.empty();
    text->run.result.prompt_tokens = static_cast<int64_t>(text->prompt.size());
    text->run.result.context = context;
    texts.emplace(next_id, std::move(text));
    waiting.push_back(next_id);
    return next_id++;
  }

  // What is known already of the text.
  void begin(Text& t) {
    t.begun = true;
    Context& context = t.run.result.context;
    if (t.cacheable) {
      auto [length, known] = cache->find(t.prompt);
      t.read = t.run.result.cached_tokens = length;
      context = std::move(known);
      const int64_t shared = cache->shared(t.prompt);
      if (shared - length >= StateCache::kWorthKeeping) t.branch = shared;
    }
    if (context.state.empty()) context.state = model.initial_state(1);
  }

  // Reads on in the prompt, `most` tokens or fewer; returns how many.
  int64_t read(Text& t, int64_t most) {
    const auto size = static_cast<int64_t>(t.prompt.size());
    int64_t count = std::min(most, size - t.read);
    if (t.branch > t.read) count = std::min(count, t.branch - t.read);
    if (count == 0) return 0;
    const auto start = std::chrono::steady_clock::now();
    Context& context = t.run.result.context;
    const at::Device device = context.state.entries.front().tensor.device();
    const at::IntArrayRef tokens(t.prompt.data() + t.read, static_cast<std::size_t>(count));
    auto [hidden, state] = model.read(at::tensor(tokens, at::kLong).unsqueeze(0).to(device), context.state);
    context = {std::move(state), hidden.unsqueeze(1).clone()};
    t.read += count;
    if (t.cacheable && (t.read == t.branch || t.read == size))
      cache->put({t.prompt.data(), static_cast<std::size_t>(t.read)}, context);
    t.run.result.prompt_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return count;
  }

  // A text that has read its prompt takes a slot.
  void enter(int64_t id, Text& t) {
    t.slot = free_slots.back();
    pool.put({t.slot}, t.run.result.context.state);
    free_slots.pop_back();
    t.hidden = t.run.result.context.hidden.flatten();
    t.run.result.context = {};
    active.push_back(id);
  }

  // A text that has ended gives its slot back and keeps what it has read.
  void leave(Text& t) {
    GenerateResult& result = t.run.result;
    result.context = {pool.select({t.slot}), t.hidden.clone().view({1, 1, -1})};
    free_slots.push_back(std::exchange(t.slot, -1));
    if (!t.cacheable || t.failure) return;
    std::vector<int64_t> tokens = t.prompt;
    tokens.insert(tokens.end(), result.tokens.begin(), result.tokens.end());
    cache->put(tokens, result.context);
  }

  // A token for every active text, or none where it has ended.
  std::vector<std::optional<int64_t>> draw(const at::Tensor& logits) const {
    const at::Tensor rows = logits.to(at::kCPU);
    std::vector<std::optional<int64_t>> tokens(active.size());
    for (std::size_t i = 0; i < active.size(); ++i) {
      Text& t = text(active[i]);
      try {
        tokens[i] = t.run.draw(rows[static_cast<int64_t>(i)]);
      } catch (const Error&) {
        t.failure = std::current_exception();
        t.run.result.finish_reason = "error";
      }
    }
    return tokens;
  }

  models::LanguageModel& model;
  const zoo::Tokenizer& tokenizer;
  StateCache* cache;
  models::State pool;
  std::vector<int64_t> free_slots;
  std::unordered_map<int64_t, std::unique_ptr<Text>> texts;  // by number
  int64_t next_id = 0;
  std::deque<int64_t> waiting;  // the first may have read a part of its prompt
  std::vector<int64_t> active;
};

BatchGenerator::BatchGenerator(models::LanguageModel& model, const zoo::Tokenizer& tokenizer, int64_t width,
                               StateCache* cache)
    : batch_(std::make_unique<Batch>(model, tokenizer, width, cache)) {}

BatchGenerator::~BatchGenerator() = default;

int64_t BatchGenerator::add(std::string_view prompt, const GenerateOptions& options, const Context& context) {
  return add(batch_->tokenizer.encode(prompt), options, context);
}

int64_t BatchGenerator::add(std::vector<int64_t> prompt, const GenerateOptions& options, const Context& context) {
  Batch& b = *batch_;
  return b.add(prompt_tokens(b.tokenizer, std::move(prompt), context, b.model.vocab_size()), options, context);
}

std::vector<BatchGenerator::Piece> BatchGenerator::step() {
  const at::NoGradGuard no_grad;
  Batch& b = *batch_;
  for (int64_t left = kPromptBlock; left > 0 && !b.free_slots.empty() && !b.waiting.empty();) {
    const int64_t id = b.waiting.front();
    Batch::Text& t = b.text(id);
    if (!t.begun) b.begin(t);
    left -= b.read(t, left);
    if (t.read < static_cast<int64_t>(t.prompt.size())) continue;
    b.waiting.pop_front();
    b.enter(id, t);
  }
  if (b.active.empty()) return {};
  const auto start = std::chrono::steady_clock::now();

  std::vector<at::Tensor> hidden;
  for (const int64_t id : b.active) hidden.push_back(b.text(id).hidden);
  const at::Tensor logits = b.model.logits(at::stack(hidden));

  const std::vector<std::optional<int64_t>> drawn = b.draw(logits);
  std::vector<int64_t> tokens, slots;
  std::vector<Batch::Text*> reading;
  for (std::size_t i = 0; i < b.active.size(); ++i) {
    if (!drawn[i]) continue;
    reading.push_back(&b.text(b.active[i]));
    tokens.push_back(*drawn[i]);
    slots.push_back(reading.back()->slot);
  }
  if (!tokens.empty()) {
    const at::Device device = logits.device();
    const at::Tensor values =
        b.model.decode(at::tensor(tokens, at::kLong).to(device), b.pool, at::tensor(slots, at::kLong).to(device));
    for (std::size_t i = 0; i < reading.size(); ++i) reading[i]->hidden = values[static_cast<int64_t>(i)];
  }

  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::vector<Piece> pieces;
  for (const int64_t id : b.active) {
    Batch::Text& t = b.text(id);
    t.run.result.decode_seconds += seconds;
    std::string piece = t.run.take();
    if (!piece.empty() || t.run.ended()) pieces.push_back({id, std::move(piece)});
    if (t.run.ended()) b.leave(t);
  }
  std::erase_if(b.active, [&](int64_t id) { return b.text(id).run.ended(); });
  return pieces;
}

void BatchGenerator::cancel(int64_t id) {
  Batch& b = *batch_;
  Batch::Text& t = b.text(id);
  if (t.run.ended()) return;
  t.run.result.finish_reason = "cancelled";
  if (t.slot >= 0) b.leave(t);
  std::erase(b.active, id);
  std::erase(b.waiting, id);
}

bool BatchGenerator::idle() const { return batch_->active.empty() && batch_->waiting.empty(); }

int64_t BatchGenerator::active() const { return static_cast<int64_t>(batch_->active.size()); }

const GenerateResult& BatchGenerator::result(int64_t id) const {
  const Batch::Text& t = batch_->text(id);
  if (t.failure) std::rethrow_exception(t.failure);
  return t.run.result;
}

void BatchGenerator::release(int64_t id) {
  const Batch::Text& t = batch_->text(id);
  if (t.slot >= 0 || std::ranges::find(batch_->waiting, id) != batch_->waiting.end()) {
    throw Error(ErrorCode::invalid_argument, fmt::format("generate_batch: text {} has not ended", id));
  }
  batch_->texts.erase(id);
}

std::vector<GenerateResult> generate_batch(models::LanguageModel& model, const zoo::Tokenizer& tokenizer,
                                           const std::vector<std::string>& prompts, const GenerateOptions& options,
                                           int64_t width) {
  BatchGenerator batch(model, tokenizer, std::min(width, std::max<int64_t>(1, static_cast<int64_t>(prompts.size()))));
  GenerateOptions own = options;
  for (const std::string& prompt : prompts) {
    batch.add(prompt, own);
    if (own.seed) ++*own.seed;
  }
  while (!batch.idle()) batch.step();
  std::vector<GenerateResult> results;
  for (std::size_t i = 0; i < prompts.size(); ++i) results.push_back(batch.result(static_cast<int64_t>(i)));
  return results;
}

}  // namespace wkv
