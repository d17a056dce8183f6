// The subcommands of `wkv`: each adds itself to the program, and returns what runs it.
#pragma once
#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wkv/zoo/catalogue.h"
#include "wkv/zoo/chat.h"
#include "wkv/zoo/generate.h"
#include "wkv/zoo/load.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::cli {

void add_generate(CLI::App& app);
void add_chat(CLI::App& app);
void add_serve(CLI::App& app);
void add_score(CLI::App& app);
void add_list(CLI::App& app);
void add_info(CLI::App& app);
void add_pull(CLI::App& app);
void add_verify(CLI::App& app);
void add_convert(CLI::App& app);
void add_export(CLI::App& app);
void add_train(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_bench(CLI::App& app);
void add_classify(CLI::App& app);
void add_zero_shot(CLI::App& app);
void add_embed(CLI::App& app);
void add_retrieve(CLI::App& app);
void add_eval(CLI::App& app);

// Whether every file of a card is on this machine.
bool is_cached(const zoo::Card& card);

// What MODEL may be.
inline constexpr const char* kModelHelp =
    "A name of the catalogue (`wkv list`), or a checkpoint: .pth, .safetensors, a folder";

// What the subcommands that run a model share: which one, and how it is loaded.
struct ModelArguments {
  std::string model;
  std::string config;
  std::string dtype;  // empty: fp32, but a quantised or an fp64 file as it is
  int threads = 0;    // 0: torch's choice

  CLI::Option* add_to(CLI::App& command, const std::string& model_help);  // the option MODEL
  zoo::LoadOptions load_options() const;                                  // sets the number of threads, too

 protected:
  // What `asked` names, or, where that is empty, zoo::tokenizer_of the model.
  std::shared_ptr<const zoo::Tokenizer> load_tokenizer(const std::string& asked, int64_t vocab_size) const;
};

// And those that run a language model, with its tokenizer.
struct LanguageModelArguments : ModelArguments {
  LanguageModelArguments() { model = zoo::kEmbeddedModel; }
  std::string tokenizer;  // empty: zoo::tokenizer_of

  void add_to(CLI::App& command, bool model_required);
  std::shared_ptr<models::LanguageModel> load() const;
  std::shared_ptr<const zoo::Tokenizer> load_tokenizer(const models::LanguageModel& model) const;
  // What `asked` is, or, where it is empty, the model's card says, else "plain".
  ChatFormat chat_format(const std::string& asked) const;
};

// The option for the `context` of zoo::score, 0 where it isn't given.
void add_context(CLI::App& command, int64_t& context);

// Sampling options with the defaults of the command line.
struct SamplingArguments {
  GenerateOptions options{.sampler = {.top_p = 0.85}};

  void add_to(CLI::App& command);
};

// The option for wkv::chat_format, which may stay empty.
CLI::Option* add_chat_format(CLI::App& command, const std::string& name, std::string& format);
// The option --dtype: the name of a dtype or of a quantisation.
CLI::Option* add_dtype(CLI::App& command, std::string& dtype);
CLI::Option* add_dtypes(CLI::App& command, std::vector<std::string>& names);  // several of them, separated by commas
// What such a name asks for, in zoo::LoadOptions or zoo::ConvertOptions; none: nothing.
template <class Options>
void set_dtype(Options& options, const std::string& name) {
  const auto& dtypes = zoo::parameter_dtypes();
  if (const auto dtype = dtypes.find(name); dtype != dtypes.end()) {
    options.dtype = dtype->second;
  } else {
    options.quantize = name;
  }
}
// A whole file, or standard input for "-". Throws wkv::Error.
std::string read_text(const std::string& path);

// Ends the program when a result can't be written: a closed pipe or a full disk must not pass for success.
void print(std::string_view text);

}  // namespace wkv::cli
