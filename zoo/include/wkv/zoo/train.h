// Training a model from a recipe: `wkv train RECIPE.json key=value ...`.
#pragma once
#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "wkv/export.h"

namespace wkv::zoo {

// A recipe. Its JSON has the same names: {"model": {"layers": 6}, ...}; an override names them with dots:
// model.layers=6.
struct TrainConfig {
  struct Ranks {  // 0: the published rule for this width
    int64_t decay = 0, in_context_rate = 0, value_residual = 0, gate = 0;
    bool operator==(const Ranks&) const = default;
  };
  struct Model {
    // Fine-tuning: the model that this checkpoint holds, its parameters in fp32. The sizes below say nothing then.
    std::string checkpoint;
    // Upstream's configuration keys: a JSON object, or the path of a JSON file. Of a checkpoint: what the shapes can't
    // tell. Of a new vision model: all of it. Of a new language model: none.
    std::string config;
    // A new model: rwkv4, rwkv5, rwkv6, rwkv7, multi_temporal_rwkv, rrwkv, based or transformer, whose sizes the keys
    // below are; or vrwkv, vrwkv6 or rwkv_clip.
    std::string family = "rwkv7";
    int64_t layers = 6;
    int64_t width = 192;
    int64_t head_size = 64;    // rwkv5, 6, 7, based, transformer; the others have no heads
    int64_t ffn_width = 0;     // 0: the family's rule
    int64_t vocab = 0;         // 0: the tokenizer's
    int64_t perspectives = 4;  // multi_temporal_rwkv
    int64_t interval = 16;     // rrwkv: tokens between mediums; 0: none
    Ranks ranks;               // rwkv7
    bool operator==(const Model&) const = default;
  };
  struct Augment {                  // of the images that are trained on; as of torchvision's RandomResizedCrop
    std::vector<double> crop_area;  // [least, most]: of the image's area; empty: the pipeline's crop
    std::vector<double> crop_aspect = {3.0 / 4, 4.0 / 3};  // [least, most]: width by height
    double flip = 0.0;                                     // the probability that left and right are exchanged
    double rand_augment = 0.0;  // the magnitude, 0..10, of RandAugment's two operations (arXiv 1909.13719); 0: none
    double erase = 0.0;         // the probability that a box of the image is noise (arXiv 1708.04896)
    // vrwkv, vrwkv6: the alpha of mixup (arXiv 1710.09412) and cutmix (arXiv 1905.04899); 0: none. With both, each
    // image gets one of them.
    double mixup = 0.0, cutmix = 0.0;
    bool operator==(const Augment&) const = default;
  };
  struct Data {
    // Language models:
    std::vector<std::string> files;  // read as one text, in this order; or the one .safetensors of `wkv tokenize`
    std::string tokenizer = "bytes";
    double held_out = 0.05;  // this part of the bytes, the last ones, is never trained on
    // shuffled: every window once an epoch, in random order, each from the empty state.
    // consecutive: each row of the batch reads on where it stopped, with its state.
    std::string order = "shuffled";
    double reset = 0.0;  // consecutive: the probability that a row starts a window from the empty state
    // Images, JPEG and PNG. vrwkv, vrwkv6: folders with a folder a class. rwkv_clip: what the captions' paths are
    // relative to; held_out_images empty: as images.
    std::string images, held_out_images;
    std::vector<std::string> labels;  // the classes in the order of their indices; empty: the folders' names, sorted
    // rwkv_clip: JSON lists of {"image": path, "caption": [texts]}.
    std::string captions, held_out_captions;
    // Of an image's captions one is drawn each time: the probability of its first, second, ..., in proportion; empty:
    // all alike.
    std::vector<double> caption_weights;
    // As in wkv/zoo/image.h. Empty: the checkpoint's own; of a new model mm224 for vrwkv and vrwkv6 of img_size 224,
    // else vl and the size; for rwkv_clip clip and the size.
    std::string pipeline;
    Augment augment;
    bool operator==(const Data&) const = default;
  };
  struct Optimizer {  // AdamW
    double learning_rate = 1e-3;
    double final_learning_rate = 1e-4;
    // Of the learning rate: cosine, linear, exponential, or one_cycle: PyTorch's OneCycleLR, which warms up from 1/25
    // and moves beta1 from 0.95 to 0.85 and back.
    std::string decay = "cosine";
    int64_t warmup = 10;         // steps
    double warmup_start = 0.01;  // the part of the learning rate that the warm-up begins with; one_cycle has its own
    double beta1 = 0.9;
    double beta2 = 0.99;
    double eps = 1e-18;
    double weight_decay = 0.1;                           // of the parameter groups that are decayed
    double clip = 1.0;                                   // of the gradient's global norm; 0: none
    std::optional<double> logit_penalty = std::nullopt;  // none: the family's recipe
    double label_smoothing = 0.0;                        // vrwkv, vrwkv6
    std::vector<std::string> train = {};  // only parameters with one of these in their names are trained; none: all
    bool operator==(const Optimizer&) const = default;
  };

