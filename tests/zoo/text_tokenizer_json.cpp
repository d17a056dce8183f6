#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "text/tokenizer_json.h"
#include "text_bpe_cases.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using nlohmann::ordered_json;
using testing::HasSubstr;

TEST(TokenizerJson, gives_tokens_merges_and_the_normalisation) {
  const BpeVocabulary vocabulary = parse_tokenizer_json(test::small_tokenizer_json({"a b", "ab c"}).dump(), "file");
  EXPECT_EQ(vocabulary.tokens.size(), 258);
  EXPECT_EQ(vocabulary.tokens[257], "abc");
  EXPECT_EQ(vocabulary.merges.size(), 2);
  EXPECT_TRUE(vocabulary.nfc);
}

TEST(TokenizerJson, gives_the_added_tokens) {
  ordered_json json = test::small_tokenizer_json({});
  json["added_tokens"] = {test::added_token("<|endoftext|>", 256, false), test::added_token("  ", 257, true)};
  const BpeVocabulary vocabulary = parse_tokenizer_json(json.dump(), "file");
  ASSERT_EQ(vocabulary.added.size(), 2);
  EXPECT_EQ(vocabulary.added[0].text, "<|endoftext|>");
  EXPECT_EQ(vocabulary.added[0].id, 256);
  EXPECT_FALSE(vocabulary.added[0].normalized);
  EXPECT_TRUE(vocabulary.added[1].normalized);
}

TEST(TokenizerJson, newer_files_have_merges_as_pairs) {
  ordered_json json = test::small_tokenizer_json({"a b", "ab c"});
  json["model"]["merges"] = ordered_json::parse(R"([["a", "b"], ["ab", "c"]])");
  EXPECT_EQ(parse_tokenizer_json(json.dump(), "file").merges.at(1).result, 257);
}

struct TokenizerJsonCase {
  const char* name;
  std::function<void(ordered_json&)> change;
  const char* problem = "";
};

class SamePipeline : public testing::TestWithParam<TokenizerJsonCase> {};

const TokenizerJsonCase kSamePipelines[] = {
    {"no_normalizer", [](ordered_json& j) { j["normalizer"] = nullptr; }},
    {"no_post_processor", [](ordered_json& j) { j["post_processor"] = nullptr; }},
    {"model_without_type", [](ordered_json& j) { j["model"].erase("type"); }},
    {"empty_affixes",
     [](ordered_json& j) { j["model"]["continuing_subword_prefix"] = j["model"]["end_of_word_suffix"] = ""; }},
    {"use_regex", [](ordered_json& j) { j["pre_tokenizer"]["use_regex"] = true; }},
    {"unknown_parts",
     [](ordered_json& j) {
       j["comment"] = j["model"]["comment"] = {{"a", {1, 2.5}}};
     }},
};
INSTANTIATE_TEST_SUITE_P(Table, SamePipeline, testing::ValuesIn(kSamePipelines),
                         [](const auto& test) { return test.param.name; });

TEST_P(SamePipeline, is_read) {
  ordered_json json = test::small_tokenizer_json({"a b"});
  GetParam().change(json);
  EXPECT_EQ(parse_tokenizer_json(json.dump(), "file").tokens.size(), 257);
}

const TokenizerJsonCase kOtherPipelines[] = {
    {"normalizer", [](ordered_json& j) { j["normalizer"]["type"] = "NFKC"; },
     "file: no tokenizer of GPT-NeoX 20B or GPT-2: normalizer must be NFC or null or absent, got NFKC"},
    {"normalizer_without_type", [](ordered_json& j) { j["normalizer"] = ordered_json::object(); }, "got an object"},
    {"list_as_normalizer", [](ordered_json& j) { j["normalizer"] = {"NFC"}; }, "normalizer must be"},
    {"number_as_normalizer", [](ordered_json& j) { j["normalizer"]["type"] = 1; }, "normalizer must be"},
    {"pre_tokenizer", [](ordered_json& j) { j["pre_tokenizer"]["type"] = "Sequence"; }, "ByteLevel, got Sequence"},
    {"no_pre_tokenizer", [](ordered_json& j) { j.erase("pre_tokenizer"); },
     "pre_tokenizer must be ByteLevel, got absent"},
    {"prefix_space", [](ordered_json& j) { j["pre_tokenizer"]["add_prefix_space"] = true; }, "false, got true"},
    {"no_regex", [](ordered_json& j) { j["pre_tokenizer"]["use_regex"] = false; }, "use_regex must be true"},
    {"post_processor", [](ordered_json& j) { j["post_processor"]["type"] = "TemplateProcessing"; }, "post_processor"},
    {"decoder", [](ordered_json& j) { j["decoder"] = nullptr; }, "decoder must be ByteLevel, got null"},
    {"model",
     [](ordered_json& j) {
       j["model"] = {{"type", "Unigram"}, {"vocab", {{"a", 0.5}}}};
     },
     "got Unigram"},
    {"no_model", [](ordered_json& j) { j.erase("model"); }, "model must be BPE or an object, got absent"},
    {"dropout", [](ordered_json& j) { j["model"]["dropout"] = 0.5; }, "model.dropout must be null"},
    {"unk_token", [](ordered_json& j) { j["model"]["unk_token"] = "<unk>"; }, "got <unk>"},
    {"prefix", [](ordered_json& j) { j["model"]["continuing_subword_prefix"] = "##"; }, "got ##"},
    {"suffix", [](ordered_json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }, "got </w>"},
    {"byte_fallback", [](ordered_json& j) { j["model"]["byte_fallback"] = true; }, "byte_fallback"},
    {"ignore_merges", [](ordered_json& j) { j["model"]["ignore_merges"] = true; }, "ignore_merges"},
    {"truncation",
     [](ordered_json& j) {
       j["truncation"] = {{"max_length", 512}};
     },
     "truncation must be null"},
    {"padding",
     [](ordered_json& j) {
       j["padding"] = {{"pad_id", 0}};
     },
     "padding must be null"},
    {"single_word",
     [](ordered_json& j) {
       j["added_tokens"] = {test::added_token("x", 257, false)};
       j["added_tokens"][0]["single_word"] = true;
     },
     "added token 0 has single_word"},
};

