#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "generate_parrot.h"
#include "wkv/error.h"
#include "wkv/zoo/generate_batch.h"
#include "wkv/zoo/load.h"

namespace wkv {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Le;

class GenerateBatch : public testing::Test {
 protected:
  std::map<int64_t, std::string> run(BatchGenerator& batch) {
    std::map<int64_t, std::string> texts;
    while (!batch.idle())
      for (const auto& [id, text] : batch.step()) texts[id] += text;
    return texts;
  }
  std::shared_ptr<const zoo::Tokenizer> bytes_ = zoo::load_tokenizer("bytes");
};

TEST_F(GenerateBatch, every_prompt_gets_its_own_text) {
  Parrot model("abcdefgh");
  const auto results = generate_batch(model, *bytes_, {"xab", "a", "f", "bcd"}, greedy(2), 2);
  std::vector<std::string> texts;
  for (const auto& result : results) texts.push_back(result.text);
  EXPECT_THAT(texts, ElementsAre("cd", "bc", "gh", "ef"));
  EXPECT_EQ(results[0].finish_reason, "length");
  EXPECT_EQ(results[0].prompt_tokens, 3);
}

TEST_F(GenerateBatch, never_more_than_the_width_decode_and_the_slots_stay_full) {
  Parrot model("abcdefghijklmnopqrstuvwxyz");
  BatchGenerator batch(model, *bytes_, 2);
  for (int64_t tokens : {3, 9, 3, 3}) batch.add("a", greedy(tokens));
  std::vector<int64_t> widths;
  while (!batch.idle()) {
    model.batches.clear();
    batch.step();
    if (!model.batches.empty()) widths.push_back(model.batches.back());
  }
  EXPECT_THAT(widths, Each(Le(2)));
  EXPECT_EQ(std::ranges::count(widths, 2), 9);  // the long text never decodes alone
}

TEST_F(GenerateBatch, a_text_that_ends_leaves_its_slot_to_the_next) {
  Parrot model("abcdefgh");
  BatchGenerator batch(model, *bytes_, 1);
  GenerateOptions stops_at_d = greedy(20);
  stops_at_d.stop = {"d"};
  batch.add("a", stops_at_d);
  batch.add("e", greedy(2));
  EXPECT_THAT(run(batch), ElementsAre(std::pair(0, "bc"), std::pair(1, "fg")));
  EXPECT_EQ(batch.result(0).finish_reason, "stop");
}

TEST_F(GenerateBatch, the_context_has_read_the_prompt_and_every_token_returned) {
  Parrot model("abcdefgh");
  for (const auto& result : generate_batch(model, *bytes_, {"xab", "xxab"}, greedy(3), 2))
    EXPECT_EQ(tokens_read(result), result.prompt_tokens + 3);
}

TEST_F(GenerateBatch, a_context_goes_on_where_it_ended) {
  Parrot model("abcdefgh");
  const GenerateResult first = generate(model, *bytes_, "a", greedy(3));
  BatchGenerator batch(model, *bytes_, 2);
  batch.add("", greedy(3), first.context);
  EXPECT_THAT(run(batch), ElementsAre(std::pair(0, "efg")));
  EXPECT_EQ(tokens_read(batch.result(0)), 7);
}

TEST_F(GenerateBatch, a_text_may_be_added_while_others_decode) {
  Parrot model("abcdefgh");
  BatchGenerator batch(model, *bytes_, 2);
  batch.add("a", greedy(4));
  batch.step();
  batch.add("e", greedy(1));
  run(batch);
  EXPECT_EQ(batch.result(0).text, "bcde");
  EXPECT_EQ(batch.result(1).text, "f");
}

TEST_F(GenerateBatch, a_cancelled_text_frees_its_slot_at_once) {
  Parrot model("abcdefgh");
  BatchGenerator batch(model, *bytes_, 1);
  batch.add("a", greedy(1000));
  batch.add("e", greedy(1));
  batch.add("f", greedy(1));
  batch.step();
  batch.cancel(0);
  batch.cancel(2);
  EXPECT_THAT(run(batch), ElementsAre(std::pair(1, "f")));
  EXPECT_EQ(batch.result(0).finish_reason, "cancelled");
  EXPECT_EQ(tokens_read(batch.result(0)), 2);
  EXPECT_EQ(batch.result(2).finish_reason, "cancelled");
}

TEST_F(GenerateBatch, a_long_prompt_is_read_between_the_steps_of_the_others) {
  Parrot model("abcdefghijklmnopqrstuvwxyz");
  BatchGenerator batch(model, *bytes_, 2);
  batch.add("a", greedy(4));
  batch.step();
  batch.add(std::string(5 * BatchGenerator::kPromptBlock, 'a'), greedy(1));
  for (int step = 0; step < 3; ++step) EXPECT_THAT(batch.step(), testing::SizeIs(1));
  EXPECT_LE(model.longest_read, BatchGenerator::kPromptBlock);
  EXPECT_THAT(run(batch), ElementsAre(std::pair(1, "b")));
}

TEST_F(GenerateBatch, a_prompt_may_be_given_as_tokens) {
  Parrot model("abcdefgh");
  BatchGenerator batch(model, *bytes_, 1);
  batch.add(std::vector<int64_t>{'x', 'c'}, greedy(2));
  EXPECT_THAT(run(batch), ElementsAre(std::pair(0, "de")));
  for (const int64_t token : {-1, 256}) EXPECT_THROW(batch.add(std::vector<int64_t>{token}, greedy(1)), Error);
}

TEST_F(GenerateBatch, a_released_text_is_forgotten) {
  Parrot model("abcdefgh");
  BatchGenerator batch(model, *bytes_, 1);
  batch.add("a", greedy(2));
  EXPECT_THROW(batch.release(0), Error);
  run(batch);
  batch.release(0);
  EXPECT_THROW(batch.result(0), Error);
  EXPECT_EQ(batch.add("a", greedy(2)), 1);
}

// Whose logits after a "!" are no numbers.
class BrokenParrot : public Parrot {
 public:
  using Parrot::Parrot;
  at::Tensor logits(const at::Tensor& hidden) override {
    return Parrot::logits(hidden).masked_fill((hidden == '!'), std::numeric_limits<double>::quiet_NaN());
  }
};

TEST_F(GenerateBatch, a_text_whose_logits_are_no_numbers_ends_alone) {
  BrokenParrot model("abcdefgh!");
  BatchGenerator batch(model, *bytes_, 2);
  batch.add("g", greedy(9));
  batch.add("a", greedy(6));
  EXPECT_THAT(run(batch), ElementsAre(std::pair(0, "h!"), std::pair(1, "bcdefg")));
  EXPECT_THROW(batch.result(0), Error);
  EXPECT_EQ(batch.result(1).finish_reason, "length");
}

class CachedGenerateBatch : public GenerateBatch {
 protected:
  // The tokens that the cache saved this text.
  int64_t cached(const std::string& prompt) {
    BatchGenerator batch(model_, *bytes_, 1, &cache_);
    batch.add(prompt, greedy(3));
    run(batch);
    EXPECT_EQ(batch.result(0).text, prompt.ends_with('a') ? "bcd" : "cde") << prompt;
    EXPECT_EQ(tokens_read(batch.result(0)), prompt.size() + 3);
    return batch.result(0).cached_tokens;
  }
  const std::string beginning_ = std::string(100, 'x');
  Parrot model_ = Parrot("abcdefgh");
  StateCache cache_{1 << 20};
};

TEST_F(CachedGenerateBatch, the_same_prompt_is_read_once) {
  EXPECT_EQ(cached(beginning_ + "a"), 0);
  EXPECT_EQ(cached(beginning_ + "a"), 101);
}

TEST_F(CachedGenerateBatch, a_text_that_goes_on_from_an_answer_reads_only_what_is_new) {
  const std::string long_prompt(100, 'a');
  BatchGenerator batch(model_, *bytes_, 1, &cache_);
  GenerateOptions options = greedy(50);
  batch.add(long_prompt, options);
  const std::string answer = run(batch)[0];
  EXPECT_EQ(cached(long_prompt + answer + "xa"), 150);
}

TEST_F(CachedGenerateBatch, a_beginning_that_two_prompts_share_is_known_to_the_third) {
  EXPECT_EQ(cached(beginning_ + "first, a"), 0);
  EXPECT_EQ(cached(beginning_ + "second, b"), 0);
  EXPECT_EQ(cached(beginning_ + "third, a"), 100);
}

TEST_F(CachedGenerateBatch, a_text_with_a_context_of_its_own_is_not_looked_up) {
  cached(beginning_ + "a");
  BatchGenerator batch(model_, *bytes_, 1, &cache_);
  batch.add(beginning_ + "a", greedy(1), generate(model_, *bytes_, "y", greedy(1)).context);
  run(batch);
  EXPECT_EQ(batch.result(0).cached_tokens, 0);
}

TEST_F(GenerateBatch, the_cache_changes_no_text_of_a_model) {
  const auto model = zoo::load_language_model(zoo::kEmbeddedModel);
  const std::string beginning = "In the beginning God created the heaven and the earth. And the earth ";
  const std::vector<std::string> prompts = {beginning + "was", beginning + "is", beginning + "will be",
                                            beginning + "was"};
  StateCache cache(int64_t{1} << 26);
  BatchGenerator batch(*model, *bytes_, 2, &cache);
  for (const auto& prompt : prompts) batch.add(prompt, greedy(30));
  auto texts = run(batch);
  for (std::size_t i = 0; i < prompts.size(); ++i)
    EXPECT_EQ(texts[i], generate(*model, *bytes_, prompts[i], greedy(30)).text) << prompts[i];
  EXPECT_EQ(batch.result(2).cached_tokens, beginning.size());
}

TEST_F(GenerateBatch, texts_are_those_that_generate_gives_alone) {
  const auto model = zoo::load_language_model(zoo::kEmbeddedModel);
  const std::vector<std::string> prompts = {"In the beginning", "And", "", "Blessed are the poor in spirit: for"};
  const GenerateOptions options{.max_tokens = 20, .sampler = {.temperature = 0.8, .top_p = 0.9}, .seed = 5};
  const auto together = generate_batch(*model, *bytes_, prompts, options, 3);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    GenerateOptions own = options;
    own.seed = 5 + i;
    EXPECT_EQ(together[i].text, generate(*model, *bytes_, prompts[i], own).text) << prompts[i];
  }
}

TEST_F(GenerateBatch, what_makes_no_text_is_refused_before_anything_decodes) {
  Parrot model("abc");
  EXPECT_THROW(BatchGenerator(model, *bytes_, 0), Error);
  BatchGenerator batch(model, *bytes_, 1);
  EXPECT_THROW(batch.add("a", {.max_tokens = -1}), Error);
  EXPECT_THROW(batch.result(0), Error);
  EXPECT_TRUE(batch.idle());
}

}  // namespace
}  // namespace wkv
