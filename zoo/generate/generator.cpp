#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <fmt/format.h>

#include <chrono>

#include "generate/text_run.h"
#include "wkv/error.h"
#include "wkv/zoo/generate.h"

namespace wkv {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

struct Generator::Run {
  Run(models::LanguageModel& model_, const zoo::Tokenizer& tokenizer, GenerateOptions options)
      : model(model_), text(tokenizer, std::move(options), model.vocab_size()) {}

  void start(const Context& context) {
    text.result.context = context.state.empty() ? Context{model.initial_state(1), {}} : context;
    if (text.result.context.state.batch() != 1) {
      throw Error(ErrorCode::invalid_argument, fmt::format("generate: the state must be of one sequence, got {}",
                                                           text.result.context.state.batch()));
    }
  }

  void read(std::vector<int64_t> tokens) {
    if (tokens.empty()) return;
    Context& context = text.result.context;
    const at::Device device = context.state.entries.front().tensor.device();
    const at::Tensor row =
        at::from_blob(tokens.data(), {1, static_cast<int64_t>(tokens.size())}, at::TensorOptions().dtype(at::kLong))
            .to(device);
    auto [hidden, state] = model.read(row, context.state);
    context = {std::move(state), hidden.unsqueeze(1).clone()};
  }

  void step() {
    const auto token = text.draw(model.logits(text.result.context.hidden).flatten());
    if (token) read({*token});
  }

  models::LanguageModel& model;
  TextRun text;
};

Generator::Generator(models::LanguageModel& model, const zoo::Tokenizer& tokenizer, std::string_view prompt,
                     GenerateOptions options, const Context& context) {
  const at::NoGradGuard no_grad;  // not inference mode: the returned state may go into training
  run_ = std::make_unique<Run>(model, tokenizer, std::move(options));
  const Clock::time_point start = Clock::now();
  const std::vector<int64_t> tokens = prompt_tokens(tokenizer, prompt, context, model.vocab_size());
  run_->start(context);
  run_->read(tokens);
  run_->text.result.prompt_tokens = static_cast<int64_t>(tokens.size());
  run_->text.result.prompt_seconds = seconds_since(start);
}

Generator::~Generator() = default;

std::optional<std::string> Generator::next() {
  const at::NoGradGuard no_grad;
  const Clock::time_point start = Clock::now();
  TextRun& text = run_->text;
  std::string piece = text.take();
  while (piece.empty() && !text.ended()) {
    run_->step();
    piece = text.take();
  }
  text.result.decode_seconds += seconds_since(start);
  return piece.empty() ? std::nullopt : std::optional(std::move(piece));
}

const GenerateResult& Generator::result() const { return run_->text.result; }

GenerateResult generate(models::LanguageModel& model, const zoo::Tokenizer& tokenizer, std::string_view prompt,
                        const GenerateOptions& options, const Context& context,
                        const std::function<bool(std::string_view)>& on_text) {
  Generator generator(model, tokenizer, prompt, options, context);
  bool cancelled = false;
  while (const auto piece = generator.next()) {
    if (on_text && !on_text(*piece)) {
      cancelled = true;
      break;
    }
  }
  GenerateResult result = generator.result();
  if (cancelled) result.finish_reason = "cancelled";
  return result;
}

}  // namespace wkv
