#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "generate/stop_filter.h"
#include "wkv/error.h"
#include "wkv/zoo/generate.h"
#include "wkv/zoo/utf8.h"

namespace wkv {
namespace {

// Tokens of a prompt that are read at once: bounds the memory of the activations.
constexpr int64_t kPromptPiece = 256;

// A model with the context that it has read so far.
class ContextReader {
 public:
  ContextReader(models::LanguageModel& model, const Context& context) : model_(model), context_(context) {
    if (context_.state.empty()) context_ = {model_.initial_state(1), {}};
    if (context_.state.batch() != 1) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("generate: the state must be of one sequence, got {}", context_.state.batch()));
    }
  }

  void read(std::vector<int64_t> tokens) {
    const auto count = static_cast<int64_t>(tokens.size());
    const at::Device device = context_.state.entries.front().tensor.device();
    const at::Tensor all = at::from_blob(tokens.data(), {1, count}, at::TensorOptions().dtype(at::kLong)).to(device);
    for (int64_t begin = 0; begin < count; begin += kPromptPiece) {
      auto [hidden, state] = model_.hidden(all.slice(1, begin, std::min(begin + kPromptPiece, count)), context_.state);
      context_ = {std::move(state), hidden.slice(1, hidden.size(1) - 1).clone()};
    }
  }

  // Of the next token, [V], on the CPU.
  at::Tensor logits() { return model_.logits(context_.hidden).flatten().to(at::kCPU, at::kFloat).contiguous(); }

  const Context& context() const { return context_; }

 private:
  models::LanguageModel& model_;
  Context context_;
};

std::vector<int64_t> prompt_tokens(const zoo::Tokenizer& tokenizer, std::string_view prompt, const Context& context,
                                   int64_t model_vocab) {
  std::vector<int64_t> tokens = tokenizer.encode(prompt);
  if (tokens.empty() && context.state.empty()) {
    tokens = tokenizer.end_of_text() ? std::vector{*tokenizer.end_of_text()} : tokenizer.encode("\n");
  }
  if (tokens.empty() && !context.hidden.defined()) {
    throw Error(ErrorCode::invalid_argument, "generate: a state alone doesn't tell the next token: give a prompt");
  }
  for (const int64_t token : tokens) {
    if (token >= model_vocab) {
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format(
              "the tokenizer {} does not fit the model: the prompt has token {}, the model's vocabulary ends at {}",
              tokenizer.name(), token, model_vocab - 1));
    }
  }
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

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

// From the bytes of tokens to pieces of text.
class TextOutput {
 public:
  TextOutput(std::vector<std::string> stops, const std::function<bool(std::string_view)>& on_text)
      : stops_(std::move(stops)), on_text_(on_text) {}

  void push(std::string_view bytes) {
    show(utf8_.push(stops_.push(bytes)));
    if (stops_.stopped() && finish_reason_.empty()) finish_reason_ = "stop";
  }
  void finish() {
    show(utf8_.push(stops_.flush()));
    show(utf8_.flush());
  }
  // Empty: no reason to end.
  const std::string& finish_reason() const { return finish_reason_; }
  const std::string& text() const { return text_; }

 private:
  void show(std::string_view piece) {
    if (piece.empty() || finish_reason_ == "cancelled") return;
    text_ += piece;
    if (on_text_ && !on_text_(piece)) finish_reason_ = "cancelled";
  }

  StopFilter stops_;
  zoo::Utf8Decoder utf8_;
  const std::function<bool(std::string_view)>& on_text_;
  std::string finish_reason_;
  std::string text_;
};

}  // namespace

GenerateResult generate(models::LanguageModel& model, const zoo::Tokenizer& tokenizer, std::string_view prompt,
                        const GenerateOptions& options, const Context& context,
                        const std::function<bool(std::string_view)>& on_text) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::duration time) { return std::chrono::duration<double>(time).count(); };
  const at::NoGradGuard no_grad;  // not inference mode: the returned state may go into training
  check_generate_options(options, tokenizer);
  zoo::Sampler sampler(options.sampler, options.seed ? *options.seed : random_seed(), uncounted_tokens(tokenizer));
  TextOutput output(options.stop, on_text);
  GenerateResult result;

  const Clock::time_point start = Clock::now();
  const std::vector<int64_t> tokens = prompt_tokens(tokenizer, prompt, context, model.vocab_size());
  ContextReader reader(model, context);
  reader.read(tokens);
  result.prompt_tokens = static_cast<int64_t>(tokens.size());
  const Clock::time_point decode_start = Clock::now();
  result.prompt_seconds = seconds(decode_start - start);

  const auto usable = static_cast<std::size_t>(std::min(model.vocab_size(), tokenizer.vocab_size()));
  while (result.finish_reason.empty()) {
    if (static_cast<int64_t>(result.tokens.size()) == options.max_tokens) {
      result.finish_reason = "length";
      break;
    }
    const at::Tensor logits = reader.logits();
    const int64_t token = sampler.next({logits.const_data_ptr<float>(), usable}, options.banned_tokens);
    if (token == tokenizer.end_of_text()) {
      result.finish_reason = "end_of_text";
      break;
    }
    result.tokens.push_back(token);
    output.push(tokenizer.decode({token}));
    reader.read({token});
    result.finish_reason = output.finish_reason();
  }
  output.finish();
  result.text = output.text();
  result.context = reader.context();
  result.decode_seconds = seconds(Clock::now() - decode_start);
  return result;
}

}  // namespace wkv