  struct Lora {                             // low-rank adaptation of model.checkpoint, of which nothing else is trained
    int64_t rank = 0;                       // 0: none
    double alpha = 16;                      // the adapters' products count alpha / rank times
    std::vector<std::string> targets = {};  // ends of matrices' names, "att.receptance"; none: all of the blocks
    bool merge = true;                      // writes the adapted model beside adapter.safetensors
    bool operator==(const Lora&) const = default;
  };

  std::string output;  // folder: checkpoints, metrics, and at the end the model
  uint64_t seed = 1;
  int64_t steps = 1000;
  int64_t batch = 16;              // sequences, images
  int64_t context = 512;           // tokens; of language models
  int64_t accumulate = 1;          // batches a step
  std::string precision = "fp32";  // of the matrix products: fp32, bf16 (parameters and optimizer stay fp32)
  Model model;
  Data data;
  Optimizer optimizer;
  Lora lora;
  // rwkv5, 6, 7: of model.checkpoint only the state that every sequence starts from is trained, att.time_state, from
  // zeros where the checkpoint has none.
  bool state_tuning = false;
  // What doesn't change the result, and may differ when a run is continued.
  int64_t threads = 0;                  // 0: torch's choice
  int64_t sequence_ranks = 1;           // ranks that share a sequence, each with consecutive tokens of it
  bool gradient_checkpointing = false;  // each block is computed twice, which saves memory
  int64_t log_every = 10;               // steps
  int64_t evaluate_every = 0;           // steps; 0: at the end only
  int64_t checkpoint_every = 500;       // steps; 0: at the end only
  std::string export_dtype = "bf16";

  bool operator==(const TrainConfig&) const = default;
};

// A recipe file, then overrides "key=value" (lists: a,b,c). Throws wkv::Error, invalid_argument, for an unknown key or
// a value of a wrong type or range, naming the key. Relative paths in it are relative to the working directory.
WKV_API TrainConfig parse_train_config(const std::filesystem::path& recipe,
                                       const std::vector<std::string>& overrides = {});
WKV_API TrainConfig parse_train_config_text(const std::string& json, const std::vector<std::string>& overrides = {});
WKV_API std::string to_json(const TrainConfig& config);

// A measurement on held-out data: "held_out_bits_per_byte", ...
struct Measurement {
  std::string name;
  double value;
};

struct TrainReport {
  bool finished = false;  // false: stopped by SIGINT or SIGTERM; the same call goes on
  int64_t steps = 0;
  double final_loss = 0.0;                // of the last step
  std::vector<Measurement> measurements;  // of the exported weights, when finished
  double seconds = 0.0;                   // of training, over all continuations
  std::filesystem::path folder;           // the model when finished, else the checkpoint; empty on other ranks than 0
};

// Trains, going on from the newest checkpoint in config.output where there is one; the result is bit for bit that of
// one run with the same number of threads. SIGINT or SIGTERM ends it after the step, with a checkpoint. In
// config.output: checkpoint-STEP/, metrics.jsonl, and at the end model.safetensors, config.json, recipe.json, card.json
// and, of a classifier, labels.txt. Where the environment says that this is one rank of several (docs/distributed.md),
// the same is done by all of them together, and only rank 0 writes. progress: where the progress line goes; live: it is
// a terminal, the line is rewritten in place.
WKV_API TrainReport train(const TrainConfig& config, std::ostream& progress, bool live = false);

}  // namespace wkv::zoo
