// From a checkpoint file to a model: the family and its sizes are told from the tensors' names and shapes.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "wkv/export.h"
#include "wkv/models/language_model.h"
#include "wkv/zoo/hub.h"

namespace wkv::zoo {

struct LoadOptions {
  std::string config;  // upstream's configuration keys, a JSON object or the path of a file with one; empty:
                       // config.json of the folder
  std::string family;  // "rwkv7", ...; empty: told from the tensors
  std::optional<at::ScalarType> dtype;  // of the parameters; none: fp32, except that an fp64 file stays fp64
  // "int8", "int4": the matrices are held so, for inference (models::Model::quantize), and the other parameters, where
  // dtype doesn't say otherwise, in bf16 if the file has them all so, else in fp32. A file that is quantised itself
  // stays so where neither is asked for.
  std::string quantize;
  FetchProgress progress;  // told of files as they are fetched, which a name needs and this machine lacks
};

// Opens a checkpoint, a path (see open_tensors) or a name of the catalogue (see locate), and builds its model in eval
// mode, on the CPU; parameters whose dtype does not change are views of the mapped file. Throws wkv::Error; one error
// names every missing, unexpected and mis-shaped tensor.
WKV_API std::shared_ptr<models::Model> load(const std::string& path_or_name, const LoadOptions& options = {});
// The same for callers that need text: refuses other models by name.
WKV_API std::shared_ptr<models::LanguageModel> load_language_model(const std::string& path_or_name,
                                                                   const LoadOptions& options = {});

// The name by which load() gives the model that this library carries with it: a small byte-level RWKV-7, trained by
// `wkv train`.
inline constexpr const char* kEmbeddedModel = "embedded";
// Its card, a JSON object: recipe, data, measurements.
WKV_API std::string embedded_model_card();

// The tokenizer whose vocabulary has this size: "bytes", "world", ...; empty: none that is known.
WKV_API std::string guess_tokenizer(int64_t vocab_size);
// The tokenizer of a model, for load_tokenizer: the one that the card of its name says, else the vocabulary that lies
// in its folder (tokenizer.json, rwkv_vocab_v20230424.txt), else the guess.
WKV_API std::string tokenizer_of(const std::string& path_or_name, int64_t vocab_size);

// What a file holds, without converting a weight.
struct Description {
  std::string container, family, config_json;
  int64_t parameters = 0;
  std::vector<std::pair<std::string, int64_t>> dtypes;  // and the number of elements, most frequent first
  int64_t state_bytes = 0;                              // of one sequence; 0: no recurrent state
  std::string tokenizer;                                // as tokenizer_of
  std::vector<std::string> unused_tensors, unknown_config_keys;
};
WKV_API Description describe(const std::string& path_or_name, const LoadOptions& options = {});

// "fp32", "bf16", ...; PyTorch's name for one that parameters never have.
WKV_API std::string dtype_name(at::ScalarType dtype);
// The dtypes that parameters may have.
WKV_API const std::map<std::string, at::ScalarType>& parameter_dtypes();

struct ConvertOptions {
  std::string config;                   // as in LoadOptions
  std::optional<at::ScalarType> dtype;  // of every floating-point tensor; none: each keeps its own
  std::string quantize;                 // of the matrices, as in LoadOptions; the file's metadata say so
  // What is written. Empty: the same model under the published names, in the container that the output's name asks for,
  // .safetensors or .pth (as torch.save writes it). "safetensors", "upstream": the same, and the name must be one of
  // .safetensors, of .pth. "hf": a new folder in the layout of the package that the model hub has the family for,
  // config.json and safetensors. "multi-temporal": an RWKV-4 as a multi_temporal_rwkv, "rrwkv": a plain one as an
  // RRWKV-style model (the project's definition), which both compute the same until they are fine-tuned.
  std::string to;
  int64_t shard_bytes = 5'000'000'000;  // hf: of a safetensors file, which is divided where it would be larger
  int64_t perspectives = 4;             // multi-temporal: 1..256
  double mix_noise = 0;    // multi-temporal: standard deviation of what all perspectives but the first differ by
  int64_t interval = 16;   // rrwkv: tokens of a segment
  int64_t reduction = 16;  // rrwkv: the gate's bottleneck is the model's width divided by this
  FetchProgress progress;  // as in LoadOptions
};

struct ConvertReport {
  std::string family;
  int64_t parameters = 0, added_parameters = 0;  // of the source; of the result beyond them
  std::vector<std::string> overflowed;           // tensors with finite values that the dtype asked for has as infinite
  // What safetensors' metadata would tell of the model, and a .pth has no place for: LoadOptions::config must say it.
  std::map<std::string, std::string> unwritten_metadata;
};

// The names that ConvertOptions::to may have.
WKV_API std::vector<std::string> convert_targets();

// Rewrites a checkpoint of any container, whole or not at all, in the memory of its largest tensor: tensors are
// converted one by one while they are written. Tensors that keep their dtype keep every bit, and a file under the
// published names also what the model doesn't use. Throws wkv::Error.
WKV_API ConvertReport convert(const std::string& path, const std::string& output, const ConvertOptions& options = {});

}  // namespace wkv::zoo
