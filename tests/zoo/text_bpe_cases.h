// Small byte-level BPE vocabularies written by the tests.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "text/bpe_vocabulary.h"

namespace wkv::test {

// The character that stands for a byte in byte-level BPE, in UTF-8.
inline std::string alphabet_character(int byte) {
  const auto visible = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
  int code = byte;
  if (!visible(byte)) {
    code = 0x100;
    for (int b = 0; b < byte; ++b) code += visible(b) ? 0 : 1;
  }
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

// The bytes, id = byte, and what these merges give, from id 256 on: "a b", "ab c", ...
inline zoo::BpeFile small_bpe_file(std::vector<std::string> merges) {
  zoo::BpeFile file;
  for (int byte = 0; byte < 256; ++byte) file.tokens.emplace_back(alphabet_character(byte), byte);
  for (const std::string& merge : merges) {
    std::string token = merge;
    token.erase(token.find(' '), 1);
    file.tokens.emplace_back(token, static_cast<int64_t>(file.tokens.size()));
  }
  file.merges = std::move(merges);
  return file;
}

// The same as a tokenizer.json with the pipeline of GPT-NeoX 20B.
inline nlohmann::ordered_json small_tokenizer_json(const std::vector<std::string>& merges) {
  auto json = nlohmann::ordered_json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
    "post_processor": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
    "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
              "end_of_word_suffix": null, "fuse_unk": false, "vocab": {}, "merges": []}})");
  for (const auto& [token, id] : small_bpe_file(merges).tokens) json["model"]["vocab"][token] = id;
  json["model"]["merges"] = merges;
  return json;
}

inline nlohmann::ordered_json added_token(const std::string& content, int64_t id, bool normalized) {
  return {{"id", id},        {"special", !normalized}, {"content", content},      {"single_word", false},
          {"lstrip", false}, {"rstrip", false},        {"normalized", normalized}};
}

}  // namespace wkv::test
