// `wkv tokenize`: a text's tokens, as one line of ids, or as the file that training maps.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/progress.h"
#include "train/token_file.h"
#include "wkv/error.h"

namespace wkv::cli {
namespace {

constexpr size_t kPiece = size_t{1} << 20, kLongestPiece = size_t{1} << 24;  // bytes tokenised at once

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// How much of a text that goes on may be tokenised: up to the last line that begins with a word, or, where a piece gets
// too long without one, up to the last character. 0: read on.
size_t whole_part(std::string_view text) {
  for (size_t i = text.size() - 1; i > 0; --i)
    if (text[i - 1] == '\n' && !is_space(text[i])) return i;
  if (text.size() < kLongestPiece) return 0;
  size_t cut = text.size() - 1;
  while (cut > 1 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;
  return cut;
}

class TokenizedSet {
 public:
  TokenizedSet(const std::string& output, const std::string& tokenizer, int64_t total_bytes)
      : writer_(output, zoo::load_tokenizer(tokenizer)), progress_(total_bytes) {}

  void add_text(std::istream& input) {
    std::string text;
    for (std::string block(kPiece, '\0'); input;) {
      input.read(block.data(), static_cast<std::streamsize>(block.size()));
      text.append(block, 0, static_cast<size_t>(input.gcount()));
      if (text.size() < 2 || !input) continue;
      const size_t whole = whole_part(text);
      append(std::string_view(text).substr(0, whole));
      text.erase(0, whole);
    }
    append(text);
    writer_.end_document();
  }

  // Each line a JSON object with the document in this field. name: for messages.
  void add_json_lines(std::istream& input, const std::string& field, const std::string& name) {
    int64_t number = 0;
    for (std::string line; std::getline(input, line);) {
      ++number;
      if (std::ranges::all_of(line, is_space)) continue;
      const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (!json.is_object() || !json.contains(field) || !json[field].is_string())
        throw Error(ErrorCode::corrupt_file,
                    fmt::format("{}: line {} is no JSON object with a text in \"{}\"", name, number, field));
      append(json[field].get_ref<const std::string&>());
      writer_.end_document();
    }
  }

  void commit() {
    progress_.clear();
    writer_.commit();
    fmt::print(stderr, "{} tokens of {} bytes, {} documents\n", writer_.tokens(), writer_.bytes(), writer_.documents());
  }

 private:
  void append(std::string_view text) {
    writer_.append(text);
    progress_.advance_to(writer_.bytes());
  }

  zoo::TokenFileWriter writer_;
  ByteProgress progress_;
};

// Of the files, so that progress is known; standard input counts for nothing.
int64_t total_size(const std::vector<std::string>& files) {
  int64_t total = 0;
  for (const auto& file : files) {
    if (file == "-") continue;
    std::error_code error;
    const auto size = std::filesystem::file_size(file, error);
    if (error) throw Error(ErrorCode::not_found, fmt::format("{}: cannot be read: {}", file, error.message()));
    total += static_cast<int64_t>(size);
  }
  return total;
}

}  // namespace

void add_tokenize(CLI::App& app) {
  struct TokenizeArguments {
    std::string tokenizer, output, json_field;
    std::vector<std::string> texts = {"-"};
  };
  auto* command = app.add_subcommand("tokenize", "Print a text's tokens, or write them to a file to train on");
  auto arguments = std::make_shared<TokenizeArguments>();
  command
      ->add_option("TOKENIZER", arguments->tokenizer,
                   "bytes, world, gpt-neox-20b, gpt2, clip, or the path of a vocabulary")
      ->required();
  command->add_option("--text", arguments->texts, "The text files; -: standard input")->capture_default_str();
  auto* output = command->add_option(
      "--output", arguments->output,
      "A .safetensors file, for data.files of a recipe: each text is a document, which the token for its end follows");
  command
      ->add_option("--json-field", arguments->json_field,
                   "The texts are lines of JSON, each an object with a document in this field")
      ->needs(output);
  command->callback([arguments] {
    if (arguments->output.empty()) {
      const auto tokenizer = zoo::load_tokenizer(arguments->tokenizer);
      for (const auto& text : arguments->texts)
        print(fmt::format("{}\n", fmt::join(tokenizer->encode(read_text(text)), " ")));
      return;
    }
    if (!arguments->output.ends_with(".safetensors"))
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("--output must name a .safetensors file, got {}", arguments->output));
    TokenizedSet set(arguments->output, arguments->tokenizer, total_size(arguments->texts));
    for (const auto& text : arguments->texts) {
      std::ifstream file;
      if (text != "-") file.open(text, std::ios::binary);
      std::istream& input = text == "-" ? std::cin : file;
      if (!input) throw Error(ErrorCode::not_found, fmt::format("{}: cannot be read", text));
      if (arguments->json_field.empty())
        set.add_text(input);
      else
        set.add_json_lines(input, arguments->json_field, text);
      if (input.bad()) throw Error(ErrorCode::not_found, fmt::format("{}: cannot be read to its end", text));
    }
    set.commit();
    print(fmt::format("{}\n", arguments->output));
  });
}

}  // namespace wkv::cli
