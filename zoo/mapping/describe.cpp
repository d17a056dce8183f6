// What a checkpoint holds: `wkv info`.
#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>

#include "mapping/named_checkpoint.h"
#include "wkv/models/rwkv_clip.h"
#include "wkv/zoo/load.h"

namespace wkv::zoo {

const std::map<std::string, at::ScalarType>& parameter_dtypes() {
  static const std::map<std::string, at::ScalarType> names = {
      {"fp32", at::kFloat}, {"bf16", at::kBFloat16}, {"fp16", at::kHalf}, {"fp64", at::kDouble}};
  return names;
}

std::string dtype_name(at::ScalarType dtype) {
  const auto found = std::ranges::find(parameter_dtypes(), dtype, [](const auto& named) { return named.second; });
  return found == parameter_dtypes().end() ? c10::toString(dtype) : found->first;
}

std::string guess_tokenizer(int64_t vocab_size) {
  switch (vocab_size) {
    case 256:
      return "bytes";
    case 65536:
      return "world";
    case 49408:
      return "clip";
    case 50257:
    case 50264:
      return "gpt2";
    case 50277:
    case 50304:  // the sizes above 50277 are padded
    case 50432:
      return "gpt-neox-20b";
    default:
      return "";
  }
}

std::string tokenizer_of(const std::string& path_or_name, int64_t vocab_size) {
  const auto card = card_of(path_or_name);
  if (card && !card->tokenizer.empty()) return card->tokenizer;
  for (const char* file : {"rwkv_vocab_v20230424.txt", "tokenizer.json"}) {
    const std::filesystem::path path = std::filesystem::path(path_or_name) / file;
    std::error_code ignored;
    if (std::filesystem::is_regular_file(path, ignored)) return path.string();
  }
  return guess_tokenizer(vocab_size);
}

Description describe(const std::string& path_or_name, const LoadOptions& options) {
  NamedCheckpoint named(path_or_name, options.config, options.progress);
  const Checkpoint& checkpoint = named.checkpoint;
  const MatchedModel matched = named.match(options.family);

  Description d;
  d.container = checkpoint.container();
  d.family = matched.family->name;
  d.config_json = matched.model->config_json();
  d.unused_tensors = matched.unused;
  d.unknown_config_keys = named.config.unknown_keys();
  std::map<std::string, int64_t> dtypes;
  for (const auto& parameter : matched.model->named_parameters()) {
    d.parameters += parameter.value().numel();
    const auto found = matched.tensors.find(parameter.key());
    const bool added = found == matched.tensors.end();
    dtypes[added ? dtype_name(parameter.value().scalar_type()) : checkpoint.dtype(*found->second)] +=
        parameter.value().numel();
  }
  d.dtypes.assign(dtypes.begin(), dtypes.end());
  std::ranges::sort(d.dtypes, std::greater<>(), [](const auto& dtype) { return dtype.second; });
  if (const auto* language_model = dynamic_cast<const models::LanguageModel*>(matched.model.get())) {
    for (const auto& entry : language_model->initial_state(1).entries)
      d.state_bytes += static_cast<int64_t>(entry.tensor.nbytes());
    d.tokenizer = tokenizer_of(path_or_name, language_model->vocab_size());
  } else if (const auto* clip = dynamic_cast<const models::RWKVCLIPImpl*>(matched.model.get())) {
    d.tokenizer = tokenizer_of(path_or_name, clip->options().vocab);
  }
  return d;
}

}  // namespace wkv::zoo
