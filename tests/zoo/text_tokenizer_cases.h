// The published tokenizers' results, and small vocabularies written by the tests.
#pragma once
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "support/data.h"

namespace wkv::test {

struct TokenizerVector {
  std::string bytes;
  bool is_text;
  std::vector<int64_t> world;
  std::vector<int64_t> neox20b, gpt2;  // of texts only, as what follows
  std::string neox20b_decoded, gpt2_decoded;
};

inline std::vector<TokenizerVector> tokenizer_vectors() {
  std::ifstream file(data("tokenizers/vectors.json"));
  const nlohmann::json document = nlohmann::json::parse(file);
  std::vector<TokenizerVector> vectors;
  for (const auto& entry : document.at("vectors")) {
    TokenizerVector vector{.is_text = entry.contains("text"), .world = entry.at("world").get<std::vector<int64_t>>()};
    if (vector.is_text) {
      vector.bytes = entry.at("text").get<std::string>();
      vector.neox20b = entry.at("neox20b").get<std::vector<int64_t>>();
      vector.gpt2 = entry.at("gpt2").get<std::vector<int64_t>>();
      vector.neox20b_decoded = entry.value("neox20b_decoded", vector.bytes);
      vector.gpt2_decoded = entry.value("gpt2_decoded", vector.bytes);
    } else {
      for (const int byte : entry.at("bytes")) vector.bytes += static_cast<char>(byte);
    }
    vectors.push_back(std::move(vector));
  }
  return vectors;
}

// The 256 lines that every World vocabulary begins with: each byte, id = byte + 1.
inline std::string single_byte_lines() {
  std::string lines;
  for (int byte = 0; byte < 256; ++byte) lines += fmt::format("{} b'\\x{:02x}' 1\n", byte + 1, byte);
  return lines;
}

// A file of this content, of this process alone, that goes with the object.
class TemporaryVocabulary {
 public:
  explicit TemporaryVocabulary(std::string_view content) { std::ofstream(path_, std::ios::binary) << content; }
  TemporaryVocabulary(const TemporaryVocabulary&) = delete;
  TemporaryVocabulary& operator=(const TemporaryVocabulary&) = delete;
  ~TemporaryVocabulary() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_ = std::filesystem::temp_directory_path() / fmt::format("wkv-vocabulary-{}.txt", getpid());
};

}  // namespace wkv::test
