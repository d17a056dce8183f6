// One text on its way: tokens are drawn from logits, and what they make comes out as whole characters. What the model
// has read, and when it reads, is the caller's affair.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "generate/stop_filter.h"
#include "wkv/zoo/generate.h"
#include "wkv/zoo/utf8.h"

namespace wkv {

// The tokens that a text begins with, by the rules of generate(). Throws wkv::Error where there are none, and for those
// that the model doesn't have.
std::vector<int64_t> prompt_tokens(const zoo::Tokenizer& tokenizer, std::string_view prompt, const Context& context,
                                   int64_t model_vocab);
std::vector<int64_t> prompt_tokens(const zoo::Tokenizer& tokenizer, std::vector<int64_t> prompt, const Context& context,
                                   int64_t model_vocab);

class TextRun {
 public:
  // Throws wkv::Error for options out of range.
  TextRun(const zoo::Tokenizer& tokenizer, GenerateOptions options, int64_t model_vocab);

  // Draws a token from logits [V] and returns it, for the model to read; none where the text has ended.
  std::optional<int64_t> draw(const at::Tensor& logits);
  // The text that has become certain since the last call.
  std::string take();
  bool ended() const { return !result.finish_reason.empty(); }

  GenerateResult result;  // but for the context and the times, which are the caller's

 private:
  void end_at_length();
  void end(const char* reason);

  const zoo::Tokenizer& tokenizer_;
  const GenerateOptions options_;
  zoo::Sampler sampler_;
  StopFilter stops_;
  zoo::Utf8Decoder utf8_;
  const std::size_t usable_;  // tokens that both the model and the tokenizer have
  std::string certain_;
};

}  // namespace wkv
