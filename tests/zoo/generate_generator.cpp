#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "generate_parrot.h"
#include "text_tokenizer_cases.h"
#include "wkv/error.h"
#include "wkv/zoo/generate.h"

namespace wkv {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Generate : public testing::Test {
 protected:
  std::shared_ptr<const zoo::Tokenizer> bytes_ = zoo::load_tokenizer("bytes");
};

TEST_F(Generate, continues_the_prompt) {
  Parrot model("abcdefgh");
  const GenerateResult result = generate(model, *bytes_, "xab", greedy(3));
  EXPECT_EQ(result.text, "cde");
  EXPECT_THAT(result.tokens, ElementsAre('c', 'd', 'e'));
  EXPECT_EQ(result.finish_reason, "length");
  EXPECT_EQ(result.prompt_tokens, 3);
}

TEST_F(Generate, the_context_has_read_the_prompt_and_every_token_returned) {
  Parrot model("abcdefgh");
  EXPECT_EQ(tokens_read(generate(model, *bytes_, "xab", greedy(3))), 6);
  EXPECT_EQ(tokens_read(generate(model, *bytes_, "xab", greedy(0))), 3);
}

TEST_F(Generate, twice_three_tokens_are_six) {
  Parrot model("abcdefgh");
  const GenerateResult whole = generate(model, *bytes_, "a", greedy(6));
  const GenerateResult first = generate(model, *bytes_, "a", greedy(3));
  const GenerateResult second = generate(model, *bytes_, "", greedy(3), first.context);
  EXPECT_EQ(first.text + second.text, whole.text);
  EXPECT_EQ(tokens_read(second), tokens_read(whole));
}

TEST_F(Generate, a_bare_state_goes_on_with_a_prompt_only) {
  Parrot model("abcdefgh");
  const GenerateResult first = generate(model, *bytes_, "a", greedy(2));
  EXPECT_EQ(generate(model, *bytes_, "e", greedy(2), {first.context.state, {}}).text, "fg");
  EXPECT_THROW(generate(model, *bytes_, "", greedy(2), {first.context.state, {}}), Error);
}

TEST_F(Generate, without_any_text_begins_after_a_newline) {
  Parrot model("\nabc");
  EXPECT_EQ(generate(model, *bytes_, "", greedy(3)).text, "abc");
}

TEST_F(Generate, a_long_prompt_is_read_in_pieces_and_drawn_from_once) {
  Parrot model("ab");
  const GenerateResult result = generate(model, *bytes_, std::string(1000, 'a'), greedy(1));
  EXPECT_EQ(tokens_read(result), 1001);
  EXPECT_EQ(model.longest_read, 512);
  EXPECT_EQ(model.draws, 1);
}

// The pieces of text that came.
std::vector<std::string> pieces(Parrot& model, const zoo::Tokenizer& tokenizer, const GenerateOptions& options) {
  std::vector<std::string> seen;
  generate(model, tokenizer, "a", options, {}, [&](std::string_view piece) {
    seen.emplace_back(piece);
    return true;
  });
  return seen;
}

TEST_F(Generate, text_comes_as_soon_as_its_characters_are_whole) {
  Parrot model(
      "ab\xE2\x82\xAC"
      "c");
  EXPECT_THAT(pieces(model, *bytes_, greedy(5)), ElementsAre("b", "\xE2\x82\xAC", "c"));
  EXPECT_THAT(pieces(model, *bytes_, greedy(2)), ElementsAre("b", "\xEF\xBF\xBD"));
}

TEST_F(Generate, no_part_of_a_stop_string_is_shown) {
  Parrot model("abcdefgh");
  GenerateOptions options = greedy(7);
  options.stop = {"def"};
  EXPECT_THAT(pieces(model, *bytes_, options), ElementsAre("b", "c"));
}

TEST_F(Generate, a_stop_string_ends_the_text_and_has_been_read) {
  Parrot model("abcdefgh");
  GenerateOptions options = greedy(7);
  options.stop = {"x", "def"};
  const GenerateResult result = generate(model, *bytes_, "a", options);
  EXPECT_EQ(result.text, "bc");
  EXPECT_EQ(result.finish_reason, "stop");
  EXPECT_THAT(result.tokens, ElementsAre('b', 'c', 'd', 'e', 'f'));
  EXPECT_EQ(tokens_read(result), 6);
}

TEST_F(Generate, a_stop_string_may_begin_inside_a_character) {
  Parrot model(
      "ab\xE2\x82\xAC"
      "c");
  GenerateOptions options = greedy(7);
  options.stop = {"\x82\xAC"};
  EXPECT_EQ(generate(model, *bytes_, "a", options).text, "b\xEF\xBF\xBD");
}

TEST_F(Generate, the_beginning_of_a_stop_string_at_the_end_is_text) {
  Parrot model("abcdefgh");
  GenerateOptions options = greedy(3);
  options.stop = {"def"};
  EXPECT_EQ(generate(model, *bytes_, "a", options).text, "bcd");
}

TEST_F(Generate, the_caller_may_end_it) {
  Parrot model("abcdefgh");
  const GenerateResult result =
      generate(model, *bytes_, "a", greedy(7), {}, [](std::string_view piece) { return piece != "c"; });
  EXPECT_EQ(result.text, "bc");
  EXPECT_EQ(result.finish_reason, "cancelled");
  EXPECT_EQ(tokens_read(result), 3);
}

TEST_F(Generate, banned_tokens_are_never_drawn) {
  Parrot model("abcdefgh");
  GenerateOptions options = greedy(2);
  options.banned_tokens = {'c'};
  EXPECT_THAT(generate(model, *bytes_, "a", options).tokens, ElementsAre('b', 0));
  options.banned_tokens = {256};
  EXPECT_THROW(generate(model, *bytes_, "a", options), Error);
}

TEST_F(Generate, the_same_seed_gives_the_same_text) {
  Parrot model("a");
  GenerateOptions options{.max_tokens = 20, .seed = 7};
  options.sampler.temperature = 5;
  const std::string text = generate(model, *bytes_, "a", options).text;
  EXPECT_EQ(generate(model, *bytes_, "a", options).text, text);
  options.seed = 8;
  EXPECT_NE(generate(model, *bytes_, "a", options).text, text);
}

TEST_F(Generate, whitespace_and_digits_escape_the_frequency_penalty) {
  Parrot model("a11");
  GenerateOptions options = greedy(20);
  options.sampler.frequency_penalty = 1;
  EXPECT_EQ(generate(model, *bytes_, "a", options).text, std::string(20, '1'));
  Parrot letters("abb");
  EXPECT_NE(generate(letters, *bytes_, "a", options).text, std::string(20, 'b'));
}

TEST_F(Generate, tokens_beyond_the_tokenizers_vocabulary_are_never_drawn) {
  Parrot padded("a", 512);
  GenerateOptions options{.max_tokens = 200, .seed = 1};
  options.sampler.temperature = 1e6;  // nearly every token is as probable
  EXPECT_THAT(generate(padded, *bytes_, "a", options).tokens, testing::Each(testing::Lt(256)));
}

TEST_F(Generate, a_tokenizer_that_does_not_fit_the_model_is_refused) {
  Parrot model("a", 100);
  try {
    generate(model, *bytes_, "ax", greedy(1));
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("the tokenizer bytes does not fit the model"));
  }
}

