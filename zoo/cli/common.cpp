// What the subcommands share.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "cli/commands.h"
#include "cli/progress.h"
#include "wkv/error.h"
#include "wkv/zoo/catalogue.h"

namespace wkv::cli {
namespace {

std::vector<std::string> dtype_names() {
  std::vector<std::string> names = {"int8", "int4"};
  for (const auto& [name, dtype] : zoo::parameter_dtypes()) names.push_back(name);
  return names;
}

}  // namespace

CLI::Option* add_chat_format(CLI::App& command, const std::string& name, std::string& format) {
  const auto problem = [](const std::string& text) -> std::string {
    try {
      chat_format(text);
      return {};
    } catch (const Error& error) {
      return error.what();
    }
  };
  return command
      .add_option(name, format,
                  "plain; think or fast: G1 models, with and without their reasoning; or a template with {} for the "
                  "user's text (default: the model's card's, else plain)")
      ->check(problem);
}

CLI::Option* add_dtype(CLI::App& command, std::string& dtype) {
  return command.add_option("--dtype", dtype, "fp32, bf16, fp16, fp64, or quantised: int8, int4")
      ->check(CLI::IsMember(dtype_names()));
}

CLI::Option* add_dtypes(CLI::App& command, std::vector<std::string>& names) {
  return command.add_option("--dtype", names, "One or more of fp32, bf16, fp16, fp64, int8 and int4")
      ->check(CLI::IsMember(dtype_names()))
      ->delimiter(',')
      ->allow_extra_args(false);
}

CLI::Option* ModelArguments::add_to(CLI::App& command, const std::string& model_help) {
  auto* option = command.add_option("MODEL", model, model_help);
  command.add_option("--config", config, "Configuration that shapes can't tell: JSON, or the path of a JSON file");
  add_dtype(command, dtype);
  command.add_option("--threads", threads, "Number of threads (default: one a core)")->check(CLI::PositiveNumber);
  return option;
}

zoo::LoadOptions ModelArguments::load_options() const {
  if (threads > 0) at::set_num_threads(threads);
  zoo::LoadOptions options{.config = config, .progress = show_downloads()};
  set_dtype(options, dtype);
  return options;
}

std::shared_ptr<const zoo::Tokenizer> ModelArguments::load_tokenizer(const std::string& asked,
                                                                     int64_t vocab_size) const {
  if (!asked.empty()) return zoo::load_tokenizer(asked);
  const std::string guess = zoo::tokenizer_of(model, vocab_size);
  if (guess.empty()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: no known tokenizer has {} tokens: name one with --tokenizer", model, vocab_size));
  }
  return zoo::load_tokenizer(guess);
}

void LanguageModelArguments::add_to(CLI::App& command, bool model_required) {
  auto* option = ModelArguments::add_to(command, kModelHelp);
  if (model_required) option->required();
  command.add_option(
      "--tokenizer", tokenizer,
      "bytes, world, gpt-neox-20b, gpt2, or the path of a vocabulary (default: the model's card's, or by its size)");
}

std::shared_ptr<models::LanguageModel> LanguageModelArguments::load() const {
  return zoo::load_language_model(model, load_options());
}

std::shared_ptr<const zoo::Tokenizer> LanguageModelArguments::load_tokenizer(
    const models::LanguageModel& language_model) const {
  return ModelArguments::load_tokenizer(tokenizer, language_model.vocab_size());
}

void add_context(CLI::App& command, int64_t& context) {
  command
      .add_option(
          "--context", context,
          "Read the text in windows of so many tokens, of which the second half counts: for a transformer, what "
          "it was trained on (default: the text at once)")
      ->check(CLI::PositiveNumber);
}

ChatFormat LanguageModelArguments::chat_format(const std::string& asked) const {
  if (!asked.empty()) return wkv::chat_format(asked);
  const auto card = zoo::card_of(model);
  return wkv::chat_format(card && !card->prompt.empty() ? card->prompt : "plain");
}

void SamplingArguments::add_to(CLI::App& command) {
  auto& sampler = options.sampler;
  command.add_option("--temperature", sampler.temperature, "0: always the most probable token")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  command.add_option("--top-p", sampler.top_p, "Draw from the most probable tokens that make up this much")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command.add_option("--top-k", sampler.top_k, "Draw from at most so many tokens; 0: all")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--presence-penalty", sampler.presence_penalty,
                     "Subtracted from the logit of tokens drawn before");
  command.add_option("--frequency-penalty", sampler.frequency_penalty,
                     "Subtracted for each time that a token was drawn");
  command.add_option("--stop", options.stop, "Stop before this text (may be repeated)")->allow_extra_args(false);
  command.add_option("--seed", options.seed, "Same seed, same text (default: a new one each time)");
}

std::string read_text(const std::string& path) {
  if (path == "-") return {std::istreambuf_iterator<char>(std::cin), {}};
  if (std::filesystem::is_directory(path))
    throw Error(ErrorCode::not_found, fmt::format("{}: a folder, not a text file", path));
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(ErrorCode::not_found, fmt::format("{}: {}", path, std::strerror(errno)));
  return {std::istreambuf_iterator<char>(file), {}};
}

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    throw Error(ErrorCode::disk_full, fmt::format("standard output: {}", std::strerror(errno)));
  }
}

}  // namespace wkv::cli
