#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "generate/stop_filter.h"
#include "text/model_fit.h"
#include "wkv/error.h"
#include "wkv/zoo/generate.h"
#include "wkv/zoo/utf8.h"

namespace wkv {
namespace {

std::vector<int64_t> prompt_tokens(const zoo::Tokenizer& tokenizer, std::string_view prompt, const Context& context,
                                   int64_t model_vocab) {
  std::vector<int64_t> tokens = tokenizer.encode(prompt);
  if (tokens.empty() && context.state.empty()) {
    tokens = zoo::opening_tokens(tokenizer);
  }
  if (tokens.empty() && !context.hidden.defined()) {
    throw Error(ErrorCode::invalid_argument, "generate: a state alone doesn't tell the next token: give a prompt");
  }
  zoo::require_fit(tokenizer, tokens, model_vocab, "prompt");
  return tokens;
}

// The tokens that the published package leaves out of the frequency penalty: those whose text is a part of this string.
std::vector<int64_t> uncounted_tokens(const zoo::Tokenizer& tokenizer) {
  constexpr std::string_view kUncounted = " \t0123456789";
  std::vector<int64_t> tokens;
  for (std::size_t begin = 0; begin < kUncounted.size(); ++begin) {
    for (std::size_t length = 1; length <= kUncounted.size() - begin; ++length) {
      const std::vector<int64_t> encoded = tokenizer.encode(kUncounted.substr(begin, length));
      if (encoded.size() == 1) tokens.push_back(encoded.front());
    }
  }
  return tokens;
}

void check_generate_options(const GenerateOptions& options, const zoo::Tokenizer& tokenizer) {
  if (options.max_tokens < 0) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("generate: max_tokens must be at least 0, got {}", options.max_tokens));
  }
  for (const int64_t token : options.banned_tokens) {
    if (token < 0 || token >= tokenizer.vocab_size()) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("generate: banned token {} is not in 0..{}", token, tokenizer.vocab_size() - 1));
    }
  }
}

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

}  // namespace

struct Generator::Run {
  Run(models::LanguageModel& model_, const zoo::Tokenizer& tokenizer_, GenerateOptions options_)
      : model(model_),
        tokenizer(tokenizer_),
        options(std::move(options_)),
        sampler(options.sampler, options.seed ? *options.seed : random_seed(), uncounted_tokens(tokenizer)),
        stops(options.stop),
        usable(static_cast<std::size_t>(std::min(model.vocab_size(), tokenizer.vocab_size()))) {}

  void start(const Context& context) {
    result.context = context.state.empty() ? Context{model.initial_state(1), {}} : context;
    if (result.context.state.batch() != 1) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("generate: the state must be of one sequence, got {}", result.context.state.batch()));
    }
  }

  void read(std::vector<int64_t> tokens) {
    const auto count = static_cast<int64_t>(tokens.size());
    const at::Device device = result.context.state.entries.front().tensor.device();
    const at::Tensor all = at::from_blob(tokens.data(), {1, count}, at::TensorOptions().dtype(at::kLong)).to(device);
    if (count == 0) return;
    auto [hidden, state] = model.read(all, result.context.state);
    result.context = {std::move(state), hidden.unsqueeze(1)};
  }

  // Draws a token. Returns the text that is certain now, which may be none.
  std::string step() {
    if (static_cast<int64_t>(result.tokens.size()) == options.max_tokens) return finish("length");
    const at::Tensor logits = model.logits(result.context.hidden).flatten().to(at::kCPU, at::kFloat).contiguous();
    const int64_t token = sampler.next({logits.const_data_ptr<float>(), usable}, options.banned_tokens);
    if (token == tokenizer.end_of_text()) return finish("end_of_text");
    result.tokens.push_back(token);
    std::string piece = utf8.push(stops.push(tokenizer.decode({token})));
    read({token});
    if (stops.stopped()) piece += finish("stop");
    return piece;
  }

  std::string finish(const char* reason) {
    result.finish_reason = reason;
    std::string rest = utf8.push(stops.flush());
    rest += utf8.flush();
    return rest;
  }

  models::LanguageModel& model;
  const zoo::Tokenizer& tokenizer;
  const GenerateOptions options;
  zoo::Sampler sampler;
  StopFilter stops;
  zoo::Utf8Decoder utf8;
  const std::size_t usable;  // tokens that both the model and the tokenizer have
  GenerateResult result;
};

Generator::Generator(models::LanguageModel& model, const zoo::Tokenizer& tokenizer, std::string_view prompt,
                     GenerateOptions options, const Context& context) {
  const at::NoGradGuard no_grad;  // not inference mode: the returned state may go into training
  check_generate_options(options, tokenizer);
  run_ = std::make_unique<Run>(model, tokenizer, std::move(options));
  const Clock::time_point start = Clock::now();
  const std::vector<int64_t> tokens = prompt_tokens(tokenizer, prompt, context, model.vocab_size());
  run_->start(context);
  run_->read(tokens);
  run_->result.prompt_tokens = static_cast<int64_t>(tokens.size());
  run_->result.prompt_seconds = seconds_since(start);
}

Generator::~Generator() = default;

std::optional<std::string> Generator::next() {
  const at::NoGradGuard no_grad;
  const Clock::time_point start = Clock::now();
  GenerateResult& result = run_->result;
  std::string piece;
  while (piece.empty() && result.finish_reason.empty()) piece = run_->step();
  result.text += piece;
  result.decode_seconds += seconds_since(start);
  return piece.empty() ? std::nullopt : std::optional(std::move(piece));
}

const GenerateResult& Generator::result() const { return run_->result; }

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
