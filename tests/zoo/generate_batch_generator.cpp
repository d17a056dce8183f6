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
