// `wkv embed`: images or texts as vectors in a file. What is done is kept, and an interrupted run goes on from it.
#include <fmt/format.h>

#include <filesystem>
#include <unordered_set>

#include "cli/vision.h"
#include "vision/partial_embeddings.h"
#include "vision/unit_rows.h"
#include "wkv/error.h"
#include "wkv/zoo/catalogue.h"
#include "wkv/zoo/embeddings.h"

namespace wkv::cli {
namespace {

struct EmbedArguments {
  VisionModelArguments model;
  ImageArguments images;
  std::string text, output;
  bool normalize = false, json = false;
};

// All that the vectors depend on beside the images or texts.
std::string origin_of(const EmbedArguments& arguments, const std::string& pipeline) {
  namespace fs = std::filesystem;
  const fs::path model = fs::weakly_canonical(zoo::locate(arguments.model.model).path);
  nlohmann::ordered_json origin = {{"model", model.string()},
                                   {"config", arguments.model.config},
                                   {"dtype", arguments.model.dtype},
                                   {"normalize", arguments.normalize}};
  if (fs::is_regular_file(model)) {
    origin["bytes"] = fs::file_size(model);
    origin["changed"] = fs::last_write_time(model).time_since_epoch().count();
  }
  if (arguments.text.empty()) {
    origin["pipeline"] = pipeline;
  } else {
    origin["tokenizer"] = arguments.model.tokenizer;
  }
  return origin.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

// Those that no earlier run left, each once.
std::vector<std::string> not_done(const std::vector<std::string>& names, const zoo::PartialEmbeddings& done) {
  std::vector<std::string> rest;
  std::unordered_set<std::string_view> seen;
  for (const std::string& name : names) {
    if (!done.contains(name) && seen.insert(name).second) rest.push_back(name);
  }
  return rest;
}

void run_embed(const EmbedArguments& arguments) {
  zoo::require_embedding_path(arguments.output);
  const bool of_texts = !arguments.text.empty();
  const std::vector<std::string> names = of_texts ? lines_of(arguments.text) : arguments.images.find();
  if (names.empty()) throw Error(ErrorCode::invalid_argument, fmt::format("{}: no text in it", arguments.text));
  for (const std::string& name : names) {
    if (name.find('\n') != std::string::npos)
      throw Error(ErrorCode::invalid_argument, fmt::format("{}: a name with a newline can't be stored", name));
  }
  const auto model = arguments.model.load();
  const std::string pipeline = arguments.model.pipeline_of(*model);
  const auto clip = of_texts ? require_clip(model, arguments.model.model) : nullptr;
  const auto tokenizer = of_texts ? arguments.model.load_tokenizer(*clip) : nullptr;
  zoo::PartialEmbeddings done(arguments.output, origin_of(arguments, pipeline), zoo::embedding_width(*model));
  const std::vector<std::string> rest = not_done(names, done);
  const auto keep = [&](const std::vector<std::string>& some, const at::Tensor& vectors) {
    done.append(some, arguments.normalize ? zoo::unit_rows(vectors) : vectors);
  };
  Failures failures(names.size());
  if (of_texts) {
    for_each_text_batch(*clip, *tokenizer, rest, keep);
  } else {
    for_each_batch(rest, pipeline, arguments.model.batch, failures,
                   [&](const std::vector<size_t>& places, const at::Tensor& images) {
                     std::vector<std::string> some;
                     for (const size_t place : places) some.push_back(rest[place]);
                     keep(some, zoo::embed_images(*model, images));
                   });
  }
  const zoo::Embeddings embeddings = done.of(names);
  if (!embeddings.names.empty()) zoo::save_embeddings(arguments.output, embeddings);
  done.remove();
  if (arguments.json) {
    print(json_line({{"output", arguments.output},
                     {"embeddings", embeddings.names.size()},
                     {"width", embeddings.vectors.size(1)},
                     {"failed", failures.items()}}));
  } else if (!embeddings.names.empty()) {
    print(fmt::format("{}: {} embeddings of {} values\n", arguments.output, embeddings.names.size(),
                      embeddings.vectors.size(1)));
  }
  failures.finish();
}

}  // namespace

void add_embed(CLI::App& app) {
  auto* command = app.add_subcommand("embed", "Write images or texts as vectors, which `wkv retrieve` searches");
  auto arguments = std::make_shared<EmbedArguments>();
  arguments->model.add_to(*command);
  arguments->model.add_tokenizer_to(*command);
  arguments->images.add_to(*command);
  command->add_option("--text", arguments->text, "Instead of images: a file with one text a line; -: standard input");
  command
      ->add_option("--output", arguments->output,
                   "The file to write: .safetensors, or .npy with the names in a .names.txt beside it")
      ->required();
  command->add_flag("--normalize", arguments->normalize, "Vectors of length 1 (default: as the model gives them)");
  command->add_flag("--json", arguments->json, "One JSON object instead of a line");
  command->callback([arguments] {
    if (!arguments->text.empty() && !arguments->images.empty())
      throw CLI::ValidationError("--text", "takes the place of images: give one or the other");
    run_embed(*arguments);
  });
}

}  // namespace wkv::cli
