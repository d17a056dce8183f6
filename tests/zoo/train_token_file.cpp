#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "train/data.h"
#include "train/token_file.h"
#include "wkv/error.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::zoo {
namespace {

using testing::HasSubstr;

std::string temporary(const std::string& name) { return std::filesystem::path(testing::TempDir()) / name; }

// The documents as a set of bytes.
std::string write_set(const std::string& name, const std::vector<std::string>& documents) {
  TokenFileWriter writer(temporary(name), load_tokenizer("bytes"));
  for (const auto& document : documents) {
    writer.append(document);
    writer.end_document();
  }
  writer.commit();
  return temporary(name);
}

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(TokenFile, holds_the_tokens_and_the_ends_of_documents) {
  const auto path = write_set("set.safetensors", {"abc", "de"});
  const auto file = read_token_file(path, *load_tokenizer("bytes"));
  EXPECT_TRUE(at::equal(file.tokens, at::arange('a', 'f', at::kByte)));
  EXPECT_TRUE(at::equal(file.ends, at::tensor({3, 5}, at::kLong)));
  EXPECT_EQ(file.bytes, 5);
  EXPECT_FALSE(std::filesystem::exists(path + ".tokens"));
}

TEST(TokenFile, without_a_commit_nothing_stays) {
  std::filesystem::remove(temporary("no.safetensors"));
  { TokenFileWriter(temporary("no.safetensors"), load_tokenizer("bytes")).append("abc"); }
  EXPECT_FALSE(std::filesystem::exists(temporary("no.safetensors")));
}

TEST(TokenFile, an_empty_set_is_refused) {
  EXPECT_THAT(message_of([] { write_set("empty.safetensors", {"", ""}); }), HasSubstr("there is no text"));
}

// A token for each character, the last ones 65534 and 65535 of a large vocabulary.
struct WideTokenizer : Tokenizer {
  std::string name() const override { return "wide"; }
  std::vector<int64_t> encode(std::string_view text) const override {
    std::vector<int64_t> tokens;
    for (const char c : text) tokens.push_back(65535 - (c - 'a'));
    return tokens;
  }
  std::string decode(const std::vector<int64_t>& tokens) const override { return std::string(tokens.size(), 'x'); }
  int64_t vocab_size() const override { return 65536; }
  std::optional<int64_t> end_of_text() const override { return 0; }
};

TEST(TokenFile, a_vocabulary_of_65536_takes_two_bytes_a_token) {
  TokenFileWriter writer(temporary("wide.safetensors"), std::make_shared<WideTokenizer>());
  writer.append("ab");
  writer.end_document();
  writer.commit();
  const auto file = read_token_file(temporary("wide.safetensors"), WideTokenizer());
  EXPECT_EQ(file.tokens.scalar_type(), at::kUInt16);
  EXPECT_TRUE(at::equal(file.tokens.to(at::kLong), at::tensor({65535, 65534, 0}, at::kLong)));
}

TEST(TokenFile, windows_of_two_byte_tokens_are_gathered) {
  const auto tokens = at::arange(65530, 65536, at::kInt).to(at::kUInt16);
  EXPECT_TRUE(at::equal(gather_windows(tokens, {0, 3}, 2),
                        at::tensor({65530, 65531, 65532, 65533, 65534, 65535}, at::kLong).view({2, 3})));
}

TEST(TokenFile, of_another_tokenizer_is_refused) {
  const auto path = write_set("bytes.safetensors", {"abc"});
  EXPECT_THAT(message_of([&] { read_token_file(path, WideTokenizer()); }),
              HasSubstr("those of bytes (256 of them), got the tokenizer wide (65536)"));
}

struct Damage {
  const char* why;
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  std::string bytes, message;
};

class DamagedTokenFile : public testing::TestWithParam<Damage> {};

TEST_P(DamagedTokenFile, is_refused) {
  const auto path = temporary("damaged.safetensors");
  write_safetensors(path, GetParam().tensors, {{"tokenizer", "wide"}, {"vocab", "65536"}, {"bytes", GetParam().bytes}});
  EXPECT_THAT(message_of([&] { read_token_file(path, WideTokenizer()); }), HasSubstr(GetParam().message))
      << GetParam().why;
}

const at::Tensor& three_tokens() {
  static const at::Tensor tokens = at::arange(3, at::kInt).to(at::kUInt16);
  return tokens;
}
at::Tensor end_at(int64_t token) { return at::full({1}, token, at::kLong); }

INSTANTIATE_TEST_SUITE_P(
    TokenFile, DamagedTokenFile,
    testing::Values(
        Damage{"no ends", {{"tokens", three_tokens()}}, "3", "is no tokenised text"},
        Damage{"a model", {{"emb.weight", at::ones({2, 2})}}, "3", "is no tokenised text"},
        Damage{"another dtype",
               {{"tokens", at::arange(3, at::kInt)}, {"ends", end_at(3)}},
               "3",
               "tokens must be UInt16 [N]"},
        Damage{"no tokens", {{"tokens", three_tokens().slice(0, 0, 0)}, {"ends", end_at(0)}}, "3", "not empty"},
        Damage{"ends too far", {{"tokens", three_tokens()}, {"ends", end_at(4)}}, "3", "ends must be"},
        Damage{"ends that fall",
               {{"tokens", three_tokens()}, {"ends", at::tensor({2, 1, 3}, at::kLong)}},
               "3",
               "ends must be"},
        Damage{"no bytes", {{"tokens", three_tokens()}, {"ends", end_at(3)}}, "x", "bytes at least 1"}));

TEST(TokenFile, tokens_beyond_the_vocabulary_are_refused) {
  struct SmallTokenizer : WideTokenizer {
    int64_t vocab_size() const override { return 300; }
  };
  const auto path = temporary("beyond.safetensors");
  write_safetensors(path, {{"tokens", at::tensor({5, 300}, at::kInt).to(at::kUInt16)}, {"ends", end_at(2)}},
                    {{"tokenizer", "wide"}, {"vocab", "300"}, {"bytes", "2"}});
  EXPECT_THAT(message_of([&] { read_token_file(path, SmallTokenizer()); }),
              HasSubstr("has the token 300, which is not in 0..299"));
}

TEST(TokenisedText, is_cut_where_the_text_is) {
  const std::string text = "0123456\u20ac789";  // 13 bytes
  std::ofstream(temporary("cut.txt"), std::ios::binary) << text;
  for (const double share : {0.0, 0.2, 0.3, 0.4, 0.5}) {
    const auto plain = load_text({.files = {temporary("cut.txt")}, .held_out = share});
    const auto mapped = load_text({.files = {write_set("cut.safetensors", {text})}, .held_out = share});
    EXPECT_TRUE(at::equal(mapped.train, plain.train)) << share;
    EXPECT_TRUE(at::equal(mapped.held_out, plain.held_out)) << share;
    EXPECT_EQ(mapped.held_out_bytes, plain.held_out_bytes) << share;
    EXPECT_EQ(mapped.bytes_per_token, plain.bytes_per_token) << share;
  }
}

TEST(TokenisedText, is_cut_at_a_document_that_begins_nearby) {
  const auto held_out = [](const std::vector<std::string>& documents) {
    return load_text({.files = {write_set("documents.safetensors", documents)}, .held_out = 0.4}).held_out_bytes;
  };
  EXPECT_EQ(held_out({"012345678", "9012345678", "9"}), 8);  // the last document is less than half of it
  EXPECT_EQ(held_out({"01234567890123", "456789"}), 6);
}

TEST(TokenisedText, stands_alone) {
  const auto path = write_set("alone.safetensors", {"abc"});
  EXPECT_THAT(message_of([&] { load_text({.files = {path, path}}); }), HasSubstr("stands alone"));
}

TEST(TrainText, of_no_bytes_is_refused) {
  const std::ofstream nothing(temporary("nothing.txt"));
  EXPECT_THAT(message_of([] { load_text({.files = {temporary("nothing.txt")}}); }),
              HasSubstr("there is no text to train on"));
}

}  // namespace
}  // namespace wkv::zoo
