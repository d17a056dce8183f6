// `wkv tokenize`: a text's tokens, one line of ids.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands.h"

namespace wkv::cli {

void add_tokenize(CLI::App& app) {
  struct TokenizeArguments {
    std::string tokenizer, text = "-";
  };
  auto* command = app.add_subcommand("tokenize", "Print a text's tokens");
  auto arguments = std::make_shared<TokenizeArguments>();
  command
      ->add_option("TOKENIZER", arguments->tokenizer,
                   "bytes, world, gpt-neox-20b, gpt2, clip, or the path of a vocabulary")
      ->required();
  command->add_option("--text", arguments->text, "The text file; -: standard input")->capture_default_str();
  command->callback([arguments] {
    const auto tokenizer = zoo::load_tokenizer(arguments->tokenizer);
    print(fmt::format("{}\n", fmt::join(tokenizer->encode(read_text(arguments->text)), " ")));
  });
}

}  // namespace wkv::cli
