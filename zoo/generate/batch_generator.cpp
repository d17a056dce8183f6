#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>

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
    int64_t slot = -1;
    at::Tensor hidden;  // [C], of the last token read
  };

  Batch(models::LanguageModel& model_, const zoo::Tokenizer& tokenizer_, int64_t width)
      : model(model_), tokenizer(tokenizer_), pool(pool_of(model, width)) {
    for (int64_t slot = width; slot-- > 0;) free_slots.push_back(slot);
  }

  Text& text(int64_t id) const {
    if (id < 0 || id >= static_cast<int64_t>(texts.size())) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("generate_batch: there is no text {}, they are 0..{}", id, texts.size() - 1));
    }
    return *texts[static_cast<std::size_t>(id)];
  }

  // The text from the front of the queue reads its prompt and takes a slot.
  void begin(int64_t id) {
    Text& t = text(id);
    const auto start = std::chrono::steady_clock::now();
    Context& context = t.run.result.context;
    if (context.state.empty()) context.state = model.initial_state(1);
    if (t.prompt.empty()) {
      t.hidden = context.hidden.flatten();
    } else {
      const at::Device device = context.state.entries.front().tensor.device();
      auto [hidden, state] = model.read(at::tensor(t.prompt, at::kLong).unsqueeze(0).to(device), context.state);
      t.hidden = hidden.squeeze(0);
      context.state = std::move(state);
    }
    t.slot = free_slots.back();
    pool.put({t.slot}, context.state);
    free_slots.pop_back();
    context = {};
    active.push_back(id);
    t.run.result.prompt_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  // A text that has ended gives its slot back and keeps what it has read.
  void leave(Text& t) {
    t.run.result.context = {pool.select({t.slot}), t.hidden.clone().view({1, 1, -1})};
    free_slots.push_back(std::exchange(t.slot, -1));
  }

  models::LanguageModel& model;
  const zoo::Tokenizer& tokenizer;
  models::State pool;
  std::vector<int64_t> free_slots;
  std::vector<std::unique_ptr<Text>> texts;  // by number
  std::deque<int64_t> waiting;
  std::vector<int64_t> active;
};

BatchGenerator::BatchGenerator(models::LanguageModel& model, const zoo::Tokenizer& tokenizer, int64_t width)
    : batch_(std::make_unique<Batch>(model, tokenizer, width)) {}

BatchGenerator::~BatchGenerator() = default;

int64_t BatchGenerator::add(std::string_view prompt, const GenerateOptions& options, const Context& context) {
  Batch& b = *batch_;
  const int64_t vocab = b.model.vocab_size();
  auto text = std::make_unique<Batch::Text>(b.tokenizer, options, vocab);
  text->prompt = prompt_tokens(b.tokenizer, prompt, context, vocab);
  if (!context.state.empty() && context.state.batch() != 1) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("generate: the state must be of one sequence, got {}", context.state.batch()));
  }
  text->run.result.prompt_tokens = static_cast<int64_t>(text->prompt.size());
  text->run.result.context = context;
  b.texts.push_back(std::move(text));
  b.waiting.push_back(static_cast<int64_t>(b.texts.size()) - 1);
  return b.waiting.back();
}

std::vector<BatchGenerator::Piece> BatchGenerator::step() {
  const at::NoGradGuard no_grad;
  Batch& b = *batch_;
  while (!b.free_slots.empty() && !b.waiting.empty()) {
    const int64_t id = b.waiting.front();
    b.waiting.pop_front();
    b.begin(id);
  }
  if (b.active.empty()) return {};
  const auto start = std::chrono::steady_clock::now();

  std::vector<at::Tensor> hidden;
  for (const int64_t id : b.active) hidden.push_back(b.text(id).hidden);
  const at::Tensor logits = b.model.logits(at::stack(hidden));

  std::vector<int64_t> tokens, slots;
  std::vector<Batch::Text*> reading;
  for (std::size_t i = 0; i < b.active.size(); ++i) {
    Batch::Text& t = b.text(b.active[i]);
    if (const auto token = t.run.draw(logits[static_cast<int64_t>(i)])) {
      tokens.push_back(*token);
      slots.push_back(t.slot);
      reading.push_back(&t);
    }
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

const GenerateResult& BatchGenerator::result(int64_t id) const { return batch_->text(id).run.result; }

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