TEST_F(Generate, a_negative_number_of_tokens_is_refused) {
  Parrot model("a");
  EXPECT_THROW(generate(model, *bytes_, "a", greedy(-1)), Error);
}

TEST_F(Generate, a_state_of_several_sequences_is_refused) {
  Parrot model("a");
  EXPECT_THROW(generate(model, *bytes_, "a", greedy(1), {model.initial_state(2), {}}), Error);
}

TEST_F(Generate, a_generator_gives_one_piece_after_another) {
  Parrot model("abcdefgh");
  Generator generator(model, *bytes_, "a", greedy(2));
  EXPECT_EQ(generator.next(), "b");
  EXPECT_EQ(generator.result().finish_reason, "");
  EXPECT_EQ(generator.next(), "c");
  EXPECT_EQ(generator.next(), std::nullopt);
  EXPECT_EQ(generator.next(), std::nullopt);
  EXPECT_EQ(generator.result().finish_reason, "length");
  EXPECT_EQ(generator.result().text, "bc");
}

TEST(GenerateWorld, token_0_ends_the_text_and_begins_an_empty_one) {
  const test::TemporaryVocabulary file(test::single_byte_lines());
  const auto world = zoo::load_tokenizer(file.path());
  // In tokens: 0 -> "a" (98) -> "b" (99) -> 0.
  Parrot model(std::string("\0bc\0", 4), 257);
  const GenerateResult result = generate(model, *world, "", greedy(10));
  EXPECT_EQ(result.text, "ab");
  EXPECT_EQ(result.finish_reason, "end_of_text");
  EXPECT_THAT(result.tokens, ElementsAre(98, 99));
  EXPECT_EQ(tokens_read(result), 3);
}

}  // namespace
}  // namespace wkv