const TokenizerJsonCase kBadTokenizerJsons[] = {
    {"list", [](ordered_json& j) { j = ordered_json::array(); }, "the file must be an object"},
    {"list_as_vocab",
     [](ordered_json& j) {
       j["model"]["vocab"] = {"a", "b"};
     },
     "model.vocab must be an object"},
    {"text_as_id", [](ordered_json& j) { j["model"]["vocab"]["a"] = "97"; }, "must be an integer"},
    {"fraction_as_id", [](ordered_json& j) { j["model"]["vocab"]["a"] = 97.5; }, "must be an integer"},
    {"object_as_id",
     [](ordered_json& j) {
       j["model"]["vocab"]["a"] = {{"b", 97}};
     },
     "must be an integer"},
    {"huge_id", [](ordered_json& j) { j["model"]["vocab"]["a"] = UINT64_MAX; }, "must be an integer"},
    {"id_twice", [](ordered_json& j) { j["model"]["vocab"]["a"] = 98; }, "the id 98 comes twice"},
    {"object_as_merges", [](ordered_json& j) { j["model"]["merges"] = ordered_json::object(); },
     "model.merges must be a list"},
    {"number_as_merge", [](ordered_json& j) { j["model"]["merges"][0] = 5; }, "must be a text or a list of two"},
    {"list_in_a_pair",
     [](ordered_json& j) {
       j["model"]["merges"][0] = {"a", {"b"}};
     },
     "must be a text or a list of two"},
    {"pair_of_one", [](ordered_json& j) { j["model"]["merges"][0] = {"a"}; }, "is not two tokens"},
    {"pair_of_three",
     [](ordered_json& j) {
       j["model"]["merges"][0] = {"a", "b", "c"};
     },
     "which is no token"},
    {"object_as_added_tokens",
     [](ordered_json& j) {
       j["added_tokens"] = {{"a", 1}};
     },
     "added_tokens must be a list"},
    {"text_as_added_token", [](ordered_json& j) { j["added_tokens"] = {"a"}; }, "each entry of added_tokens"},
    {"added_token_without_id",
     [](ordered_json& j) {
       j["added_tokens"] = {test::added_token("x", 257, false)};
       j["added_tokens"][0].erase("id");
     },
     "added token 0 must be an object with content, id and normalized"},
    {"number_as_content",
     [](ordered_json& j) {
       j["added_tokens"] = {test::added_token("x", 257, false)};
       j["added_tokens"][0]["content"] = 5;
     },
     "the content of an added token must be a text"},
    {"number_as_normalized",
     [](ordered_json& j) {
       j["added_tokens"] = {test::added_token("x", 257, false)};
       j["added_tokens"][0]["normalized"] = 1;
     },
     "normalized of an added token must be true or false"},
    {"too_many_added_tokens",
     [](ordered_json& j) { j["added_tokens"] = std::vector<ordered_json>(4097, test::added_token("x", 257, false)); },
     "a list of at most 4096 entries"},
    {"too_many_merges", [](ordered_json& j) { j["model"]["merges"] = std::vector<std::string>(131073, "a b"); },
     "a list of at most 131072 entries"},
};

void expect_refused(const TokenizerJsonCase& test, ErrorCode code) {
  ordered_json json = test::small_tokenizer_json({"a b"});
  test.change(json);
  try {
    parse_tokenizer_json(json.dump(), "file");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    EXPECT_THAT(error.what(), testing::StartsWith("file: "));
    EXPECT_THAT(error.what(), HasSubstr(test.problem));
  }
}

class OtherPipeline : public testing::TestWithParam<TokenizerJsonCase> {};
INSTANTIATE_TEST_SUITE_P(Table, OtherPipeline, testing::ValuesIn(kOtherPipelines),
                         [](const auto& test) { return test.param.name; });
TEST_P(OtherPipeline, is_refused_by_name) { expect_refused(GetParam(), ErrorCode::unsupported_format); }

class BadTokenizerJson : public testing::TestWithParam<TokenizerJsonCase> {};
INSTANTIATE_TEST_SUITE_P(Table, BadTokenizerJson, testing::ValuesIn(kBadTokenizerJsons),
                         [](const auto& test) { return test.param.name; });
TEST_P(BadTokenizerJson, is_refused_with_the_reason) { expect_refused(GetParam(), ErrorCode::corrupt_file); }

TEST(TokenizerJson, a_file_cut_anywhere_is_refused) {
  const std::string whole = test::small_tokenizer_json({"a b"}).dump();
  for (std::size_t size = 0; size < whole.size(); size += 7)
    EXPECT_THROW(parse_tokenizer_json(whole.substr(0, size), "file"), Error) << size;
}

TEST(TokenizerJson, deep_nesting_is_refused) {
  EXPECT_THROW(parse_tokenizer_json("{\"a\":" + std::string(100'000, '['), "file"), Error);
}

}  // namespace
}  // namespace wkv::zoo
