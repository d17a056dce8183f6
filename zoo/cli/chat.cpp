// `wkv chat`: a conversation in the published prompt formats; each line of standard input is a turn.
#include "wkv/zoo/chat.h"

#include <fmt/format.h>
#include <unistd.h>

#include <iostream>

#include "cli/commands.h"

namespace wkv::cli {
namespace {

struct ChatArguments {
  LanguageModelArguments model;
  SamplingArguments sampling;
  std::string format, system;
};

void run_chat(const ChatArguments& arguments) {
  const auto model = arguments.model.load();
  const auto tokenizer = arguments.model.load_tokenizer(*model);
  const ChatFormat format = arguments.model.chat_format(arguments.format);
  GenerateOptions options = arguments.sampling.options;
  options.stop.insert(options.stop.end(), format.stop.begin(), format.stop.end());

  ChatSession session(format, arguments.system);
  Context context;
  const bool terminal = isatty(STDIN_FILENO) == 1;
  const auto ask = [&](std::string& line) {
    if (terminal) fmt::print(stderr, "User: ");
    return static_cast<bool>(std::getline(std::cin, line));
  };
  for (std::string line; ask(line);) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (terminal) fmt::print(stderr, "Assistant:");
    print(format.opening);
    const auto result =
        generate(*model, *tokenizer, session.next_prompt(line), options, context, [](std::string_view piece) {
          print(piece);
          return true;
        });
    print("\n");
    session.heard(tokenizer->decode(result.tokens));
    context = result.context;
  }
}

}  // namespace

void add_chat(CLI::App& app) {
  auto* command = app.add_subcommand("chat", "Talk with a model: one line, one turn");
  auto arguments = std::make_shared<ChatArguments>();
  arguments->model.add_to(*command, /*model_required=*/false);
  add_chat_format(*command, "--format", arguments->format);
  command->add_option("--system", arguments->system, "A text that the conversation begins with");
  command->add_option("--tokens", arguments->sampling.options.max_tokens, "At most so many an answer")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  arguments->sampling.add_to(*command);
  command->callback([arguments] { run_chat(*arguments); });
}

}  // namespace wkv::cli
