// Many texts at once: a fixed number of sequences decode together, and a new one takes the slot of each that ends.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "wkv/export.h"
#include "wkv/zoo/generate.h"
#include "wkv/zoo/state_cache.h"

namespace wkv {

// Continuous batching over a pool of states: sequences begin and end on their own, the others don't wait. Each text is,
// but for rounding, what generate() gives for it alone.
//
//   wkv::BatchGenerator batch(*model, *tokenizer, 8);
//   for (const auto& prompt : prompts) batch.add(prompt, {.max_tokens = 50});
//   while (!batch.idle()) for (const auto& [id, text] : batch.step()) ...
class WKV_API BatchGenerator {
 public:
  // width: sequences that decode together. The model, the tokenizer and the cache must outlive it; a cache is asked for
  // the beginning of each text that has no context of its own, and keeps what such texts have read. Throws wkv::Error
  // for a width below 1, and for a model whose state grows with the text.
  BatchGenerator(models::LanguageModel& model, const zoo::Tokenizer& tokenizer, int64_t width,
                 StateCache* cache = nullptr);
  ~BatchGenerator();

  // Puts a text at the end of the queue and returns its number, 0, 1, 2, ... Throws wkv::Error as generate() does.
  int64_t add(std::string_view prompt, const GenerateOptions& options = {}, const Context& context = {});
  int64_t add(std::vector<int64_t> prompt, const GenerateOptions& options = {}, const Context& context = {});

  struct Piece {
    int64_t id;
    std::string text;  // what became certain in this step; empty only for a text that ended
  };
  // Reads prompts for the free slots, kPromptBlock tokens at most so that a long one doesn't hold up the others, then
  // draws and reads one token for every slot.
  std::vector<Piece> step();
  static constexpr int64_t kPromptBlock = 128;
  // Ends a text; its finish_reason becomes "cancelled" unless it has ended already.
  void cancel(int64_t id);

  bool idle() const;       // nothing decodes and nothing waits
  int64_t active() const;  // texts that decode
  // As far as the text has come; its context once it has ended. A text whose logits are no numbers ends alone, with the
  // finish_reason "error", and here throws the wkv::Error.
  const GenerateResult& result(int64_t id) const;
  // Forgets a text that has ended, and its result.
  void release(int64_t id);

 private:
  struct Batch;
  std::unique_ptr<Batch> batch_;
};

// The texts of all prompts, in their order, `width` of them decoding at a time. options.seed: that of the first; each
// further one takes the next number.
WKV_API std::vector<GenerateResult> generate_batch(models::LanguageModel& model, const zoo::Tokenizer& tokenizer,
                                                   const std::vector<std::string>& prompts,
                                                   const GenerateOptions& options = {}, int64_t width = 8);

}  // namespace wkv
