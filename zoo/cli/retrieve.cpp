// `wkv retrieve`: which embeddings of a file are nearest to a text or an image.
#include <ATen/Functions.h>
#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include "cli/vision.h"
#include "vision/annotations.h"
#include "wkv/error.h"
#include "wkv/zoo/embeddings.h"
#include "wkv/zoo/retrieval.h"

namespace wkv::cli {
namespace {

struct RetrieveArguments {
  VisionModelArguments model;
  std::string index;
  std::vector<std::string> queries;
  int64_t top = 10;
  bool json = false;
};

// An image that is there, or what looks like one: a mistyped path must not be read as a text.
bool is_image(const std::string& query) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(query, ignored) || zoo::has_image_suffix(query);
}

void print_nearest(const RetrieveArguments& arguments, const std::string& query, const at::Tensor& vector,
                   const zoo::Embeddings& index) {
  const zoo::Neighbours nearest = zoo::search(index.vectors, vector.unsqueeze(0), arguments.top);
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  std::string text = query + "\n";
  for (int64_t i = 0; i < nearest.scores.size(1); ++i) {
    const auto row = nearest.indices[0][i].item<int64_t>();
    const double score = nearest.scores[0][i].item<double>();
    const std::string& name = index.names[static_cast<size_t>(row)];
    results.push_back({{"name", name}, {"index", row}, {"score", score}});
    text += fmt::format("  {:.4f}  {}\n", score, name);
  }
  print(arguments.json ? json_line({{"query", query}, {"results", std::move(results)}}) : text);
}

void run_retrieve(const RetrieveArguments& arguments) {
  const zoo::Embeddings index = zoo::load_embeddings(arguments.index);
  std::vector<std::string> texts, images;
  for (const std::string& query : arguments.queries) (is_image(query) ? images : texts).push_back(query);
  const auto model = arguments.model.load();
  if (index.vectors.size(1) != zoo::embedding_width(*model)) {
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("{}: vectors of {} values, {} makes some of {}", arguments.index, index.vectors.size(1),
                            arguments.model.model, zoo::embedding_width(*model)));
  }
  if (!texts.empty()) {
    const auto clip = require_clip(model, arguments.model.model);
    const at::Tensor vectors = zoo::embed_texts(*clip, *arguments.model.load_tokenizer(*clip), texts);
    for (size_t i = 0; i < texts.size(); ++i)
      print_nearest(arguments, texts[i], vectors[static_cast<int64_t>(i)], index);
  }
  Failures failures(arguments.queries.size());
  for_each_batch(images, arguments.model.pipeline_of(*model), arguments.model.batch, failures,
                 [&](const std::vector<size_t>& places, const at::Tensor& batch) {
                   const at::Tensor vectors = zoo::embed_images(*model, batch);
                   for (size_t i = 0; i < places.size(); ++i)
                     print_nearest(arguments, images[places[i]], vectors[static_cast<int64_t>(i)], index);
                 });
  failures.finish();
}

}  // namespace

void add_retrieve(CLI::App& app) {
  auto* command = app.add_subcommand("retrieve", "Find the images or texts nearest to a text or an image");
  auto arguments = std::make_shared<RetrieveArguments>();
  arguments->model.add_to(*command);
  arguments->model.add_tokenizer_to(*command);
  command->add_option("--index", arguments->index, "The embeddings to search: a file of `wkv embed`")->required();
  command->add_option("--query", arguments->queries, "A text, or the path of an image (may be repeated)")
      ->allow_extra_args(false)
      ->required();
  command->add_option("--top", arguments->top, "So many of the nearest")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("--json", arguments->json, "One JSON object a query instead of text");
  command->callback([arguments] { run_retrieve(*arguments); });
}

}  // namespace wkv::cli
