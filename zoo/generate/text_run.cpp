#include "generate/text_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "text/model_fit.h"
#include "wkv/error.h"

namespace wkv {
namespace {

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

GenerateOptions checked(GenerateOptions options, const zoo::Tokenizer& tokenizer) {
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
  return options;
}

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

}  // namespace

std::vector<int64_t> prompt_tokens(const zoo::Tokenizer& tokenizer, std::string_view prompt, const Context& context,
                                   int64_t model_vocab) {
  return prompt_tokens(tokenizer, tokenizer.encode(prompt), context, model_vocab);
}

std::vector<int64_t> prompt_tokens(const zoo::Tokenizer& tokenizer, std::vector<int64_t> prompt, const Context& context,
                                   int64_t model_vocab) {
  if (prompt.empty() && context.state.empty()) {
    prompt = zoo::opening_tokens(tokenizer);
  }
  if (prompt.empty() && !context.hidden.defined()) {
    throw Error(ErrorCode::invalid_argument, "generate: a state alone doesn't tell the next token: give a prompt");
  }
  zoo::require_fit(tokenizer, prompt, model_vocab, "prompt");
  return prompt;
}

TextRun::TextRun(const zoo::Tokenizer& tokenizer, GenerateOptions options, int64_t model_vocab)
    : tokenizer_(tokenizer),
      options_(checked(std::move(options), tokenizer)),
      sampler_(options_.sampler, options_.seed ? *options_.seed : random_seed(), uncounted_tokens(tokenizer)),
      stops_(options_.stop),
      usable_(static_cast<std::size_t>(std::min(model_vocab, tokenizer.vocab_size()))) {
  end_at_length();
}

std::optional<int64_t> TextRun::draw(const at::Tensor& logits) {
  if (ended()) return std::nullopt;
  const at::Tensor values = logits.to(at::kCPU, at::kFloat).contiguous();
  const int64_t token = sampler_.next({values.const_data_ptr<float>(), usable_}, options_.banned_tokens);
  if (token == tokenizer_.end_of_text()) {
    end("end_of_text");
    return std::nullopt;
  }
  result.tokens.push_back(token);
  certain_ += utf8_.push(stops_.push(tokenizer_.decode({token})));
  if (stops_.stopped()) {
    end("stop");
  } else {
    end_at_length();
  }
  return token;
}

std::string TextRun::take() {
  std::string piece = std::exchange(certain_, {});
  result.text += piece;
  return piece;
}

void TextRun::end_at_length() {
  if (static_cast<int64_t>(result.tokens.size()) == options_.max_tokens) end("length");
}

void TextRun::end(const char* reason) {
  result.finish_reason = reason;
  certain_ += utf8_.push(stops_.flush());
  certain_ += utf8_.flush();
}

}  // namespace wkv
