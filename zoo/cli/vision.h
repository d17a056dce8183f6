// What the subcommands that see share: a model that reads images, the images, and what becomes of those that can't be
// read: each is a line on stderr, the others go on, and the command fails at its end.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "vision/annotations.h"
#include "wkv/models/rwkv_clip.h"
#include "wkv/zoo/labels.h"
#include "wkv/zoo/metrics.h"

namespace wkv::cli {

struct VisionModelArguments : ModelArguments {
  std::string pipeline;   // empty: the model's own
  std::string tokenizer;  // of the texts, for RWKV-CLIP; empty: zoo::tokenizer_of
  int64_t batch = 32;

  void add_to(CLI::App& command);
  void add_tokenizer_to(CLI::App& command);
  // Throw wkv::Error, which names the file, for models that read no images, or no images and texts.
  std::shared_ptr<models::Model> load() const;
  std::shared_ptr<models::RWKVCLIPImpl> load_clip() const;
  std::shared_ptr<const zoo::Tokenizer> load_tokenizer(const models::RWKVCLIPImpl& model) const;
  std::string pipeline_of(const models::Model& model) const;
};

// Refuses a model that isn't a CLIP by name.
std::shared_ptr<models::RWKVCLIPImpl> require_clip(const std::shared_ptr<models::Model>& model,
                                                   const std::string& path);

// Which images: files, folders of them, a list.
struct ImageArguments {
  std::vector<std::string> paths;
  std::string list;

  void add_to(CLI::App& command);
  bool empty() const { return paths.empty() && list.empty(); }
  // The files; of a folder its images. Throws CLI::RequiredError where nothing is named at all.
  std::vector<std::string> find() const;
};

// What a zero-shot classifier is made of.
struct PromptArguments {
  std::string labels, templates;

  void add_to(CLI::App& command);
  std::vector<zoo::ClassNames> load_labels() const { return zoo::load_labels(labels); }
  // The classifier [C, classes], with a line of progress.
  at::Tensor classifier(models::RWKVCLIPImpl& model, const zoo::Tokenizer& tokenizer,
                        const std::vector<zoo::ClassNames>& names) const;
};

// Items that failed while others went on.
class Failures {
 public:
  explicit Failures(size_t items) : items_(items) {}
  // Says so on stderr; message: one line that names the item.
  void add(const std::string& item, const std::string& message);
  const std::vector<std::string>& items() const { return failed_; }
  // Throws wkv::Error, which lists them, if there are any.
  void finish() const;

 private:
  size_t items_;
  std::vector<std::string> failed_, messages_;
};

// The lines of a file, or of standard input for "-", without those that are empty.
std::vector<std::string> lines_of(const std::string& path);

// Reads the images in batches, and gives those that could be read to `use`: their places in `paths`, and the images
// [b, 3, H, W].
void for_each_batch(const std::vector<std::string>& paths, const std::string& pipeline, int64_t batch,
                    Failures& failures,
                    const std::function<void(const std::vector<size_t>& places, const at::Tensor& images)>& use);

// How well `logits_of` a batch [b, 3, H, W] finds the labels of images, among those that could be read; none: not one
// could.
std::optional<zoo::ClassificationScore> score_images(const std::vector<zoo::LabelledImage>& images,
                                                     const std::string& pipeline, int64_t batch, Failures& failures,
                                                     const std::function<at::Tensor(const at::Tensor&)>& logits_of);

// The same for texts: `use` gets some of them, and their vectors [n, C], not normalised.
void for_each_text_batch(
    models::RWKVCLIPImpl& model, const zoo::Tokenizer& tokenizer, const std::vector<std::string>& texts,
    const std::function<void(const std::vector<std::string>& some, const at::Tensor& vectors)>& use);

// The `top` most probable classes of an image by its logits [classes]: as lines of text or as a JSON object {"file",
// "classes": [{"index", "name", "probability"}]}; without `names` by index alone.
void print_classes(const std::string& file, const at::Tensor& logits, const std::vector<zoo::ClassNames>& names,
                   int64_t top, bool json);

// A document on one line, whatever bytes the names of files have.
std::string json_line(const nlohmann::ordered_json& document);

}  // namespace wkv::cli
