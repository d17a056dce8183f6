// Text from a language model: reads a prompt, draws tokens one by one, hands the text out as it comes.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wkv/export.h"
#include "wkv/models/language_model.h"
#include "wkv/zoo/sampler.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv {

// A text as far as a model has read it. No state: no text yet.
struct Context {
  models::State state;  // of one sequence, after the last token read
  at::Tensor hidden;  // [1, 1, C], the final hidden values of that token; undefined: not known, only a prompt can go on
                      // from here
};

struct GenerateOptions {
  int64_t max_tokens = 256;
  zoo::SamplerOptions sampler = {};
  std::optional<std::uint64_t> seed = {};   // none: a different one each time
  std::vector<std::string> stop = {};       // the text ends before the first of these
  std::vector<int64_t> banned_tokens = {};  // never drawn
};

struct GenerateResult {
  std::string text;             // well-formed UTF-8: everything that on_text got, joined
  std::vector<int64_t> tokens;  // those drawn, those of a stop string included, but not the end of the text
  Context context;              // after the prompt and all of `tokens`
  std::string finish_reason;    // "length", "stop", "end_of_text", or "cancelled" when on_text said so
  int64_t prompt_tokens = 0;    // read before the first draw
  int64_t cached_tokens = 0;    // those of them that a StateCache had read already
  double prompt_seconds = 0;
  double decode_seconds = 0;  // without the caller's time
};

// Continues the prompt from a context. An empty prompt goes on where the context ends: generating 10 tokens and then 10
// more is the same as generating 20, as far as the sampler goes (it starts anew with each call: seed and penalties).
// Without prompt and context the text begins after the tokenizer's end-of-text token, or after a newline for a
// tokenizer that has none.
//
// on_text gets each new piece of text as soon as it is certain: whole characters, never a part of a stop string; false
// ends it. Tokens outside of the tokenizer's vocabulary (the padding of a model's head) are never drawn. As in the
// published package, whitespace (space, tab) and digits don't count for the frequency penalty.
//
//   auto result = wkv::generate(*model, *tokenizer, "In the beginning", {.max_tokens = 50});
//   auto more = wkv::generate(*model, *tokenizer, "", {.max_tokens = 50}, result.context);
//
// Throws wkv::Error for options out of range, for a tokenizer that doesn't fit the model, and for logits that are not
// numbers.
WKV_API GenerateResult generate(models::LanguageModel& model, const zoo::Tokenizer& tokenizer, std::string_view prompt,
                                const GenerateOptions& options = {}, const Context& context = {},
                                const std::function<bool(std::string_view)>& on_text = {});

// The same for callers that set the pace: each call of next() gives the next piece of text.
class WKV_API Generator {
 public:
  // Reads the prompt. The model and the tokenizer must outlive it.
  Generator(models::LanguageModel& model, const zoo::Tokenizer& tokenizer, std::string_view prompt,
            GenerateOptions options = {}, const Context& context = {});
  ~Generator();

  std::optional<std::string> next();     // never empty; none at the end
  const GenerateResult& result() const;  // as far as it has come; no finish_reason before the end

 private:
  struct Run;
  std::unique_ptr<Run> run_;
};

}  // namespace wkv
