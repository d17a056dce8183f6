#include <ATen/core/grad_mode.h>
#include <ATen/ops/clone.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>
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

  void start(const Context& from) {
    context = from.state.empty() ? Context{model.initial_state(1), {}} : from;
    if (context.state.batch() != 1) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("generate: the state must be of one sequence, got {}", context.state.batch()));
    }
    context = copy_of(context);  // steps write in place
    in_place =
        std::ranges::none_of(context.state.entries, [](const auto& entry) { return models::State::grows(entry.name); });
  }

  void read(std::vector<int64_t> tokens) {
    if (tokens.empty()) return;
    const at::Device device = context.state.entries.front().tensor.device();
    const at::Tensor row =
        at::from_blob(tokens.data(), {static_cast<int64_t>(tokens.size())}, at::TensorOptions().dtype(at::kLong))
            .to(device);
    if (in_place && tokens.size() == 1) {
      const at::Tensor slot = at::zeros({1}, row.options());
      context.hidden = model.decode(row, context.state, slot).unsqueeze(1);
    } else {
      auto [hidden, state] = model.read(row.unsqueeze(0), context.state);
      context = {std::move(state), hidden.unsqueeze(1).clone()};
    }
  }

  void step() {
    const auto token = text.draw(model.logits(context.hidden).flatten());
    if (token) read({*token});
  }

  static Context copy_of(Context context) {
    for (auto& entry : context.state.entries) entry.tensor = entry.tensor.clone();
    return context;
  }

  Context context;
  bool in_place = false;
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

const GenerateResult& Generator::result() const {
  run_->text.result.context = Run::copy_of(run_->context);
  return run_->text.result;
}

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
